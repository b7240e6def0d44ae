import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from decode_stream.gui.snapshot import (
    Accuracy,
    Match,
    Progress,
    ScanView,
    Snapshot,
    Stimulus,
    TrialLine,
    TwoWay,
)
from decode_stream.sessions.terminal import picture, progress_line, run_terminal
from decode_stream.stream.types import Event

SEARCHING = Snapshot("searching", 12.0, bundle="faces", provider="CPU")
DECODING = Snapshot(
    "decoding",
    1.0,
    source="'Muse' EEG, 5 ch @ 256 Hz",
    duration_s=125.0,
    age_ms=4.2,
    latency_ms=(("decode", 1.2, 3.4),),
    progress=Progress(received=32000, lost=12, windows_due=4990, windows_decoded=4986, windows_withheld=4),
    accuracy=Accuracy(
        "single trial, 2-way",
        2,
        40,
        np.array([0.7]),
        np.array([40]),
        np.array([0.55]),
        np.array([0.82]),
        "Wilson, pointwise",
    ),
    matches=(Match("face", 0.83), Match("house", 0.17)),
    matches_of="trial 40, up to 350 ms after onset",
    truth="face",
    provider="CPU",
    bundle="faces",
    events=(Event(42.0, "gap", "12 samples lost"),),
)


class Played:
    """A session that goes through the given snapshots, one a pull."""

    def __init__(self, *snapshots: Snapshot) -> None:
        self.left = list(snapshots)

    def snapshot(self) -> Snapshot:
        return self.left.pop(0)

    def signal(self, seconds: float) -> None:
        return None

    def picture(self, name: str) -> None:
        raise AssertionError("a terminal shows no pictures")

    def stop(self) -> None:
        raise AssertionError("a view that only looks on stopped the session")


def run(*snapshots: Snapshot, waited: list[float] | None = None, **options: object) -> str:
    file = io.StringIO()
    puller = Played(*snapshots)
    waits: list[float] = [] if waited is None else waited
    run_terminal(puller, Console(file=file, width=120, **options), wait=waits.append)
    assert puller.left == []
    return file.getvalue()


def test_a_terminal_shows_all_a_session_knows(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = run(SEARCHING, DECODING, replace(DECODING, state="ended"), force_terminal=True, color_system="256")
    for part in (
        "◌ searching 12 s",
        "◆ decoding",
        "□ ended",
        "'Muse' EEG, 5 ch @ 256 Hz",
        "4986 of 4990 windows decoded",
        "lost 12 · duplicate 0 · withheld 4 · skipped 0",
        "top-1 0.70 [0.55, 0.82] · n = 40 · chance 0.50 · single trial, 2-way",
        "decode 1.2 / 3.4 ms",
        "✓ face",
        "83.0 %",
        "0:42 gap: 12 samples lost",
        "no evidence yet",
    ):
        assert part in text


def test_a_narrow_terminal_cuts_nothing_off():
    console = Console(file=io.StringIO(), width=60)
    console.print(picture(DECODING))
    words = console.file.getvalue().split()
    assert {"accuracy", "latency", "matches", "2-way", "skipped", "house"} <= set(words)


@pytest.mark.parametrize("reason", ["a file", "NO_COLOR", "dumb"])
def test_plain_output_has_no_control_codes(monkeypatch, reason):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "dumb" if reason == "dumb" else "xterm")
    if reason == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    text = run(SEARCHING, DECODING, replace(DECODING, state="ended"), force_terminal=reason != "a file")
    assert "\x1b" not in text
    assert [line.split(" | ")[0] for line in text.splitlines()] == [
        "◌ searching 12 s",
        "◆ decoding",
        "□ ended",
    ]


def test_plain_output_is_one_line_every_five_seconds():
    waited: list[float] = []
    text = run(*[DECODING] * 121, replace(DECODING, state="ended"), waited=waited)
    assert sum(waited) == pytest.approx(12.1)
    assert len(text.splitlines()) == 4  # at 0, 5 and 10 s, and the end


def test_plain_output_tells_every_event_that_a_later_one_has_pushed_away():
    first, second, third = (Event(float(n), "note", f"word {n}") for n in (1, 2, 3))
    some = replace(SEARCHING, events=(first, second))
    more = replace(DECODING, events=(first, second, third))
    text = run(some, more, replace(more, state="ended"))
    assert [text.count(event.text) for event in (first, second, third)] == [1, 1, 2]
    assert text.splitlines()[0] == "0:01 note: word 1"


