"""A picture of where a frame's time goes, as PNG bytes. No face and no name is in it."""

from __future__ import annotations

from collections.abc import Mapping

from apps.recognition.charts import INK, LINE, SAME, canvas, png

REST = "#9ccbb9"


def stages_picture(
    stages: Mapping[str, float], networks: Mapping[str, float], faces: float
) -> bytes:
    """stages: milliseconds by stage, in order. networks: of these, in the bare network's call."""
    figure, axes = canvas(f"One frame with {faces:.0f} faces: {sum(stages.values()):.1f} ms")
    names = list(stages)
    inside = [min(networks.get(name, 0.0), stages[name]) for name in names]
    around = [stages[name] - part for name, part in zip(names, inside, strict=True)]
    axes.barh(names, inside, color=SAME, label="inside the network")
    axes.barh(names, around, left=inside, color=REST, label="around it")
    for row, name in enumerate(names):
        axes.annotate(
            f"{stages[name]:.1f}",
            (stages[name], row),
            xytext=(6, 0),
            textcoords="offset points",
            verticalalignment="center",
            color=INK,
        )
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max(stages.values()))  # room for the longest one's figure
    axes.set_xlabel("milliseconds", color=LINE)
    axes.grid(axis="y", visible=False)
    axes.legend(frameon=False, loc="lower right")
    return png(figure)
