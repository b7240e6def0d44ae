"""The most probable entries of the gallery, ranked, as bars with names and per cent."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from .panel import Panel, label, set_text
from .snapshot import Match, Snapshot
from .words import GRID, TRACE, TRUTH, matches_text

__all__ = ["N_MATCHES", "Bar", "MatchesPanel"]

N_MATCHES = 5


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


class MatchesPanel(Panel):
    """Draws the ranked matches of a snapshot; marks the stimulus that was shown, where that is known."""

    def __init__(self) -> None:
        super().__init__("Top matches")
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(2, 1)
        self._rows: list[tuple[QLabel, QLabel, Bar, QLabel]] = []
        for row in range(N_MATCHES):
            cells = (label("muted", f"{row + 1}"), label("value", elided=True), Bar(), label("value"))
            cells[3].setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for column, cell in enumerate(cells):
                grid.addWidget(cell, row, column)
            grid.setRowStretch(row, 1)
            self._rows.append(cells)
        self.content.addLayout(grid, 1)
        self.truth = label("truth")
        self.top.addWidget(self.truth)
        self._set_widths()
        for row in range(N_MATCHES):
            self._show_row(row, None, "")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Draw the matches of a snapshot; nothing before there is evidence."""
        matches = snapshot.matches[:N_MATCHES]
        set_text(self.note, matches_text(snapshot))
        for row in range(N_MATCHES):
            self._show_row(row, matches[row] if row < len(matches) else None, snapshot.truth)
        # Beside ranked rows a check mark says it; the name is spelled out where it is in none of them.
        ranked = any(match.name == snapshot.truth for match in matches)
        shown = (
            "" if not (snapshot.truth and matches) else "✓ shown" if ranked else f"shown: {snapshot.truth}"
        )
        set_text(self.truth, shown)
        told = ", ".join(f"{match.name} {match.probability:.0%}" for match in matches)
        truth = f"shown: {snapshot.truth}" if shown else ""
        self.describe("; ".join(part for part in (matches_text(snapshot), told, truth) if part))

    def row_texts(self) -> tuple[tuple[str, str], ...]:
        """Return name and per cent of the rows that are filled."""
        return tuple((name.text(), share.text()) for _, name, _, share in self._rows if name.text())

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        self._set_widths()

    def _set_widths(self) -> None:
        # Fixed widths: no new layout when 9.9 % becomes 10.0 %.
        for _, _, _, share in self._rows:
            share.setFixedWidth(share.fontMetrics().horizontalAdvance("100.0 %") + 2)

    def _show_row(self, row: int, match: Match | None, truth: str) -> None:
        rank, name, bar, share = self._rows[row]
        for cell in (rank, bar):
            cell.setVisible(match is not None)
        if match is None:
            set_text(name, "")
            set_text(share, "")
            return
        right = bool(truth) and match.name == truth
        set_text(name, f"✓ {match.name}" if right else match.name)
        set_text(share, f"{match.probability:.1%}".replace("%", " %"))
        bar.set_bar(match.probability, TRUTH if right else TRACE)
