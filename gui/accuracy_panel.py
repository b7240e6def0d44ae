"""Accuracy over trials with its band and the level of chance, and accuracy by latency."""

import numpy as np
from PySide6.QtWidgets import QHBoxLayout

from .panel import Panel, label, set_text
from .snapshot import Accuracy
from .trace_plot import TracePlot, round_up
from .words import accuracy_text, chance_text

__all__ = ["AccuracyPanel"]

_BY_LATENCY_MS = "by latency: each window alone, ms from onset to its end"
_BY_LATENCY_S = "by latency: each window alone, seconds from onset to its end"
#: Latencies beyond this are told in seconds.
_LATEST_MS_S = 5.0
#: So many latencies or fewer are drawn as dots too.
_FEW = 12


class AccuracyPanel(Panel):
    """Draws `Accuracy`: the running top-1 with its 95 % band above, top-1 of each latency alone below.

    Attributes
    ----------
    since : QLabel
        Line below the score that whoever knows more of these trials may write; empty at first.
    """

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
        self.since = label("value", elided=True)
        self.since.hide()
        self.content.addWidget(self.since)
        self._running = TracePlot("Accuracy over trials")
        self._by_latency = TracePlot("Accuracy by latency", dot_px=5)
        self._captions = [
            label("caption", text, elided=True) for text in ("over scored trials", _BY_LATENCY_MS)
        ]
        for caption, trace in zip(self._captions, (self._running, self._by_latency), strict=True):
            self.content.addWidget(caption)
            self.content.addWidget(trace.plot, 1)
        self.running, self.by_latency = self._running.plot, self._by_latency.plot
        self.show_accuracy(Accuracy())

    @property
    def chance_label(self) -> str:
        """Text at the line of chance."""
        return self._running.chance_words

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
        for trace in (self._running, self._by_latency):
            trace.draw_chance(accuracy.chance, chance_text(accuracy) if accuracy.k else "")
        self._draw_running(accuracy)
        self._draw_by_latency(accuracy)
        return True

    def set_by_latency(self, *, shown: bool) -> None:
        """Show or hide the curve over latency: of one latency it tells nothing that the trace above does not."""
        # The captions tell the two plots apart.
        for part in (*self._captions, self.by_latency):
            part.setVisible(shown)

    def latency_points(self) -> tuple[tuple[float, float], ...]:
        """Return latency and accuracy of the dots that are drawn now."""
        return self._by_latency.dots()

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        for trace in (self._running, self._by_latency):
            trace.set_fonts(self)

    def _draw_running(self, accuracy: Accuracy) -> None:
        trace = self._running
        trace.set_ranges(round_up(max(accuracy.n, 10)), accuracy.high, accuracy.chance)
        trace.draw_band(accuracy.trials, accuracy.low, accuracy.high)
        trace.draw_trace(accuracy.trials, accuracy.top1, slice(-1, None))

    def _draw_by_latency(self, accuracy: Accuracy) -> None:
        known = np.isfinite(accuracy.top1_by_latency)
        latency_s, top1 = accuracy.latency_s[known], accuracy.top1_by_latency[known]
        last_s = float(latency_s[-1]) if len(latency_s) else 0.0
        slow = last_s > _LATEST_MS_S
        set_text(self._captions[1], _BY_LATENCY_S if slow else _BY_LATENCY_MS)
        shown = latency_s if slow else 1e3 * latency_s
        self._by_latency.set_ranges(
            round_up(last_s if slow else max(1e3 * last_s, 100.0)), top1, accuracy.chance
        )
        # A line through few latencies hides where they are, and through one it cannot be seen.
        few = len(shown) if len(shown) <= _FEW else 0
        self._by_latency.draw_trace(shown, top1, slice(few))
