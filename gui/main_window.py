"""The window of a session: what is shown and what is decoded on top, signal and accuracy below, then the status."""

import time
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtGui import QAction, QCloseEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QMessageBox, QVBoxLayout, QWidget

from .accuracy_panel import AccuracyPanel
from .actions import ACTIONS, help_text
from .matches_panel import MatchesPanel
from .panel import set_text
from .picture_row import PictureRow, split
from .pictures import Pictures
from .quality_panel import QualityPanel
from .reconstruction_panel import EXTRAS, ReconstructionPanel
from .regions_panel import RegionsPanel
from .scan_words import compared_text
from .signal_panel import SignalPanel
from .snapshot import Puller, Snapshot
from .status_bar import StatusBar
from .stimulus_panel import StimulusPanel
from .theme import style_sheet, text_scale
from .time_line_panel import TimeLinePanel
from .two_way_panel import TwoWayPanel
from .what_if_panel import WhatIfPanel

__all__ = ["REFRESH_MS", "MainWindow"]

REFRESH_MS = 33
#: What is shown and decoded, the time line of a run of fMRI, and signal with accuracy.
_ROWS, _ROWS_OF_SCAN = (1, 1, 2), (19, 17, 38)
#: With a reconstruction the time line is below the matches.
_ROWS_WITH_PICTURE, _BESIDE_PICTURE = (1, 1), (10, 9)
_LEAST_PX, _LEAST_PX_WITH_PICTURE, _LEAST_PX_OF_SCAN = (900, 560), (900, 620), (900, 700)
_NO_LIMIT_PX = (1 << 24) - 1  # Qt's own


