"""How good the volumes are: how the head moved, how the signal jumped, what was lost, and how long a volume took."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyqtgraph
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel

from .panel import Panel, label, new_plot, set_axis_font, set_text
from .scan import ScanView
from .scan_words import DISPLACEMENT_LIMIT_MM, WRONG, motion_text, volume_time_text
from .trace_plot import dashed_line, round_up
from .words import CHANCE, GRID, MARKER, TRACE, WARNING, clock_text

__all__ = ["QualityPanel"]

#: Colour and dash of the three axes, so that colour never speaks alone.
_AXES = ((TRACE, Qt.PenStyle.SolidLine), (CHANCE, Qt.PenStyle.DashLine), (MARKER, Qt.PenStyle.DotLine))
_XYZ = "x ── y ╌╌ z ···"
_NO_MOTION = "no motion estimates come with these volumes"
_NO_LIMIT_PX = (1 << 24) - 1  # Qt's own
_Lines = npt.NDArray[np.float64]


class _Plot(NamedTuple):
    caption: QLabel
    plot: Any
    curves: tuple[Any, ...]


class QualityPanel(Panel):
    """Draws motion, framewise displacement and DVARS of a `ScanView` volume by volume; hides what nothing tells."""

    def __init__(self) -> None:
        super().__init__("Volumes")
        self._drawn: object = None
        self.words = label("value", elided=True)
        self.content.addWidget(self.words)
        self._grid = grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(2)
        self._shift = _add(grid, 0, f"shift, mm  {_XYZ}", 3)
        self._turn = _add(grid, 1, "turn, degrees", 3)
        self._displacement = _add(grid, 2, f"displacement, mm  ╌╌ {DISPLACEMENT_LIMIT_MM:g}", 1)
        self._dvars = _add(grid, 3, "DVARS, %", 1)
        self._plots = (self._shift, self._turn, self._displacement, self._dvars)
        self._limit = dashed_line()
        self._limit.setValue(DISPLACEMENT_LIMIT_MM)
        self._lost = pyqtgraph.ScatterPlotItem(symbol="|", size=7, pen=WRONG)
        for item in (self._limit, self._lost):
            self._displacement.plot.addItem(item, ignoreBounds=True)
        self.content.addLayout(grid, 1)
        self._show_plots(())

    @property
    def plots_shown(self) -> tuple[str, ...]:
        """Names of the plots that are drawn."""
        return tuple(part.plot.accessibleName() for part in self._plots if not part.plot.isHidden())

    def show_view(self, view: ScanView) -> bool:
        """Draw a run if it changed; return whether anything was drawn."""
        key = (view.n_volumes, view.volume_ms, view.lost, view.motion is None, view.dvars is None, view.tsnr)
        if key == self._drawn:
            return False
        self._drawn = key
        told = motion_text(view)
        set_text(self.note, volume_time_text(view))
        set_text(self.words, told if view.motion is not None else f"{told} · {_NO_MOTION}")
        late = view.volume_ms is not None and view.volume_ms[1] > 1e3 * view.tr_s
        style = f"color: {WARNING};" if late else ""
        if self.note.styleSheet() != style:
            self.note.setStyleSheet(style)
        self.describe(", ".join(part for part in (told, volume_time_text(view)) if part))
        self._draw(view)
        return True

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        for part in self._plots:
            set_axis_font(part.plot, self)
            part.plot.getAxis("left").setWidth(self.fontMetrics().averageCharWidth() * 5)

    def _draw(self, view: ScanView) -> None:
        rows: list[tuple[_Plot, _Lines]] = []
        if view.motion is not None:
            rows += [(self._shift, view.motion[:, :3]), (self._turn, np.degrees(view.motion[:, 3:]))]
        if view.displacement_mm is not None:
            rows.append((self._displacement, view.displacement_mm[:, None]))
            self._lost.setData([at * view.tr_s for at in view.lost], [0.0] * view.n_lost)
        if view.dvars is not None:
            rows.append((self._dvars, view.dvars[:, None]))
        self._show_plots(tuple(part for part, _ in rows))
        end_s = max(view.planned_volumes, view.n_volumes, 2) * view.tr_s
        for part, lines in rows:
            least = DISPLACEMENT_LIMIT_MM if part is self._displacement else 0.0
            _draw_lines(part, lines, view.tr_s, end_s, least)

    def _show_plots(self, shown: tuple[_Plot, ...]) -> None:
        for column, part in enumerate(self._plots):
            self._grid.setColumnStretch(column, int(part in shown))
            for widget in (part.caption, part.plot):
                widget.setVisible(part in shown)
        # Without plots it leaves the room to the signal.
        self.setMaximumHeight(_NO_LIMIT_PX if shown else self.minimumSizeHint().height())


def _add(grid: QGridLayout, column: int, caption: str, n_curves: int) -> _Plot:
    words = label("caption", caption, elided=True)
    plot = new_plot(caption.split("  ")[0])
    plot.getAxis("left").setTickPen(GRID)
    plot.getAxis("left").setGrid(255)
    plot.getAxis("left").setZValue(-1)
    curves = tuple(
        pyqtgraph.PlotCurveItem(pen=pyqtgraph.mkPen(colour, style=dash), connect="finite")
        for colour, dash in _AXES[:n_curves]
    )
    for curve in curves:
        plot.addItem(curve, ignoreBounds=True)
    grid.addWidget(words, 0, column)
    grid.addWidget(plot, 1, column)
    return _Plot(words, plot, curves)


def _draw_lines(part: _Plot, lines: _Lines, tr_s: float, end_s: float, least: float) -> None:
    """Draw each column of `lines`, of shape (n_volumes, n_curves); the axis reaches as far as `least` at least."""
    time_s = np.arange(len(lines)) * tr_s
    for curve, values in zip(part.curves, lines.T, strict=True):
        curve.setData(time_s, values)
    known = lines[np.isfinite(lines)]
    high = round_up(max(float(np.abs(known).max(initial=0.0)), least, 1e-3))
    low = -high if (known < 0).any() else 0.0
    # Beyond the last ticks, or their labels would be left out.
    part.plot.setRange(xRange=(0.0, end_s), yRange=(low - 0.2 * high, 1.25 * high), padding=0.0)
    part.plot.getAxis("left").setTicks([[(value, f"{value:g}") for value in sorted({low, 0.0, high})]])
    part.plot.getAxis("bottom").setTicks([[(0.0, "0:00"), (end_s, clock_text(end_s))]])
