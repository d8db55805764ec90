"""The Merkle tree of RFC 6962 (section 2.1), over leaf hashes. Pure: no key, no database, no clock.

Everywhere below `leaves` are 32-byte leaf hashes in ledger order, not the data they were made of.
The prefixes 0x00 and 0x01 keep a leaf from ever being taken for a node.

A `Place` names a complete subtree: (level, index) is the one over the 2^level leaves from number
index·2^level on. Once it is complete its hash never changes, so whoever keeps these hashes makes a
root or a proof of n leaves from O(log n) of them; the `…_path` functions say from which.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

# Level and index of a complete subtree; (0, i) is leaf i.
Place = tuple[int, int]
# Leaves first … last - 1, as (first, last).
Span = tuple[int, int]


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

    @classmethod
    def at(cls, size: int, peaks: Sequence[bytes]) -> "Frontier":
        """Go on from a tree of `size` leaves; `peaks` are the hashes of `subtrees(0, size)`."""
        tree = cls()
        tree.size, tree._peaks = size, list(peaks)
        return tree

    def append(self, leaf: bytes) -> list[bytes]:
        """Add one 32-byte leaf hash; return the hashes of `completed(self.size)` after it."""
        node, rest, done = leaf, self.size, []
        while rest & 1:  # each trailing one is a complete subtree of the size we have just filled
            node = node_hash(self._peaks.pop(), node)
            done.append(node)
            rest >>= 1
        self._peaks.append(node)
        self.size += 1
        return done

    def root(self) -> bytes:
        """Return MTH of all leaves so far; of none, SHA-256 of nothing."""
        return fold(self._peaks)


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the Merkle tree head, 32 bytes."""
    return Frontier(leaves).root()


def fold(peaks: Sequence[bytes]) -> bytes:
    """Return the hash over the complete subtrees of a span, given from left to right."""
    if not peaks:
        return sha256(b"").digest()
    node = peaks[-1]
    for peak in reversed(peaks[:-1]):
        node = node_hash(peak, node)
    return node


def subtrees(first: int, last: int) -> list[Place]:
    """Return the complete subtrees that a span of a path consists of, from left to right.

    (0, size) gives the peaks of the whole tree, the largest first.
    """
    places = []
    while first < last:
        level = (last - first).bit_length() - 1
        places.append((level, first >> level))
        first += 1 << level
    return places


def completed(size: int) -> list[Place]:
    """Return the subtrees of two leaves and more that the last of `size` leaves completes."""
    levels = (size & -size).bit_length()
    return [(level, (size >> level) - 1) for level in range(1, levels)]


def inclusion_path(index: int, size: int) -> list[Span]:
    """Return which spans PATH(index, D[size]) consists of, from the leaf's sibling upwards."""
    if not 0 <= index < size:
        raise IndexError(f"leaf {index} is not in a tree of {size}")
    first, last = 0, size
    path: list[Span] = []
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append((middle, last))
            last = middle
        else:
            path.append((first, middle))
            first = middle
    return path[::-1]


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PATH(index, leaves), from the leaf's sibling upwards. IndexError when out of range."""
    return [root(leaves[first:last]) for first, last in inclusion_path(index, len(leaves))]


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


def consistency_path(old_size: int, size: int) -> list[Span]:
    """Return which spans PROOF(old_size, D[size]) consists of (RFC 6962, section 2.1.2).

    Empty for equal sizes and for an empty old tree. IndexError when `old_size` is out of range.
    """
    if not 0 <= old_size <= size:
        raise IndexError(f"a tree of {size} never had {old_size} leaves")
    if old_size in (0, size):
        return []
    first, last = 0, size
    path: list[Span] = []
    whole = True  # is the old tree's root itself the subtree we stand on? then it is not repeated
    while last != old_size:
        middle = first + _split(last - first)
        if old_size <= middle:
            path.append((middle, last))
            last = middle
        else:
            path.append((first, middle))
            first, whole = middle, False
    if not whole:
        path.append((first, last))
    return path[::-1]


def consistency_proof(old_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return PROOF(old_size, leaves): that the first `old_size` leaves are still the same."""
    return [root(leaves[first:last]) for first, last in consistency_path(old_size, len(leaves))]


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
