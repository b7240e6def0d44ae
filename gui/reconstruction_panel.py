"""The picture that is drawn of what is decoded, how much of it is settled, and whether it is live."""

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QStyle, QVBoxLayout, QWidget

from .live_picture import LivePicture, pixmap_of
from .matches_panel import HOLD_S, Bar
from .panel import Panel, label, set_text
from .reconstruction_parts import Extra, Facts
from .reconstruction_words import (
    HELD,
    age_of_text,
    nearest_text,
    no_picture,
    open_text,
    settled_text,
    trial_of,
    was_shown_text,
)
from .snapshot import Reconstruction, Snapshot
from .words import TRACE

__all__ = ["EXTRAS", "ReconstructionPanel"]

#: What is shown beside the picture on request, by the names of their actions.
_NAMES = {"prior": "Prior", "variance": "Imagined", "nearest": "In training"}
EXTRAS = tuple(_NAMES)
_PRIOR = "drawn of no evidence: the mean of all pictures"
_VARIANCE = "bright: other noises draw it otherwise"
_NO_VARIANCE = "known once a trial is decided"
#: Several pictures have their words beside them from this width on, in characters.
_WORDS_EM = 20
#: With reduced motion a picture stays at least this long.
_STILL_S = 1.0


class ReconstructionPanel(Panel):
    """Draws the reconstruction of a snapshot; a shape and words where there is none.

    A picture fades into the next one of its trial. That of another trial takes its place at once, for a mixture of
    the two was never decoded; not more than three times a second, as the pictures of the matches.

    Attributes
    ----------
    reduced_motion : bool
        Cut instead of fading, and at most once a second. At first as the system asks for.
    """

    def __init__(self) -> None:
        super().__init__("Reconstruction")
        self.reduced_motion = not self.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration)
        self._shown: Reconstruction | None = None
        self._changed_s = self._told_s = float("-inf")
        self.picture = LivePicture()
        self._bar = Bar()
        self.settled, self.truth = label("value"), label("truth")
        self.top.addWidget(self.truth)
        self.extras = {name: Extra(text) for name, text in _NAMES.items()}
        self._facts, self._beside = Facts(), QWidget()
        # A picture and an empty place are at the same spot.
        for part in (self._bar, self._facts):
            policy = part.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            part.setSizePolicy(policy)
        self.content.addLayout(self._lay_out(), 1)
        self.set_fonts()

    @property
    def extras_shown(self) -> tuple[str, ...]:
        """Names of what is shown beside the picture."""
        return tuple(name for name, extra in self.extras.items() if not extra.isHidden())

    @property
    def around_px(self) -> tuple[int, int]:
        """Width and height that the panel takes beside the picture itself, extras not counted."""
        margins = self.content.contentsMargins()
        line = self.fontMetrics().height()
        across = margins.left() + margins.right() + self._facts.width_px + 12
        down = margins.top() + margins.bottom() + self.heading.sizeHint().height() + line + 14
        return across, down

    def show_snapshot(self, snapshot: Snapshot, now_s: float) -> bool:
        """Draw what changed.

        Parameters
        ----------
        now_s : float
            Time on a monotonic clock, seconds.

        Returns
        -------
        bool
            Whether the picture was drawn anew or is fading.
        """
        missing = no_picture(snapshot)
        for part in (self._bar, self._facts):
            part.setVisible(missing is None)
        if missing is not None:
            self._forget()
            self.picture.show_nothing(missing)
            set_text(self.settled, "")
            set_text(self.note, "")
            set_text(self.truth, "")
            self.describe(f"{missing.words}: {missing.meaning}")
            return False
        newest = snapshot.reconstruction
        assert newest is not None  # or there would be a reason
        drawn = self._draw(newest, now_s)
        set_text(self.truth, was_shown_text(snapshot, self._shown or newest))
        fading = self.picture.advance(now_s)
        return drawn or fading

    def toggle(self, name: str) -> None:
        """Show one of `EXTRAS`, or hide it again."""
        extra = self.extras[name]
        extra.setVisible(extra.isHidden())
        self._beside.setVisible(bool(self.extras_shown))
        if self._shown is not None:
            self._draw_extras(self._shown)

    def set_extras_width(self, width_px: int) -> None:
        """Limit the width of what is shown beside the picture; the words are left out where there is no room."""
        self._beside.setMaximumWidth(max(1, width_px))
        several = len(self.extras_shown) > 1
        wide = width_px > _WORDS_EM * self.fontMetrics().averageCharWidth()
        for extra in self.extras.values():
            extra.set_flat(several and wide)
            extra.caption.setVisible(wide or not several)

    def toggle_motion(self) -> None:
        """Fade from picture to picture, or cut."""
        self.reduced_motion = not self.reduced_motion

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        self.settled.setFixedWidth(self.settled.fontMetrics().horizontalAdvance("100 % settled") + 2)
        self._facts.set_width()

    def _lay_out(self) -> QHBoxLayout:
        self.settled.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        below = QHBoxLayout()
        below.setContentsMargins(3, 0, 3, 0)
        below.setSpacing(8)
        below.addWidget(self._bar, 1)
        below.addWidget(self.settled)
        left = QVBoxLayout()
        left.setSpacing(6)
        left.addWidget(self.picture, 1)
        left.addLayout(below)
        right = QVBoxLayout(self._beside)
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(8)
        for extra in self.extras.values():
            extra.hide()
            right.addWidget(extra, 1)
        self._beside.hide()
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addLayout(left, 1)
        row.addWidget(self._facts)
        row.addWidget(self._beside, 1)
        return row

    def _forget(self) -> None:
        for extra in self.extras.values():
            extra.show_array(None, "")
        self._shown = None
        self._changed_s = self._told_s = float("-inf")

    def _draw(self, newest: Reconstruction, now_s: float) -> bool:
        """Draw a picture that is new, unless the last one must stay a little longer; and tell of what is drawn."""
        last = self._shown
        new = last is None or newest.number != last.number
        cut = self.reduced_motion or last is None or trial_of(newest.of) != trial_of(last.of)
        stay_s = _STILL_S if self.reduced_motion else HOLD_S
        if last is not None and new and cut and now_s - self._changed_s < stay_s:
            # The words stay those of the picture that stays, but whether it is held is never late.
            new, newest = False, replace(last, held=newest.held)
        if new:
            self.picture.show_picture(pixmap_of(newest.picture), now_s, fade=not cut)
            self._changed_s = now_s if cut else self._changed_s
            self._bar.set_bar(newest.confidence, TRACE)
            self._draw_extras(newest)
        self.picture.set_held(bool(newest.held))
        at_once = last is None or (new and cut) or newest.held != last.held
        self._shown = newest
        if at_once or now_s - self._told_s >= HOLD_S:
            self._told_s = now_s
            self._tell(newest)
        return new

    def _draw_extras(self, newest: Reconstruction) -> None:
        """Draw what was asked for, and nothing else."""
        for name in self.extras_shown:
            extra = self.extras[name]
            if name == "prior":
                extra.show_array(newest.prior, _PRIOR)
            elif name == "variance":
                extra.show_array(newest.variance, _NO_VARIANCE if newest.variance is None else _VARIANCE)
            else:
                extra.show_file(newest.nearest, nearest_text(newest))

    def _tell(self, newest: Reconstruction) -> None:
        """Write the words: as seldom as numbers can be read."""
        set_text(self.note, newest.of)
        set_text(self.settled, settled_text(newest))
        self._facts.show_facts(newest)
        held = f"{HELD}: {newest.held}" if newest.held else ""
        told = (held, newest.of, settled_text(newest), open_text(newest), f"{age_of_text(newest)} old")
        self.describe(", ".join(part for part in told if part))
