"""A session in the terminal: a live picture where there is one to draw on, a line now and then where not."""

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from decode_stream.gui.reconstruction_words import reconstruction_text
from decode_stream.gui.scan import ScanView
from decode_stream.gui.scan_words import (
    TWO_WAY_CHANCE,
    compared_text,
    motion_text,
    newest_decided,
    run_text,
    states_text,
    trial_colour,
    trial_mark,
    trial_text,
    two_way_text,
    volume_time_text,
)
from decode_stream.gui.snapshot import Puller, Snapshot
from decode_stream.gui.words import (
    STATE_MARKS,
    TRACE,
    TRUTH,
    WARNING,
    accuracy_text,
    age_text,
    chance_text,
    clock_text,
    drops,
    event_text,
    latency_text,
    match_name,
    matches_text,
    percent_text,
    rare_drops,
    state_text,
    stimulus_note,
    stimulus_text,
)
from decode_stream.stream.types import Event

__all__ = ["picture", "progress_line", "run_terminal"]

_PULL_S = 0.1
_LINE_EVERY_S = 5.0
_N_MATCHES = 5
_BAR_CELLS = 24
#: Trials of a run that stand in one line, the newest of them; a run of NSD has 62.
_N_MARKS = 70


def run_terminal(
    puller: Puller, console: Console | None = None, wait: Callable[[float], None] = time.sleep
) -> None:
    """Show a session on a terminal until it has ended.

    A terminal with colour gets a picture that is redrawn in place; a file, a pipe, a dumb terminal or one
    with ``NO_COLOR`` gets one line every 5 s, and one at each change of state, which ends with the latest event; the
    events before it that no line has told yet stand above.

    Parameters
    ----------
    puller : Puller
        The session to show.
    console : rich.console.Console, optional
        Where to draw; standard error if not given, so that results keep standard output to themselves.
    wait : callable
        Waits for the given number of seconds between two pulls.
    """
    console = console or Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal and not console.no_color:
        _run_picture(puller, console, wait)
    else:
        _run_lines(puller, console, wait)


def picture(snapshot: Snapshot) -> Group:
    """Return a snapshot as rich draws it: state, counts, latency, accuracy, stimulus, matches, latest event."""
    counts = " · ".join(f"{name} {count}" for name, count in drops(snapshot.progress))
    rare = rare_drops(snapshot.progress)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bright_black", min_width=len("accuracy"))
    facts.add_column()
    facts.add_row("bundle", Text(" on ".join(part for part in (snapshot.bundle, snapshot.provider) if part)))
    facts.add_row("windows", Text(_windows_text(snapshot)))
    facts.add_row("dropped", Text(counts + (f" · {rare}" if rare else ""), _drop_style(snapshot)))
    facts.add_row("latency", Text(latency_text(snapshot.latency_ms) or "—"))
    facts.add_row("accuracy", Text(_accuracy_line(snapshot)))
    if snapshot.scan is not None:
        _add_scan(facts, snapshot.scan)
    facts.add_row("stimulus", Text(_stimulus(snapshot)))
    facts.add_row("matches", _matches(snapshot))
    if snapshot.generator:
        facts.add_row("picture", Text(reconstruction_text(snapshot)))
    facts.add_row("latest", Text(event_text(snapshot.events[-1]) if snapshot.events else "—"))
    return Group(_state_line(snapshot), facts)


def progress_line(snapshot: Snapshot) -> str:
    """Return a snapshot as one plain line."""
    parts = [state_text(snapshot), clock_text(snapshot.duration_s)]
    parts.append(_windows_text(snapshot))
    parts += [f"{name} {count}" for name, count in drops(snapshot.progress) if count]
    parts.append(rare_drops(snapshot.progress))
    if snapshot.accuracy.n:
        parts.append(_accuracy_line(snapshot))
    if snapshot.scan is not None:
        parts += _scan_parts(snapshot.scan)
    if snapshot.matches:
        parts.append(_best_match(snapshot))
    if snapshot.reconstruction is not None:
        parts.append(f"picture of {reconstruction_text(snapshot)}")
    if snapshot.events:
        parts.append(event_text(snapshot.events[-1]))
    return " | ".join(part for part in parts if part)


def _run_picture(puller: Puller, console: Console, wait: Callable[[float], None]) -> None:
    # The end is always drawn and stays on the screen above what is printed next.
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            snapshot = puller.snapshot()
            live.update(picture(snapshot), refresh=True)
            if snapshot.state == "ended":
                return
            wait(_PULL_S)


