"""The journal of a scanner's folder: a session that was ended goes on, and other runs are told apart."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from decode_stream.decoders.bundle import load_bundle
from decode_stream.replay_data.simulation.simulated_volumes import SimulatedVolumes
from decode_stream.stream.fmri.journal import read_journal
from tests.app.test_watched_source import decoder, evidence, numbered, of_betas, told

from .scanned_runs import watch, write, write_onsets

__all__ = ["decoder", "of_betas"]  # fixtures, used here as there


def test_a_journal_of_another_run_is_set_aside(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, volumes = load_bundle(decoder[0]), numbered(decoder[1])[:3]
    for name in ("first", "second"):
        write(tmp_path / name, volumes, name=name)
        session = watch(
            tmp_path / name, bundle, journal=tmp_path / "kept", run_volumes=3, motion_correction=False
        )
    assert "another series; it is kept as kept.1" in told(session, "note")
    for path in (tmp_path / "kept", tmp_path / "kept.1"):
        kept = read_journal(path)
        assert kept is not None
        assert len(kept.volumes) == 3


def test_a_journal_of_an_earlier_run_with_the_same_names_is_set_aside(
    decoder: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, volumes = load_bundle(decoder[0]), numbered(decoder[1])
    watched = {"run_volumes": 3, "motion_correction": False}
    for some in (volumes[:3], [(n, volumes[n + 3][1]) for n in range(3)]):
        write(tmp_path / "scan", some)
        session = watch(tmp_path / "scan", bundle, **watched)
    assert "another run of this name; it is kept as scan.journal.1" in told(session, "note")
    kept = read_journal(tmp_path / "scan.journal")
    assert kept is not None
    assert len(kept.volumes) == 3


def test_a_session_that_is_killed_goes_on_to_the_same_bits(
    of_betas: tuple[Path, SimulatedVolumes], tmp_path: Path
) -> None:
    bundle, recording, n = load_bundle(of_betas[0]), of_betas[1], 27
    volumes, onsets = numbered(recording)[:n], write_onsets(tmp_path / "events.tsv", recording)
    write(tmp_path / "whole", volumes, name="run")
    whole = watch(tmp_path / "whole", bundle, onsets=onsets, run_volumes=n)

    folder, journal = tmp_path / "scan", tmp_path / "scan.journal"
    write(folder, volumes[:12])
    command = [sys.executable, "-m", "decode_stream", "--watch", str(folder), "--bundle", str(of_betas[0])]
    child = subprocess.Popen(
        [*command, "--onsets", str(onsets), "--run-volumes", str(n), "--headless"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    try:
        while (kept := read_journal(journal)) is None or len(kept.volumes) < 12:
            assert child.poll() is None, child.communicate()[1]
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    with journal.open("ab") as file:
        file.write(b"V\x07")  # what was being written
    write(folder, volumes[12:])
    resumed = watch(folder, bundle, onsets=onsets, run_volumes=n)
    assert "12 volumes of this run were kept" in told(resumed, "note")
    np.testing.assert_allclose(evidence(resumed), evidence(whole), atol=1e-9)
    assert len(evidence(whole)) > 3
    both = read_journal(journal), read_journal(tmp_path / "whole.journal")
    assert both[0] is not None
    assert both[1] is not None
    for one, other in zip(both[0].volumes, both[1].volumes, strict=True):
        assert one.number == other.number
        np.testing.assert_array_equal(one.row, other.row)
        np.testing.assert_array_equal(one.state, other.state)
    assert len(both[0].volumes) == n
