"""What protocols measured, as a figure. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.scoring.measured import Curve, Matrix, Measured
from decode_stream.decoders.scoring.significance import ALPHA
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray

from .evaluation import p_text
from .table import NOT_LIVE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["check_figure", "draw_figure"]

_SUFFIXES = (".png", ".svg", ".pdf")
#: Okabe and Ito's colours, which people tell apart who see colours differently.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
#: So that a curve shows under another that lies on it.
_STYLES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
_GREY = "#666666"
_PANEL_IN = (6.4, 4.3)
#: Characters in a line above a panel, and above a matrix, which is square.
_WIDE, _NARROW = 76, 58
#: Scores that a panel has room for.
_MOST_NUMBERS = 12


def check_figure(path: Path) -> None:
    """Refuse, before hours of work, a figure that could not be drawn after them.

    Raises
    ------
    UsageError
        If its ending is not known, its folder is not there, or matplotlib is not installed.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--figure {path} must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}.")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(
            f"--figure {path} cannot be written: its folder must exist and it must not be one itself."
        )
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"--figure needs {missing.name}, which is not installed. Install it: pip install 'decode-stream[train]'"
        ) from missing


def draw_figure(measured: Sequence[Measured], title: str, caveat: str, path: Path) -> None:
    """Draw a panel for each protocol.

    Parameters
    ----------
    title : str
        Above all panels: whose scores these are.
    caveat : str
        What keeps them from being held-out ones; drawn in red where it is not empty.
    path : Path
        ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 1 if len(measured) == 1 else 2
    rows = -(-len(measured) // columns)
    figure = Figure(
        figsize=(_PANEL_IN[0] * columns, _PANEL_IN[1] * rows + 0.5), layout="constrained", dpi=150
    )
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    if caveat:
        figure.supxlabel(fill(caveat, 70 * columns), fontsize=9, color="#B00020")
    for number, one in enumerate(measured, start=1):
        axes = figure.add_subplot(rows, columns, number)
        _draw(figure, axes, one)
        axes.set_title(_title(one), fontsize=9, loc="left", color="#B00020" if one.transductive else "black")
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(
            f"The figure cannot be written to {path}: {error.strerror}. Give another --figure."
        ) from error


def _title(measured: Measured) -> str:
    """Return what a panel shows: protocol, candidates, chance, n and repeats."""
    several = len({number.chance for number in measured.numbers}) > 1
    chance = "as drawn" if several else f"{measured.chance:.3g}"
    facts = f"{measured.protocol}: {measured.k}-way, chance {chance}, n = {measured.n}"
    width = _NARROW if measured.matrix is not None else _WIDE
    under = fill(f"repeats: {measured.repeats}; 95 % interval: {measured.interval}", width)
    return "\n".join(filter(None, (NOT_LIVE if measured.transductive else "", facts, under)))


def _draw(figure: Figure, axes: Axes, measured: Measured) -> None:
    if measured.matrix is not None:
        _draw_matrix(figure, axes, measured.matrix, measured.chance)
    elif measured.curves:
        _draw_curves(axes, measured)
    elif "null" in measured.details:
        _draw_null(axes, measured)
    else:
        _draw_numbers(axes, measured)


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)


def _chance_line(axes: Axes, chance: float) -> None:
    axes.axhline(chance, color=_GREY, lw=1, ls="--")
    axes.annotate(
        "chance", (1.0, chance), xycoords=("axes fraction", "data"), xytext=(3, 0), textcoords="offset points",
        va="center", fontsize=7, color=_GREY,
    )  # fmt: skip


def _draw_curves(axes: Axes, measured: Measured) -> None:
    repeats = "latency" not in measured.protocol
    top = max(max(curve.high) for curve in measured.curves)
    bottom = min(min(curve.low) for curve in measured.curves)
    height = top - min(bottom, measured.chance)
    below = min(bottom, measured.chance)
    for number, curve in enumerate(measured.curves):
        colour = _COLOURS[number % len(_COLOURS)]
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.16, lw=0)
        style = _STYLES[number % len(_STYLES)]
        axes.plot(curve.x, curve.y, color=colour, lw=1.8, ls=style, marker="o", ms=3.5, label=curve.name)
        _cluster_bars(axes, curve, below - height * (0.05 + 0.035 * number), colour)
    _chance_line(axes, measured.chance)
    if repeats:
        axes.set_xscale("log", base=2)
        axes.set_xticks(measured.curves[0].x, [f"{x:g}" for x in measured.curves[0].x])
        axes.minorticks_off()
    axes.set_xlabel(measured.x_name, fontsize=9)
    axes.set_ylabel("accuracy (top-1)", fontsize=9)
    if any(cluster.p < ALPHA for curve in measured.curves for cluster in curve.clusters):
        axes.plot([], [], color=_GREY, lw=4, solid_capstyle="butt", label="cluster above chance, p < 0.05")
    legend = axes.legend(frameon=False, fontsize=8, loc="upper left", handlelength=3)
    # Room above the curves, so that the legend hides none.
    axes.set_ylim(axes.get_ylim()[0], top + height * 0.09 * (len(legend.get_texts()) + 0.5))
    axes.set_yticks(
        [tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= min(1.0, axes.get_ylim()[1])]
    )
    _plain(axes)


def _cluster_bars(axes: Axes, curve: Curve, y: float, colour: str) -> None:
    """Draw a bar below the curve where a cluster lies above chance, half a step wide at each end."""
    half = float(np.diff(curve.x).min()) / 2 if len(curve.x) > 1 else 0.5
    for cluster in curve.clusters:
        if cluster.p < ALPHA:
            axes.plot(
                [cluster.first - half, cluster.last + half], [y, y], color=colour, lw=4, solid_capstyle="butt"
            )


def _draw_matrix(figure: Figure, axes: Axes, matrix: Matrix, chance: float) -> None:
    values = np.array(matrix.values)
    reach = max(float(np.abs(values - chance).max()), 1e-6)
    rows, columns = 1e3 * np.array(matrix.rows), 1e3 * np.array(matrix.columns)
    # Chance in the middle of the scale, so that white says nothing was known.
    image = axes.pcolormesh(
        columns, rows, values, cmap="RdBu_r", vmin=chance - reach, vmax=chance + reach, shading="nearest"
    )
    inside = np.array(matrix.significant)
    if inside.any() and not inside.all():
        _outline(axes, inside, columns, rows)
    axes.plot(columns, columns, color=_GREY, lw=0.8, ls=":")
    axes.set_aspect("equal")
    axes.set_xlabel("window decoded, end after onset (ms)", fontsize=9)
    axes.set_ylabel("latency learned or told, end (ms)", fontsize=9)
    axes.tick_params(labelsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
    bar.set_label(f"accuracy (top-1); white is chance, {chance:.3g}", fontsize=8)
    bar.ax.axhline(chance, color="black", lw=0.8)
    bar.ax.tick_params(labelsize=8)


def _outline(axes: Axes, inside: npt.NDArray[np.bool_], x: FloatArray, y: FloatArray) -> None:
    """Draw the edges between cells inside and cells outside."""
    edges_x, edges_y = (
        np.concatenate([[v[0] - (v[1] - v[0]) / 2], (v[1:] + v[:-1]) / 2, [v[-1] + (v[-1] - v[-2]) / 2]])
        for v in (x, y)
    )
    padded = np.pad(inside, 1)
    upright = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    level = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    axes.vlines(edges_x[upright[:, 1]], edges_y[upright[:, 0]], edges_y[upright[:, 0] + 1], "black", lw=1.2)
    axes.hlines(edges_y[level[:, 0]], edges_x[level[:, 1]], edges_x[level[:, 1] + 1], "black", lw=1.2)


def _draw_null(axes: Axes, measured: Measured) -> None:
    """Draw the distribution under shuffled labels, and what the labels as they are reach."""
    null = np.array(measured.details["null"])
    right = measured.numbers[0]
    step = max(float(np.ptp(null)) / 30, 1 / right.n)
    edges = np.arange(null.min() - step / 2, null.max() + step, step)
    axes.hist(null, edges.tolist(), color="#BBBBBB", label=f"labels shuffled, {len(null)} times")
    axes.axvline(
        right.value, color=_COLOURS[1], lw=2, label=f"labels as they are, p {p_text(measured.details['p'])}"
    )
    axes.axvspan(right.low, right.high, color=_COLOURS[1], alpha=0.12, lw=0)
    axes.axvline(measured.chance, color=_GREY, lw=1, ls="--", label="chance")
    axes.set_xlabel("accuracy (top-1)", fontsize=9)
    axes.set_ylabel("permutations", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_ylim(top=1.35 * axes.get_ylim()[1])
    _plain(axes)


def _draw_numbers(axes: Axes, measured: Measured) -> None:
    """Draw scores with their intervals, each with its own chance."""
    finite = [number for number in measured.numbers if np.isfinite(number.value)]
    numbers = finite[:_MOST_NUMBERS]
    places = np.arange(len(numbers))[::-1]
    for number, place in zip(numbers, places, strict=True):
        axes.plot(
            [number.low, number.high], [place, place], color=_COLOURS[0], lw=2.2, solid_capstyle="round"
        )
        axes.plot(number.value, place, "o", color=_COLOURS[0], ms=6)
        axes.plot([number.chance] * 2, [place - 0.28, place + 0.28], color=_GREY, lw=1.5, ls="--")
        axes.annotate(
            f"{number.value:.3f}", (number.value, place), xytext=(0, 7), textcoords="offset points",
            ha="center", fontsize=8, color=_COLOURS[0],
        )  # fmt: skip
    axes.set_yticks(places, [fill(number.name, 34) for number in numbers])
    axes.set_ylim(min(0, len(numbers) - 4) - 0.6, len(numbers) - 0.2)
    axes.set_xlim(left=min(0.0, *(number.low for number in numbers)))
    axes.plot([], [], color=_GREY, lw=1.5, ls="--", label="chance")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    first = f"; the first {len(numbers)} of {len(finite)}" if len(finite) > len(numbers) else ""
    axes.set_xlabel(f"score with 95 % interval{first}", fontsize=9)
    _plain(axes)
