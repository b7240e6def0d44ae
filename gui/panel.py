"""What the panels share: a titled frame, and plots without the costs that live drawing does not need."""

from typing import Any

import pyqtgraph
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from .words import GRID, MUTED, SURFACE

__all__ = ["ElidedLabel", "Panel", "label", "new_plot", "set_axis_font", "set_text"]


class ElidedLabel(QLabel):
    """A label that takes the room it is given; what does not fit ends in an ellipsis and is a tool tip."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def setText(self, text: str) -> None:
        """Show a text, shortened to fit."""
        self._whole = text
        self._elide()

    def text(self) -> str:
        """Return the whole text, also where it is shown shortened."""
        return self._whole

    def resizeEvent(self, event: Any) -> None:
        """Shorten anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        from PySide6.QtCore import Qt

        shown = self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideRight, self.width())
        super().setText(shown)
        self.setToolTip(self._whole if shown != self._whole else "")


def label(role: str, text: str = "", elided: bool = False) -> QLabel:
    """Return a label whose role (title, muted, caption, state, truth or value) the style sheet knows."""
    result = ElidedLabel() if elided else QLabel()
    result.setProperty("role", role)
    result.setText(text)
    return result


def set_text(target: QLabel, text: str) -> None:
    """Set a label's text only if it changed: setting it always costs a layout."""
    if target.text() != text:
        target.setText(text)


class Panel(QFrame):
    """A frame with a title, a muted line beside it, and room for content below."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.setAccessibleName(title)
        self.heading = label("title", title)
        self.note = label("muted", elided=True)
        self.top = QHBoxLayout()
        self.top.setSpacing(12)
        self.top.addWidget(self.heading)
        self.top.addWidget(self.note, 1)
        self.content = QVBoxLayout(self)
        self.content.setContentsMargins(14, 10, 14, 10)
        self.content.setSpacing(6)
        self.content.addLayout(self.top)

    def describe(self, text: str) -> None:
        """Tell a screen reader what the panel shows now."""
        if self.accessibleDescription() != text:
            self.setAccessibleDescription(text)


def new_plot(name: str) -> Any:
    """Return a bare pyqtgraph plot: fixed ranges, no mouse, no menu, no antialiasing."""
    plot = pyqtgraph.PlotWidget(background=SURFACE, antialias=False, enableMenu=False)
    plot.setAccessibleName(name)
    plot.setMouseEnabled(x=False, y=False)
    plot.hideButtons()
    plot.disableAutoRange()
    plot.setFrameShape(QFrame.Shape.NoFrame)
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setTextPen(MUTED)
        axis.setPen(SURFACE if side == "left" else GRID)
        axis.setTickPen(SURFACE)
        axis.setStyle(tickLength=0, maxTickLevel=0, hideOverlappingLabels=False)
    return plot


def set_axis_font(plot: Any, widget: QWidget) -> None:
    """Give a plot's axes the type size of the captions, which pyqtgraph does not take from the style."""
    font = QFont(widget.font())
    font.setPointSizeF(max(widget.font().pointSizeF(), 1.0) * 0.85)
    for side in ("left", "bottom"):
        plot.getAxis(side).setStyle(tickFont=font)
    # Half of the last label on the lower axis stands out to the right.
    plot.getPlotItem().layout.setContentsMargins(0, 0, 2 * QFontMetrics(font).averageCharWidth(), 0)
