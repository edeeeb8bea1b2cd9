"""The plot of cumulative error curves, as SVG and PNG; readable in black and white, and by the colour-blind."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from facecli.benchmark.curves import drawn, spread
from facecli.io.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    from facecli.benchmark.published import PublishedResult
    from facecli.benchmark.scores import SurfaceErrors

# Okabe and Ito's colours, the darkest first, without the yellow, which is too light on white.
_COLORS = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00"
_DASHES = "-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1))
_GREY, _DARK_GREY = "#9a9a9a", "#555555"

_SIZE = 7.6, 5.4  # inches
_DPI = 150
_LABEL_SIZE = 6.0  # points
_HALF = 50.0  # percent: where a curve crosses its median
_BOTTOM, _TALLEST = 1.0, 38.0  # percent: where labels of published lines begin, and how high they may be


def draw_curves(
    results: Sequence[SurfaceErrors],
    *,
    title: str,
    published: Sequence[PublishedResult] = (),
    curves: Mapping[str, np.ndarray] | None = None,
    set: str | None = None,
    limit_mm: float = 8.0,
) -> Figure:
    """A figure of one clear line a result, and thin ones of what others report.

    Args:
        published: only their statistics are known: a line up to 50 % at the median.
        curves: name -> [N] distances in millimetres of others, drawn thin.
        set: of the results' images, so that published ones of another are labelled as such.
        limit_mm: right end.
    """
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    _frame(axes, title, limit_mm)
    for number, result in enumerate(results):
        x, y = drawn(result.pooled, limit_mm)
        style = {"color": _COLORS[number % len(_COLORS)], "linestyle": _DASHES[number % len(_DASHES)]}
        axes.plot(x, y, label=_label(result), linewidth=1.9, zorder=5 - number / 100, **style)
    for number, (name, distances) in enumerate((curves or {}).items()):
        x, y = drawn(distances, limit_mm)
        label = _plain(f"{name}  {_median(distances)}")
        dashes = _DASHES[number % len(_DASHES)]
        axes.plot(x, y, label=label, linewidth=0.8, color=_DARK_GREY, linestyle=dashes, zorder=3)
    if results or curves:
        size = 9 if len(results) + len(curves or {}) <= 12 else 6.5
        legend = axes.legend(loc="lower right", fontsize=size, title="median", title_fontsize=size, handlelength=3.6)
        legend.set_zorder(6)
    shown = sorted((other for other in published if other.median <= limit_mm), key=lambda other: other.median)
    if shown:
        protocols = {result.protocol for result in results}
        protocol = protocols.pop() if len(protocols) == 1 else None
        _draw_published(figure, axes, shown, protocol, set, limit_mm)
    return figure


def write_curves(folder: Path, figure: Figure, stem: str = "curve") -> list[Path]:
    """Write `figure` as ``curve.svg`` and ``curve.png`` into `folder`."""
    svg, png = folder / f"{stem}.svg", folder / f"{stem}.png"
    # Text stays text, and the same results give the same bytes.
    with _quiet(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "facecli"}):
        with atomic_write(svg) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
        with atomic_write(png) as temporary:
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": None})
    return [svg, png]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Names may be in letters that matplotlib's font hasn't: boxes in the PNG say so already."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def _frame(axes: Axes, title: str, limit: float) -> None:
    axes.set_title(_plain(title), fontsize=11)
    axes.set_xlabel("distance from the scan's points to the mesh (mm)")
    axes.set_ylabel("points that are closer (%)")
    axes.set_xlim(0, limit)
    axes.set_ylim(0, 100)
    axes.xaxis.set_major_locator(MultipleLocator(_step(limit)))
    axes.yaxis.set_major_locator(MultipleLocator(20))
    axes.grid(True, linewidth=0.4, color="#dddddd")
    axes.set_axisbelow(True)


def _step(limit: float) -> float:
    """Between ticks: NoW's 1 mm at 8 mm, and for other limits as many ticks as fit well."""
    return next((step for step in (0.1, 0.25, 0.5, 1, 2, 5, 10) if limit / step <= 10), limit / 5)


def _label(result: SurfaceErrors) -> str:
    """``deca  1.09 mm (3 missing!)``"""
    lacking = [f"{len(result.missing)} missing!"] if result.missing else []
    lacking += [f"{len(result.failed)} failed!"] if result.failed else []
    return _plain(f"{result.method}  {_median(result.pooled)}" + (f" ({', '.join(lacking)})" if lacking else ""))


def _plain(text: str) -> str:
    """`text` with nothing that matplotlib would read as mathematics, leave out of a legend, or can't write."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")


def _median(distances: np.ndarray) -> str:
    return f"{np.median(distances):.2f} mm" if len(distances) else "nothing evaluated"


def _draw_published(
    figure: Figure,
    axes: Axes,
    published: Sequence[PublishedResult],
    protocol: str | None,
    set: str | None,
    limit: float,
) -> None:
    """A thin line from 50 % down at each median, which runs into its label at the bottom.

    Labels need more room than the medians leave: on the way lines lean to where their label has its place.
    """
    style: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom", "color": _DARK_GREY, "zorder": 7}
    labels = [
        axes.text(other.median, _BOTTOM, _published_label(other, protocol, set), fontsize=_LABEL_SIZE, **style)
        for other in published
    ]
    boxes = _measured(figure, axes, labels)
    tallest = max(box.height for box in boxes)
    if tallest > _TALLEST:
        for label in labels:
            label.set_fontsize(_LABEL_SIZE * _TALLEST / tallest)
        boxes = _measured(figure, axes, labels)
    gap = max(box.width for box in boxes) * 1.08
    medians = np.array([other.median for other in published])
    high = limit - 0.5 * gap
    low = max(min(medians[0], high - gap * (len(medians) - 1)), 0.5 * gap)  # not into the curves, if that can be
    places = spread(medians, gap, low, high)
    knee = max(box.y1 for box in boxes) + 1
    for other, label, box, place in zip(published, labels, boxes, places, strict=True):
        label.set_x(place)
        dashes = "-" if other.verified else (0, (4, 2))
        x, y = [place, place, other.median, other.median], [box.y1 + 0.5, knee, (knee + _HALF) / 2, _HALF]
        axes.plot(x, y, color=_GREY, linewidth=0.7, zorder=2, linestyle=dashes)


def _measured(figure: Figure, axes: Axes, labels: Sequence[Text]) -> list[Bbox]:
    """The boxes of `labels` in the units of the axes."""
    with _quiet():
        FigureCanvasAgg(figure).draw()  # gives the axes their place
    to_data = axes.transData.inverted()
    return [to_data.transform_bbox(label.get_window_extent()) for label in labels]


def _published_label(other: PublishedResult, protocol: str | None, set: str | None) -> str:
    remarks = other.remarks(protocol, set)
    return f"{other.method} {other.median:.2f}" + (f" ({', '.join(remarks)})" if remarks else "")
