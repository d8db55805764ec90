"""The two charts of a calibration as SVG paths: what is drawn, and where. Colours are the page's.

Both are small on purpose, 360 by 232 units: on a phone their words are still as large as its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from apps.recognition.measured import BINS, PER_UNIT, Measurement

WIDTH, HEIGHT = 360, 232
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 26, 192
END = WIDTH - RIGHT
LOWEST, STEP = -0.4, 4
"""The least cosine that is drawn, and how many bins make one step of the histogram (0.02)."""
SMALLEST = 1e-5
"""The least error rate that is drawn: below it nothing here was measured."""


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Outlines of the scores of two people and of one person; the area below each is one."""

    others: str
    same: str
    threshold: float
    ticks: list[Tick]
    marks: list[float]


@dataclass(frozen=True, slots=True)
class Det:
    """One error against the other, both logarithmic; point: where the threshold is on it."""

    curve: str
    point: tuple[float, float] | None
    across: list[Tick]
    up: list[Tick]


def histogram(measurement: Measurement, threshold: float, marks: Iterable[float]) -> Histogram:
    """marks: scores of false greetings that staff reported."""
    others, same = _steps(measurement.impostor), _steps(measurement.genuine)
    highest = max(*others, *same)
    return Histogram(
        others=_outline(others, highest),
        same=_outline(same, highest),
        threshold=_across(threshold),
        ticks=[Tick(_across(at / 5), f"{at / 5:.1f}") for at in range(-2, 6)],
        marks=[_across(score) for score in marks],
    )


def det(measurement: Measurement, threshold: float) -> Det:
    points = []
    for bin_ in range(BINS):
        at = bin_ / PER_UNIT - 1
        fmr = measurement.false_matches(at).share
        fnmr = measurement.false_non_matches(at).share
        if fmr >= SMALLEST and fnmr >= SMALLEST:
            points.append(f"{_log_across(fmr):.1f} {_log_up(fnmr):.1f}")
    fmr = measurement.false_matches(threshold).share
    fnmr = measurement.false_non_matches(threshold).share
    drawn = fmr >= SMALLEST and fnmr >= SMALLEST
    rates = [(10.0**power, label) for power, label in zip(range(-5, 1), LABELS, strict=True)]
    return Det(
        curve="M" + "L".join(dict.fromkeys(points)) if points else "",
        point=(_log_across(fmr), _log_up(fnmr)) if drawn else None,
        across=[Tick(_log_across(rate), label) for rate, label in rates],
        up=[Tick(_log_up(rate), label) for rate, label in rates],
    )


LABELS = ("0.001", "0.01", "0.1", "1", "10", "100")
"""Percent, of 1e-5 to 1."""


def _steps(counted: list[int]) -> list[float]:
    """Density by steps from LOWEST up; what is lower belongs to the first."""
    first = round((LOWEST + 1) * PER_UNIT)
    total = sum(counted)
    steps = [sum(counted[at : at + STEP]) / total for at in range(first, BINS, STEP)]
    steps[0] += sum(counted[:first]) / total
    return steps


def _outline(steps: list[float], highest: float) -> str:
    shown = [i for i, share in enumerate(steps) if share]
    if not shown:
        return ""
    path = [f"M{_across(LOWEST + shown[0] * STEP / PER_UNIT):.1f} {BOTTOM}"]
    for i in range(shown[0], shown[-1] + 1):
        up = BOTTOM - (BOTTOM - TOP) * steps[i] / highest
        path.append(f"V{up:.1f}H{_across(LOWEST + (i + 1) * STEP / PER_UNIT):.1f}")
    return "".join([*path, f"V{BOTTOM}Z"])


def _across(cosine: float) -> float:
    share = (min(max(cosine, LOWEST), 1.0) - LOWEST) / (1.0 - LOWEST)
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def _log_across(rate: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (1 - math.log10(rate) / math.log10(SMALLEST)), 1)


def _log_up(rate: float) -> float:
    return round(TOP + (BOTTOM - TOP) * math.log10(rate) / math.log10(SMALLEST), 1)
