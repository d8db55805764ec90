"""Plays identification over and over with people whose photos are known, and counts the errors.

The real gallery, threshold and margin decide, in memory; nothing touches the database, and the
report names nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import numpy as np

from apps.recognition.engine.evaluation import (
    Scores,
    false_matches,
    false_non_matches,
    threshold_at,
)
from apps.recognition.engine.packs import Pack
from apps.recognition.engine.rates import Rate
from apps.recognition.engine.types import Floats
from apps.recognition.gallery import Enrolled, Gallery
from apps.recognition.matching import MARGIN, Verdict, decide, mean_of
from apps.recognition.measured import Measurement, bins

STORE = UUID(int=0)
FMR = 1e-3
"""The false match rate at which false non-matches are quoted: NIST's habit for one to one."""
NEVER = float("-inf")


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What was measured over all rounds.

    genuine, impostor: cosines of single photos against templates, float64. positives: strangers
    who were taken for somebody. negatives: enrolled people who were not found, or found as
    somebody else. missed: enrolled people's photos that gave no vector at all; they count as
    negatives too. threshold: what the product asked for with this many enrolled. strangers,
    returning: the highest threshold at which each of their photos is still greeted as somebody, or
    as themselves; NEVER where none does it.
    """

    people: int
    enrolled: int
    threshold: float
    genuine: Scores
    impostor: Scores
    positives: Rate
    negatives: Rate
    missed: int
    strangers: Scores
    returning: Scores

    @property
    def fmr(self) -> Rate:
        """False matches at the product's threshold."""
        return false_matches(self.impostor, self.threshold)

    @property
    def fnmr_at_fmr(self) -> tuple[float, float]:
        """False non-match rate at a false match rate of FMR, and the cosine where that is."""
        at = threshold_at(self.impostor, FMR)
        return false_non_matches(self.genuine, at).share, at


def evaluate(
    pack: Pack,
    people: Mapping[str, Sequence[Floats | None]],
    *,
    enroll: int,
    rounds: int,
    seed: int,
) -> Report:
    """Half the people are strangers; which half, and which photos are enrolled, changes each round.

    people: a vector float32 (D,) for each photo, None for one that gives none. Everybody needs
    more than `enroll` vectors; every photo that was not enrolled is looked at alone, which is
    harder than the several frames of a passing camera. Raises ValueError.
    """
    names = sorted(people)
    if len(names) < 4:
        raise ValueError("at least four people are needed: two enrolled, two strangers")
    if any(sum(v is not None for v in people[name]) <= enroll for name in names):
        raise ValueError(f"everybody needs more than {enroll} usable photos")
    chance = np.random.default_rng(seed)
    genuine: list[float] = []
    impostor: list[float] = []
    found_at: list[float] = []
    taken_at: list[float] = []
    taken = lost = missed = 0
    threshold = pack.threshold
    enrolled = len(names) // 2
    for _ in range(rounds):
        order = [names[i] for i in chance.permutation(len(names))]
        sides = {name: _split(people[name], enroll, chance) for name in order}
        known, unknown = order[:enrolled], order[enrolled:]
        gallery = Gallery(pack.dim)
        for name in known:
            who = uuid5(STORE, name)
            gallery.add(STORE, Enrolled(who, who, float("inf")), sides[name][0])
        templates = np.stack([sides[name][0] for name in known])
        for name in known:
            for probe in sides[name][1]:
                if probe is None:
                    missed += 1
                    lost += 1
                    found_at.append(NEVER)
                    continue
                verdict = decide(pack, gallery, STORE, probe[None])
                threshold = verdict.threshold
                found = verdict.candidate.visitor if verdict.candidate else None
                lost += verdict.outcome != "match" or found != uuid5(STORE, name)
                found_at.append(_decisive(verdict) if found == uuid5(STORE, name) else NEVER)
                scores = templates @ probe
                genuine.append(float(scores[known.index(name)]))
                impostor += [float(s) for i, s in enumerate(scores) if known[i] != name]
        for name in unknown:
            for probe in people[name]:
                if probe is None:
                    taken_at.append(NEVER)
                    continue
                verdict = decide(pack, gallery, STORE, probe[None])
                taken += verdict.outcome == "match"
                taken_at.append(_decisive(verdict))
                impostor += [float(s) for s in templates @ probe]
    return Report(
        people=len(names),
        enrolled=enrolled,
        threshold=threshold,
        genuine=np.array(genuine),
        impostor=np.array(impostor),
        positives=Rate(taken, len(taken_at)),
        negatives=Rate(lost, len(found_at)),
        missed=missed,
        strangers=np.array(taken_at),
        returning=np.array(found_at),
    )


def measurement_of(
    pack: Pack, report: Report, *, photos: int, enroll: int, rounds: int
) -> Measurement:
    """What of a report may leave the machine and be recorded: counts."""
    return Measurement(
        pack=pack.name,
        version=pack.version,
        threshold=pack.threshold,
        slope=pack.slope,
        people=report.people,
        photos=photos,
        enroll=enroll,
        enrolled=report.enrolled,
        rounds=rounds,
        genuine=bins(report.genuine),
        impostor=bins(report.impostor),
        returning=bins(report.returning),
        lost=int(np.count_nonzero(report.returning == NEVER)),
        strangers=bins(report.strangers),
        spared=int(np.count_nonzero(report.strangers == NEVER)),
    )


def _decisive(verdict: Verdict) -> float:
    """The highest threshold at which this single photo would still be a match."""
    nearest = verdict.candidate
    return nearest.score if nearest and nearest.margin >= MARGIN else NEVER


def _split(
    vectors: Sequence[Floats | None], enroll: int, chance: np.random.Generator
) -> tuple[Floats, list[Floats | None]]:
    """A template of `enroll` photos, and all the other photos.

    Photos that give no vector are never enrolled: the kiosk asks for another one.
    """
    usable = [i for i, vector in enumerate(vectors) if vector is not None]
    chosen = {usable[i] for i in chance.permutation(len(usable))[:enroll]}
    template = mean_of(
        np.stack([v for i, v in enumerate(vectors) if i in chosen and v is not None])
    )
    return template, [vector for i, vector in enumerate(vectors) if i not in chosen]
