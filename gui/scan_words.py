"""The words and shapes of a run of fMRI, for window and terminal alike. No Qt here."""

from collections import Counter
from math import isfinite, nan

import numpy as np

from .scan import TRIAL_STATES, ScanView, TrialLine, TwoWay
from .words import MUTED, TRACE, TRUTH, WARNING, StateMark, clock_text, percent_text

__all__ = [
    "DISPLACEMENT_LIMIT_MM",
    "RISING",
    "TRIAL_MARKS",
    "TWO_WAY_CHANCE",
    "WRONG",
    "compared_text",
    "motion_text",
    "newest_decided",
    "run_text",
    "states_text",
    "trial_colour",
    "trial_mark",
    "trial_text",
    "trial_tip",
    "two_way_text",
    "volume_time_text",
]

# Okabe and Ito's, as in `words`.
RISING = "#F0E442"
WRONG = "#D55E00"

#: Above this framewise displacement a volume is commonly taken to be spoilt (Power et al. 2012). Millimetres.
DISPLACEMENT_LIMIT_MM = 0.5
TWO_WAY_CHANCE = 0.5

#: What a trial looks like before it is known whether it was right; from then on it is filled where it was, else hollow.
TRIAL_MARKS = {
    "seen": StateMark("+", MUTED),
    "rising": StateMark("△", RISING),
    "decided": StateMark("●", TRACE),
    "refined": StateMark("◆", TRACE),
    "final": StateMark("■", TRACE),
    "withheld": StateMark("✕", WARNING),
}

_HOLLOW = {"●": "○", "◆": "◇", "■": "□"}


def trial_colour(line: TrialLine) -> str:
    """Return the colour of a trial: that of right or wrong once it is known, before that of its state."""
    if line.right is None or line.state == "withheld":
        return TRIAL_MARKS[line.state].colour
    return TRUTH if line.right else WRONG


def trial_mark(line: TrialLine) -> str:
    """Return the shape of a trial: that of its state, hollow where it is wrong."""
    shape = TRIAL_MARKS[line.state].shape
    return _HOLLOW.get(shape, shape) if line.right is False else shape


def trial_text(line: TrialLine) -> str:
    """Return the best match of a trial with its probability and what was shown: ``"✗ pear 40.3 %, shown: tiger"``."""
    if not line.best:
        return ""
    told = f"{line.best} {percent_text(line.probability)}"
    if line.right is None:
        return told
    return f"✓ {told}" if line.right else f"✗ {told}, shown: {line.name}"


def trial_tip(line: TrialLine) -> str:
    """Return all that is known of a trial, in lines."""
    state = f"{line.state}: {line.reason}" if line.reason else line.state
    head = f"trial {line.number + 1} at {clock_text(line.onset_s)}, {state}"
    return "\n".join(part for part in (head, trial_text(line) or f"shown: {line.name}") if part)


def newest_decided(view: ScanView) -> TrialLine | None:
    """Return the newest trial that has a best match, or None before the first."""
    return next((line for line in reversed(view.trials) if line.best), None)


def states_text(view: ScanView) -> str:
    """Return how many of the trials are in which state: ``"+ 1 seen · △ 2 rising · ● 40 decided"``."""
    counts = Counter(line.state for line in view.trials)
    return " · ".join(
        f"{TRIAL_MARKS[state].shape} {counts[state]} {state}" for state in TRIAL_STATES if counts[state]
    )


def run_text(view: ScanView) -> str:
    """Return how far the run is: ``"volume 121 of 222 · 2:41 of 4:56"``."""
    if not view.planned_volumes:
        return f"volume {view.n_volumes} · {clock_text(view.now_s)}"
    end = clock_text(view.planned_volumes * view.tr_s)
    return f"volume {view.n_volumes} of {view.planned_volumes} · {clock_text(view.now_s)} of {end}"


def two_way_text(trace: TwoWay) -> str:
    """Return two-way identification so far with its interval and n."""
    if not trace.n:
        return "no trial scored yet"
    return f"two-way {trace.mean[-1]:.2f} [{trace.low[-1]:.2f}, {trace.high[-1]:.2f}] · n = {trace.n}"


def compared_text(view: ScanView) -> str:
    """Return the accuracy of the same trials as decided and as they stand since, or an empty string."""
    if not view.compared:
        return ""
    n = view.compared[0][2]
    told = ", ".join(f"{state} {accuracy:.2f}" for state, accuracy, _ in view.compared)
    return f"top-1 of the same {n} {'trial' if n == 1 else 'trials'}: {told}"


def motion_text(view: ScanView) -> str:
    """Return what is known of motion, noise and losses: ``"displacement 0.12 mm, 3 of 120 above 0.5 mm · ..."``."""
    parts = list[str]()
    if view.displacement_mm is not None and np.isfinite(view.displacement_mm).any():
        above = int(np.sum(view.displacement_mm > DISPLACEMENT_LIMIT_MM))
        parts.append(
            f"displacement {_newest(view.displacement_mm):.2f} mm, {above} of {view.n_volumes} volumes above "
            f"{DISPLACEMENT_LIMIT_MM:g} mm"
        )
    if isfinite(view.tsnr):
        parts.append(f"median tSNR {view.tsnr:.0f}")
    parts.append(f"{view.n_lost} {'volume' if view.n_lost == 1 else 'volumes'} lost")
    return " · ".join(parts)


def volume_time_text(view: ScanView) -> str:
    """Return how long a volume took to its belief, against the TR: ``"belief after 12 ms, p99 61 ms of 1333 ms"``."""
    if view.volume_ms is None:
        return ""
    last, p99 = view.volume_ms
    return f"belief after {last:.0f} ms, p99 {p99:.0f} ms, TR {1e3 * view.tr_s:.0f} ms"


def _newest(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else nan
