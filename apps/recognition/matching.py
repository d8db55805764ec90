"""When a track's crops are one of the enrolled: the whole decision, and nothing of the law.

The recognizer and `manage.py evaluate` call the same function, so what was measured is what runs.
It discloses nothing; whether a match may become a visit is asked elsewhere, in the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np

from apps.recognition.briefly import briefly
from apps.recognition.engine.packs import Pack
from apps.recognition.engine.types import Floats
from apps.recognition.gallery import Candidate, Gallery

MARGIN = 0.05
"""Cosine by which the best candidate must lead the best template of any other visitor."""
SLACK = 0.10
"""Cosine below the threshold that a single crop of a matched track may reach, not more."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome`: match, unknown (nobody is near enough), unsure (too near to two, or the crops
    disagree). candidate: the nearest, also when it is not enough; None in an empty store.
    threshold: cosine that was asked for, see `Pack.threshold_for`.
    """

    outcome: Literal["match", "unknown", "unsure"]
    candidate: Candidate | None
    threshold: float


def decide(pack: Pack, gallery: Gallery, store: UUID, probes: Floats) -> Verdict:
    """Whose crops these are: probes float32 (N, D), N ≥ 1, one person's, each of length 1."""
    threshold = pack.threshold_for(gallery.size(store))
    with briefly(mean_of(probes)) as mean:
        candidate = gallery.search(store, mean)
    if candidate is None or candidate.score < threshold:
        return Verdict("unknown", candidate, threshold)
    each = [gallery.search(store, probe) for probe in probes] if len(probes) > 1 else []
    agreed = all(
        one is not None and one.visitor == candidate.visitor and one.score >= threshold - SLACK
        for one in each
    )
    sure = agreed and candidate.margin >= MARGIN
    return Verdict("match" if sure else "unsure", candidate, threshold)


def mean_of(vectors: Floats) -> Floats:
    """The mean of float32 (N, D), scaled to length 1: how crops become one template or probe."""
    mean = np.asarray(vectors.mean(axis=0), dtype=np.float32)
    mean /= np.linalg.norm(mean)
    return mean
