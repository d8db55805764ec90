"""What is known of a face is kept for as long as it is needed, and then overwritten.

Freeing memory leaves what was in it. So whatever holds a face, a vector or a template is used
inside `with briefly(...)`, and worked on in place: no expression here makes a copy that nobody can
reach. Products of vectors go through `cosines`, because a BLAS packs them into buffers of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from apps.recognition.engine.types import Floats

Array = TypeVar("Array", bound=NDArray[Any])


@contextmanager
def briefly(array: Array) -> Iterator[Array]:
    """Lend an array, and overwrite it with zeros at the end, whatever happened."""
    try:
        yield array
    finally:
        array.fill(0)


def cosines(vectors: Floats, others: Floats) -> Floats:
    """Cosines of vectors of length 1: float32 (N, D) with (D,) or (M, D) gives (N,) or (N, M)."""
    return np.asarray(np.einsum("nd,...d->n...", vectors, others))
