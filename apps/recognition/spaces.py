"""Spaces: an organization's templates are turned by a secret before they are sealed.

A rotation keeps every angle, so whoever is nearest stays nearest; but a template turned by one
secret says nothing to a gallery, a probe or a database turned by another. It is not encryption: who
has a template in the plain and in the space can compute a rotation from enough of them. It is what
makes a template revocable (ISO/IEC 24745): a known secret is replaced without seeing anybody again.

The matrix must come out the same for as long as a template lies in its space, so it is made of
fixed pieces only, never of numpy's own generators, whose streams may change:

1. SHAKE-256 over `LABEL` ‖ dimension u16 big-endian ‖ secret, as little-endian u64 words;
2. u = ((word >> 11) + 1) · 2⁻⁵³, in (0, 1]; the first half of them gives radii, the second angles,
   and √(-2 ln u₁) · cos(2π u₂) normal numbers (Box and Muller 1958);
3. they are taken in turn as vectors x of 1, 2, … D numbers; each makes a Householder reflection
   times -sign(x₀), whose first column is x/|x|, and their product over growing blocks is the matrix
   (Stewart 1980; Mezzadri 2007, "How to generate random matrices from the classical compact
   groups"): a rotation, or a reflection, drawn evenly from all there are.

No LAPACK: its threads would spin on cores that the cameras need. Other processors may round the
last of 53 bits another way; of float32 that leaves nothing that a cosine would show. Nothing here
is stored or logged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LABEL = b"consentry/rotation/1"


def matrix_of(secret: bytes | memoryview, dim: int) -> Floats:
    """The orthogonal matrix of a secret: float32 (D, D), 1 ≤ D ≤ 65535. About 0.1 s for 512."""
    count = dim * (dim + 1) // 2
    stream = hashlib.shake_256(LABEL + dim.to_bytes(2, "big"))
    stream.update(secret)
    words = np.frombuffer(stream.digest(16 * count), "<u8")
    even = ((words >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * 2.0**-53
    normal = np.sqrt(-2.0 * np.log(even[:count])) * np.cos(2.0 * np.pi * even[count:])
    matrix, start = np.eye(dim), 0
    for size in range(1, dim + 1):
        x, block = normal[start : start + size], matrix[dim - size :, dim - size :]
        start += size
        sign = 1.0 if x[0] >= 0 else -1.0
        length = np.sqrt(np.einsum("i,i", x, x))
        x[0] += sign * length
        # x is now the reflection's normal; twice over its square is what Householder takes away.
        taken = np.einsum("i,ij->j", x, block) * (2.0 / np.einsum("i,i", x, x))
        block -= np.multiply.outer(x, taken)
        block *= -sign
    return np.ascontiguousarray(matrix, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Space:
    """One rotation of one organization, for vectors of one length. Equal by these three."""

    organization: UUID | None
    number: int
    dim: int
    _matrix: Floats = field(repr=False, compare=False)

    def __hash__(self) -> int:
        # Asked for every template that is loaded: an identifier's own hash is slow.
        return hash((self.number, self.dim))

    def enter(self, vectors: Floats) -> Floats:
        """Plain vectors float32 (..., D) as they are in this space: new memory, same cosines."""
        return _turned(self._matrix, vectors) if self.number else vectors.copy()

    def leave(self, vectors: Floats) -> Floats:
        """The way back of `enter`, to within 1e-6 a number."""
        return _turned(self._matrix.T, vectors) if self.number else vectors.copy()

    def to(self, other: Space) -> Passage:
        """The straight way into another space: nothing is plain in between."""
        return Passage(np.einsum("ij,kj->ik", other._matrix, self._matrix))

    def __del__(self) -> None:
        # When nobody turns anything with it any more; the plain space is shared and holds no secret
        if self.number:
            self._matrix.fill(0)


@dataclass(frozen=True, slots=True)
class Passage:
    """From one space into another, float32 (D, D)."""

    _matrix: Floats = field(repr=False)

    def carry(self, vector: Floats) -> Floats:
        """A vector float32 (D,) of the one space as it is in the other, of length 1."""
        moved = _turned(self._matrix, vector)
        moved /= np.linalg.norm(moved)
        return moved


@lru_cache(maxsize=8)
def plain(dim: int) -> Space:
    """Where vectors are as the network gave them: rotation 0 of everybody."""
    return Space(None, 0, dim, np.eye(dim, dtype=np.float32))


def _turned(matrix: Floats, vectors: Floats) -> Floats:
    # einsum works in place: a BLAS would pack copies of the vectors into buffers that nobody wipes.
    return np.asarray(np.einsum("ij,...j->...i", matrix, vectors), np.float32)
