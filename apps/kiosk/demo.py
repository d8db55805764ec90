"""A demo house: two stores that are one group, a kiosk, a door tablet in each, a lane and a pass
camera, three sales people, a manager, two officers.

Everything goes through the same services as in a real house. Passwords derive from the secret key
of this one installation, so that they survive a restart and are the same nowhere else.
"""

import base64
import hashlib
import hmac
import tomllib
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.consent import notices
from apps.stores import assessments, signs
from apps.stores.access import actor
from apps.stores.devices import add_door, new_code
from apps.stores.models import Camera, Device, Organization, Role, Store, StoreGroup, User
from apps.visits.membership import change_members

ACTOR = "system:demo"
NOTICES = Path(__file__).parent / "demo_notices"
CHECK_IN = {
    "en": "Say your name at the desk: the same benefits.",
    "zh-hans": "在服务台报上姓名即可，待遇完全相同。",
    "fr": "Dites votre nom à l’accueil : les mêmes avantages.",
    "ar": "اذكر اسمك عند مكتب الاستقبال: المزايا نفسها.",
}
ZONE = [[0.08, 0.03], [0.92, 0.03], [0.92, 0.97], [0.08, 0.97]]


@dataclass(frozen=True, slots=True)
class Demo:
    """What a person needs to try it; a code is empty once its tablet is enrolled. other: the second
    store, where whoever agreed to it is recognised too."""

    store: Store
    other: Store
    code: str
    door_code: str
    other_door_code: str
    logins: dict[str, str]


@transaction.atomic
def seed(clip: Path) -> Demo:
    """Make the demo house, or bring an existing one up to date."""
    organization, _ = Organization.objects.get_or_create(
        name="Harbour Motors",
        defaults={
            "address": "1 Harbour Street, 20457 Hamburg, Germany",
            "contact_name": "Data protection office",
            "contact_email": "privacy@harbour.example",
        },
    )
    store, _ = Store.objects.get_or_create(
        slug="harbour-street",
        defaults={
            "organization": organization,
            "name": "Harbour Street",
            "jurisdiction": "eu",
            "non_face_check_in": CHECK_IN["en"],
            "check_in_words": CHECK_IN,
            "absence_minutes": 1,
        },
    )
    other, _ = Store.objects.get_or_create(
        slug="old-town",
        defaults={
            "organization": organization,
            "name": "Old Town",
            "jurisdiction": "eu",
            "non_face_check_in": CHECK_IN["en"],
            "check_in_words": CHECK_IN,
        },
    )
    logins = {
        "linda": _person("linda", "Linda", Role.Kind.STAFF),
        # To be asked for at the kiosk, and to have somebody handed on to.
        "marco": _person("marco", "Marco", Role.Kind.STAFF),
        "yuki": _person("yuki", "Yuki", Role.Kind.STAFF),
        "diana": _person("diana", "Diana", Role.Kind.DPO),
        # What one officer writes, the other one approves.
        "omar": _person("omar", "Omar", Role.Kind.DPO),
        "mara": _person("mara", "Mara", Role.Kind.MANAGER),
    }
    camera, _ = Camera.objects.update_or_create(
        store=store,
        name="Lane at the door",
        defaults={
            "mode": Camera.Mode.LANE,
            "source": str(clip),
            "loop": True,
            "zone": ZONE,
            "signage_confirmed_at": timezone.now(),
        },
    )
    if camera.blockers():
        assess(camera)
    Camera.objects.update_or_create(
        store=store,
        name="Pass reader at the door",
        defaults={
            "mode": Camera.Mode.PASS,
            "source": str(clip),
            "loop": True,
            "signage_confirmed_at": timezone.now(),
        },
    )
    door, other_door = _door(store), _door(other)
    officer = User.objects.get(username="diana")
    for each in Camera.objects.filter(store=store, signs=None):
        signs.confirm(camera=each, user=officer)
    # After the cameras and the group, which it names.
    if not organization.notices.exists():
        _group(organization, store, other)
        _publish_notice(organization)
    kiosk, _ = Device.objects.get_or_create(store=store, name="Tablet at the entrance")
    return Demo(store, other, _code(kiosk), _code(door), _code(other_door), logins)


