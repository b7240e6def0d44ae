"""A window of its own: a past trial, a region silenced or raised, and the matches before and after."""

from collections.abc import Callable

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSlider, QVBoxLayout, QWidget

from .matches_panel import HOLD_S, N_MATCHES, MatchCard
from .panel import Panel, label, set_text
from .pictures import Pictures
from .snapshot import Match, Snapshot, WhatIfAnswer, WhatIfQuestion

__all__ = ["WhatIfPanel"]

_SILENCE, _RAISE = "Silence", "Raise"
#: The slider goes in halves of a training standard deviation, up to where windows are limited in training.
_STEP_SD, _MOST_STEPS, _USUAL_STEPS = 0.5, 10, 4
_NOTHING_YET = "No trial is over yet."
_NO_REGIONS = "This session knows no regions: bundles keep them that were trained on fMRI in NSD's folders."


class WhatIfPanel(QWidget):
    """Asks what would have been decoded, and draws the answer when it is there.

    Parameters
    ----------
    pictures : Pictures
        Of the gallery.
    ask : callable
        Takes a question and returns at once; the answer comes with a later snapshot.
    parent : QWidget, optional
        The window that it belongs to.
    """

    def __init__(
        self, pictures: Pictures, ask: Callable[[WhatIfQuestion], None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setWindowTitle("What if")
        self.setAccessibleName("What if")
        self._ask = ask
        self._snapshot: Snapshot | None = None
        self._asked: WhatIfQuestion | None = None
        self._drawn: WhatIfAnswer | None = None
        self._drawn_s = float("-inf")
        self.trial, self.region, self.change = QComboBox(), QComboBox(), QComboBox()
        self.change.addItems([_SILENCE, _RAISE])
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(1, _MOST_STEPS)
        self.slider.setValue(_USUAL_STEPS)
        self.amount = label("value")
        self.note = label("muted", elided=True)
        self.before, self.after = _Row("As it was", pictures), _Row("As it would have been", pictures)
        self._lay_out()
        self._describe_choices()
        for box in (self.trial, self.region, self.change):
            box.currentIndexChanged.connect(self._chosen)
        self.slider.valueChanged.connect(self._chosen)
        self.resize(900, 520)

    @property
    def question(self) -> WhatIfQuestion | None:
        """What is chosen now, or None where there is nothing to ask."""
        past = self._snapshot.past if self._snapshot else ()
        if not past or not self.region.currentText():
            return None
        number = self.trial.currentData()
        trial = past[-1].number if number is None else int(number)
        return WhatIfQuestion(trial, self.region.currentText(), self._raise_sd)

    @property
    def _raise_sd(self) -> float | None:
        return None if self.change.currentText() == _SILENCE else _STEP_SD * self.slider.value()

    def show_snapshot(self, snapshot: Snapshot, now_s: float) -> None:
        """Take over the trials and regions that there are, and draw an answer that has come; nothing while hidden.

        Parameters
        ----------
        now_s : float
            Time on a monotonic clock, seconds.
        """
        self._snapshot = snapshot
        if not self.isVisible():
            return
        self._fill(snapshot)
        self._ask_anew()
        answer = snapshot.what_if
        if answer is None or answer is self._drawn or now_s - self._drawn_s < HOLD_S:
            self._tell(snapshot)
            return
        self._drawn, self._drawn_s = answer, now_s
        self.before.show_matches(answer.before, answer.truth, with_pictures=snapshot.has_pictures)
        self.after.show_matches(answer.after, answer.truth, with_pictures=snapshot.has_pictures)
        self._tell(snapshot)

    def set_fonts(self) -> None:
        """Take over the type size of the window."""
        for row in (self.before, self.after):
            row.set_widths()

    def _lay_out(self) -> None:
        choices = QHBoxLayout()
        choices.setSpacing(10)
        for name, box, share in (
            ("Trial", self.trial, 2),
            ("Region", self.region, 3),
            ("Change", self.change, 1),
        ):
            box.setAccessibleName(name)
            choices.addWidget(label("caption", name))
            choices.addWidget(box, share)
        self.slider.setAccessibleName("By how many training standard deviations")
        choices.addWidget(self.slider, 2)
        choices.addWidget(self.amount)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(8, 8, 8, 8)
        rows.addLayout(choices)
        rows.addWidget(self.note)
        rows.addWidget(self.before, 1)
        rows.addWidget(self.after, 1)

    def _fill(self, snapshot: Snapshot) -> None:
        """Offer what there is, and keep what is chosen as long as it is there."""
        regions = [self.region.itemText(i) for i in range(self.region.count())]
        if regions != list(snapshot.regions):
            self.region.clear()
            self.region.addItems(list(snapshot.regions))
        wanted: list[tuple[str, int | None]] = [("the newest", None)] if snapshot.past else []
        wanted += [(f"{trial.number + 1}: {trial.name}", trial.number) for trial in reversed(snapshot.past)]
        if wanted == [(self.trial.itemText(i), self.trial.itemData(i)) for i in range(self.trial.count())]:
            return
        chosen = self.trial.currentData()
        self.trial.blockSignals(True)
        self.trial.clear()
        for text, number in wanted:
            self.trial.addItem(text, number)
        self.trial.setCurrentIndex(next((i for i, (_, n) in enumerate(wanted) if n == chosen), 0))
        self.trial.blockSignals(False)

    @Slot()
    def _chosen(self) -> None:
        self._describe_choices()
        self._ask_anew()

    def _describe_choices(self) -> None:
        raised = self._raise_sd
        self.slider.setEnabled(raised is not None)
        set_text(self.amount, "to the mean" if raised is None else f"+{raised:.1f} SD")

    def _ask_anew(self) -> None:
        question = self.question
        if question is not None and question != self._asked:
            self._asked = question
            self._ask(question)

    def _tell(self, snapshot: Snapshot) -> None:
        """Say what the answer is of, or why there is none."""
        if not snapshot.regions or not snapshot.past:
            set_text(self.note, _NOTHING_YET if snapshot.regions else _NO_REGIONS)
            return
        answer = self._drawn
        if answer is None:
            set_text(self.note, "Decoding…")
            return
        asked = answer.question
        done = "silent" if asked.raise_sd is None else f"raised by {asked.raise_sd:g} SD"
        of = f"Trial {asked.trial + 1}, {answer.truth or 'of no gallery entry'}; {asked.region} {done}"
        rest = answer.failure or f"{answer.n_voxels} voxels, cosine of the embeddings {answer.cosine:.3f}"
        set_text(self.note, f"{of}; {rest}")


class _Row(Panel):
    """Five matches in a row."""

    def __init__(self, title: str, pictures: Pictures) -> None:
        super().__init__(title)
        self.cards = tuple(MatchCard(pictures) for _ in range(N_MATCHES))
        row = QHBoxLayout()
        row.setSpacing(14)
        for card in self.cards:
            row.addWidget(card, 1)
        self.content.addLayout(row, 1)
        self.set_widths()

    def show_matches(self, matches: tuple[Match, ...], truth: str, *, with_pictures: bool) -> None:
        """Draw the best matches; what was shown is marked."""
        for k, card in enumerate(self.cards):
            card.show_match(matches[k] if k < len(matches) else None, truth, with_picture=with_pictures)
        self.describe(", ".join(f"{match.name} {match.probability:.0%}" for match in matches))

    def texts(self) -> tuple[tuple[str, str], ...]:
        """Return name and per cent of what is drawn."""
        return tuple((card.name.text(), card.share.text()) for card in self.cards if card.name.text())

    def set_widths(self) -> None:
        """Take over the type size of the window."""
        for card in self.cards:
            card.set_width()
