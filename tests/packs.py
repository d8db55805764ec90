"""A second model for tests: the starter pack's networks, whose vectors mean nothing to it.

The embedding is turned by a fixed orthogonal map, and each number said twice: other directions and
another length, the same cosines among its own.
"""

import json
import uuid
from pathlib import Path

import numpy as np
import onnx
from django.conf import settings
from django.db import transaction
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from apps.consent import services as consents
from apps.consent.models import Consent, Purpose
from apps.recognition.engine.packs import Pack
from apps.recognition.engine.starter import DIM, MANIFEST, NAME, VERSION, build_starter, digest
from apps.recognition.matching import mean_of
from apps.recognition.measured import shipped
from apps.recognition.models import Calibration
from apps.recognition.passes import Pass
from apps.recognition.sealed import binding_of
from apps.recognition.services import record_calibration
from apps.visitors.models import FaceTemplate, Visitor
from apps.visitors.services import SealedTemplate, enroll
from apps.visitors.vault import (
    FileKeyring,
    Share,
    generation_of,
    new_data_key,
    new_share,
    seal,
    seal_for_pass,
    unwrap,
    wrap,
)
from tests.conftest import House

BEFORE = "before"


def build_former(directory: Path) -> Path:
    """Make the pack that a house used before, in an empty folder."""
    build_starter(directory)
    path = directory / "recognition.onnx"
    model = onnx.load(str(path))
    _turn(model)
    onnx.save(model, str(path))
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["name"], manifest["version"] = "consentry-former", BEFORE
    manifest["dim"] = 2 * DIM
    manifest["models"]["recognition"]["sha256"] = digest(path)
    (directory / MANIFEST).write_text(json.dumps(manifest))
    return directory


def _turn(model: onnx.ModelProto) -> None:
    chance = np.random.default_rng(7)
    order = np.tile(chance.permutation(DIM), 2).astype(np.int64)
    signs = np.tile(chance.choice([-1.0, 1.0], DIM), 2).astype(np.float32)
    graph, (output,) = model.graph, model.graph.output
    graph.initializer.extend(
        [numpy_helper.from_array(order, "turn_order"), numpy_helper.from_array(signs, "turn_signs")]
    )
    graph.node.extend(
        [
            helper.make_node("Gather", [output.name, "turn_order"], ["turn_moved"], axis=1),
            helper.make_node("Mul", ["turn_moved", "turn_signs"], ["turned"]),
        ]
    )
    graph.output.remove(output)
    graph.output.append(
        helper.make_tensor_value_info("turned", TensorProto.FLOAT, ["batch", 2 * DIM])
    )


def enrolled_before(
    house: House, pack: Pack, crops: NDArray[np.uint8], *purposes: Purpose, name: str = "Ms Chen"
) -> tuple[Visitor, Pass | None]:
    """Somebody who signed while `pack` was the present one, and their pass if they have one."""
    _recorded(pack)
    kinds = purposes or (Purpose.LANE,)
    consent = consents.sign(house.draft(purposes=[*kinds, Purpose.HISTORY])).consent
    visitor, data_key, share = uuid.uuid4(), new_data_key(), new_share()
    wrapped = wrap(
        data_key, visitor=visitor, organization=house.organization.pk, keyring=_keyring()
    )
    templates = [
        _sealed(pack, crops, consent, visitor, wrapped, purpose, share) for purpose in kinds
    ]
    with transaction.atomic():
        person = enroll(
            visitor=visitor,
            consent=consent,
            greeting_name=name,
            contact="",
            templates=templates,
            actor="test",
        )
    ids = {template.purpose: template.template for template in templates}
    return person, Pass(ids["pass"], bytes(share.reveal())) if "pass" in ids else None


def known_anew(visitor: Visitor, pack: Pack, crops: NDArray[np.uint8]) -> None:
    """Give somebody a template for the lane by another pack too, from whatever face."""
    consent = Consent.objects.get(subject=visitor.subject)
    wrapped = bytes(visitor.data_key.wrapped)
    made = _sealed(pack, crops, consent, visitor.pk, wrapped, Purpose.LANE, new_share())
    FaceTemplate.objects.create(
        id=made.template,
        visitor=visitor,
        consent=consent,
        store=visitor.store,
        purpose=made.purpose,
        pack=made.pack,
        pack_version=made.pack_version,
        sealed=made.sealed,
        not_after=consent.expires_at,
        delete_after=consent.expires_at,
    )


def _recorded(pack: Pack) -> None:
    """Record a calibration, or it would answer nobody: its cosines are the starter pack's."""
    if not Calibration.objects.of(pack.name, pack.version).exists():
        measured = shipped(NAME, VERSION)
        assert measured is not None
        record_calibration(
            measurement=measured.model_copy(update={"pack": pack.name, "version": pack.version}),
            source=Calibration.Source.MEASURED,
            note="",
            actor="test",
        )


def _keyring() -> FileKeyring:
    return FileKeyring.load(settings.CONSENTRY.keyring_path)


def _sealed(
    pack: Pack,
    crops: NDArray[np.uint8],
    consent: Consent,
    visitor: uuid.UUID,
    wrapped: bytes,
    purpose: Purpose,
    share: Share,
) -> SealedTemplate:
    """What a recognizer with this pack would have sealed."""
    template, organization = uuid.uuid4(), consent.store.organization_id
    binding = binding_of(
        organization=organization,
        store=consent.store_id,
        others=consent.group_stores,
        visitor=visitor,
        template=template,
        consent=consent.pk,
        purpose=purpose.value,
        not_after=int(consent.expires_at.timestamp()),
        pack=pack,
    )
    data_key = unwrap(wrapped, visitor=visitor, organization=organization, keyring=_keyring())
    vector = mean_of(pack.embedder.embed(crops))
    sealed = (
        seal_for_pass(vector, data_key, share, binding)
        if purpose == Purpose.PASS
        else seal(vector, data_key, binding)
    )
    return SealedTemplate(
        template,
        wrapped,
        generation_of(wrapped),
        sealed,
        pack.name,
        pack.version,
        purpose.value,
    )