def _run_lines(puller: Puller, console: Console, wait: Callable[[float], None]) -> None:
    state, silent_s, told = "", 0.0, tuple[Event, ...]()
    while True:
        snapshot = puller.snapshot()
        if snapshot.state != state or silent_s >= _LINE_EVERY_S:
            for event in snapshot.events[:-1]:
                if event not in told:
                    console.print(event_text(event), markup=False, highlight=False, soft_wrap=True)
            console.print(progress_line(snapshot), markup=False, highlight=False, soft_wrap=True)
            state, silent_s, told = snapshot.state, 0.0, snapshot.events
        if snapshot.state == "ended":
            return
        wait(_PULL_S)
        silent_s += _PULL_S


def _state_line(snapshot: Snapshot) -> Text:
    line = Text(state_text(snapshot), f"bold {STATE_MARKS[snapshot.state].colour}")
    age = "" if snapshot.age_ms is None else f"age {age_text(snapshot)}"
    for part in (snapshot.source, clock_text(snapshot.duration_s), age):
        if part:
            line.append(f"   {part}", "default not bold")
    return line


def _windows_text(snapshot: Snapshot) -> str:
    progress = snapshot.progress
    return (
        f"{progress.windows_decoded} of {progress.windows_due} windows decoded,"
        f" {progress.trials_scored} of {progress.trials_seen} trials scored"
    )


def _accuracy_line(snapshot: Snapshot) -> str:
    accuracy = snapshot.accuracy
    if not accuracy.n:
        return accuracy_text(accuracy)
    return f"{accuracy_text(accuracy)} · {chance_text(accuracy)} · {accuracy.protocol}"


def _add_scan(facts: Table, view: ScanView) -> None:
    """Add what is known of a run of fMRI."""
    newest = newest_decided(view)
    strip = Text()
    for line in view.trials[-_N_MARKS:]:
        strip.append(trial_mark(line), trial_colour(line))
    lines = [strip, Text(states_text(view))] if view.trials else [Text("none yet")]
    if newest is not None:
        lines.append(Text(f"trial {newest.number + 1} {newest.state}: {trial_text(newest)}"))
    facts.add_row("run", Text(run_text(view)))
    facts.add_row("trials", Group(*lines))
    facts.add_row("two-way", Text(" · ".join(_two_way_parts(view))))
    facts.add_row("volumes", Text(" · ".join(p for p in (motion_text(view), volume_time_text(view)) if p)))


def _scan_parts(view: ScanView) -> list[str]:
    """Return what is known of a run of fMRI, in parts of a line."""
    two_way = _two_way_parts(view) if view.two_way.n else []
    return [run_text(view), states_text(view), *two_way, motion_text(view), volume_time_text(view)]


def _two_way_parts(view: ScanView) -> list[str]:
    chance = f"chance {TWO_WAY_CHANCE:.2f}" if view.two_way.n else ""
    parts = [two_way_text(view.two_way), chance, compared_text(view)]
    return [part for part in parts if part]


def _drop_style(snapshot: Snapshot) -> str:
    dropped = any(count for _, count in drops(snapshot.progress)) or rare_drops(snapshot.progress)
    return WARNING if dropped else ""


def _stimulus(snapshot: Snapshot) -> str:
    note = stimulus_note(snapshot)
    return f"{stimulus_text(snapshot)} ({note})" if note else stimulus_text(snapshot)


def _best_match(snapshot: Snapshot) -> str:
    """Return the first match in a few words, with the truth where that is another."""
    best = snapshot.matches[0]
    told = f"{matches_text(snapshot)}: {match_name(best, snapshot.truth)} {percent_text(best.probability)}"
    return told if snapshot.truth in ("", best.name) else f"{told}, was shown: {snapshot.truth}"


def _matches(snapshot: Snapshot) -> Group:
    matches, truth = snapshot.matches[:_N_MATCHES], snapshot.truth
    head = Text(matches_text(snapshot), "bright_black")
    if truth and matches and all(match.name != truth for match in matches):
        head.append(f", was shown: {truth}", TRUTH)
    lines = [head]
    for match in matches:
        right = bool(truth) and match.name == truth
        name = match_name(match, truth) if right else f"  {match.name}"
        line = Text(f"{name[:24]:<24} {percent_text(match.probability):>7} ")
        line.append("━" * round(match.probability * _BAR_CELLS), TRUTH if right else TRACE)
        lines.append(line)
    return Group(*lines)
