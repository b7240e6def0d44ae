"""The most probable entries of the gallery side by side: picture, name, bar and per cent, best first."""

from typing import Any

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from .panel import Panel, label, set_text
from .pictures import Pictures, Thumbnail
from .snapshot import Match, Snapshot
from .words import GRID, TRACE, TRUTH, match_name, matches_text, percent_text

__all__ = ["HOLD_S", "N_MATCHES", "Bar", "MatchCard", "MatchesPanel"]

N_MATCHES = 5
#: Pictures that change more often than three times a second cannot be read, and may harm (WCAG 2.2, 2.3.1).
HOLD_S = 0.34
#: A panel of at least this height, in widths and in lines of text, has the matches one below the other.
_HIGH, _HIGH_LINES = 0.42, 15
_GAP_PX = 6
_LEAST_PICTURE_PX, _NO_LIMIT_PX = 40, (1 << 24) - 1  # Qt's own


class Bar(QWidget):
    """A horizontal bar that fills to a fraction of its width."""

    def __init__(self) -> None:
        super().__init__()
        self._fraction = 0.0
        self._colour = QColor(TRACE)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def set_bar(self, fraction: float, colour: str) -> None:
        """Fill to `fraction` in [0, 1]; repaints only if something changed."""
        if (fraction, QColor(colour)) != (self._fraction, self._colour):
            self._fraction, self._colour = fraction, QColor(colour)
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the track and the bar on it, as thick as half a line of text."""
        thickness = self.fontMetrics().height() * 0.6
        track = QRectF(0, (self.height() - thickness) / 2, self.width(), thickness)
        painter = QPainter(self)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(GRID))
        painter.drawRoundedRect(track, 2, 2)
        if self._fraction > 0:
            track.setWidth(max(2.0, track.width() * min(self._fraction, 1.0)))
            painter.setBrush(self._colour)
            painter.drawRoundedRect(track, 2, 2)
        painter.end()


class MatchCard(QWidget):
    """One match: picture, name, bar and per cent."""

    def __init__(self, pictures: Pictures) -> None:
        super().__init__()
        self._pictures = pictures
        self.picture = Thumbnail(centred=False)
        self.name = label("value", elided=True)
        self.name.setIndent(3)
        self.share = label("value")
        self.share.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._bar = Bar()
        policy = self._bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._bar.setSizePolicy(policy)
        row = QHBoxLayout()
        row.setContentsMargins(3, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._bar, 1)
        row.addWidget(self.share)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addStretch()
        words.addWidget(self.name)
        words.addLayout(row)
        words.addStretch()
        self._parts = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._parts.setContentsMargins(0, 0, 0, 0)
        self._parts.setSpacing(2)
        self._parts.addWidget(self.picture, 1)
        self._parts.addLayout(words)

    def set_flat(self, picture_px: int | None) -> None:
        """Put the words beside a picture of this width, or below one that is as wide as the card (None)."""
        flat, directions = picture_px is not None, QBoxLayout.Direction
        self._parts.setDirection(directions.LeftToRight if flat else directions.TopToBottom)
        self._parts.setStretch(0, int(not flat))
        self._parts.setStretch(1, int(flat))
        self._parts.setSpacing(10 if flat else 2)
        self.picture.setMinimumWidth(max(_LEAST_PICTURE_PX, picture_px or 0))
        self.picture.setMaximumWidth(max(_LEAST_PICTURE_PX, picture_px) if picture_px else _NO_LIMIT_PX)
        # A list that could not get lower would never become a row again.
        self.picture.setMinimumHeight(_LEAST_PICTURE_PX // 2 if flat else _LEAST_PICTURE_PX)
        # At once, or the panel asks for room that the card no longer needs.
        self._parts.activate()

    def show_match(self, match: Match | None, truth: str, *, with_picture: bool) -> None:
        """Draw a match; nothing for None, in the same room."""
        right = match is not None and bool(truth) and match.name == truth
        self.picture.setVisible(with_picture)
        self._bar.setVisible(match is not None)
        set_text(self.name, match_name(match, truth) if match else "")
        set_text(self.share, percent_text(match.probability) if match else "")
        if match is None:
            self.picture.show_picture(None)
            return
        picture = self._pictures.of(match.name) if with_picture else None
        self.picture.show_picture(picture, "no picture", TRUTH if right else None)
        self._bar.set_bar(match.probability, TRUTH if right else TRACE)

    def set_width(self) -> None:
        """Fix the room for the per cent: no new layout when 9.9 % becomes 10.0 %."""
        self.share.setFixedWidth(self.share.fontMetrics().horizontalAdvance("100.0 %") + 2)


class MatchesPanel(Panel):
    """Draws the ranked matches of a snapshot; marks the stimulus that was shown, where that is known."""

    def __init__(self, pictures: Pictures) -> None:
        super().__init__("Best matches")
        self._drawn_s = float("-inf")
        self._cards = tuple(MatchCard(pictures) for _ in range(N_MATCHES))
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._row.setSpacing(14)
        for card in self._cards:
            self._row.addWidget(card, 1)
        self.content.addLayout(self._row, 1)
        self.truth = label("truth")
        self.top.addWidget(self.truth)
        self.what_if = QPushButton("What if…")
        self.what_if.setAccessibleName("Silence or raise a region of the last trials")
        self.what_if.hide()
        self.top.addWidget(self.what_if)
        self._set_widths()

    def show_snapshot(self, snapshot: Snapshot, now_s: float) -> bool:
        """Draw the matches of a snapshot if the last ones have been seen long enough.

        Parameters
        ----------
        now_s : float
            Time on a monotonic clock, seconds.

        Returns
        -------
        bool
            Whether they were drawn.
        """
        if now_s - self._drawn_s < HOLD_S:
            return False
        self._drawn_s = now_s
        matches = snapshot.matches[:N_MATCHES]
        self.what_if.setVisible(bool(snapshot.regions))
        set_text(self.note, matches_text(snapshot))
        for k, card in enumerate(self._cards):
            match = matches[k] if k < len(matches) else None
            card.show_match(match, snapshot.truth, with_picture=snapshot.has_pictures)
        truth = f"was shown: {snapshot.truth}" if snapshot.truth and matches else ""
        # Beside ranked matches a check mark says it; the name is spelled out where it is none of them.
        ranked = any(match.name == snapshot.truth for match in matches)
        set_text(self.truth, "✓ was shown" if truth and ranked else truth)
        told = ", ".join(f"{match.name} {match.probability:.0%}" for match in matches)
        self.describe("; ".join(part for part in (matches_text(snapshot), told, truth) if part))
        return True

    def row_texts(self) -> tuple[tuple[str, str], ...]:
        """Return name and per cent of the matches that are drawn."""
        return tuple((card.name.text(), card.share.text()) for card in self._cards if card.name.text())

    def n_pictures(self) -> int:
        """Return how many pictures are drawn."""
        return sum(card.picture.has_picture for card in self._cards)

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        self._set_widths()

    def resizeEvent(self, event: Any) -> None:
        """List the matches one below the other where the panel is high: their bars then compare best."""
        super().resizeEvent(event)
        lines = self.height() / self.fontMetrics().height()
        flat = self.height() > _HIGH * self.width() and lines > _HIGH_LINES
        margins = self.content.contentsMargins()
        taken = margins.top() + margins.bottom() + self.top.sizeHint().height() + self.content.spacing()
        each_px = (self.height() - taken - (N_MATCHES - 1) * _GAP_PX) // N_MATCHES
        for card in self._cards:
            card.set_flat(each_px if flat else None)
        directions = QBoxLayout.Direction
        self._row.setDirection(directions.TopToBottom if flat else directions.LeftToRight)
        self._row.setSpacing(_GAP_PX if flat else 14)

    def _set_widths(self) -> None:
        for card in self._cards:
            card.set_width()
