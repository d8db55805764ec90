"""A sealed template opens for what was signed for, and for nothing else."""

import copy
import pickle
import traceback
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from apps.visitors import vault
from apps.visitors.vault import Binding, FileKeyring, OpenKey, SealBroken, envelope

END = 1_900_000_000


def a_vector(dimension: int = 128) -> envelope.Vector:
    vector = np.random.default_rng(dimension).standard_normal(dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def binding() -> Binding:
    return Binding(
        organization=uuid4(),
        scope=f"store:{uuid4()}",
        visitor=uuid4(),
        template=uuid4(),
        pack="starter",
        pack_version="2025.1",
        purpose="lane",
        consent=uuid4(),
        not_after=END,
    )


@pytest.fixture
def data_key() -> OpenKey:
    return vault.new_data_key()


@pytest.fixture
def keyring(tmp_path: Path) -> FileKeyring:
    return FileKeyring.create(tmp_path / "keyring.json")


def another(value: Any) -> Any:
    if isinstance(value, UUID):
        return uuid4()
    return value + 1 if isinstance(value, int) else value + "x"


@pytest.mark.parametrize("dimension", [1, 128, 512, 65535])
def test_what_was_sealed_opens_to_the_last_bit(
    dimension: int, data_key: OpenKey, binding: Binding
) -> None:
    vector = a_vector(dimension)
    sealed = vault.seal(vector, data_key, binding)
    opened = vault.unseal(sealed, data_key, binding)
    assert len(sealed) == 66 + 4 * dimension
    assert opened.dtype == np.float32
    assert opened.tobytes() == vector.tobytes()


def test_a_sliced_vector_is_sealed_as_it_reads(data_key: OpenKey, binding: Binding) -> None:
    vector = a_vector(256)[::2]
    opened = vault.unseal(vault.seal(vector, data_key, binding), data_key, binding)
    assert np.array_equal(opened, vector)


def test_the_vector_is_not_in_the_row(data_key: OpenKey, binding: Binding) -> None:
    vector = a_vector()
    sealed = vault.seal(vector, data_key, binding)
    assert not any(number.tobytes() in sealed for number in vector)
    assert sealed != vault.seal(vector, data_key, binding)  # a fresh nonce each time


@pytest.mark.parametrize("field", Binding._fields)
def test_changing_what_it_was_sealed_for_breaks_it(
    field: str, data_key: OpenKey, binding: Binding
) -> None:
    sealed = vault.seal(a_vector(), data_key, binding)
    changed = binding._replace(**{field: another(getattr(binding, field))})
    with pytest.raises(SealBroken):
        vault.unseal(sealed, data_key, changed)


@pytest.mark.parametrize("seconds", [-1, 1, 86_400, 10 * 365 * 86_400])
def test_a_deadline_moved_in_the_database_breaks_it(
    seconds: int, data_key: OpenKey, binding: Binding
) -> None:
    sealed = vault.seal(a_vector(), data_key, binding)
    with pytest.raises(SealBroken):
        vault.unseal(sealed, data_key, binding._replace(not_after=END + seconds))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"pack": "ab", "pack_version": "c"}, {"pack": "a", "pack_version": "bc"}),
        ({"purpose": "lane", "pack": "x"}, {"purpose": "lan", "pack": "ex"}),
        ({"pack_version": "1", "purpose": "lane"}, {"pack_version": "", "purpose": "1lane"}),
    ],
)
def test_neighbouring_fields_cannot_lend_each_other_letters(
    left: dict[str, Any], right: dict[str, Any], data_key: OpenKey, binding: Binding
) -> None:
    sealed = vault.seal(a_vector(), data_key, binding._replace(**left))
    with pytest.raises(SealBroken):
        vault.unseal(sealed, data_key, binding._replace(**right))


def test_rows_of_one_visitor_cannot_be_swapped(data_key: OpenKey, binding: Binding) -> None:
    first, second = binding, binding._replace(template=uuid4())
    sealed = vault.seal(a_vector(), data_key, first)
    with pytest.raises(SealBroken):
        vault.unseal(sealed, data_key, second)


