"""An assessment as two officers bring it to where a test needs it."""

from apps.stores import assessments
from apps.stores.models import Assessment, Camera, Role, User
from tests.conftest import House, hashed

TEXTS = {
    "necessity": "Nothing milder greets people by name.",
    "alternatives": "A card was tried.",
    "proportionality": "Only those who signed walk through it.",
    "consulted": "The works council agreed.",
}
RISKS = [
    {
        "risk": "A stranger is greeted.",
        "likelihood": "low",
        "severity": "medium",
        "measure": "A high threshold.",
    }
]


def second_officer(house: House) -> User:
    """Somebody else who answers for data protection in this store."""
    user = User.objects.create(username="omar", password=hashed(), first_name="Omar")
    Role.objects.create(user=user, store=house.store, kind=Role.Kind.DPO)
    return user


def drafted(camera: Camera, user: User, **changes: object) -> Assessment:
    """A complete draft by this officer."""
    draft = assessments.begin(camera=camera, user=user)
    return assessments.write(
        assessment=draft,
        user=user,
        read=assessments.digest_of(draft),
        **{**TEXTS, "risks": RISKS, **changes},
    )
