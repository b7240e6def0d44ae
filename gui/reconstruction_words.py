"""The words and shapes of a reconstruction: window and terminal say the same. No Qt here."""

import math
from typing import NamedTuple

from .snapshot import UNLIKE_TRAINING, Reconstruction, Snapshot

__all__ = [
    "HELD",
    "NoPicture",
    "age_of_text",
    "made_text",
    "nearest_text",
    "no_picture",
    "open_text",
    "reconstruction_text",
    "settled_text",
    "trial_of",
    "was_shown_text",
]

#: Stands before the reason for which an older picture is still shown.
HELD = "❚❚ held"
#: Below this share a picture would be the mean of all pictures and nothing else.
_LEAST_SETTLED = 0.005


class NoPicture(NamedTuple):
    """Why nothing is drawn: a shape, a few words, and what it means or what to do about it."""

    shape: str
    words: str
    meaning: str


_NO_GENERATOR = NoPicture(
    "○",
    "no generator",
    "None draws what this session decodes. --generator PATH names one.",
)
_NOTHING_DECODED = NoPicture("○", "watching only: no bundle", "Pictures are drawn of what a bundle decodes.")
_NOT_YET = NoPicture("◌", "nothing known yet", "The first picture comes with the first evidence.")
_NOTHING_SETTLED = NoPicture(
    "◌", "nothing settled", "The evidence so far fits any picture as well as any other."
)
_UNLIKE = NoPicture(
    "≠",
    "unlike the training",
    "No picture is drawn of a signal that the decoder has not learnt to read.",
)


def no_picture(snapshot: Snapshot) -> NoPicture | None:
    """Return why there is no picture to show, or None where there is one."""
    newest = snapshot.reconstruction
    if newest is None:
        if snapshot.generator:
            return _NOT_YET
        return _NO_GENERATOR if snapshot.bundle else _NOTHING_DECODED
    if newest.held == UNLIKE_TRAINING:
        return _UNLIKE
    if newest.held and not newest.number:
        return NoPicture("△", "no picture", newest.held)
    return _NOTHING_SETTLED if newest.confidence < _LEAST_SETTLED else None


def settled_text(newest: Reconstruction) -> str:
    """Return which share of what pictures differ in is settled: ``"62 % settled"``."""
    return f"{100 * newest.confidence:.0f} % settled"


def open_text(newest: Reconstruction) -> str:
    """Return what became of the rest: it is not known, and is faded."""
    rest = 100 - round(100 * newest.confidence)
    return f"{rest} % is open and faded to the mean of all pictures" if rest else "nothing is left open"


def age_of_text(newest: Reconstruction) -> str:
    """Return the age of the newest sample that the picture rests on: ``"130 ms"``, ``"5.2 s"``."""
    # Tens are as fine as it can be read while it runs.
    return _time_text(round(newest.age_ms / 10) * 10 if newest.age_ms >= 100 else newest.age_ms)


def made_text(newest: Reconstruction) -> str:
    """Return the steps of the generator and how long they took: ``"1 step, 38 ms"``."""
    steps = "1 step" if newest.n_steps == 1 else f"{newest.n_steps} steps"
    return f"{steps}, {_time_text(newest.draw_ms)}"


def nearest_text(newest: Reconstruction) -> str:
    """Return how far the nearest training picture is, or that none is known."""
    if newest.nearest is None or math.isnan(newest.nearest_distance):
        return "no picture of the training is at hand"
    return f"the nearest picture, cosine distance {newest.nearest_distance:.2f}"


def trial_of(of: str) -> str:
    """Return the trial that a picture or matches are of, without how much of it had been seen: ``"trial 12"``."""
    return of.partition(",")[0]


def was_shown_text(snapshot: Snapshot, drawn: Reconstruction) -> str:
    """Return what was shown in the trial of a picture, where the stimulus beside it is another one by now."""
    now = snapshot.stimulus.name if snapshot.stimulus is not None else ""
    known = snapshot.truth and trial_of(drawn.of) == trial_of(snapshot.matches_of)
    return f"was shown: {snapshot.truth}" if known and snapshot.truth != now else ""


def reconstruction_text(snapshot: Snapshot) -> str:
    """Return all of it on one line, for a view without pictures.

    Such as ``"trial 12, decided · 62 % settled · 130 ms old · 1 step, 38 ms"``, or why there is no picture.
    """
    newest, missing = snapshot.reconstruction, no_picture(snapshot)
    if missing is not None:
        return f"{missing.shape} {missing.words}: {missing.meaning}"
    assert newest is not None  # or there would be a reason
    told = [newest.of, settled_text(newest), f"{age_of_text(newest)} old", made_text(newest)]
    if newest.held:
        told.insert(0, f"{HELD}: {newest.held}")
    return " · ".join(part for part in told if part)


def _time_text(time_ms: float) -> str:
    if math.isnan(time_ms):
        return "—"
    return f"{time_ms / 1e3:.1f} s" if time_ms >= 1000 else f"{time_ms:.0f} ms"
