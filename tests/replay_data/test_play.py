"""The command that plays: what it tells, and how it is paused."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from decode_stream.replay_data.faults import Faults
from decode_stream.replay_data.play import play
from decode_stream.replay_data.player_config import PlayerConfig

pytestmark = pytest.mark.lsl
posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


def write_csv(path: Path, n: int = 256) -> Path:
    rows = ["timestamps,Oz,Pz,Marker0"]
    rows += [f"{1000 + i / 256:.6f},{i}.0,0.5,{int(i in (30, 200))}" for i in range(n)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_faults_are_told_before_and_counted_after(tmp_path: Path) -> None:
    told: list[str] = []
    faults = Faults(drop=0.5, stall=((0.02, 0.05),), permute_channels=True, marker_jitter_ms=2.0, seed=1)
    config = PlayerConfig(speed=4.0, faults=faults, trigger_channel="TRIG")
    n_sent = play(write_csv(tmp_path / "run.csv"), config, threading.Event(), told.append)
    assert "3 channels" in told[0]
    assert told[1] == (
        "Faults, as asked for: 50 % of the chunks are dropped; a stall of 0.05 s at 0.02 s; the channels are permuted; "
        "markers err by 2 ms (standard deviation)."
    )
    assert told[-2] == f"Ended after {n_sent} samples."
    assert told[-1].startswith(f"Faults: {256 - n_sent} samples in ")
    assert "2 markers with wrong stamps" in told[-1]
    assert 0 < n_sent < 256


def test_without_faults_none_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    play(write_csv(tmp_path / "run.csv"), PlayerConfig(speed=8.0), threading.Event(), told.append)
    assert not any("Faults" in text for text in told)


@contextmanager
def command(path: Path, stdin: int) -> Iterator["subprocess.Popen[str]"]:
    tokens = [sys.executable, "-m", "decode_stream", "replay", str(path), "--loop"]
    process = subprocess.Popen(tokens, stdin=stdin, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def until(process: "subprocess.Popen[str]", words: str) -> None:
    """Read what the command tells until it says these words."""
    assert process.stderr is not None
    deadline = time.monotonic() + 30
    for line in process.stderr:
        if words in line:
            return
        assert time.monotonic() < deadline
    raise AssertionError(f"The command ended and never said {words!r}.")


def toggled(process: "subprocess.Popen[str]", toggle: Callable[[], object]) -> None:
    toggle()
    until(process, "Paused after")
    toggle()
    until(process, "Resumed after a rest of")


@posix
def test_a_signal_pauses_and_goes_on(tmp_path: Path) -> None:
    with command(write_csv(tmp_path / "run.csv"), subprocess.DEVNULL) as process:
        until(process, "Replaying run.csv")
        toggled(process, lambda: process.send_signal(signal.SIGUSR1))
        process.terminate()
        assert process.wait(10) == 130


@posix
def test_a_key_in_the_terminal_pauses_and_goes_on(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        with command(write_csv(tmp_path / "run.csv"), theirs) as process:
            until(process, "Type p and Enter to pause")
            toggled(process, lambda: os.write(ours, b"p\n"))
    finally:
        os.close(ours)
        os.close(theirs)
