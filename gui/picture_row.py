"""The upper row of the window: what is shown, what is drawn of it, and the best matches."""

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter, QWidget

from .matches_panel import MatchesPanel
from .reconstruction_panel import ReconstructionPanel
from .stimulus_panel import StimulusPanel

__all__ = ["PictureRow", "split"]

#: Without a reconstruction the stimulus is one picture of six.
_SHARES = (2, 0, 9)
#: The pictures leave the matches at least this share of the width.
_MATCHES_SHARE = 0.33
#: A smaller picture beside the reconstruction, in sides of it.
_EXTRA_SHARE = 0.75
_EXTRA_GAP_PX = 12
_FRAME_PX = 3  # around every picture, see `Thumbnail`


def split(direction: Qt.Orientation, parts: tuple[QWidget, ...], shares: tuple[int, ...]) -> QSplitter:
    """Return the parts side by side or one above the other, parted in these shares until they are dragged."""
    splitter = QSplitter(direction)
    fill(splitter, parts, shares)
    return splitter


def fill(splitter: QSplitter, parts: tuple[QWidget, ...], shares: tuple[int, ...]) -> None:
    """Put the parts into a splitter in these shares."""
    splitter.setHandleWidth(8)
    splitter.setChildrenCollapsible(False)
    for k, (part, share) in enumerate(zip(parts, shares, strict=True)):
        splitter.addWidget(part)
        splitter.setStretchFactor(k, share)
    splitter.setSizes([1000 * share for share in shares])


class PictureRow(QSplitter):
    """Stimulus and reconstruction side by side, both of one size, and beside them the matches.

    Attributes
    ----------
    beside : QSplitter
        Holds the matches, and room below them.
    """

    def __init__(
        self, stimulus: StimulusPanel, reconstruction: ReconstructionPanel, matches: MatchesPanel
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._stimulus, self._reconstruction = stimulus, reconstruction
        self.beside = split(Qt.Orientation.Vertical, (matches,), (1,))
        fill(self, (stimulus, reconstruction, self.beside), _SHARES)
        reconstruction.hide()

    @property
    def with_reconstruction(self) -> bool:
        """Whether there is a reconstruction."""
        return not self._reconstruction.isHidden()

    def show_reconstruction(self, *, shown: bool) -> bool:
        """Show the reconstruction or not; return whether that changed anything."""
        if shown == self.with_reconstruction:
            return False
        self._reconstruction.setVisible(shown)
        self.setSizes([1000 * share for share in _SHARES])
        self.share()
        return True

    def share(self) -> None:
        """Give stimulus and reconstruction the width that goes with their height, and the matches the rest.

        Until the row changes its size, the user may drag them. Without a reconstruction it does nothing.
        """
        if not self.with_reconstruction:
            return
        panel = self._reconstruction
        across, down = panel.around_px
        margins = self._stimulus.content.contentsMargins()
        around = margins.left() + margins.right() + across + 4 * _FRAME_PX
        extra = _EXTRA_SHARE * bool(panel.extras_shown)
        gap = _EXTRA_GAP_PX * bool(extra)
        matches = max(_MATCHES_SHARE * self.width(), self.beside.minimumSizeHint().width())
        room = self.width() - matches - around - gap - 2 * self.handleWidth()
        side = max(40.0, min(self.height() - down, room / (2 + extra)))
        panel.set_extras_width(round(extra * side))
        stimulus = side + margins.left() + margins.right() + 2 * _FRAME_PX
        drawn = (1 + extra) * side + across + 2 * _FRAME_PX + gap
        rest = self.width() - stimulus - drawn - 2 * self.handleWidth()
        self.setSizes([round(stimulus), round(drawn), max(1, round(rest))])

    def resizeEvent(self, event: Any) -> None:
        """Share the room anew."""
        super().resizeEvent(event)
        self.share()
