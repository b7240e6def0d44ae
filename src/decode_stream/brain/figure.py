"""What the commands tell, as figures. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Panel", "draw", "draw_bars", "draw_lines", "draw_scatter"]

#: Okabe and Ito's colours, which people tell apart who see colours differently.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_GREY = "#666666"
_PANEL_IN = (6.4, 4.3)

#: Draws on axes.
Panel = Callable[["Axes"], None]


def draw(panels: Sequence[Panel], title: str, path: Path) -> None:
    """Draw panels side by side and write the figure.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_PANEL_IN[0] * len(panels), _PANEL_IN[1] + 0.5), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        panel(axes)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(labelsize=8)
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(
            f"The figure cannot be written to {path}: {error.strerror}. Give another --figure."
        ) from error


def draw_bars(
    axes: Axes,
    names: Sequence[str],
    values: FloatArray,
    label: str,
    low: FloatArray | None = None,
    high: FloatArray | None = None,
) -> None:
    """Draw a bar a region, first on top, with an interval where there is one."""
    places = np.arange(len(names))[::-1]
    axes.barh(places, np.nan_to_num(values), color=_COLOURS[0], height=0.7)
    if low is not None and high is not None:
        axes.hlines(places, low, high, color="black", lw=1.5)
    axes.set_yticks(places, list(names))
    axes.axvline(0, color=_GREY, lw=0.8)
    axes.set_xlabel(label, fontsize=9)


def draw_scatter(axes: Axes, x: FloatArray, y: FloatArray, x_label: str, y_label: str) -> None:
    """Draw a point a voxel, and the line on which both are the same."""
    axes.plot(x, y, ".", color=_COLOURS[0], ms=3, alpha=0.4)
    top = float(np.nanmax([x, y], initial=0.1))
    axes.plot([0, top], [0, top], color=_GREY, lw=1, ls="--", label="as high as noise allows")
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def draw_lines(
    axes: Axes, x: FloatArray, curves: Sequence[tuple[str, FloatArray]], x_label: str, y_label: str
) -> None:
    """Draw curves over one axis."""
    for number, (name, y) in enumerate(curves):
        axes.plot(x, y, color=_COLOURS[number % len(_COLOURS)], lw=1.8, marker="o", ms=3, label=name)
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.legend(frameon=False, fontsize=8)
