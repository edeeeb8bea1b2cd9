"""Curves of landmark errors: how many images are below an error, and the error by yaw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from facecli.benchmark.aflw2000.alignment import cumulative
from facecli.benchmark.aflw2000.evaluate import THRESHOLD, Alignment, Result
from facecli.io.atomic import atomic_write

LINES = {"original": "-", "reannotated": "--"}
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
"""Okabe and Ito's, which the colour-blind can tell apart; without the yellow, which is too light."""
MARKERS = "osv^D*P"
YAW_STEP = 10.0
FEW = 3
"""Images below which a span of yaw has no point."""


def write(stem: Path, results: Sequence[Result]) -> list[Path]:
    """`stem`.svg and `stem`.png."""
    figure = draw(results)
    written = []
    for suffix, options in ((".svg", {"metadata": {"Date": None}}), (".png", {"dpi": 150})):
        path = stem.with_suffix(suffix)
        with atomic_write(path) as temporary:
            figure.savefig(temporary, format=suffix[1:], **options)
        written.append(path)
    return written


def draw(results: Sequence[Result]) -> Figure:
    """Left the cumulative curves, over all labelled images; right the mean error over spans of |yaw|."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for number, result in enumerate(results):
        for one in result.alignments:
            words = f"{result.method}, {one.labels}" if len(result.alignments) > 1 else result.method
            lost = int(one.missing_by_bin.sum())
            style = {"color": COLORS[number % len(COLORS)], "linestyle": LINES[one.labels]}
            left.plot(*_cumulative(one), label=words + (f" ({lost} missing)" if lost else ""), **style)
            marker = MARKERS[number % len(MARKERS)]
            right.plot(*_by_yaw(one), marker=marker, markersize=4, label=words, **style)
    left.set(xlabel="NME, percent of the label box's size", ylabel="images, percent", ylim=(0, 101))
    left.set(xlim=(0, 100 * THRESHOLD), title="Images with at most this error (missing ones never)")
    right.set(
        xlabel="|yaw|, degrees", ylabel="mean NME, percent", title=f"By yaw, {YAW_STEP:.0f}° a point, found faces"
    )
    right.set_ylim(bottom=0)
    right.set_xlim(0, 90)
    for border in (30, 60):
        right.axvline(border, color="0.8", linewidth=1, zorder=0)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    return figure


def _cumulative(one: Alignment) -> tuple[np.ndarray, np.ndarray]:
    """[n] percent of error, [n] percent of all labelled images."""
    at = np.linspace(0, THRESHOLD, 501)
    return 100 * at, 100 * cumulative(one.errors[one.listed], at)


def _by_yaw(one: Alignment) -> tuple[list[float], list[float]]:
    """Middles of spans of yaw, and mean errors in percent."""
    yaw = np.abs(one.yaw)
    middles, means = [], []
    for start in np.arange(0, 90, YAW_STEP):
        inside = one.errors[one.found & (yaw >= start) & (yaw < start + YAW_STEP)]
        if len(inside) >= FEW:
            middles.append(start + YAW_STEP / 2)
            means.append(100 * float(inside.mean()))
    return middles, means
