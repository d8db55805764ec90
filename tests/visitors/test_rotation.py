"""The secret that turns templates lies wrapped, for one organization and number only."""

import copy
import pickle
from pathlib import Path
from uuid import uuid4

import pytest

from apps.visitors import vault
from apps.visitors.vault import FileKeyring, Rotation, SealBroken, UnknownGeneration


@pytest.fixture
def keyring(tmp_path: Path) -> FileKeyring:
    return FileKeyring.create(tmp_path / "keyring.json")


def test_a_wrapped_rotation_opens_for_its_organization_and_number(keyring: FileKeyring) -> None:
    rotation, organization = vault.new_rotation(), uuid4()
    wrapped = vault.wrap_rotation(rotation, organization=organization, number=3, keyring=keyring)
    assert rotation.reveal() not in wrapped
    opened = vault.unwrap_rotation(wrapped, organization=organization, number=3, keyring=keyring)
    assert opened == rotation
    for other, number in ((uuid4(), 3), (organization, 4)):
        with pytest.raises(SealBroken):
            vault.unwrap_rotation(wrapped, organization=other, number=number, keyring=keyring)
    for place in range(len(wrapped)):
        broken = bytes([*wrapped[:place], wrapped[place] ^ 1, *wrapped[place + 1 :]])
        with pytest.raises((SealBroken, UnknownGeneration)):
            vault.unwrap_rotation(broken, organization=organization, number=3, keyring=keyring)
    for short in (b"", wrapped[:8], wrapped[:-1]):
        with pytest.raises(SealBroken):
            vault.unwrap_rotation(short, organization=organization, number=3, keyring=keyring)


def test_it_is_no_data_key_and_no_data_key_is_one(keyring: FileKeyring) -> None:
    organization, which = uuid4(), uuid4()
    wrapped = vault.wrap_rotation(
        vault.new_rotation(), organization=organization, number=1, keyring=keyring
    )
    with pytest.raises(SealBroken):
        vault.unwrap(wrapped, visitor=which, organization=organization, keyring=keyring)
    key = vault.wrap(
        vault.new_data_key(), visitor=which, organization=organization, keyring=keyring
    )
    with pytest.raises(SealBroken):
        vault.unwrap_rotation(key, organization=organization, number=1, keyring=keyring)


def test_it_follows_the_keyring(keyring: FileKeyring) -> None:
    rotation, organization = vault.new_rotation(), uuid4()
    first = vault.wrap_rotation(rotation, organization=organization, number=1, keyring=keyring)
    same = vault.rewrap_rotation(first, organization=organization, number=1, keyring=keyring)
    assert same == first
    keyring.rotate()
    second = vault.rewrap_rotation(first, organization=organization, number=1, keyring=keyring)
    keyring.destroy(1)
    opened = vault.unwrap_rotation(second, organization=organization, number=1, keyring=keyring)
    assert opened == rotation
    with pytest.raises(UnknownGeneration):
        vault.unwrap_rotation(first, organization=organization, number=1, keyring=keyring)


def test_it_is_never_shown_copied_or_pickled() -> None:
    rotation = Rotation(b"\x07" * 32)
    assert repr(rotation) == "Rotation(hidden)"
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not leave its process"):
            leave(rotation)