class MainWindow(QWidget):
    """Pulls a session's snapshots on a timer and redraws the panels whose content changed.

    Parameters
    ----------
    puller : Puller
        The session to draw. It is asked to stop when the window closes.
    title : str
        Title of the window.
    close_at_end : bool
        Close when the session has ended; otherwise the end stays on the screen.
    shown : callable, optional
        Is called once, when the window has been drawn and answers.

    Attributes
    ----------
    failure : BaseException or None
        What stopped the drawing, if anything did; Ctrl-C in the terminal is one.
    """

    def __init__(
        self,
        puller: Puller,
        title: str,
        *,
        close_at_end: bool = False,
        shown: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.failure: BaseException | None = None
        self._puller = puller
        self._close_at_end = close_at_end
        self._shown: Callable[[], None] | None = shown
        self._scale = 0.0
        self._wants_reconstruction: bool | None = None
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        pictures = Pictures(puller.picture)
        self.stimulus_panel = StimulusPanel(pictures)
        self.reconstruction_panel = ReconstructionPanel()
        self.matches_panel = MatchesPanel(pictures)
        self.signal_panel = SignalPanel()
        self.accuracy_panel = AccuracyPanel()
        self.time_line_panel = TimeLinePanel()
        self.quality_panel = QualityPanel()
        self.two_way_panel = TwoWayPanel()
        self.regions_panel = RegionsPanel()
        self.status_bar = StatusBar()
        self.what_if_panel = WhatIfPanel(pictures, puller.ask_what_if, self)
        self.matches_panel.what_if.clicked.connect(self._show_what_if)
        self._lay_out()
        self._add_actions()
        self.setMinimumSize(*_LEAST_PX)
        self.resize(1280, 720)
        self._timer = QTimer(self, timerType=Qt.TimerType.PreciseTimer, interval=REFRESH_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def refresh(self) -> None:
        """Pull once and draw what changed."""
        snapshot, now_s = self._puller.snapshot(), time.monotonic()
        self._set_band(snapshot)
        self.status_bar.show_snapshot(snapshot, now_s)
        self.stimulus_panel.show_snapshot(snapshot)
        if self._band.with_reconstruction:
            self.reconstruction_panel.show_snapshot(snapshot, now_s)
        self.matches_panel.show_snapshot(snapshot, now_s)
        self.signal_panel.show_signal(self._puller.signal(self.signal_panel.span_s))
        self.accuracy_panel.show_accuracy(snapshot.accuracy)
        self.what_if_panel.show_snapshot(snapshot, now_s)
        self._show_scan(snapshot)
        if snapshot.state == "ended" and self._close_at_end:
            self.close()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Grow the type with the window, so that a large screen can be read from across a lab."""
        super().resizeEvent(event)
        scale = text_scale(self.width(), self.height())
        if scale != self._scale:
            self._scale = scale
            self.setStyleSheet(style_sheet(scale))
            # The window of what ifs is one of its own, and inherits the sheet.
            for panel in (
                self.reconstruction_panel,
                self.matches_panel,
                self.signal_panel,
                self.accuracy_panel,
                *self._scan_panels,
                self.status_bar,
                self.what_if_panel,
            ):
                panel.ensurePolished()
                panel.set_fonts()
            self._band.share()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stop drawing and ask the session to end."""
        if self._timer.isActive():
            self._timer.stop()
            self._puller.stop()
        super().closeEvent(event)

    @Slot()
    def _tick(self) -> None:
        # An exception must not be lost in the loop: it closes the window and `run_window` raises it again.
        try:
            self.refresh()
            if self._shown is not None:
                self._shown()
                self._shown = None
        except BaseException as error:
            self.failure = error
            self.close()

    def _lay_out(self) -> None:
        across, down = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
        self._band = PictureRow(self.stimulus_panel, self.reconstruction_panel, self.matches_panel)
        volumes = split(down, (self.signal_panel, self.quality_panel), (1, 1))
        scores = split(down, (self.accuracy_panel, self.two_way_panel), (1, 1))
        below = split(across, (volumes, scores, self.regions_panel), (15, 9, 5))
        self._rows = split(down, (self._band, self.time_line_panel, below), _ROWS)
        # What only a run of fMRI has is hidden until there is one.
        self._scan_panels = (
            self.time_line_panel,
            self.quality_panel,
            self.two_way_panel,
            self.regions_panel,
        )
        for panel in self._scan_panels:
            panel.hide()
        rows = QVBoxLayout(self)
        rows.setContentsMargins(8, 8, 8, 4)
        rows.setSpacing(4)
        rows.addWidget(self._rows, 1)
        rows.addWidget(self.status_bar)

    def _show_scan(self, snapshot: Snapshot) -> None:
        """Draw what only a run of fMRI has."""
        view = snapshot.scan
        if view is None:
            return
        if self.time_line_panel.isHidden():
            for panel in (self.time_line_panel, self.quality_panel, self.two_way_panel):
                panel.show()
            self._share_rows()
        self.time_line_panel.show_view(view)
        self.quality_panel.show_view(view)
        self.two_way_panel.show_trace(view.two_way)
        self.regions_panel.show_view(view)
        since = compared_text(view)
        set_text(self.accuracy_panel.since, since)
        self.accuracy_panel.since.setVisible(bool(since))
        self.accuracy_panel.set_by_latency(shown=len(snapshot.accuracy.latency_s) > 1)

    def _set_band(self, snapshot: Snapshot) -> None:
        """Show a reconstruction if there is one; give the row the height of its text alone without pictures."""
        wanted = self._wants_reconstruction
        shown = bool(snapshot.generator or snapshot.reconstruction) if wanted is None else wanted
        changed = self._band.show_reconstruction(shown=shown)
        pictures = snapshot.has_pictures or shown
        height = _NO_LIMIT_PX if pictures else self._band.minimumSizeHint().height()
        if changed or self._band.maximumHeight() != height:
            self._band.setMaximumHeight(height)
            self._share_rows()

    def _share_rows(self) -> None:
        """Give every row its height, and the time line its place."""
        time_line, beside = self.time_line_panel, self._band.beside
        of_scan, with_picture = not time_line.isHidden(), self._band.with_reconstruction
        least_px = _LEAST_PX_WITH_PICTURE if with_picture else _LEAST_PX
        self.setMinimumSize(*(_LEAST_PX_OF_SCAN if of_scan else least_px))
        shares: tuple[int, ...] = _ROWS_OF_SCAN if of_scan else _ROWS
        if with_picture:
            shares = _ROWS_WITH_PICTURE
            beside.addWidget(time_line)
            beside.setSizes([1000 * share for share in _BESIDE_PICTURE])
        else:
            self._rows.insertWidget(1, time_line)
        for k, share in enumerate(shares):
            self._rows.setStretchFactor(k, share)
        self._rows.setSizes([1000 * share for share in shares])

    def _toggle_reconstruction(self) -> None:
        self._wants_reconstruction = not self._band.with_reconstruction
        self.refresh()

    def _toggle_extra(self, name: str) -> None:
        self.reconstruction_panel.toggle(name)
        self._band.share()

    def _add_actions(self) -> None:
        signal = self.signal_panel
        does: dict[str, Callable[[], object]] = {
            "next_page": lambda: signal.turn_page(1),
            "previous_page": lambda: signal.turn_page(-1),
            "larger": lambda: signal.change_gain(1),
            "smaller": lambda: signal.change_gain(-1),
            "autoscale": signal.autoscale,
            "hold": signal.toggle_held,
            "what_if": self._show_what_if,
            "reconstruction": self._toggle_reconstruction,
            **{name: partial(self._toggle_extra, name) for name in EXTRAS},
            "motion": self.reconstruction_panel.toggle_motion,
            "full_screen": self._toggle_full_screen,
            "help": self._show_help,
            "close": self.close,
        }
        for action in ACTIONS:
            entry = QAction(action.text, self)
            entry.setShortcuts([QKeySequence(key) for key in action.keys])
            entry.triggered.connect(lambda _checked=False, name=action.name: does[name]())
            self.addAction(entry)
        # The same table as a menu under the right mouse button, for whoever does not know the keys.
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def _toggle_full_screen(self) -> None:
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    @Slot()
    def _show_what_if(self) -> None:
        self.what_if_panel.show()
        self.what_if_panel.raise_()
        self.what_if_panel.activateWindow()

    def _show_help(self) -> None:
        sheet = QMessageBox(QMessageBox.Icon.NoIcon, "Keys", help_text(), parent=self)
        sheet.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        sheet.open()
