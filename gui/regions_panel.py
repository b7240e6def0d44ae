"""The mean of the newest decided beta over each region, as bars around zero."""

import numpy as np
import pyqtgraph

from .panel import Panel, new_plot, set_axis_font, set_text
from .scan import ScanView
from .trace_plot import round_up
from .words import GRID, MUTED, TRACE

__all__ = ["RegionsPanel"]

_LEAST_Z = 0.5
#: Height of a bar with its name, in lines of text.
_ROW_LINES = 1.15


class RegionsPanel(Panel):
    """Draws the regions of a `ScanView`: as many as there is room for, in the order of their atlases."""

    def __init__(self) -> None:
        super().__init__("Regions")
        self._drawn: object = None
        self.plot = new_plot("Mean z by region")
        bottom = self.plot.getAxis("bottom")
        bottom.setTickPen(GRID)
        bottom.setGrid(255)
        bottom.setZValue(-1)
        self._zero = pyqtgraph.InfiniteLine(angle=90, pos=0.0, pen=MUTED)
        self._bars = pyqtgraph.BarGraphItem(x0=[], y=[], height=0.7, width=[], pen=None, brush=TRACE)
        for item in (self._bars, self._zero):
            self.plot.addItem(item, ignoreBounds=True)
        self.content.addWidget(self.plot, 1)

    def show_view(self, view: ScanView) -> bool:
        """Draw the regions if they changed; return whether anything was drawn. Hidden where there are none."""
        self.setVisible(bool(view.regions))
        key = (view.regions, self.plot.height())
        if key == self._drawn or not view.regions:
            return False
        self._drawn = key
        shown = view.regions[: self._n_rows()]
        left_out = len(view.regions) - len(shown)
        of = f"mean z of {view.regions_of}" + (f" · {left_out} more" if left_out else "")
        set_text(self.note, of)
        self.describe(f"{of}: " + ", ".join(f"{name} {z:+.2f}" for name, z in view.regions))
        self._draw(shown)
        return True

    def bars(self) -> tuple[float, ...]:
        """Return the length of the bars that are drawn now, from the top."""
        return tuple(float(width) for width in self._bars.opts["width"])

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        set_axis_font(self.plot, self)
        self._drawn = None

    def _n_rows(self) -> int:
        # The axis below takes about a row and a half.
        rows = self.plot.height() / (_ROW_LINES * self.fontMetrics().height())
        return max(1, int(rows - 1.5))

    def _draw(self, regions: tuple[tuple[str, float], ...]) -> None:
        z = np.array([value for _, value in regions])
        y = -np.arange(len(z), dtype=np.float64)
        self._bars.setOpts(x0=np.zeros(len(z)), y=y, width=z, height=0.7)
        high = round_up(max(_LEAST_Z, float(np.abs(z).max())))
        self.plot.setRange(xRange=(-1.2 * high, 1.2 * high), yRange=(0.6 - len(z), 0.6), padding=0.0)
        self.plot.getAxis("bottom").setTicks([[(v, f"{v:g}") for v in (-high, 0.0, high)]])
        names = [_short(name) for name, _ in regions]
        self.plot.getAxis("left").setTicks([list(zip(y.tolist(), names, strict=True))])
        width = max(self.fontMetrics().horizontalAdvance(name) for name in names)
        # A name that does not fit is left out whole.
        self.plot.getAxis("left").setWidth(width + 2 * self.fontMetrics().averageCharWidth())


def _short(name: str) -> str:
    """Return a region without its atlas: there is no room for both, and few names are in two."""
    region = name.partition("=")[2] or name
    return region if len(region) <= 14 else f"{region[:13]}…"
