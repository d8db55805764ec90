"""Which packs are being left: written down by a recognizer that starts, for an officer to end.

A template is of use to the pack alone that made it. So every pack that made one, and is not the
present one, is a former one, also when nobody named its folder and no recognizer can read it.
"""

from django.db import transaction
from django.utils import timezone

from apps.audit import services as audit
from apps.recognition.benches import Benches
from apps.recognition.engine.packs import Pack
from apps.visitors.models import FaceTemplate, FormerPack

ACTOR = "system:recognizer"


@transaction.atomic
def declare(benches: Benches) -> None:
    """Keep `FormerPack` true for a recognizer that starts with these packs.

    A pack that is the present one again is no longer left, and its day is forgotten: an operator
    who goes back must not lose anybody to a date that was set before.
    """
    present = benches.present.pack
    back = FormerPack.objects.filter(name=present.name, version=present.version)
    if back.delete()[0]:
        audit.record(actor=ACTOR, action="model.taken_back", pack=_called(present))
    former = benches.former.pack if benches.former else None
    left = set(FaceTemplate.objects.values_list("pack", "pack_version").distinct())
    left -= {(present.name, present.version)}
    if former:
        left.add((former.name, former.version))
    for name, version in sorted(left):
        row, new = FormerPack.objects.get_or_create(
            name=name, version=version, defaults={"left_at": timezone.now()}
        )
        if former and (name, version) == (former.name, former.version):
            row.licence, row.dim = former.licence[:120], former.dim
            row.save(update_fields=["licence", "dim"])
        if new:
            audit.record(actor=ACTOR, action="model.left", pack=str(row), present=_called(present))


def _called(pack: Pack) -> str:
    return f"{pack.name} {pack.version}"