def _group(organization: Organization, *stores: Store) -> None:
    """Let the kiosk ask whether the other store may recognise people too."""
    group = StoreGroup.objects.create(organization=organization, name="Harbour Motors Hamburg")
    change_members(group=group, stores=stores, actor=ACTOR)


def _door(store: Store) -> Device:
    """The tablet that reads passes; its sign hangs."""
    door = Device.objects.filter(store=store, kind=Device.Kind.DOOR).first()
    if door is None:
        door = add_door(Device(store=store, name="Tablet at the door"), actor=ACTOR)
        Camera.objects.filter(tablet=door).update(signage_confirmed_at=timezone.now())
    return door


def _code(device: Device) -> str:
    return "" if device.live else new_code(device=device, actor=ACTOR)


def _person(username: str, name: str, kind: Role.Kind) -> str:
    user, _ = User.objects.get_or_create(username=username, defaults={"first_name": name})
    secret = settings.SECRET_KEY.encode()
    digest = hmac.new(secret, f"demo {username}".encode(), hashlib.sha256).digest()
    password = base64.b32encode(digest)[:16].decode().lower()
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    for store in Store.objects.all():
        Role.objects.get_or_create(user=user, store=store, kind=kind)
    return password


def assess(camera: Camera) -> None:
    """Diana writes it, Omar signs it."""
    author, second = (User.objects.get(username=username) for username in ("diana", "omar"))
    draft = assessments.begin(camera=camera, user=author)
    draft = assessments.write(
        assessment=draft,
        user=author,
        read=assessments.digest_of(draft),
        necessity=(
            "Returning customers ask to be greeted by name as they come in, with nothing in hand. "
            "Nothing that needs a hand does that."
        ),
        alternatives=(
            "A card without a face, and a pass: both are offered beside it with the same benefits. "
            "Recognising everyone who walks by: refused."
        ),
        proportionality=(
            "The lane is marked, and only those who signed walk through it. One face at a time is "
            "compared; whoever matches nobody leaves a count."
        ),
        consulted="Staff of the store and ten customers, who asked for the sign to be larger.",
        risks=[
            {
                "risk": "Somebody who did not sign walks into the lane.",
                "likelihood": "medium",
                "severity": "medium",
                "measure": "A sign before it, a wide way past it; nothing of them is kept.",
            },
            {
                "risk": "Somebody is greeted by another person's name.",
                "likelihood": "low",
                "severity": "medium",
                "measure": "The threshold is calibrated; staff mark it, and the officer sees it.",
            },
            {
                "risk": "Templates are stolen.",
                "likelihood": "low",
                "severity": "high",
                "measure": "Sealed under a key for each person, outside the database.",
            },
        ],
        max_faces=1,
        way_past="The wide door beside the lane, which no camera of ours recognises anyone at.",
    )
    assessments.sign(assessment=draft, user=second, read=assessments.digest_of(draft))


def _publish_notice(organization: Organization) -> None:
    """Diana writes it, Omar approves and publishes it."""
    author, second = (actor(User.objects.get(username=username)) for username in ("diana", "omar"))
    notice = notices.begin(organization=organization, actor=author)
    for path in sorted(NOTICES.glob("*.toml")):
        text = tomllib.loads(path.read_text(encoding="utf-8"))
        notice = notices.write(
            notice=notice,
            locale=path.stem,
            lines=text["lines"],
            sections=text["sections"],
            revision=notice.revision,
            actor=author,
        )
    notice = notices.propose(notice=notice, actor=author)
    notice = notices.approve(notice=notice, revision=notice.revision, actor=second)
    notices.publish(notice=notice, actor=second)
