"""A trace between 0 and 1 over its band, with the level of chance: what accuracies are drawn with."""

import math
from typing import Any

import numpy as np
import pyqtgraph
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from .panel import new_plot, set_axis_font
from .words import CHANCE, GRID, TRACE

__all__ = ["TracePlot", "dashed_line", "round_up"]

_BAND = "#23465C"  # the trace's colour at a third over the panel's ground; opaque, since that paints faster

_Values = np.ndarray[Any, np.dtype[np.float64]]


def round_up(value: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below a positive value."""
    decade = 10.0 ** math.floor(math.log10(value))
    return next(digit * decade for digit in (1, 2, 5, 10) if digit * decade >= value * (1 - 1e-9))


def dashed_line(colour: str = CHANCE) -> Any:
    """Return a horizontal dashed line."""
    return pyqtgraph.InfiniteLine(angle=0, pen=pyqtgraph.mkPen(colour, style=Qt.PenStyle.DashLine))


class TracePlot:
    """A plot with a trace, its band, dots, and the line of chance with its words.

    Parameters
    ----------
    name : str
        What it shows, for screen readers.
    dot_px : int
        Size of the dots.

    Attributes
    ----------
    plot : pyqtgraph.PlotWidget
    """

    def __init__(self, name: str, dot_px: int = 7) -> None:
        self.plot = new_plot(name)
        self._chance = dashed_line()
        self._words = pyqtgraph.TextItem(color=CHANCE)
        self._low = pyqtgraph.PlotCurveItem(pen=None)
        self._high = pyqtgraph.PlotCurveItem(pen=None)
        self._band = pyqtgraph.FillBetweenItem(self._low, self._high, brush=_BAND)
        self._curve = pyqtgraph.PlotCurveItem(pen=TRACE)
        self._dots = pyqtgraph.ScatterPlotItem(size=dot_px, pen=None, brush=TRACE)
        left = self.plot.getAxis("left")
        left.setTickPen(GRID)
        left.setGrid(255)
        left.setZValue(-1)  # or the grid would lie on the line of chance
        for item in (
            self._band,
            self._low,
            self._high,
            self._chance,
            self._curve,
            self._words,
            self._dots,
        ):
            self.plot.addItem(item, ignoreBounds=True)

    @property
    def chance_words(self) -> str:
        """Text at the line of chance."""
        return str(self._words.toPlainText())

    def dots(self) -> tuple[tuple[float, float], ...]:
        """Return the places of the dots that are drawn now."""
        x, y = self._dots.getData()
        return tuple(zip(x.tolist(), y.tolist(), strict=True))

    def draw_trace(self, x: Any, y: _Values, dots: slice) -> None:
        """Draw a trace, with dots at some of its points."""
        self._curve.setData(x, y)
        self._dots.setData(x[dots], y[dots])

    def draw_band(self, x: Any, low: _Values, high: _Values) -> None:
        """Draw the band around the trace."""
        self._low.setData(x, low)
        self._high.setData(x, high)
        # Of nothing it cannot be filled.
        self._band.setVisible(len(x) > 0)

    def draw_chance(self, chance: float, words: str) -> None:
        """Draw the line of chance; not where there are no words for it."""
        self._chance.setVisible(bool(words))
        self._chance.setValue(chance)
        self._words.setText(words)

    def set_ranges(self, end: float, values: _Values, chance: float) -> None:
        """Fit the axes: from 0 to `end`, and up to what the values and chance need."""
        # Full height for few alternatives; a round part of it where 200 alternatives keep all values low.
        most = float(np.max(values, initial=chance))
        high = 1.0 if most <= 0 else min(1.0, round_up(most))
        # Half a line of text beyond the last tick, or its label would be left out.
        line_px = self.plot.fontMetrics().height()
        beyond = 0.5 * line_px / max(self.plot.getViewBox().height() - line_px, line_px)
        low, top = -max(0.03, beyond) * high, (1 + max(0.05, beyond)) * high
        self.plot.setRange(xRange=(-0.003 * end, 1.01 * end), yRange=(low, top), padding=0.0)
        self.plot.getAxis("left").setTicks([[(part * high, f"{part * high:g}") for part in (0.0, 0.5, 1.0)]])
        self.plot.getAxis("bottom").setTicks(
            [[(part * end, f"{part * end:g}") for part in (0, 0.2, 0.4, 0.6, 0.8, 1)]]
        )
        # Below its line, but above it where the line lies on the floor.
        self._words.setAnchor((1.0, 0.0 if chance > 0.25 * high else 1.0))
        self._words.setPos(end, chance)

    def set_fonts(self, widget: QWidget) -> None:
        """Take over the type size of a widget."""
        set_axis_font(self.plot, widget)
        self._words.setFont(widget.font())
        self.plot.getAxis("left").setWidth(widget.fontMetrics().averageCharWidth() * 5)
