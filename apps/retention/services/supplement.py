"""Say on a certificate, when it has become true, that no old backup opens any more.

Design. A certificate says what was true when it was issued: a backup made before the erasure holds
the person's key, wrapped by a generation of the keyring. Once that generation and every older one
is destroyed, and every running recognizer has forgotten them, a second signed statement follows,
with its own entry in the ledger. It names the certificate by id and hash, which stays as it was;
both are handed out in one file, a line each. For a single template there is none: mostly the
person's key goes on under the generations that follow, and where it went with their last template
they themselves go on.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Exists, Max, OuterRef

from apps.audit import services as audit
from apps.audit import signing
from apps.recognition.models import Recognizer
from apps.retention.models import Erasure
from apps.visitors.models import KeyGeneration

SUPPLEMENT_TYPE = "consentry-supplement+jws"
# In one run: each is a transaction that holds the ledger's lock.
BATCH = 100


def supplement_all() -> int:
    """Supplement the certificates for which it is time; how many."""
    done = 0
    for pk in _due().values_list("pk", flat=True)[:BATCH]:
        done += supplement(pk)
    return done


def _due() -> models.QuerySet[Erasure]:
    named = KeyGeneration.objects.filter(number=OuterRef("generation"))
    left = KeyGeneration.objects.filter(number__lte=OuterRef("generation"), destroyed_at=None)
    remembered = Recognizer.objects.running().filter(oldest__lte=OuterRef("generation"))
    return Erasure.objects.filter(
        Exists(named),
        ~Exists(left),
        ~Exists(remembered),
        state=Erasure.State.COMPLETE,
        template=None,
        purpose="",
        supplement="",
    ).exclude(document="")


@transaction.atomic
def supplement(pk: UUID) -> bool:
    """Sign the second statement of one erasure, if it is time and there is none yet."""
    erasure = _due().select_for_update(of=("self",), skip_locked=True).filter(pk=pk).first()
    if erasure is None:
        return False
    destroyed = KeyGeneration.objects.filter(number__lte=erasure.generation).aggregate(
        at=Max("destroyed_at")
    )["at"]
    told: dict[str, Any] = {
        "generation": erasure.generation,
        "generation_destroyed": _iso(destroyed),
    }
    entry = audit.record(
        actor="system:certificate",
        action="erasure.supplemented",
        erasure=str(erasure.pk),
        about=erasure.subject,
        **told,
    )
    head = audit.checkpoint()
    erasure.supplement = signing.sign(
        {
            "schema": "consentry-supplement/1",
            "certificate": str(erasure.pk),
            "sha256": hashlib.sha256(erasure.document.encode()).hexdigest(),
            "issued_at": _iso(entry.at),
            **told,
            "backup_horizon": (
                "No backup opens any template or key of this person any more, whenever it was "
                "made: every key generation that ever wrapped them is destroyed. A backup made "
                "before erased_at still holds the name, readable, until it is deleted; a restore "
                "leaves it out."
            ),
            "ledger": {
                "entry": audit.leaf_data(entry),
                "index": entry.seq - 1,
                "proof": audit.inclusion(entry, head),
                "checkpoint": head.signature,
            },
        },
        SUPPLEMENT_TYPE,
    )
    erasure.save(update_fields=["supplement"])
    return True


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