def test_a_template_of_one_visitor_does_not_open_under_another(binding: Binding) -> None:
    mine, theirs = vault.new_data_key(), vault.new_data_key()
    sealed = vault.seal(a_vector(), mine, binding)
    with pytest.raises(SealBroken):
        vault.unseal(sealed, theirs, binding)
    with pytest.raises(SealBroken):
        vault.unseal(sealed, theirs, binding._replace(visitor=uuid4()))


def test_every_flipped_bit_is_found(data_key: OpenKey, binding: Binding) -> None:
    sealed = vault.seal(a_vector(2), data_key, binding)
    for position in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(SealBroken):
            vault.unseal(bytes(changed), data_key, binding)


def test_every_truncation_and_every_addition_is_found(data_key: OpenKey, binding: Binding) -> None:
    sealed = vault.seal(a_vector(2), data_key, binding)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            vault.unseal(sealed[:length], data_key, binding)
        with pytest.raises(SealBroken):
            vault.unseal(sealed[length + 1 :], data_key, binding)
    with pytest.raises(SealBroken):
        vault.unseal(sealed + b"\0", data_key, binding)


def test_of_many_each_opens_by_itself_and_a_closed_one_leaves_nothing(
    binding: Binding, tmp_path: Path
) -> None:
    keyring, other = (FileKeyring.create(tmp_path / name) for name in ("ours", "another"))
    rows = []
    rings = (keyring,) * 5 + (other, keyring, keyring)
    for length, ring in zip((8, 8, 8, 9, 8, 8, 8, 8), rings, strict=True):
        key, own = vault.new_data_key(), binding._replace(template=uuid4(), visitor=uuid4())
        who = {"visitor": own.visitor, "organization": own.organization}
        rows.append(
            vault.Sealed(
                own.use,
                *(own.visitor, own.template, own.consent, own.not_after),
                vault.wrap(key, **who, keyring=ring),
                vault.seal(a_vector(length), key, own),
            )
        )
    broken = rows[1].sealed
    rows[1] = rows[1]._replace(sealed=broken[:-1] + bytes([broken[-1] ^ 1]))
    rows[2] = rows[2]._replace(sealed=rows[0].sealed)
    rows[6] = rows[6]._replace(wrapped=rows[6].wrapped[:7] + b"\x02" + rows[6].wrapped[8:])
    rows[7] = rows[7]._replace(sealed=rows[7].sealed[:40])
    into = np.full((8, 8), 7, np.float32)
    why = vault.unseal_all(rows, keyring=keyring, into=into)
    no, unknown = vault.SealBroken, vault.UnknownGeneration
    nothing = type(None)
    assert [type(each) for each in why] == [nothing, no, no, no, nothing, no, unknown, no]
    assert into[0].tobytes() == into[4].tobytes() == a_vector(8).tobytes()
    assert not into[[1, 2, 3, 5, 6, 7]].any()


@pytest.mark.parametrize("rotation", [0, 7])
def test_what_is_bound_is_written_as_it_always_was(binding: Binding, rotation: int) -> None:
    one, header = binding._replace(rotation=rotation), bytes(50)
    use = [part.encode() for part in (one.pack, one.pack_version, one.purpose)]
    parts = [header, one.organization.bytes, one.scope.encode(), one.visitor.bytes]
    parts += [one.template.bytes, *use, one.consent.bytes, one.not_after.to_bytes(8, "big")]
    parts += [rotation.to_bytes(4, "big")] if rotation else []
    assert one._associated(header) == counted(*parts)
    assert one.use.info == counted(b"CFT1", use[2], use[0], use[1])


