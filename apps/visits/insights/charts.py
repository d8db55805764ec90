"""Bars that are read at a glance, as SVG for the page and as PNG to take along. Numbers only.

The colours are two of Okabe and Ito's (2008), told apart by everybody, and the second is hatched
besides. Text in an SVG stays text: a browser draws Chinese and joins Arabic as matplotlib cannot,
so the words of a PNG are English in those two languages. Loaded only when a picture is asked for.
"""

import io
from dataclasses import dataclass
from textwrap import fill, shorten

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from apps.recognition.charts import png as _png
from apps.visits.insights.figures import Chart

# In a picture as wide as a phone, one point is nearly a pixel.
SIZE = (4.5, 2.6)
DPI = 200
# With more bars than these, numbers above them would overlap.
NUMBERED = 10
WITHHELD = "–"

mpl.rcParams["svg.fonttype"] = "none"
# A camera's name may hold a dollar.
mpl.rcParams["text.parse_math"] = False
mpl.rcParams["svg.hashsalt"] = "insights"
mpl.rcParams["font.family"] = "sans-serif"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of the tokens, and the two of the bars."""

    ink: str
    soft: str
    hair: str
    surface: str
    bars: tuple[str, str]


LIGHT = Theme("#1b1f23", "#535b62", "#e3ddd2", "#ffffff", ("#0072b2", "#e69f00"))
DARK = Theme("#f1efea", "#b4bcc2", "#323a40", "#1d2226", ("#56b4e9", "#e69f00"))


def svg(chart: Chart, *, dark: bool, rtl: bool) -> bytes:
    """The chart as an SVG file on the surface of its page."""
    out = io.BytesIO()
    _drawn(chart, DARK if dark else LIGHT, rtl=rtl, titled=False).savefig(
        out, format="svg", metadata={"Date": None}
    )
    return out.getvalue()


def png(chart: Chart, *, rtl: bool) -> bytes:
    """The chart as a PNG file with its title, on white."""
    return _png(_drawn(chart, LIGHT, rtl=rtl, titled=True))


def _drawn(chart: Chart, theme: Theme, *, rtl: bool, titled: bool) -> Figure:
    lying = chart.lying
    height = 0.9 + 0.5 * len(chart.labels) if lying else SIZE[1]
    figure = Figure((SIZE[0], height), dpi=DPI, layout="constrained", facecolor=theme.surface)
    axes = figure.add_subplot(facecolor=theme.surface)
    if titled:
        axes.set_title(
            chart.title, loc="right" if rtl else "left", color=theme.ink, fontsize=12, pad=24
        )
    many = len(chart.series)
    thick = 0.8 / many
    for place, series in enumerate(chart.series):
        at = [label + (place - (many - 1) / 2) * thick for label in range(len(chart.labels))]
        draw = axes.barh if lying else axes.bar
        bars = draw(
            at,
            [value or 0 for value in series.values],
            thick * 0.92,
            label=series.name,
            color=theme.bars[place],
            edgecolor=theme.surface,
            hatch="///" if place else None,
            linewidth=0,
        )
        if len(chart.labels) * many <= NUMBERED:
            words = [chart.written(value) or WITHHELD for value in series.values]
            beside = axes.bar_label(bars, words, padding=3, color=theme.ink, fontsize=10)
            if lying and rtl:
                # matplotlib puts them where a bar would end that grows to the right.
                for text in beside:
                    text.set(horizontalalignment="right", position=(-3, 0))
    _dress(axes, chart, theme, rtl=rtl)
    if many > 1:
        axes.legend(
            frameon=False,
            labelcolor=theme.ink,
            fontsize=10,
            ncols=many,
            loc="lower right" if rtl else "lower left",
            bbox_to_anchor=(1, 1) if rtl else (0, 1),
            borderaxespad=0.2,
        )
    return figure


def _dress(axes: Axes, chart: Chart, theme: Theme, *, rtl: bool) -> None:
    """Labels, a quiet grid along the values, and where the eye begins."""
    places = range(len(chart.labels))
    along, across = (axes.xaxis, axes.yaxis) if chart.lying else (axes.yaxis, axes.xaxis)
    across.set_ticks(list(places), [_short(label) for label in chart.labels])
    if not chart.lying and len(chart.labels) > 24:
        across.set_ticks(list(places)[::3], list(chart.labels)[::3])
    along.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.grid(axis="x" if chart.lying else "y", color=theme.hair, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.soft, length=0, labelsize=10)
    for side in axes.spines.values():
        side.set_visible(False)
    if chart.lying:
        axes.margins(x=0.16)
    else:
        axes.margins(x=0.02, y=0.14)
    if all(not value for series in chart.series for value in series.values):
        (axes.set_xlim if chart.lying else axes.set_ylim)(0, 1)
        along.set_ticks([])
    if chart.lying:
        axes.invert_yaxis()
    if rtl:
        axes.invert_xaxis()
        axes.yaxis.tick_right()
        axes.tick_params(length=0)


def _short(label: str) -> str:
    return fill(shorten(label, 46, placeholder="…"), 23)
