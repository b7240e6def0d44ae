"""The words, shapes and colours that every view shares: window and terminal say the same. No Qt here."""

from typing import NamedTuple

from decode_stream.stream.types import Event

from .snapshot import Accuracy, Match, Progress, Snapshot

__all__ = [
    "BACKGROUND",
    "CHANCE",
    "GRID",
    "MARKER",
    "MARKER_LINE",
    "MUTED",
    "SLOW_HZ",
    "STATE_MARKS",
    "SURFACE",
    "TEXT",
    "TRACE",
    "TRUTH",
    "WARNING",
    "StateMark",
    "accuracy_text",
    "age_text",
    "chance_text",
    "clock_text",
    "drops",
    "event_text",
    "is_slow",
    "latency_text",
    "match_name",
    "matches_text",
    "percent_text",
    "rare_drops",
    "rate_text",
    "sample_word",
    "signal_span_s",
    "state_text",
    "stimulus_note",
    "stimulus_text",
    "unit_text",
]

# Okabe and Ito's colours, safe for colour-blind readers; each has a contrast of at least 4.5 on both grounds.
BACKGROUND = "#11151A"
SURFACE = "#141920"
GRID = "#2A323C"
TEXT = "#E6EAEE"
MUTED = "#9AA5B1"
TRACE = "#56B4E9"
TRUTH = "#009E73"
CHANCE = "#E69F00"
MARKER = "#CC79A7"
MARKER_LINE = "#70485F"  # half of MARKER over SURFACE: lines stay behind the traces
WARNING = "#E69F00"

#: Below this rate a stream is told of in samples and seconds: volumes of a scanner come every one to three seconds.
SLOW_HZ = 10.0


class StateMark(NamedTuple):
    """Shape and colour of a state; its name goes with them, so that colour never speaks alone."""

    shape: str
    colour: str


STATE_MARKS = {
    "idle": StateMark("○", MUTED),
    "searching": StateMark("◌", "#F0E442"),
    "connected": StateMark("●", TRACE),
    "decoding": StateMark("◆", TRUTH),
    "stalled": StateMark("▲", WARNING),
    "lost": StateMark("■", "#D55E00"),
    "ended": StateMark("□", MUTED),
}


def state_text(snapshot: Snapshot) -> str:
    """Return the state with its shape, and for how long where waiting counts: ``"▲ stalled 2.3 s"``."""
    text = f"{STATE_MARKS[snapshot.state].shape} {snapshot.state}"
    if snapshot.state == "stalled":
        return f"{text} {snapshot.state_for_s:.1f} s"
    if snapshot.state in ("searching", "lost"):
        return f"{text} {snapshot.state_for_s:.0f} s"
    return text


def is_slow(sfreq_hz: float) -> bool:
    """Return whether single samples of a stream can be followed by eye; False while its rate is not known (0)."""
    return 0 < sfreq_hz < SLOW_HZ


def sample_word(modality: str | None) -> str:
    """Return what a moment of all channels is called: ``"sample"``, in fMRI ``"volume"``."""
    return "volume" if modality == "fmri" else "sample"


def signal_span_s(sfreq_hz: float) -> float:
    """Return how far back a view shows the signal: tens of volumes where one takes seconds. Seconds."""
    return 60.0 if is_slow(sfreq_hz) else 5.0


def rate_text(snapshot: Snapshot, rate_hz: float) -> tuple[str, str]:
    """Return what is told of the rate and its value: ``("rate", "250 Hz")``, ``("1 volume every", "1.33 s")``.

    Parameters
    ----------
    rate_hz : float
        Samples a second; 0 tells that none come.
    """
    if not is_slow(snapshot.sfreq_hz):
        return "rate", f"{rate_hz:.0f} Hz"
    return f"1 {sample_word(snapshot.modality)} every", f"{1 / rate_hz:.2f} s" if rate_hz else "—"