def test_a_line_holds_counts_accuracy_and_the_latest_event():
    assert progress_line(DECODING) == (
        "◆ decoding | 2:05 | 4986 of 4990 windows decoded, 0 of 0 trials scored | lost 12 | withheld 4"
        " | top-1 0.70 [0.55, 0.82] · n = 40 · chance 0.50 · single trial, 2-way"
        " | trial 40, up to 350 ms after onset: ✓ face 83.0 % | 0:42 gap: 12 samples lost"
    )


def shown(snapshot: Snapshot) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(picture(snapshot))
    return console.file.getvalue()


def test_the_stimulus_and_a_truth_that_is_not_ranked_are_named():
    assert "no marker yet" in shown(DECODING)
    assert "stimulus  house" in shown(replace(DECODING, stimulus=Stimulus("house", True)))
    assert "4711 (not in the gallery)" in shown(replace(DECODING, stimulus=Stimulus("4711", False)))
    wrong = replace(DECODING, truth="chair")
    assert "trial 40, up to 350 ms after onset, was shown: chair" in shown(wrong)
    assert "face 83.0 %, was shown: chair" in progress_line(wrong)


def test_the_age_of_volumes_is_told_in_seconds():
    scan = replace(DECODING, modality="fmri", sfreq_hz=0.75, age_ms=812.0)
    assert "age 0.8 s" in shown(scan)
    assert "age 4 ms" in shown(DECODING)


def test_names_are_text_and_not_markup():
    odd = replace(DECODING, source="[bold]x[/nonsense]", matches=(Match("[red]", 1.0),), state="ended")
    assert "[red]" in run(odd, force_terminal=True, color_system="256", _environ={"TERM": "xterm"})


def test_the_terminal_view_loads_no_qt():
    check = "import sys, decode_stream.sessions.terminal; sys.exit(any(m.startswith('PySide6') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


SCAN = replace(
    DECODING,
    modality="fmri",
    scan=ScanView(
        n_volumes=9,
        planned_volumes=222,
        tr_s=1.5,
        now_s=13.5,
        trials=(
            TrialLine(0, "pear", 1.5, "final", 0.7, "pear", True),
            TrialLine(1, "tent", 4.5, "refined", 0.4, "pear", False),
            TrialLine(2, "pear", 6.0, "withheld", reason="volumes of its response are lost"),
            TrialLine(3, "tent", 7.5, "rising"),
            TrialLine(4, "pear", 12.0, "seen"),
        ),
        two_way=TwoWay(2, np.array([0.8]), np.array([2]), np.array([0.4]), np.array([0.95]), "Wilson"),
        compared=(("decided", 0.0, 2), ("refined", 0.5, 2)),
        displacement_mm=np.array([np.nan, 0.1, 0.7]),
        tsnr=48.2,
        lost=(3,),
        volume_ms=(12.0, 30.0),
    ),
)


def test_a_run_of_fmri_is_told_trial_by_trial():
    text = " ".join(shown(SCAN).split())
    for part in (
        "run volume 9 of 222 · 0:13 of 5:33",
        "trials ■◇✕△+",
        "+ 1 seen · △ 1 rising · ◆ 1 refined · ■ 1 final · ✕ 1 withheld",
        "trial 2 refined: ✗ pear 40.0 %, shown: tent",
        "two-way 0.80 [0.40, 0.95] · n = 2 · chance 0.50",
        "top-1 of the same 2 trials: decided 0.00, refined 0.50",
        "displacement 0.70 mm, 1 of 9 volumes above 0.5 mm",
        "median tSNR 48 · 1 volume lost",
        "belief after 12 ms, p99 30 ms, TR 1500 ms",
    ):
        assert part in text
    assert "two-way" not in shown(DECODING)


def test_a_line_of_a_run_tells_its_trials_too():
    line = progress_line(SCAN)
    for part in ("volume 9 of 222", "◆ 1 refined", "two-way 0.80 [0.40, 0.95] · n = 2", "1 volume lost"):
        assert part in line


def test_before_the_first_trial_a_run_says_so():
    bare = replace(SCAN, scan=ScanView(1, 0, 1.5, 1.5))
    text = " ".join(shown(bare).split())
    assert "run volume 1 · 0:01 trials none yet two-way no trial scored yet" in text
    assert "two-way" not in progress_line(bare)
