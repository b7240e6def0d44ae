"""The line that is always there: state, stream, rate, drops, age of the data, provider, bundle, latencies."""

from collections import deque

from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from .panel import label, set_text
from .snapshot import Snapshot
from .words import (
    STATE_MARKS,
    TEXT,
    WARNING,
    age_text,
    clock_text,
    drops,
    event_text,
    is_slow,
    latency_text,
    rare_drops,
    rate_text,
    state_text,
)

__all__ = ["IntervalMeter", "RateMeter", "StatusBar"]

_FIELDS = (
    ("stream", 10),
    ("time", 2),
    ("rate", 3),
    ("windows", 3),
    ("age", 3),
    ("lost", 2),
    ("duplicate", 2),
    ("withheld", 2),
    ("skipped", 2),
    ("provider", 3),
    ("bundle", 5),
)
_HINT = "F1 lists the keys"


class RateMeter:
    """Tells how fast counts grow, over the last seconds of this machine's clock.

    Parameters
    ----------
    span_s : float
        Length of the past it looks at, seconds.
    """

    def __init__(self, span_s: float = 3.0) -> None:
        self._span_s = span_s
        self._past: deque[tuple[float, tuple[int, ...]]] = deque()

    def update(self, now_s: float, *counts: int) -> tuple[float, ...] | None:
        """Add counts and return their growth per second; None before a second has gone by."""
        self._past.append((now_s, counts))
        while len(self._past) > 2 and self._past[1][0] <= now_s - self._span_s:
            self._past.popleft()
        then_s, then = self._past[0]
        elapsed_s = now_s - then_s
        if elapsed_s < 1.0:
            return None
        return tuple((new - old) / elapsed_s for new, old in zip(counts, then, strict=True))


class IntervalMeter:
    """Tells how fast a count grows that steps seconds apart: from step to step, where a span would cut between them.

    Parameters
    ----------
    n_steps : int
        How many of the last steps it looks at.
    """

    def __init__(self, n_steps: int = 10) -> None:
        self._steps: deque[tuple[float, int]] = deque(maxlen=n_steps + 1)
        self._count = 0

    def update(self, now_s: float, count: int) -> float | None:
        """Add a count and return its growth per second; None until it was seen to step twice."""
        # When the first ones came is not known: they may have waited for the view.
        if self._count and count != self._count:
            self._steps.append((now_s, count))
        self._count = count
        if len(self._steps) < 2:
            return None
        (then_s, then), (last_s, last) = self._steps[0], self._steps[-1]
        return (last - then) / (last_s - then_s)


class StatusBar(QWidget):
    """Two rows: the state and the facts of the stream; the latest event and the latencies."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Status")
        self._rate = RateMeter()
        self._interval = IntervalMeter()
        self.state = label("state")
        self.latest_event = label("muted", elided=True)
        self.rare = label("value")
        self.latency = label("muted")
        self.latency.setToolTip("median / 99th percentile of every stage")
        self.rare.setStyleSheet(f"color: {WARNING};")
        self.fields: dict[str, QLabel] = {}
        self._captions: dict[str, QLabel] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(0)
        for column, (name, stretch) in enumerate(_FIELDS):
            value = label("value", elided=name in ("stream", "bundle", "provider"))
            value.setAccessibleName(name)
            caption = label("caption", name)
            self.fields[name], self._captions[name] = value, caption
            grid.addWidget(caption, 0, column)
            grid.addWidget(value, 1, column)
            grid.setColumnStretch(column, stretch)
        top = QHBoxLayout()
        top.setSpacing(20)
        top.addWidget(self.state)
        top.addLayout(grid, 1)
        bottom = QHBoxLayout()
        bottom.setSpacing(20)
        bottom.addWidget(self.latest_event, 1)
        bottom.addWidget(self.rare)
        bottom.addWidget(self.latency)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(14, 2, 14, 4)
        rows.setSpacing(4)
        rows.addLayout(top)
        rows.addLayout(bottom)

    def show_snapshot(self, snapshot: Snapshot, now_s: float) -> None:
        """Write a snapshot's facts; `now_s` is a monotonic time in seconds that the rates are measured on."""
        set_text(self.state, state_text(snapshot))
        _set_colour(self.state, STATE_MARKS[snapshot.state].colour)
        fields = self.fields
        set_text(fields["stream"], snapshot.source or "—")
        set_text(fields["time"], clock_text(snapshot.duration_s))
        self._show_rates(snapshot, now_s)
        set_text(fields["age"], age_text(snapshot))
        for name, count in drops(snapshot.progress):
            set_text(fields[name], str(count))
            _set_colour(fields[name], WARNING if count else TEXT)
        set_text(fields["provider"], snapshot.provider or "—")
        set_text(fields["bundle"], snapshot.bundle or "—")
        set_text(self.latest_event, event_text(snapshot.events[-1]) if snapshot.events else _HINT)
        set_text(self.rare, rare_drops(snapshot.progress))
        latency = latency_text(snapshot.latency_ms)
        set_text(self.latency, f"p50 / p99: {latency}" if latency else "")
        self.setAccessibleDescription(f"{state_text(snapshot)}, {snapshot.source}")

    def set_fonts(self) -> None:
        """Keep the state's place as wide as its longest words, so that the fields beside it stand still."""
        self.state.setMinimumWidth(self.state.fontMetrics().horizontalAdvance("◌ searching 888 s"))

    def _show_rates(self, snapshot: Snapshot, now_s: float) -> None:
        progress = snapshot.progress
        per_s = self._rate.update(now_s, progress.received, progress.windows_decoded)
        windows = f"{per_s[1] / snapshot.speed:.1f} /s" if per_s else "—"
        rate_hz = per_s[0] if per_s else None
        if is_slow(snapshot.sfreq_hz):
            # Windows come as seldom as the samples do: their number says more than their rate.
            windows = str(progress.windows_decoded)
            rate_hz = self._interval.update(now_s, progress.received)
        caption, rate = rate_text(snapshot, (rate_hz or 0.0) / snapshot.speed)
        known = rate_hz is not None and snapshot.state != "ended"
        set_text(self._captions["rate"], caption)
        set_text(self.fields["rate"], rate if known else "—")
        set_text(self.fields["windows"], windows if known and snapshot.bundle else "—")


def _set_colour(target: QLabel, colour: str) -> None:
    # A style sheet costs a polish of the widget, so it is set only when the colour changes.
    style = f"color: {colour};"
    if target.styleSheet() != style:
        target.setStyleSheet(style)