def age_text(snapshot: Snapshot) -> str:
    """Return the age of the newest sample, in seconds where that is what counts: ``"4 ms"``, ``"0.8 s"``."""
    age_ms = snapshot.age_ms
    if age_ms is None:
        return "—"
    if is_slow(snapshot.sfreq_hz) or age_ms >= 1000:
        return f"{age_ms / 1e3:.1f} s"
    return f"{age_ms:.0f} ms"


def clock_text(time_s: float) -> str:
    """Return seconds as ``m:ss``, or ``h:mm:ss`` from one hour on."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def event_text(event: Event) -> str:
    """Return an event on one line: ``"0:42 gap: 12 samples lost"``."""
    return f"{clock_text(event.time_s)} {event.kind}: {event.text}"


def drops(progress: Progress) -> tuple[tuple[str, int], ...]:
    """Return the four counts of what was dropped that a view always shows."""
    return (
        ("lost", progress.lost),
        ("duplicate", progress.duplicate),
        ("withheld", progress.windows_withheld),
        ("skipped", progress.windows_skipped),
    )


def rare_drops(progress: Progress) -> str:
    """Return the other counts that are not zero in words, or an empty string."""
    counts = (
        ("reordered", progress.reordered),
        ("non-finite", progress.non_finite),
        ("superseded", progress.windows_superseded),
        ("markers missed", progress.markers_missed),
        ("markers unknown", progress.markers_unknown),
    )
    return " · ".join(f"{name} {count}" for name, count in counts if count)


def latency_text(latency_ms: tuple[tuple[str, float, float], ...]) -> str:
    """Return median and 99th percentile of every stage: ``"decode 1.2 / 3.4 ms"``."""
    return " · ".join(f"{stage} {p50:.1f} / {p99:.1f} ms" for stage, p50, p99 in latency_ms)


def chance_text(accuracy: Accuracy) -> str:
    """Return the level of guessing in words, with as many digits as it takes to be more than zero."""
    return f"chance {accuracy.chance:.2f}" if accuracy.k <= 50 else f"chance {accuracy.chance:.2g}"


def accuracy_text(accuracy: Accuracy) -> str:
    """Return the accuracy so far with its interval, n and AUC; what is missing while nothing is scored."""
    if not accuracy.n or not len(accuracy.top1):
        return "no trial scored yet"
    text = (
        f"top-1 {accuracy.top1[-1]:.2f} [{accuracy.low[-1]:.2f}, {accuracy.high[-1]:.2f}] · n = {accuracy.n}"
    )
    return text if accuracy.auc is None else f"{text} · AUC {accuracy.auc:.2f}"


def unit_text(unit: str) -> str:
    """Return a unit as it is printed: ``uV`` with the Greek letter, and words where there is none."""
    if unit in ("", "scaled"):
        return "units" if not unit else "scaled units"
    return f"\N{MICRO SIGN}{unit[1:]}" if unit.startswith("u") else unit


def matches_text(snapshot: Snapshot) -> str:
    """Return what the matches speak of, or why there are none."""
    if snapshot.matches:
        return snapshot.matches_of
    return "no evidence yet" if snapshot.bundle else "watching only: no bundle"


def match_name(match: Match, truth: str) -> str:
    """Return the name of a match, with a check mark where it is the truth."""
    return f"✓ {match.name}" if truth and match.name == truth else match.name


def percent_text(fraction: float) -> str:
    """Return a fraction in per cent: ``"86.6 %"``."""
    return f"{100 * fraction:.1f} %"


def stimulus_text(snapshot: Snapshot) -> str:
    """Return the name of what is shown now, or why there is none."""
    if snapshot.stimulus is not None:
        return snapshot.stimulus.name
    return "nothing shown" if snapshot.progress.trials_seen else "no marker yet"


def stimulus_note(snapshot: Snapshot) -> str:
    """Return why a stimulus that is shown now can be no match, or an empty string."""
    unknown = snapshot.stimulus is not None and not snapshot.stimulus.known and snapshot.bundle
    return "not in the gallery" if unknown else ""
