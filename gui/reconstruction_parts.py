"""What stands beside the reconstruction: the facts about it, and smaller pictures."""

from textwrap import shorten

import numpy as np
import numpy.typing as npt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QBoxLayout, QVBoxLayout, QWidget

from .live_picture import pixmap_of
from .panel import label, set_text
from .pictures import Thumbnail
from .reconstruction_words import HELD, age_of_text, made_text, open_text
from .snapshot import Reconstruction
from .words import WARNING

__all__ = ["Extra", "Facts"]

#: A longer reason to hold a picture is cut, and whole in the tool tip.
_REASON_CHARACTERS = 80


class Facts(QWidget):
    """The column beside the picture: why it is held, how old it is, how it was made."""

    def __init__(self) -> None:
        super().__init__()
        self._held, self._reason, self._open = label("title", HELD), label("value"), label("caption")
        self._held.setStyleSheet(f"color: {WARNING};")
        for wrapped in (self._reason, self._open):
            wrapped.setWordWrap(True)
        self._age, self._made = label("value"), label("value")
        self._hint = label("caption", "P: prior\nV: what is imagined\nN: nearest in training")
        self._why = QWidget()
        why = QVBoxLayout(self._why)
        why.setContentsMargins(0, 0, 0, 10)
        why.setSpacing(4)
        why.addWidget(self._held)
        why.addWidget(self._reason)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 3, 0, 0)
        rows.setSpacing(2)
        rows.addWidget(self._why)
        for name, value in (("age of the evidence", self._age), ("drawn in", self._made)):
            rows.addWidget(label("caption", name))
            rows.addWidget(value)
            rows.addSpacing(8)
        rows.addWidget(self._open)
        rows.addStretch()
        rows.addWidget(self._hint)
        self.width_px = 0

    def show_facts(self, newest: Reconstruction) -> None:
        """Write what is known of a picture."""
        self._why.setVisible(bool(newest.held))
        self._hint.setVisible(not newest.held)  # the reason may need its room
        set_text(self._reason, shorten(newest.held, _REASON_CHARACTERS, placeholder=" …"))
        self._reason.setToolTip(newest.held)
        set_text(self._age, age_of_text(newest))
        set_text(self._made, made_text(newest))
        set_text(self._open, open_text(newest))

    def set_width(self) -> None:
        """Fix the width, so that no word moves the pictures."""
        self.width_px = self.fontMetrics().horizontalAdvance("N: nearest in training")
        self.setFixedWidth(self.width_px)


class Extra(QWidget):
    """A smaller picture, what it is, and a line about it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._source: object = None
        self.picture = Thumbnail(centred=True)
        self.caption = label("caption")
        self.caption.setWordWrap(True)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addStretch()
        words.addWidget(label("value", name, elided=True))
        words.addWidget(self.caption)
        words.addStretch()
        self._parts = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._parts.setContentsMargins(0, 0, 0, 0)
        self._parts.setSpacing(8)
        self._parts.addWidget(self.picture, 1)
        self._parts.addLayout(words, 1)

    def set_flat(self, flat: bool) -> None:
        """Put the words beside the picture, or below it."""
        directions = QBoxLayout.Direction
        self._parts.setDirection(directions.LeftToRight if flat else directions.TopToBottom)
        self._parts.setStretch(1, int(flat))

    def show_array(self, picture: npt.NDArray[np.uint8] | None, caption: str) -> None:
        """Show a picture of shape (height, width, 3), or a map (height, width), unless it is shown already."""
        set_text(self.caption, caption)
        if picture is self._source:
            return
        self._source = picture
        if picture is None:
            self.picture.show_picture(None)
            return
        coloured = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
        self.picture.show_picture(pixmap_of(np.ascontiguousarray(coloured)))

    def show_file(self, data: bytes | None, caption: str) -> None:
        """Show an image file unless it is shown already."""
        set_text(self.caption, caption)
        if data is self._source:
            return
        self._source = data
        picture = QPixmap()
        known = data is not None and picture.loadFromData(data)
        self.picture.show_picture(picture if known else None)
