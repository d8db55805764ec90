"""The Merkle tree of RFC 6962 (section 2.1), over leaf hashes. Pure: no key, no database, no clock.

Everywhere below `leaves` are 32-byte leaf hashes in ledger order, not the data they were made of.
The prefixes 0x00 and 0x01 keep a leaf from ever being taken for a node.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ data), 32 bytes."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right), 32 bytes."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that is only ever appended to: O(log n) memory, its root at every size in one walk."""

    __slots__ = ("_peaks", "size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._peaks: list[bytes] = []  # roots of the complete subtrees, the largest first
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """Add one 32-byte leaf hash."""
        node, rest = leaf, self.size
        while rest & 1:  # each trailing one is a complete subtree of the size we have just filled
            node = node_hash(self._peaks.pop(), node)
            rest >>= 1
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return MTH of all leaves so far; of none, SHA-256 of nothing."""
        if not self._peaks:
            return sha256(b"").digest()
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the Merkle tree head, 32 bytes."""
    return Frontier(leaves).root()


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PATH(index, leaves), from the leaf's sibling upwards. IndexError when out of range."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} is not in a tree of {len(leaves)}")
    first, last = 0, len(leaves)
    path: list[bytes] = []
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append(root(leaves[middle:last]))
            last = middle
        else:
            path.append(root(leaves[first:middle]))
            first = middle
    return path[::-1]


def verify_inclusion(
    *, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether `leaf` is leaf number `index` of the tree of `size` leaves with this root.

    The walk is that of RFC 9162, section 2.1.3.2; it answers False to a proof of any other shape.
    """
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


def consistency_proof(old_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PROOF(old_size, leaves): that the first `old_size` leaves are still the same.

    Empty for equal sizes and for an empty old tree. IndexError when `old_size` is out of range.
    """
    if not 0 <= old_size <= len(leaves):
        raise IndexError(f"a tree of {len(leaves)} never had {old_size} leaves")
    if old_size in (0, len(leaves)):
        return []
    first, last = 0, len(leaves)
    path: list[bytes] = []
    whole = True  # is the old tree's root itself the subtree we stand on? then it is not repeated
    while last != old_size:
        middle = first + _split(last - first)
        if old_size <= middle:
            path.append(root(leaves[middle:last]))
            last = middle
        else:
            path.append(root(leaves[first:middle]))
            first, whole = middle, False
    if not whole:
        path.append(root(leaves[first:last]))
    return path[::-1]


def verify_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of `new_size` was made from that of `old_size` by appending alone.

    The walk is that of RFC 9162, section 2.1.4.2.
    """
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == root(())
    path = list(proof)
    if old_size & (old_size - 1) == 0:  # a complete old tree is its own first node
        path.insert(0, old_root)
    if not path:
        return False
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (≥ 2)."""
    return 1 << ((size - 1).bit_length() - 1)