def counted(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def test_the_header_commits_to_the_key_before_anything_is_decrypted(
    data_key: OpenKey, binding: Binding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GCM finds no fault in one ciphertext made for two keys; the commitment must refuse first."""
    sealed = vault.seal(a_vector(), data_key, binding)
    other = vault.new_data_key()
    compared: list[tuple[bytes, bytes]] = []
    compare = envelope.hmac.compare_digest

    def watched(left: bytes, right: bytes) -> bool:
        compared.append((bytes(left), right))
        return bool(compare(left, right))

    monkeypatch.setattr(envelope.hmac, "compare_digest", watched)
    with pytest.raises(SealBroken):
        vault.unseal(sealed, other, binding)
    ((ours, stored),) = compared
    assert stored == sealed[6:38]
    assert ours != stored
    assert len(ours) == 32


def test_a_forged_commitment_does_not_open_either(data_key: OpenKey, binding: Binding) -> None:
    """Even with the other key's own commitment written in, the tag does not fit."""
    other = vault.new_data_key()
    mine = vault.seal(a_vector(), data_key, binding)
    theirs = vault.seal(a_vector(), other, binding)
    with pytest.raises(SealBroken):
        vault.unseal(mine[:6] + theirs[6:38] + mine[38:], other, binding)


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(4, np.float64),
        np.zeros(4, np.float16),
        np.zeros((2, 2), np.float32),
        np.zeros(0, np.float32),
        np.zeros(1 << 16, np.float32),
        np.array([0.0, np.nan], np.float32),
        np.array([0.0, np.inf], np.float32),
    ],
)
def test_what_is_no_template_is_not_sealed(
    vector: Any, data_key: OpenKey, binding: Binding
) -> None:
    with pytest.raises(ValueError, match="A template"):
        vault.seal(vector, data_key, binding)


def test_a_wrapped_key_opens_for_its_own_row_only(keyring: FileKeyring, data_key: OpenKey) -> None:
    visitor, organization = uuid4(), uuid4()
    wrapped = vault.wrap(data_key, visitor=visitor, organization=organization, keyring=keyring)
    assert vault.generation_of(wrapped) == 1
    row = {"visitor": visitor, "organization": organization}
    assert vault.unwrap(wrapped, **row, keyring=keyring) == data_key
    for field in row:
        with pytest.raises(SealBroken):
            vault.unwrap(wrapped, **{**row, field: uuid4()}, keyring=keyring)
    with pytest.raises(SealBroken):
        vault.unwrap(wrapped, visitor=organization, organization=visitor, keyring=keyring)


def test_every_change_to_a_wrapped_key_is_found(keyring: FileKeyring, data_key: OpenKey) -> None:
    row = {"visitor": uuid4(), "organization": uuid4()}
    wrapped = vault.wrap(data_key, **row, keyring=keyring)
    for position in range(len(wrapped) * 8):
        changed = bytearray(wrapped)
        changed[position // 8] ^= 1 << position % 8
        # In the generation's four bytes the flip names one that is not there; elsewhere it breaks.
        named = 4 <= position // 8 < 8
        with pytest.raises(vault.UnknownGeneration if named else SealBroken):
            vault.unwrap(bytes(changed), **row, keyring=keyring)
    for length in range(len(wrapped)):
        with pytest.raises(SealBroken):
            vault.unwrap(wrapped[:length], **row, keyring=keyring)


def test_another_keyring_opens_nothing(
    keyring: FileKeyring, data_key: OpenKey, tmp_path: Path
) -> None:
    row = {"visitor": uuid4(), "organization": uuid4()}
    wrapped = vault.wrap(data_key, **row, keyring=keyring)
    with pytest.raises(SealBroken):
        vault.unwrap(wrapped, **row, keyring=FileKeyring.create(tmp_path / "other.json"))


def test_a_generation_cannot_be_renamed(keyring: FileKeyring, data_key: OpenKey) -> None:
    row = {"visitor": uuid4(), "organization": uuid4()}
    wrapped = vault.wrap(data_key, **row, keyring=keyring)
    keyring.rotate()
    with pytest.raises(SealBroken):
        vault.unwrap(wrapped[:7] + b"\x02" + wrapped[8:], **row, keyring=keyring)


def test_a_data_key_shows_itself_nowhere(data_key: OpenKey, binding: Binding) -> None:
    secret = data_key._secret
    sealed = vault.seal(a_vector(), data_key, binding)
    with pytest.raises(SealBroken) as caught:
        vault.unseal(sealed, data_key, binding._replace(purpose="pass"))
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.args)
    for text in (repr(data_key), str(data_key), f"{data_key}", f"{[data_key]!r}", told):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text
    assert repr(data_key) == "OpenKey(hidden)"
    assert not hasattr(data_key, "__dict__")
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not leave"):
            leave(data_key)
    with pytest.raises(TypeError, match="unhashable"):
        hash(data_key)


def test_two_data_keys_are_never_the_same() -> None:
    assert vault.new_data_key() != vault.new_data_key()
    assert vault.new_data_key() != "a key"
