"""Accuracy over trials with its band and the level of chance, and accuracy by latency."""

import math
from typing import Any

import numpy as np
import pyqtgraph
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout

from .panel import Panel, label, new_plot, set_axis_font, set_text
from .snapshot import Accuracy
from .words import CHANCE, GRID, TRACE, accuracy_text, chance_text

__all__ = ["AccuracyPanel", "round_up"]

_BY_LATENCY_MS = "by latency: each window alone, ms from onset to its end"
_BY_LATENCY_S = "by latency: each window alone, seconds from onset to its end"
#: Latencies beyond this are told in seconds.
_LATEST_MS_S = 5.0
#: So many latencies or fewer are drawn as dots too.
_FEW = 12

_BAND = "#23465C"  # the trace's colour at a third over the panel's ground; opaque, since that paints faster


def round_up(value: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below a positive value."""
    decade = 10.0 ** math.floor(math.log10(value))
    return next(digit * decade for digit in (1, 2, 5, 10) if digit * decade >= value * (1 - 1e-9))


class AccuracyPanel(Panel):
    """Draws `Accuracy`: the running top-1 with its 95 % band above, top-1 of each latency alone below."""

    def __init__(self) -> None:
        super().__init__("Accuracy")
        self._drawn: object = None
        self.score = label("value")
        self.interval = label("muted", elided=True)
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(self.score)
        row.addWidget(self.interval, 1)
        self.content.addLayout(row)
        self.running = new_plot("Accuracy over trials")
        self.by_latency = new_plot("Accuracy by latency")
        self._plots = (self.running, self.by_latency)
        self._lines = [_dashed_line() for _ in self._plots]
        self._words = [pyqtgraph.TextItem(color=CHANCE) for _ in self._plots]
        self._curves = [pyqtgraph.PlotCurveItem(pen=TRACE) for _ in self._plots]
        self._low = pyqtgraph.PlotCurveItem(pen=None)
        self._high = pyqtgraph.PlotCurveItem(pen=None)
        self._band = pyqtgraph.FillBetweenItem(self._low, self._high, brush=_BAND)
        self._newest = pyqtgraph.ScatterPlotItem(size=7, pen=None, brush=TRACE)
        for item in (self._band, self._low, self._high):
            self.running.addItem(item, ignoreBounds=True)
        self._captions = [
            label("caption", text, elided=True) for text in ("over scored trials", _BY_LATENCY_MS)
        ]
        for k, plot in enumerate(self._plots):
            plot.getAxis("left").setTickPen(GRID)
            plot.getAxis("left").setGrid(255)
            plot.getAxis("left").setZValue(-1)  # or the grid would lie on the line of chance
            for item in (self._lines[k], self._curves[k], self._words[k]):
                plot.addItem(item, ignoreBounds=True)
            self.content.addWidget(self._captions[k])
            self.content.addWidget(plot, 1)
        self._latencies = pyqtgraph.ScatterPlotItem(size=5, pen=None, brush=TRACE)
        self.running.addItem(self._newest, ignoreBounds=True)
        self.by_latency.addItem(self._latencies, ignoreBounds=True)
        self.show_accuracy(Accuracy())

    @property
    def chance_label(self) -> str:
        """Text at the line of chance."""
        return str(self._words[0].toPlainText())

    def show_accuracy(self, accuracy: Accuracy) -> bool:
        """Draw the accuracy if it changed; return whether anything was drawn."""
        key = (accuracy.protocol, accuracy.k, accuracy.n, accuracy.auc, len(accuracy.top1))
        if key == self._drawn:
            return False
        self._drawn = key
        set_text(self.note, accuracy.protocol)
        set_text(self.score, accuracy_text(accuracy))
        set_text(self.interval, f"95 % {accuracy.interval}" if accuracy.interval and accuracy.n else "")
        told = (accuracy.protocol, accuracy_text(accuracy), chance_text(accuracy) if accuracy.k else "")
        self.describe(", ".join(part for part in told if part))
        self._draw_chance(accuracy)
        self._draw_running(accuracy)
        self._draw_by_latency(accuracy)
        return True

    def latency_points(self) -> tuple[tuple[float, float], ...]:
        """Return latency and accuracy of the dots that are drawn now."""
        x, y = self._latencies.getData()
        return tuple(zip(x.tolist(), y.tolist(), strict=True))

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        for plot, words in zip(self._plots, self._words, strict=True):
            set_axis_font(plot, self)
            words.setFont(self.font())
            plot.getAxis("left").setWidth(self.fontMetrics().averageCharWidth() * 5)

    def _draw_chance(self, accuracy: Accuracy) -> None:
        for line, words in zip(self._lines, self._words, strict=True):
            line.setVisible(accuracy.k > 0)
            line.setValue(accuracy.chance)
            words.setText(chance_text(accuracy) if accuracy.k else "")

    def _draw_running(self, accuracy: Accuracy) -> None:
        some = accuracy.n > 0 and len(accuracy.top1) > 0
        self._set_ranges(0, round_up(max(accuracy.n, 10)), accuracy.high, accuracy.chance)
        self._low.setData(accuracy.trials, accuracy.low)
        self._high.setData(accuracy.trials, accuracy.high)
        self._curves[0].setData(accuracy.trials, accuracy.top1)
        self._newest.setData(accuracy.trials[-1:], accuracy.top1[-1:])
        for item in (self._band, self._newest):
            item.setVisible(some)

    def _draw_by_latency(self, accuracy: Accuracy) -> None:
        known = np.isfinite(accuracy.top1_by_latency)
        latency_s, top1 = accuracy.latency_s[known], accuracy.top1_by_latency[known]
        last_s = float(latency_s[-1]) if len(latency_s) else 0.0
        slow = last_s > _LATEST_MS_S
        set_text(self._captions[1], _BY_LATENCY_S if slow else _BY_LATENCY_MS)
        shown = latency_s if slow else 1e3 * latency_s
        self._set_ranges(1, round_up(last_s if slow else max(1e3 * last_s, 100.0)), top1, accuracy.chance)
        self._curves[1].setData(shown, top1)
        # A line through few latencies hides where they are, and through one it cannot be seen.
        few = len(shown) if len(shown) <= _FEW else 0
        self._latencies.setData(shown[:few], top1[:few])

    def _set_ranges(self, k: int, end: float, values: np.ndarray[Any, Any], chance: float) -> None:
        # Full height for few alternatives; a round part of it where 200 alternatives keep all values low.
        top = float(np.max(values, initial=chance))
        high = 1.0 if top <= 0 else min(1.0, round_up(top))
        plot = self._plots[k]
        plot.setRange(xRange=(-0.003 * end, 1.01 * end), yRange=(-0.03 * high, 1.05 * high), padding=0.0)
        plot.getAxis("left").setTicks([[(part * high, f"{part * high:g}") for part in (0.0, 0.5, 1.0)]])
        plot.getAxis("bottom").setTicks(
            [[(part * end, f"{part * end:g}") for part in (0, 0.2, 0.4, 0.6, 0.8, 1)]]
        )
        # Below its line, but above it where the line lies on the floor.
        self._words[k].setAnchor((1.0, 0.0 if chance > 0.25 * high else 1.0))
        self._words[k].setPos(end, chance)


def _dashed_line() -> Any:
    return pyqtgraph.InfiniteLine(angle=0, pen=pyqtgraph.mkPen(CHANCE, style=Qt.PenStyle.DashLine))
