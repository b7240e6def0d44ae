"""The newest of the signal: sixteen channels a page, or means of thousands of voxels, with the stimuli drawn in."""

import bisect
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph
from PySide6.QtCore import Qt

from .panel import Panel, new_plot, set_axis_font, set_text
from .snapshot import SignalView
from .traces import SPACINGS, block_means, envelope, fitting_spacing, stack
from .words import MARKER, MARKER_LINE, TRACE, is_slow, signal_span_s, unit_text

__all__ = ["CHANNELS_PER_PAGE", "SignalPanel"]

CHANNELS_PER_PAGE = 16
#: More channels than this are shown as means of blocks: nobody turns so many pages.
_MOST_PAGED = 512
_LEAST_BLOCKS = 4

# A stimulus followed too soon by the next has a line and no label: fewer letters than this say nothing.
_LEAST_LETTERS = 4
_N_LABELS = 24


class SignalPanel(Panel):
    """Draws a `SignalView`: stacked traces, breaks where samples are missing, a line at each stimulus.

    Attributes
    ----------
    page : int
        The page of channels that is shown, from 0.
    held : bool
        Whether the picture is held.
    span_s : float
        How far back the traces go; grows to a minute with the first view of a slow stream. Seconds.
    """

    def __init__(self) -> None:
        super().__init__("Signal")
        self.page = 0
        self.held = False
        self._automatic = True
        self._spacing: float | None = None
        self._view: SignalView | None = None
        self._key: object = None
        self._rows: tuple[str, ...] = ()
        self._bottom, self._top = 0.0, 1.0
        self.span_s = 0.0
        self.plot = new_plot("Signal traces")
        self.plot.getAxis("left").setTicks([[]])
        self._set_span(signal_span_s(0))
        self._lines = pyqtgraph.PlotCurveItem(pen=MARKER_LINE, connect="pairs", skipFiniteCheck=True)
        self._traces = pyqtgraph.PlotCurveItem(pen=TRACE, connect="finite")
        self._dots = pyqtgraph.ScatterPlotItem(size=4, pen=None, brush=TRACE)
        self._labels = [pyqtgraph.TextItem(color=MARKER, anchor=(0.0, 0.0)) for _ in range(_N_LABELS)]
        for item in (self._lines, self._traces, self._dots, *self._labels):
            self.plot.addItem(item, ignoreBounds=True)
        self.content.addWidget(self.plot, 1)
        set_text(self.note, "no signal yet")

    @property
    def n_pages(self) -> int:
        """Number of pages; at least 1."""
        n_channels = len(self._view.names) if self._view else 0
        return 1 if n_channels > _MOST_PAGED else max(1, -(-n_channels // CHANNELS_PER_PAGE))

    @property
    def spacing(self) -> float | None:
        """Height of a row in the unit of the signal; None before there is any."""
        return self._spacing

    def turn_page(self, step: int) -> None:
        """Show the next (1) or the previous (-1) sixteen channels; stays on the last and the first."""
        page = min(max(self.page + step, 0), self.n_pages - 1)
        if page != self.page:
            self.page = page
            self._draw()

    def change_gain(self, step: int) -> None:
        """Draw the traces larger (1) or smaller (-1) by one round step; ends the automatic scale."""
        if self._spacing is None:
            return
        place = bisect.bisect_left(SPACINGS, self._spacing * 0.999) - step
        self._automatic = False
        self._spacing = SPACINGS[min(max(place, 0), len(SPACINGS) - 1)]
        self._draw()

    def autoscale(self) -> None:
        """Fit the rows to the channels on this page, now and from now on."""
        self._automatic = True
        self._spacing = None
        self._draw()

    def toggle_held(self) -> None:
        """Hold the picture, or let it run again; the session runs on either way."""
        self.held = not self.held
        self._draw()

    def show_signal(self, view: SignalView | None) -> bool:
        """Draw a view of the signal if it is news; return whether anything was drawn."""
        if view is None or self.held:
            return False
        # Volumes come seconds apart: a window that was resized does not wait for the next.
        key = (view.stop, view.names, self.plot.height() if is_slow(view.sfreq_hz) else 0)
        if key == self._key:
            return False
        self._key, self._view = key, view
        self.page = min(self.page, self.n_pages - 1)
        self._draw()
        return True

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        set_axis_font(self.plot, self)
        for text in self._labels:
            text.setFont(self.font())
        self.plot.getAxis("left").setWidth(self.fontMetrics().averageCharWidth() * 11)

    def _draw(self) -> None:
        view = self._view
        if view is None:
            return
        self._set_span(signal_span_s(view.sfreq_hz))
        data, names, caption = self._shown(view)
        self._set_rows(names)
        self._set_scale(data)
        self._set_heights()
        offset, values = envelope(data, view.stop - len(data), 2 * max(self.plot.width(), 100))
        time_s = (offset - (len(data) - 1)) / view.sfreq_hz
        x, y = stack(time_s, values, self._spacing or 1.0)
        self._traces.setData(x, y)
        # Where samples come seconds apart each is a dot: the first is seen, and a line between two is no measurement.
        known = np.isfinite(y) if is_slow(view.sfreq_hz) else np.zeros(len(y), bool)
        self._dots.setData(x[known], y[known])
        self._draw_stimuli(view)
        self._tell(view, caption)

    def _shown(self, view: SignalView) -> tuple[npt.NDArray[np.float32], tuple[str, ...], str]:
        """Return what stands in the rows, their names, and in words what they are."""
        n = len(view.names)
        if n > _MOST_PAGED:
            means, edges = block_means(view.data, n_rows := self._n_blocks())
            names = tuple(f"{a + 1}-{b}" for a, b in itertools.pairwise(edges.tolist()))
            return means, names, f"{n} {view.kind}, each row the mean of about {round(n / n_rows)}"
        first = self.page * CHANNELS_PER_PAGE
        names = view.names[first : first + CHANNELS_PER_PAGE]
        caption = f"{view.kind} {first + 1} to {first + len(names)} of {n}"
        return view.data[:, first : first + CHANNELS_PER_PAGE], names, caption

    def _n_blocks(self) -> int:
        """Return how many means can be told apart: as many rows as channels have, or as many names as there is room."""
        # The labels of the stimuli and the axis take two and a half lines.
        lines = self.plot.height() / (1.1 * self.fontMetrics().height()) - 2.5
        return min(max(int(lines), _LEAST_BLOCKS), CHANNELS_PER_PAGE)

    def _set_span(self, span_s: float) -> None:
        if span_s == self.span_s:
            return
        self.span_s = span_s
        self.plot.setXRange(-span_s, 0.0, padding=0.003)
        ticks_s = np.arange(0.0, span_s + 1, 1.0 if span_s <= 10 else 10.0)
        self.plot.getAxis("bottom").setTicks([[(-t, f"-{t:g} s" if t else "now") for t in ticks_s]])

    def _set_rows(self, names: tuple[str, ...]) -> None:
        if names == self._rows:
            return
        self._rows = names
        shown = [(-float(row), name if len(name) <= 10 else f"{name[:9]}…") for row, name in enumerate(names)]
        self.plot.getAxis("left").setTicks([shown])

    def _set_heights(self) -> None:
        # Above the first row there is room for one line of labels, whatever the height of the rows.
        n_rows, height_px = len(self._rows), max(self.plot.height(), 100)
        label_px = 1.6 * self.fontMetrics().height()
        self._bottom = 0.3 - n_rows
        self._top = 0.7 + (n_rows + 0.4) * label_px / max(height_px - label_px, 1.0)
        self.plot.setYRange(self._bottom, self._top, padding=0.0)

    def _set_scale(self, data: npt.NDArray[np.float32]) -> None:
        if not self._automatic:
            return
        wanted = fitting_spacing(data[:: max(1, len(data) // 250)])
        # Only a change beyond the neighbouring round step moves the scale, so that it does not flicker.
        if wanted and (self._spacing is None or not 0.45 < wanted / self._spacing < 2.2):
            self._spacing = wanted

    def _draw_stimuli(self, view: SignalView) -> None:
        newest = view.stop - 1
        times_s = [((onset - newest) / view.sfreq_hz, text) for onset, text in view.onsets]
        times_s = sorted(item for item in times_s if -self.span_s <= item[0] <= 0)
        x = np.repeat([time_s for time_s, _ in times_s], 2)
        y = np.tile([self._bottom, self._top], len(times_s))
        self._lines.setData(x, y)
        for item, place in itertools.zip_longest(self._labels, self._places(times_s)):
            item.setVisible(place is not None)
            if place is not None:
                # Laying out a text costs more than moving it.
                if item.toPlainText() != place[1]:
                    item.setText(place[1])
                item.setPos(place[0], self._top)

    def _places(self, times_s: list[tuple[float, str]]) -> list[tuple[float, str]]:
        """Return time and text of the labels, shortened to end before the next line or left out."""
        metrics = self.fontMetrics()
        px_per_s = self.plot.getViewBox().width() / self.span_s
        places = []
        ends_s = [time_s for time_s, _ in times_s[1:]] + [self.span_s]
        for (time_s, text), end_s in zip(times_s, ends_s, strict=False):
            room_px = int((end_s - time_s) * px_per_s) - metrics.averageCharWidth()
            if room_px >= _LEAST_LETTERS * metrics.averageCharWidth():
                shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room_px)
                places.append((time_s, shown))
        return places[-_N_LABELS:]

    def _tell(self, view: SignalView, caption: str) -> None:
        scale = f"{self._spacing:g} {unit_text(view.unit)} per row" if self._spacing else "flat"
        words = [caption, f"{scale}{' (auto)' if self._automatic else ''}"]
        if self.n_pages > 1:
            words.insert(1, f"page {self.page + 1} of {self.n_pages}")
        if self.held:
            words.append("‖ held, Space goes on")
        text = " · ".join(words)
        set_text(self.note, text)
        self.describe(text)

    def label_texts(self) -> tuple[str, ...]:
        """Return the texts that stand at the stimuli now."""
        return tuple(item.toPlainText() for item in self._labels if item.isVisible())

    def point_count(self) -> int:
        """Return the number of points the traces are drawn with now."""
        x: Any = self._traces.getData()[0]
        return 0 if x is None else int(np.isfinite(x).sum())
