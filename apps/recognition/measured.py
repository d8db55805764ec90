"""What `manage.py evaluate` measured, as a file of counts that answers for any threshold.

Scores are kept as histograms, so that every error rate can be told for a threshold that nobody has
tried yet. A file holds numbers and the pack's name: no face, no vector, no person, no path.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from apps.recognition.engine.rates import Rate

PER_UNIT = 200
"""Bins between cosine 0 and 1: each is 0.005 wide."""
BINS = 2 * PER_UNIT
"""From -1 to 1; bin i holds cosines from i / PER_UNIT - 1 up to the next one's."""
LARGEST = 64 * 1024
"""Bytes. Four histograms take about five thousand."""
SHIPPED = Path(__file__).parent / "shipped"

Bins = Annotated[
    list[Annotated[int, Field(ge=0, le=10**12)]], Field(min_length=BINS, max_length=BINS)
]
ONE_LINE = r"^\P{Cc}+$"
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class MeasurementInvalid(ValueError):
    """This is no measurement that could be recorded; the text says what is wrong with it."""


class Measurement(BaseModel):
    """One evaluation of one pack on photos of known people.

    threshold, slope: what the pack asked for, see rates.threshold_at_size. enroll: photos a
    template; enrolled: people in the gallery, the others were strangers. genuine, impostor: single
    photos against templates, one to one. returning: scores at which photos of enrolled people were
    found as themselves, lost: photos that no threshold lets be found. strangers: scores at which
    photos of strangers would be greeted by a name, spared: those that no threshold greets.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    format: Literal["consentry-measurement/1"] = "consentry-measurement/1"
    pack: Annotated[str, Field(max_length=60, pattern=ONE_LINE)]
    version: Annotated[str, Field(max_length=80, pattern=ONE_LINE)]
    threshold: Share
    slope: Share
    people: Annotated[int, Field(ge=4)]
    photos: Annotated[int, Field(ge=1)]
    enroll: Annotated[int, Field(ge=1)]
    enrolled: Annotated[int, Field(ge=2)]
    rounds: Annotated[int, Field(ge=1)]
    genuine: Bins
    impostor: Bins
    returning: Bins
    lost: Annotated[int, Field(ge=0)]
    strangers: Bins
    spared: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _something_was_measured(self) -> Self:
        if not sum(self.genuine) or not sum(self.impostor):
            raise ValueError("one person's and two people's scores are both needed")
        if not sum(self.returning) + self.lost or not sum(self.strangers) + self.spared:
            raise ValueError("enrolled people and strangers are both needed")
        if self.enrolled >= self.people:
            raise ValueError("some people must have been strangers")
        return self

    def false_matches(self, threshold: float) -> Rate:
        """Pairs of two people that reach the threshold (FMR)."""
        return Rate(_from(self.impostor, threshold), sum(self.impostor))

    def false_non_matches(self, threshold: float) -> Rate:
        """Pairs of one person that do not reach the threshold (FNMR)."""
        return Rate(_below(self.genuine, threshold), sum(self.genuine))

    def false_greetings(self, threshold: float) -> Rate:
        """Strangers who would be greeted by a name, in the measured gallery (FPIR)."""
        return Rate(_from(self.strangers, threshold), sum(self.strangers) + self.spared)

    def misses(self, threshold: float) -> Rate:
        """Enrolled people who would not be found as themselves, in the measured gallery (FNIR)."""
        of = sum(self.returning) + self.lost
        return Rate(_below(self.returning, threshold) + self.lost, of)

    def stranger_greeted(self, threshold: float, templates: int) -> tuple[float, float]:
        """Chance that a gallery of so many templates takes a stranger for somebody.

        As measured, and the most that the number of measured pairs allows at 95 %. Every template
        is taken for another throw of the same dice, and the lead that the best must have over the
        next is left out, so both err on the high side. Pairs of few people are no independent
        pairs: what staff say at the door is the better number once there is one.
        """
        rate = self.false_matches(threshold)
        return _any_of(rate.share, templates), _any_of(rate.interval[1], templates)


def read_measurement(raw: bytes) -> Measurement:
    """Read the JSON that `manage.py evaluate --out` wrote. Raises MeasurementInvalid."""
    if len(raw) > LARGEST:
        raise MeasurementInvalid("The file is too large to be a measurement.")
    try:
        return Measurement.model_validate_json(raw)
    except ValidationError as error:
        raise MeasurementInvalid(_first(error)) from None


def shipped(pack: str, version: str) -> Measurement | None:
    """The measurement that comes with this software for its own starter pack, if there is one.

    Whoever raises starter.VERSION makes it anew, on the faces that starter.THRESHOLD names:

        manage.py evaluate ATT --enroll 3 --rounds 200 --out DIR
        cp DIR/measured.json apps/recognition/shipped/<NAME>-<VERSION>.json
    """
    path = SHIPPED / f"{pack}-{version}.json"
    # Only what lies in this very folder, whatever a pack calls itself.
    if path.parent != SHIPPED or not path.is_file():
        return None
    return read_measurement(path.read_bytes())


def bins(scores: Iterable[float]) -> list[int]:
    """Count cosines into BINS bins; what is not finite is left out."""
    counted = [0] * BINS
    for score in scores:
        if math.isfinite(score):
            counted[_bin(score)] += 1
    return counted


def written(measurement: Measurement) -> str:
    """The file's text: one line a field, so that two of them can be compared."""
    lines = (
        f"  {json.dumps(name)}: {json.dumps(value)}"
        for name, value in measurement.model_dump().items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _bin(score: float) -> int:
    """A hair is added, so that 0.4 as written and 0.4 as computed fall into the same bin."""
    return min(max(math.floor((score + 1) * PER_UNIT + 1e-6), 0), BINS - 1)


def _from(counted: list[int], threshold: float) -> int:
    """Scores that may reach the threshold: a bin that it divides counts as reaching it."""
    return sum(counted[_bin(threshold) :])


def _below(counted: list[int], threshold: float) -> int:
    """Scores that may not reach the threshold: a bin that it divides counts as below it."""
    return sum(counted[: math.ceil((threshold + 1) * PER_UNIT - 1e-6)])


def _any_of(each: float, times: int) -> float:
    return 1.0 - (1.0 - each) ** times


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, by place; never the value that was sent."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"][:2])
    return f"This is no measurement of manage.py evaluate: {place or 'file'}: {found['msg']}."
