"""Two-way identification over trials with its band, beside chance at one half."""

import numpy as np

from .panel import Panel, label, set_text
from .scan import TwoWay
from .scan_words import TWO_WAY_CHANCE, two_way_text
from .trace_plot import TracePlot, round_up

__all__ = ["TwoWayPanel"]

_CHANCE_WORDS = f"chance {TWO_WAY_CHANCE:.2f}"


class TwoWayPanel(Panel):
    """Draws a `TwoWay`: the running mean with its 95 % band."""

    def __init__(self) -> None:
        super().__init__("Two-way identification")
        self._drawn = -1
        self.score = label("value")
        self._trace = TracePlot("Two-way identification over trials")
        self._trace.draw_chance(TWO_WAY_CHANCE, _CHANCE_WORDS)
        set_text(self.note, "share of the other entries that the shown one beats, over scored trials")
        self.content.addWidget(self.score)
        self.content.addWidget(self._trace.plot, 1)
        self.show_trace(TwoWay())

    def show_trace(self, trace: TwoWay) -> bool:
        """Draw the trace if it changed; return whether anything was drawn."""
        if trace.n == self._drawn:
            return False
        self._drawn = trace.n
        set_text(self.score, two_way_text(trace))
        self.score.setToolTip(f"95 % {trace.interval}" if trace.interval else "")
        self.describe(f"{two_way_text(trace)}, {_CHANCE_WORDS}")
        self._trace.set_ranges(round_up(max(trace.n, 10)), np.ones(1), TWO_WAY_CHANCE)
        self._trace.draw_band(trace.trials, trace.low, trace.high)
        self._trace.draw_trace(trace.trials, trace.mean, slice(-1, None))
        return True

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        self._trace.set_fonts(self)
