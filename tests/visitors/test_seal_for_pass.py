"""A pass template opens with the keyring and the pass together, and with neither alone."""

import copy
import pickle
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from apps.visitors import vault
from apps.visitors.vault import Binding, FileKeyring, OpenKey, SealBroken, Share, envelope


@pytest.fixture
def binding() -> Binding:
    return Binding(
        organization=uuid4(),
        scope=f"store:{uuid4()}",
        visitor=uuid4(),
        template=uuid4(),
        pack="starter",
        pack_version="2025.1",
        purpose="pass",
        consent=uuid4(),
        not_after=1_900_000_000,
    )


@pytest.fixture
def data_key() -> OpenKey:
    return vault.new_data_key()


@pytest.fixture
def share() -> Share:
    return vault.new_share()


@pytest.fixture
def vector() -> envelope.Vector:
    numbers = np.random.default_rng(7).standard_normal(128).astype(np.float32)
    return numbers / np.linalg.norm(numbers)


def another(value: Any) -> Any:
    if isinstance(value, UUID):
        return uuid4()
    return value + 1 if isinstance(value, int) else value + "x"


def test_both_keys_together_open_it_to_the_last_bit(
    vector: envelope.Vector, data_key: OpenKey, share: Share, binding: Binding
) -> None:
    sealed = vault.seal_for_pass(vector, data_key, share, binding)
    assert len(sealed) == 130 + 4 * vector.size
    opened = vault.unseal_with_pass(sealed, data_key, Share(share.reveal()), binding)
    assert opened.tobytes() == vector.tobytes()


def test_the_server_alone_cannot_open_it(
    tmp_path: Path, vector: envelope.Vector, share: Share, binding: Binding
) -> None:
    """Database, keyring and wrapped key are all there; the pass is not."""
    keyring = FileKeyring.create(tmp_path / "keyring.json")
    who = {"visitor": binding.visitor, "organization": binding.organization}
    wrapped = vault.wrap(vault.new_data_key(), keyring=keyring, **who)
    data_key = vault.unwrap(wrapped, keyring=keyring, **who)
    sealed = vault.seal_for_pass(vector, data_key, share, binding)
    with pytest.raises(SealBroken):
        vault.unseal(sealed, data_key, binding)
    # Without its outer header it is still no template of the inner kind.
    with pytest.raises(SealBroken):
        vault.unseal(sealed[envelope._PASS_HEADER.size :], data_key, binding)
    # The data key does not stand in for the share.
    with pytest.raises(SealBroken):
        vault.unseal_with_pass(sealed, data_key, Share(data_key._secret), binding)
    assert share.reveal() not in sealed
    assert not any(number.tobytes() in sealed for number in vector)


def test_the_pass_alone_cannot_open_it(
    vector: envelope.Vector, data_key: OpenKey, share: Share, binding: Binding
) -> None:
    sealed = vault.seal_for_pass(vector, data_key, share, binding)
    with pytest.raises(SealBroken):
        vault.unseal_with_pass(sealed, vault.new_data_key(), share, binding)


def test_the_share_of_another_pass_does_not_open_it(
    vector: envelope.Vector, data_key: OpenKey, share: Share, binding: Binding
) -> None:
    sealed = vault.seal_for_pass(vector, data_key, share, binding)
    with pytest.raises(SealBroken):
        vault.unseal_with_pass(sealed, data_key, vault.new_share(), binding)
    flipped = bytearray(share.reveal())
    flipped[31] ^= 1
    with pytest.raises(SealBroken):
        vault.unseal_with_pass(sealed, data_key, Share(bytes(flipped)), binding)


@pytest.mark.parametrize("field", Binding._fields)
def test_a_swapped_template_person_purpose_or_deadline_breaks_it(
    field: str, vector: envelope.Vector, data_key: OpenKey, share: Share, binding: Binding
) -> None:
    sealed = vault.seal_for_pass(vector, data_key, share, binding)
    changed = binding._replace(**{field: another(getattr(binding, field))})
    with pytest.raises(SealBroken):
        vault.unseal_with_pass(sealed, data_key, share, changed)


def test_one_changed_bit_anywhere_breaks_it(
    vector: envelope.Vector, data_key: OpenKey, share: Share, binding: Binding
) -> None:
    sealed = vault.seal_for_pass(vector[:2], data_key, share, binding)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            vault.unseal_with_pass(bytes(changed), data_key, share, binding)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            vault.unseal_with_pass(sealed[:length], data_key, share, binding)


def test_a_template_sealed_once_is_no_pass_template(
    vector: envelope.Vector, data_key: OpenKey, share: Share, binding: Binding
) -> None:
    sealed = vault.seal(vector, data_key, binding)
    with pytest.raises(SealBroken):
        vault.unseal_with_pass(sealed, data_key, share, binding)


def test_a_share_is_not_shown_copied_or_pickled(share: Share) -> None:
    assert repr(share) == str(share) == "Share(hidden)"
    for leave in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            leave(share)
    assert share == Share(share.reveal())
    assert share != OpenKey(share.reveal())


@pytest.mark.parametrize("secret", [b"", b"x" * 31, b"x" * 33])
def test_a_share_has_32_bytes(secret: bytes) -> None:
    with pytest.raises(SealBroken):
        Share(secret)
