"""A certificate is followed by a second statement when no backup opens any more, not before."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from django.test import Client
from django.utils import timezone

from apps.audit import services as audit
from apps.audit import signing
from apps.recognition.models import Recognizer
from apps.retention.models import Erasure
from apps.retention.services.erase import complete, erase
from apps.retention.services.sweep import sweep
from apps.visitors.models import KeyGeneration
from tests.conftest import ROOT, House


def generation(number: int, *, destroyed: bool) -> None:
    now = timezone.now()
    KeyGeneration.objects.update_or_create(
        number=number,
        defaults={
            "held_by": "file",
            "created_at": now - timedelta(days=30),
            "destroyed_at": now if destroyed else None,
        },
    )


def verify(folder: Path, papers: str) -> list[str]:
    (folder / "certificate.jws").write_text(papers)
    (folder / "keys.json").write_text(json.dumps(signing.public_jwk()))
    done = subprocess.run(
        [
            *(sys.executable, "-I", ROOT / "ops" / "verify-certificate"),
            *("certificate.jws", "--key", "keys.json"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines()


def test_it_says_so_when_the_keys_are_gone_and_everybody_forgot_them(
    house: House, client: Client, tmp_path: Path
) -> None:
    client.force_login(house.dpo)
    erasure = complete(erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test"))
    other = complete(erase(visitor=house.visitor(), cause=Erasure.Cause.REQUEST, actor="test"))
    Erasure.objects.filter(pk__in=(erasure.pk, other.pk)).update(generation=2)
    erasure.document = signing.sign(
        {
            **signing.verify(erasure.document, signing.public_jwk()),
            "key": {"generation": 2, "row": "deleted", "generation_destroyed": None},
        },
        "consentry-certificate+jws",
    )
    erasure.save(update_fields=["document"])
    forgetful = Recognizer.objects.create(
        pack="p",
        pack_version="1",
        licence="",
        commercial=True,
        generation=3,
        oldest=2,
        started_at=timezone.now(),
        seen_at=timezone.now() + timedelta(hours=1),
    )
    # Under an older generation, too, a backup may hold the same key.
    for first, second in ((False, False), (False, True), (True, True)):
        generation(1, destroyed=first)
        generation(2, destroyed=second)
        assert sweep().supplements == 0
    forgetful.oldest = 3
    forgetful.save()
    assert sweep().supplements == 2
    assert sweep().supplements == 0
    assert audit.verify().ok

    file = client.get(f"/admin/retention/erasure/{erasure.pk}/certificate/").content.decode()
    certificate, supplement = file.splitlines()
    assert certificate == erasure.document
    told = verify(tmp_path, file)
    assert json.loads(told[-1])["valid"], told
    (backups,) = [line for line in told if line.startswith("  backups")]
    assert "No backup opens any template or key of this person any more" in backups
    # Of another person, or changed, it is refused.
    other.refresh_from_db()
    forged = supplement[:-20] + supplement[-20:-10][::-1] + supplement[-10:]
    for wrong, why in (
        (other.supplement, "about another certificate"),
        (forged, "changed after it was signed"),
        (certificate, "another kind of document"),
        (f"{supplement}\n{supplement}", "more than a certificate"),
    ):
        assert why in verify(tmp_path, f"{certificate}\n{wrong}")[-2]
