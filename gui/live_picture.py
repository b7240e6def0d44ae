"""A picture that is drawn anew all the time: it fades from one to the next, and shows when it is no longer live."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from .reconstruction_words import NoPicture
from .words import BACKGROUND, GRID, MUTED, SURFACE, TEXT, WARNING

__all__ = ["FADE_S", "LivePicture", "pixmap_of"]

FADE_S = 0.15
#: Larger pictures have pixels enough for the place that they are drawn in.
_SMALL_PX = 256
#: How much of a held picture is covered by the ground of the panel.
_HELD_COVER = 0.45
_PLATE = "❚❚ HELD"


def pixmap_of(picture: npt.NDArray[np.uint8]) -> QPixmap:
    """Return a picture of shape (height, width, 3), RGB; a small one at twice its size.

    Qt makes it larger still by straight lines between pixels, which show as a grid in a picture of 64; after a first
    doubling by cubics they do not, and one step of cubics costs a fraction of going all the way with them.
    """
    height, width = picture.shape[:2]
    fold = 2 if max(height, width) <= _SMALL_PX else 1
    size = fold * width, fold * height
    data = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC).tobytes()
    image = QImage(data, *size, 3 * size[0], QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)  # copies


class LivePicture(QWidget):
    """Shows one picture as large as fits, fading from the last; or why there is none.

    It has no clock: whoever draws says what time it is, and calls `advance` until a fade is over.
    """

    def __init__(self) -> None:
        super().__init__()
        self._picture: QPixmap | None = None
        self._scaled: QPixmap | None = None
        self._before: QPixmap | None = None
        self._faded_s = float("-inf")
        self._share = 1.0
        self._held = False
        self._missing: NoPicture | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(40, 40)

    @property
    def has_picture(self) -> bool:
        """Whether a picture is shown now."""
        return self._picture is not None

    @property
    def fading(self) -> bool:
        """Whether the last picture is still seen behind this one."""
        return self._before is not None

    def show_picture(self, picture: QPixmap, now_s: float, *, fade: bool) -> None:
        """Show a picture: at once, or in the course of `FADE_S` over what is seen now.

        Parameters
        ----------
        now_s : float
            Time on a monotonic clock, seconds.
        """
        self._before = self._seen() if fade and self._picture is not None else None
        self._picture, self._scaled, self._missing = picture, None, None
        self._faded_s, self._share = now_s, 0.0 if self._before is not None else 1.0
        self.update()

    def show_nothing(self, why: NoPicture) -> None:
        """Show a shape and words where a picture would be; repaints only if they changed."""
        if why == self._missing:
            return
        self._picture = self._scaled = self._before = None
        self._held, self._missing = False, why
        self.update()

    def set_held(self, held: bool) -> None:
        """Mark the picture as one that should be gone by now, or take the mark away."""
        if held != self._held:
            self._held = held
            self.update()

    def advance(self, now_s: float) -> bool:
        """Go on with a fade; return whether there was one."""
        if self._before is None:
            return False
        self._share = min((now_s - self._faded_s) / FADE_S, 1.0)
        if self._share >= 1.0:
            self._before = None
        self.update()
        return True

    def resizeEvent(self, event: Any) -> None:
        """Drop what fits no more."""
        super().resizeEvent(event)
        self._scaled = self._before = None
        self._share = 1.0

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the picture with what is still seen of the last one, or why there is none."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._picture is None:
            if self._missing is not None:
                self._paint_missing(painter, self._missing)
        else:
            place = self._place()
            self._paint_picture(painter, place.topLeft())
            if self._held:
                self._paint_held(painter, place)
        painter.end()

    def _place(self) -> QRectF:
        """Return where the picture is: in the middle, its shape kept, on whole pixels."""
        room = QRectF(self.rect()).adjusted(3, 3, -3, -3)
        size = self._picture.size() if self._picture is not None else QSize(1, 1)
        fitted = size.toSizeF().scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio).toSize()
        x = round(room.left() + (room.width() - fitted.width()) / 2)
        y = round(room.top() + (room.height() - fitted.height()) / 2)
        return QRectF(x, y, fitted.width(), fitted.height())

    def _paint_picture(self, painter: QPainter, corner: QPointF) -> None:
        if self._before is not None:
            painter.drawPixmap(corner, self._before)
            if self._share == 0:
                return  # the new one is made as large as this in the next frame: no frame has to do all
            painter.setOpacity(self._share)
        painter.drawPixmap(corner, self._fitted())
        painter.setOpacity(1.0)

    def _fitted(self) -> QPixmap:
        """Return the picture in the pixels of the screen; made once."""
        if self._scaled is None:
            assert self._picture is not None
            ratio = self.devicePixelRatioF()
            self._scaled = self._picture.scaled(
                (self._place().size() * ratio).toSize(),
                Qt.AspectRatioMode.IgnoreAspectRatio,  # the place has its shape already
                Qt.TransformationMode.SmoothTransformation,
            )
            self._scaled.setDevicePixelRatio(ratio)
        return self._scaled

    def _seen(self) -> QPixmap:
        """Return what is seen now, a fade that is under way included."""
        if self._before is None:
            return self._fitted()
        seen = QPixmap(self._before)
        painter = QPainter(seen)
        painter.setOpacity(self._share)
        painter.drawPixmap(QPointF(0, 0), self._fitted())
        painter.end()
        return seen

    def _paint_held(self, painter: QPainter, place: QRectF) -> None:
        """Cover the picture with a veil and a hatching, and put a dashed frame and a plate on it."""
        veil = QColor(SURFACE)
        veil.setAlphaF(_HELD_COVER)
        painter.fillRect(place, veil)
        painter.save()
        painter.setClipRect(place)
        hatch = QColor(WARNING)
        hatch.setAlphaF(0.35)
        line_px = self.fontMetrics().height()
        painter.setPen(QPen(hatch, line_px / 10))
        x = place.left() - place.height()
        while x < place.right():
            painter.drawLine(QPointF(x, place.bottom()), QPointF(x + place.height(), place.top()))
            x += line_px
        painter.restore()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(
            QPen(QColor(WARNING), max(3.0, line_px / 6), Qt.PenStyle.DashLine, j=Qt.PenJoinStyle.MiterJoin)
        )
        painter.drawRect(place.adjusted(-0.5, -0.5, 0.5, 0.5))
        font = QFont(self.font())
        font.setBold(True)
        painter.setFont(font)
        plate = QRectF(painter.fontMetrics().boundingRect(_PLATE)).adjusted(-8, -4, 8, 4)
        plate.moveTopLeft(place.topLeft() + QPointF(1, 1))
        painter.fillRect(plate, QColor(WARNING))
        painter.setPen(QColor(BACKGROUND))
        painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, _PLATE)

    def _paint_missing(self, painter: QPainter, why: NoPicture) -> None:
        """Draw an empty place with a shape, the words below it, and what they mean."""
        place = self._place()
        painter.setPen(QPen(QColor(GRID), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(place.adjusted(0.5, 0.5, -0.5, -0.5))
        large = QFont(self.font())
        large.setPointSizeF(max(self.font().pointSizeF(), 1.0) * 2.2)
        inside = place.adjusted(14, 8, -14, -8)
        parts = (
            (large, MUTED, why.shape),
            (self.font(), TEXT, why.words),
            (self.font(), MUTED, why.meaning),
        )
        flags = int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop) | Qt.TextFlag.TextWordWrap
        heights = []
        for font, _, text in parts:
            painter.setFont(font)
            heights.append(painter.boundingRect(inside, flags, text).height())
        y = inside.top() + max(0.0, (inside.height() - sum(heights) - 12) / 2)
        for (font, colour, text), height in zip(parts, heights, strict=True):
            painter.setFont(font)
            painter.setPen(QColor(colour))
            painter.drawText(QRectF(inside.left(), y, inside.width(), height), flags, text)
            y += height + 6
