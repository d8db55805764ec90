"""Embedding through insightface's own `ArcFaceONNX`, for the starter pack and any other.

Refuses crops of any other shape or type than the house's, and vectors that are not numbers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .types import CROP_SIZE, Crops, Floats

_CROP = (CROP_SIZE, CROP_SIZE, 3)


class BadCrops(ValueError):
    """The crops are not RGB uint8 (N, 112, 112, 3), or embed to nothing. Align them again."""


class ArcFace:
    """An Embedder over a loaded `insightface.model_zoo.arcface_onnx.ArcFaceONNX`.

    One instance may be used by several threads at once. Crops go through the network one after
    another, for what lies between its layers must stay in the processor's cache: six crops of SFace
    take 44 ms in threes and 41 one by one. workers: threads that share the crops of one call, the
    caller's among them: with a network that is itself opened for one thread nobody waits for the
    other after each of its hundred operators, nor with an idle core for the longer half.
    """

    def __init__(self, model: Any, *, workers: int = 1) -> None:
        self._model = model
        self._helpers = workers - 1
        self._pool = ThreadPoolExecutor(max(self._helpers, 1), "embed")
        blank = np.zeros((1, CROP_SIZE, CROP_SIZE, 3), dtype=np.uint8)
        self._dim = int(self._raw(blank).shape[1])

    @property
    def dim(self) -> int:
        return self._dim

    def embed(self, crops: Crops) -> Floats:
        """Aligned RGB uint8 (N, 112, 112, 3) to float32 (N, D), each row of length 1.

        Raises BadCrops.
        """
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != _CROP:
            raise BadCrops("crops must be RGB uint8 (N, 112, 112, 3)")
        if not len(crops):
            return np.empty((0, self._dim), dtype=np.float32)
        vectors = np.empty((len(crops), self._dim), dtype=np.float32)
        rows = iter(range(len(crops)))

        def work() -> None:
            # Whoever is done takes the next one.
            for row in rows:
                vector = self._raw(crops[row : row + 1])
                vectors[row] = vector[0]
                vector.fill(0)

        helping = [self._pool.submit(work) for _ in range(min(self._helpers, len(crops) - 1))]
        work()
        for helper in helping:
            helper.result()
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
        if not np.isfinite(lengths).all() or (lengths < 1e-6).any():
            raise BadCrops("a crop embeds to nothing")
        # In place: the caller overwrites what it was given, and there is no more.
        vectors /= lengths
        return vectors

    def _raw(self, crops: Crops) -> Floats:
        # `get_feat` would take BGR and swap it back; the network sees RGB. What `forward` does is
        # done in place: its copies of a face nobody overwrites.
        model = self._model
        blob = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)
        try:
            if (model.input_mean, model.input_std) != (0.0, 1.0):
                blob -= model.input_mean
                blob /= model.input_std
            (vectors,) = model.session.run(model.output_names, {model.input_name: blob})
        finally:
            blob.fill(0)
        return np.asarray(vectors, dtype=np.float32)
