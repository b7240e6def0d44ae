"""Pictures of the gallery: decoded once, drawn as large as there is room."""

from collections.abc import Callable
from functools import lru_cache

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from .words import GRID, MUTED

__all__ = ["Pictures", "Thumbnail"]

#: Pictures held decoded; the ones longest unseen go first.
_N_HELD = 128
#: A larger picture is kept at this size, at which a stimulus is drawn on a large screen; 128 stay below 150 MB.
_LARGEST_PX = 512


class Pictures:
    """The pictures of a gallery by name.

    Parameters
    ----------
    source : callable
        Gives the image file of a gallery entry, or None.
    """

    def __init__(self, source: Callable[[str], bytes | None]) -> None:
        self._source = source
        self.of = lru_cache(maxsize=_N_HELD)(self._decode)

    def _decode(self, name: str) -> QPixmap | None:
        """Return the picture of an entry, or None where there is none or its file cannot be read."""
        data = self._source(name)
        picture = QPixmap()
        if data is None or not picture.loadFromData(data):
            return None
        if max(picture.width(), picture.height()) > _LARGEST_PX:
            picture = _fitted(picture, QSize(_LARGEST_PX, _LARGEST_PX))
        return picture


def _fitted(picture: QPixmap, size: QSize) -> QPixmap:
    return picture.scaled(
        size, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )


class Thumbnail(QWidget):
    """One picture in a frame, as large as fits; a word in its place where there is none.

    Parameters
    ----------
    centred : bool
        Whether it stands in the middle of a wider place, or at its left.
    """

    def __init__(self, *, centred: bool) -> None:
        super().__init__()
        self._centred = centred
        self._picture: QPixmap | None = None
        self._scaled: QPixmap | None = None
        self._word = ""
        self._frame: str | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(40, 40)

    @property
    def has_picture(self) -> bool:
        """Whether a picture is shown now."""
        return self._picture is not None

    def show_picture(self, picture: QPixmap | None, word: str = "", frame: str | None = None) -> None:
        """Show a picture, or `word` where it is None; repaints only if something changed.

        Parameters
        ----------
        picture : QPixmap or None
            The very object that was shown before is known to be the same picture.
        word : str
            Stands where a picture would.
        frame : str or None
            Colour of a strong frame around it.
        """
        if (picture is self._picture) and (word, frame) == (self._word, self._frame):
            return
        if picture is not self._picture:
            self._scaled = None
        self._picture, self._word, self._frame = picture, word, frame
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the picture in the middle, its frame around it."""
        painter = QPainter(self)
        room = QRectF(self.rect()).adjusted(3, 3, -3, -3)
        if self._picture is None:
            side = min(room.width(), room.height())
            place = self._place(room, side, side)
            painter.setPen(QPen(QColor(GRID), 1))
            painter.drawRect(place)
            painter.setPen(QColor(MUTED))
            painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter) | Qt.TextFlag.TextWordWrap, self._word)
        else:
            place = self._draw(painter, self._picture, room)
        if self._frame is not None:
            painter.setPen(QPen(QColor(self._frame), 3, j=Qt.PenJoinStyle.MiterJoin))
            painter.drawRect(place.adjusted(-1.5, -1.5, 1.5, 1.5))
        painter.end()

    def _draw(self, painter: QPainter, picture: QPixmap, room: QRectF) -> QRectF:
        ratio = self.devicePixelRatioF()
        wanted = (room.size() * ratio).toSize()
        size = picture.size().scaled(wanted, Qt.AspectRatioMode.KeepAspectRatio)
        if self._scaled is None or self._scaled.size() != size:
            self._scaled = _fitted(picture, size)
            self._scaled.setDevicePixelRatio(ratio)
        place = self._place(room, size.width() / ratio, size.height() / ratio)
        painter.drawPixmap(place.topLeft(), self._scaled)
        return place

    def _place(self, room: QRectF, width: float, height: float) -> QRectF:
        x = room.left() + (room.width() - width) / 2 * self._centred
        return QRectF(round(x), round(room.top() + (room.height() - height) / 2), width, height)
