"""Two charts of an evaluation, as PNG bytes: where scores lie, and one error against the other.

Drawn without a screen. No name, no face and no path is in them.
"""

from __future__ import annotations

import io
import os
import tempfile
from typing import Any

import numpy as np

with tempfile.TemporaryDirectory(prefix="consentry-charts-") as _folder:
    # matplotlib would make one in the home of whoever runs it; it is read while importing only.
    os.environ.setdefault("MPLCONFIGDIR", _folder)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

from apps.recognition.engine.evaluation import Scores, trade_off

INK, SAME, OTHERS, LINE = "#1f2933", "#0b6e4f", "#b4532a", "#5b6770"
SIZE = (8.0, 4.5)
DPI = 120


def histogram(genuine: Scores, impostor: Scores, threshold: float) -> bytes:
    """How scores of the same person and of two people are spread; each area is one."""
    figure, axes = canvas("Scores of single photos against templates")
    edges = np.linspace(-0.4, 1.0, 71)
    for scores, colour, name in ((impostor, OTHERS, "two people"), (genuine, SAME, "one person")):
        axes.hist(scores, edges, density=True, color=colour, alpha=0.65, label=name)
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"threshold {threshold:.2f}",
        (threshold, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(6, -14),
        textcoords="offset points",
        color=INK,
    )
    axes.set_xlabel("cosine")
    axes.set_ylabel("density")
    axes.legend(frameon=False, loc="upper left")
    return png(figure)


def det(genuine: Scores, impostor: Scores, threshold: float) -> bytes:
    """False non-match against false match rate, both logarithmic, the product's threshold marked.

    Nothing is drawn below one error in all pairs: such rates were not measured.
    """
    figure, axes = canvas("Detection error trade-off")
    curve = trade_off(genuine, impostor, points=4001)
    shown = (curve.fmr > 0) & (curve.fnmr > 0)
    axes.plot(curve.fmr[shown], curve.fnmr[shown], color=SAME, linewidth=2)
    at = int(np.argmin(np.abs(curve.thresholds - threshold)))
    if shown[at]:
        axes.plot(curve.fmr[at], curve.fnmr[at], "o", color=INK)
        axes.annotate(
            f"threshold {threshold:.2f}",
            (curve.fmr[at], curve.fnmr[at]),
            xytext=(8, 8),
            textcoords="offset points",
            color=INK,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    # Half an error to the left and below, so that a line along the edge is seen.
    axes.set_xlim(0.5 / len(impostor), 1)
    axes.set_ylim(0.5 / len(genuine), 1)
    axes.set_xlabel("false match rate: two people taken for one")
    axes.set_ylabel("false non-match rate: one person taken for two")
    axes.grid(which="major", color="#d9dee3", linewidth=0.6)
    return png(figure)


def canvas(title: str) -> tuple[Figure, Any]:
    """A figure in the house's manner, and its axes."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK, fontsize=12)
    axes.tick_params(colors=LINE)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    return figure, axes


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()
