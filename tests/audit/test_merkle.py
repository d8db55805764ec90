"""The ledger's tree is the one of RFC 6962.

Leaves, roots and proofs below are those of the certificate-transparency project, as its own tests
name them: github.com/google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc.
"""

import random
from itertools import pairwise

import pytest

from apps.audit import merkle

LEAVES = [
    merkle.leaf_hash(bytes.fromhex(data))
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"


def hexed(nodes: list[bytes]) -> list[str]:
    return [node.hex() for node in nodes]


def many(size: int) -> list[bytes]:
    return [merkle.leaf_hash(number.to_bytes(2, "big")) for number in range(size)]


@pytest.mark.parametrize("size", range(9))
def test_the_known_roots(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, []),
        (0, 8, [A, B, C]),
        (5, 8, [D, E, ROOTS[4]]),
        (2, 3, [ROOTS[2]]),
        (1, 5, [ROOTS[1], B, D]),
    ],
)
def test_the_known_inclusion_proofs(index: int, size: int, path: list[str]) -> None:
    assert hexed(merkle.inclusion_proof(index, LEAVES[:size])) == path


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [F, E, ROOTS[4]]), (2, 5, [B, D])],
)
def test_the_known_consistency_proofs(old: int, new: int, path: list[str]) -> None:
    assert hexed(merkle.consistency_proof(old, LEAVES[:new])) == path


@pytest.mark.parametrize("size", range(1, 65))
def test_every_leaf_proves_its_own_place_and_no_other(size: int) -> None:
    leaves = many(size)
    root = merkle.root(leaves)
    for index, leaf in enumerate(leaves):
        proof = merkle.inclusion_proof(index, leaves)

        def holds(
            leaf: bytes = leaf,
            index: int = index,
            size: int = size,
            proof: list[bytes] = proof,
            root: bytes = root,
        ) -> bool:
            return merkle.verify_inclusion(
                leaf=leaf, index=index, size=size, proof=proof, root=root
            )

        assert holds()
        assert not holds(leaf=merkle.leaf_hash(b"another"))
        assert not holds(root=merkle.leaf_hash(b"another"))
        assert not any(holds(index=other) for other in range(-1, size + 1) if other != index)
        assert not holds(proof=[*proof, leaf])
        if proof:
            assert not holds(proof=proof[:-1])
            assert not holds(proof=proof[1:])
            changed = bytes([proof[-1][0] ^ 1]) + proof[-1][1:]
            assert not holds(proof=[*proof[:-1], changed])


@pytest.mark.parametrize("new", range(1, 65))
def test_a_grown_tree_proves_every_earlier_one(new: int) -> None:
    leaves, other = many(new), merkle.leaf_hash(b"another")
    new_root = merkle.root(leaves)
    for old in range(1, new + 1):
        proof, old_root = merkle.consistency_proof(old, leaves), merkle.root(leaves[:old])

        def holds(
            proof: list[bytes] = proof,
            old: int = old,
            old_root: bytes = old_root,
            new_root: bytes = new_root,
        ) -> bool:
            return merkle.verify_consistency(
                old_size=old, new_size=new, old_root=old_root, new_root=new_root, proof=proof
            )

        assert holds()
        assert not holds(old_root=other)
        assert not holds(new_root=other)
        assert not holds(proof=[*proof, leaves[0]])
        assert not holds(old=old - 1)
        if proof:
            assert not holds(proof=proof[:-1])
            assert not holds(proof=proof[1:])


def test_every_tree_grew_from_the_empty_one() -> None:
    root, nothing = merkle.root(LEAVES), merkle.root([])
    assert merkle.consistency_proof(0, LEAVES) == []
    for proof, old_root, holds in (
        ([], nothing, True),
        ([], root, False),
        ([root], nothing, False),
    ):
        assert holds is merkle.verify_consistency(
            old_size=0, new_size=8, old_root=old_root, new_root=root, proof=proof
        )


@pytest.mark.parametrize("size", [2, 3, 7, 8, 33])
def test_a_changed_dropped_or_reordered_leaf_changes_the_root(size: int) -> None:
    leaves = many(size)
    root = merkle.root(leaves)
    for index in range(size):
        assert merkle.root([*leaves[:index], *leaves[index + 1 :]]) != root
        assert merkle.root([*leaves[:index], leaves[index - 1], *leaves[index + 1 :]]) != root
    for left, right in pairwise(range(size)):
        swapped = [*leaves]
        swapped[left], swapped[right] = leaves[right], leaves[left]
        assert merkle.root(swapped) != root


def test_a_rewritten_past_is_not_consistent() -> None:
    honest, forged = many(20), many(20)
    forged[3] = merkle.leaf_hash(b"nothing happened")
    assert not merkle.verify_consistency(
        old_size=11,
        new_size=20,
        old_root=merkle.root(honest[:11]),
        new_root=merkle.root(forged),
        proof=merkle.consistency_proof(11, forged),
    )


def test_a_walk_knows_the_root_at_every_size() -> None:
    leaves, walk = many(64), merkle.Frontier()
    for size, leaf in enumerate(leaves, start=1):
        walk.append(leaf)
        assert (walk.size, walk.root()) == (size, merkle.root(leaves[:size]))


def test_kept_subtrees_give_the_same_proofs_as_all_leaves() -> None:
    """What the ledger keeps: the hash of each complete subtree, from when its last leaf came."""
    draw = random.Random(6962)
    leaves, kept, walk = many(600), dict[merkle.Place, bytes](), merkle.Frontier()
    for index, leaf in enumerate(leaves):
        kept[0, index] = leaf
        kept |= zip(merkle.completed(index + 1), walk.append(leaf), strict=True)

    def over(first: int, last: int) -> bytes:
        return merkle.fold([kept[place] for place in merkle.subtrees(first, last)])

    for size in [1, 2, 3, *draw.sample(range(4, 600), 60), 600]:
        assert over(0, size) == merkle.root(leaves[:size])
        index, old = draw.randrange(size), draw.randint(0, size)
        assert [over(*span) for span in merkle.inclusion_path(index, size)] == (
            merkle.inclusion_proof(index, leaves[:size])
        )
        assert [over(*span) for span in merkle.consistency_path(old, size)] == (
            merkle.consistency_proof(old, leaves[:size])
        )
        peaks = [kept[place] for place in merkle.subtrees(0, old)]
        resumed = merkle.Frontier.at(old, peaks)
        for leaf in leaves[old:size]:
            resumed.append(leaf)
        assert resumed.root() == merkle.root(leaves[:size])


def test_a_leaf_is_never_taken_for_a_node() -> None:
    left, right = many(2)
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


@pytest.mark.parametrize("index", [-1, 8, 9])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError, match="not in a tree of 8"):
        merkle.inclusion_proof(index, LEAVES)


@pytest.mark.parametrize("size", [-1, 9])
def test_there_is_no_proof_of_a_size_that_never_was(size: int) -> None:
    with pytest.raises(IndexError, match="never had"):
        merkle.consistency_proof(size, LEAVES)
