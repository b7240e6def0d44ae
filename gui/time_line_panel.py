"""The trials of a run along its time: where each stands, what was decoded of it, and how far the run is."""

from functools import cache
from typing import Any

import numpy as np
import pyqtgraph
from PySide6.QtCore import QPointF, Qt, Slot
from PySide6.QtGui import QCursor
from PySide6.QtWidgets import QToolTip

from .panel import Panel, label, new_plot, set_axis_font, set_text
from .scan import ScanView, TrialLine
from .scan_words import WRONG, newest_decided, run_text, states_text, trial_colour, trial_text, trial_tip
from .trace_plot import round_up
from .words import GRID, MUTED, TEXT, clock_text

__all__ = ["TimeLinePanel"]

#: pyqtgraph's names of the shapes in `TRIAL_MARKS`.
_SYMBOLS = {"seen": "+", "rising": "t1", "decided": "o", "refined": "d", "final": "s", "withheld": "x"}
#: Shapes that are outlines of strokes.
_STROKES = ("seen", "withheld")
_LEGEND = "height: probability of the best match · filled: right, hollow: wrong"
_LEAST_S = 60.0
#: So near to a trial, the pointer means it. Pixels.
_NEAR_PX = 12.0
#: Ends of the plot and place of lost volumes, in parts of the highest probability on the axis.
_FLOOR, _CEILING, _LOST_AT = -0.16, 1.12, -0.11
#: Times between two ticks. Seconds.
_STEPS_S = (10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


class TimeLinePanel(Panel):
    """Draws the trials of a `ScanView`: a mark at each onset, as high as its best match is probable.

    The shape tells the state; fill and colour tell right from wrong. What else is known of a trial is told where the
    pointer is.
    """

    def __init__(self) -> None:
        super().__init__("Trials")
        self._drawn: object = None
        self._marked: tuple[TrialLine, ...] | None = None
        self._view: ScanView | None = None
        self._span_s = (0.0, _LEAST_S)
        self._high = 0.0
        self.newest = label("value", elided=True)
        self.newest.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.top.addWidget(self.newest, 1)
        self.plot = new_plot("Time line of trials")
        self.plot.getAxis("left").setTickPen(GRID)
        self.plot.getAxis("left").setGrid(255)
        self.plot.getAxis("left").setZValue(-1)
        self._stems = pyqtgraph.PlotCurveItem(pen=GRID, connect="pairs", skipFiniteCheck=True)
        self._cursor = pyqtgraph.InfiniteLine(angle=90, pen=TEXT)
        self._end = pyqtgraph.InfiniteLine(angle=90, pen=pyqtgraph.mkPen(MUTED, style=Qt.PenStyle.DashLine))
        self._end_words = pyqtgraph.TextItem("planned end", color=MUTED, anchor=(1.0, 0.0))
        self._lost = pyqtgraph.ScatterPlotItem(symbol="|", size=7, pen=WRONG)
        self._marks = pyqtgraph.ScatterPlotItem()
        for item in (self._stems, self._end, self._end_words, self._cursor, self._lost, self._marks):
            self.plot.addItem(item, ignoreBounds=True)
        self._set_high(1.0)
        self.plot.scene().sigMouseMoved.connect(self._tell_nearest)
        self.caption = label("caption", elided=True)
        self.content.addWidget(self.plot, 1)
        self.content.addWidget(self.caption)

    def show_view(self, view: ScanView) -> bool:
        """Draw a run if it changed; return whether anything was drawn."""
        key = (view.trials, view.n_volumes, view.planned_volumes, view.lost)
        if key == self._drawn:
            return False
        self._drawn, self._view = key, view
        # Of many alternatives even the best is seldom probable.
        most = max((_height(line) for line in view.trials), default=0.0)
        self._set_high(min(1.0, round_up(most)) if most > 0 else 1.0)
        self._set_span(view)
        if view.trials != self._marked:
            self._marked = view.trials
            self._draw_marks(view)
        self._cursor.setValue(view.now_s)
        self._lost.setData([at * view.tr_s for at in view.lost], [_LOST_AT * self._high] * view.n_lost)
        self._tell(view)
        return True

    def tip_at(self, time_s: float, near_s: float) -> str:
        """Return what is known of the trial whose onset is nearest to a time, or an empty string if none is near."""
        lines = self._view.trials if self._view else ()
        nearest = min(lines, key=lambda line: abs(line.onset_s - time_s), default=None)
        return trial_tip(nearest) if nearest and abs(nearest.onset_s - time_s) <= near_s else ""

    def marks(self) -> tuple[tuple[float, float, str], ...]:
        """Return place and shape of the marks that are drawn now."""
        return tuple((spot.pos().x(), spot.pos().y(), spot.symbol()) for spot in self._marks.points())

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        set_axis_font(self.plot, self)
        self._end_words.setFont(self.font())
        self.plot.getAxis("left").setWidth(self.fontMetrics().averageCharWidth() * 5)
        self._drawn = self._marked = None

    def _mark_px(self) -> float:
        return 0.62 * self.fontMetrics().height()

    def _set_high(self, high: float) -> None:
        """Let the axis reach up to a probability."""
        if high == self._high:
            return
        self._high = high
        self.plot.setYRange(_FLOOR * high, _CEILING * high, padding=0.0)
        self.plot.getAxis("left").setTicks([[(part * high, f"{part * high:g}") for part in (0.0, 0.5, 1.0)]])

    def _set_span(self, view: ScanView) -> None:
        planned_s = view.planned_volumes * view.tr_s
        # Of a long run only the trials that are kept can be shown.
        first = view.trials[0] if view.trials and view.trials[0].number else None
        begin_s = max(0.0, first.onset_s - view.tr_s) if first else 0.0
        end_s = max(planned_s, view.now_s, begin_s + _LEAST_S)
        if not planned_s:
            end_s = begin_s + _LEAST_S * np.ceil((end_s - begin_s) / _LEAST_S)
        self._end.setVisible(planned_s > 0)
        self._end_words.setVisible(planned_s > 0 and view.now_s < 0.85 * planned_s)
        self._end.setValue(planned_s)
        self._end_words.setPos(planned_s, _CEILING * self._high)
        if (begin_s, end_s) == self._span_s:
            return
        self._span_s = (begin_s, float(end_s))
        self.plot.setXRange(begin_s, end_s, padding=0.008)
        step_s = next((step for step in _STEPS_S if (end_s - begin_s) / step <= 12), _STEPS_S[-1])
        ticks_s = np.arange(-(-begin_s // step_s) * step_s, end_s + 1, step_s)
        self.plot.getAxis("bottom").setTicks([[(t, clock_text(t)) for t in ticks_s.tolist()]])

    def _draw_marks(self, view: ScanView) -> None:
        x = np.array([line.onset_s for line in view.trials])
        y = np.array([_height(line) for line in view.trials])
        looks = [_look(trial_colour(line), hollow=_is_hollow(line)) for line in view.trials]
        self._marks.setData(
            x=x,
            y=y,
            size=self._mark_px(),
            symbol=[_SYMBOLS[line.state] for line in view.trials],
            pen=[pen for pen, _ in looks],
            brush=[brush for _, brush in looks],
        )
        self._stems.setData(np.repeat(x, 2), np.stack([np.zeros(len(y)), y], axis=1).ravel())

    def _tell(self, view: ScanView) -> None:
        newest = newest_decided(view)
        told = f"trial {newest.number + 1} {newest.state}: {trial_text(newest)}" if newest else ""
        set_text(self.note, run_text(view))
        set_text(self.newest, told)
        lost = f"| {view.n_lost} lost" if view.n_lost else ""
        parts = (states_text(view) or "no trial yet", lost, _LEGEND)
        set_text(self.caption, " · ".join(part for part in parts if part))
        self.describe("; ".join(part for part in (run_text(view), states_text(view), told) if part))

    @Slot(object)
    def _tell_nearest(self, place: QPointF) -> None:
        box = self.plot.getViewBox()
        per_px: Any = box.viewPixelSize()
        tip = self.tip_at(box.mapSceneToView(place).x(), _NEAR_PX * per_px[0])
        if tip:
            QToolTip.showText(QCursor.pos(), tip, self.plot)
        else:
            QToolTip.hideText()


def _height(line: TrialLine) -> float:
    """Return how high a trial stands: on the floor before there is a best match."""
    return line.probability if line.best else 0.0


def _is_hollow(line: TrialLine) -> bool:
    return line.state == "rising" or (line.right is False and line.state not in _STROKES)


@cache
def _look(colour: str, *, hollow: bool) -> tuple[Any, Any]:
    """Return pen and brush of a mark."""
    return pyqtgraph.mkPen(colour, width=1.6), pyqtgraph.mkBrush(None if hollow else colour)
