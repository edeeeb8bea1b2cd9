"""The picture of a training: errors on heads that weren't taught, beside what knowing nothing gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facecli.io.atomic import atomic_write

_PANELS = (
    ("face_mm", "mean_face_mm", "shape of the face, mm"),
    ("sized_mm", "mean_sized_mm", "with its size, mm"),
    ("expression", "mean_expression", "expression weights"),
)
_LOOKS = {1: ("tab:blue", "first look"), 2: ("tab:orange", "second look")}


def draw_curve(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """A PNG of the curve's `rows`.

    Raises:
        OutputError: the place can't be written to.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (name, nothing, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for look, (color, label) in _LOOKS.items():
            own = [row for row in rows if row["look"] == look]
            axes.plot([row["epoch"] for row in own], [row[name] for row in own], color=color, label=label)
        epochs = [row["epoch"] for row in rows]
        axes.plot(epochs, [row[nothing] for row in rows], color="tab:gray", linestyle="--", label="mean")
        axes.set(title=title, xlabel="epoch", ylim=(0, None))
        axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
