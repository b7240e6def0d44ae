"""The command that plays a run as a scanner would write it."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import get_args

import numpy as np
import pydicom
import pylsl
import pytest

from decode_stream.cli import app
from decode_stream.replay_data.formats.bids import read_events
from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.scanner.scanner import WallClock
from decode_stream.replay_data.scanner.vendors import VENDORS
from decode_stream.scan import scan
from decode_stream.scan_config import ScanConfig, ScanVendor, parse_volumes
from decode_stream.stream.errors import RecordingError, UsageError
from tests.replay_data.nsd_sample import write_sample
from tests.replay_data.scanner.scans import BEGAN, FakeClock, integers, write_recording

EVENTS = "onset\tduration\ttrial_type\n1.5\t1\tface\n4.75\t1\thouse\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    (tmp_path / "bold_events.tsv").write_text(EVENTS)
    return write_recording(tmp_path / "bold.nii.gz", integers((5, 4, 3, 6)))


def run(recording: Path, config: ScanConfig) -> list[str]:
    told: list[str] = []
    scan(recording, config, FakeClock(), lambda: BEGAN, threading.Event(), told.append)
    return told


def test_the_command_writes_a_scan(
    tmp_path: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["scan", str(recording), "--out", str(tmp_path / "out"), "--as", "siemens", "--speed", "100"]
    assert app(tokens, result_action="return_value") == 0
    assert len(list((tmp_path / "out").iterdir())) == 6
    assert "6 volumes in 6 files" in capsys.readouterr().out


def test_what_is_done_is_told(tmp_path: Path, recording: Path) -> None:
    config = ScanConfig(
        out=tmp_path / "out", vendor="ge", speed=5.0, drop_volumes="2", shuffle_ms=50.0, partial=True
    )
    assert run(recording, config) == [
        f"Scanning bold.nii.gz into {tmp_path / 'out'} as ge writes it: 6 volumes of 5 x 4 x 3 voxels, one every "
        "1.5 s, 5 times as fast.",
        "Faults, as asked for: lost are volumes 2; each file comes up to 50 ms later; files grow in 4 writes.",
        "Ended after 5 volumes.",
        "1 volumes were lost, as asked for.",
    ]


def test_files_tell_the_scanner_s_own_time(tmp_path: Path, recording: Path) -> None:
    run(recording, ScanConfig(out=tmp_path / "out", vendor="siemens"))
    first = pydicom.dcmread(tmp_path / "out" / "001_000013_000001.dcm")
    # The first volume begins half a second after everything is ready.
    assert first.AcquisitionTime == "235957.750000"
    assert first.ContentTime == "235959.250000"


def test_volumes_that_come_late_are_told(tmp_path: Path, recording: Path) -> None:
    class SlowClock(FakeClock):
        def now_s(self) -> float:
            self.time_s += 0.5
            return self.time_s

    told: list[str] = []
    config = ScanConfig(out=tmp_path / "out", vendor="nifti")
    scan(recording, config, SlowClock(), lambda: BEGAN, threading.Event(), told.append)
    assert told[-1].startswith("6 volumes came more than a tenth of 1.5 s after they were due, the latest ")


def test_rounding_is_told(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 1, (4, 3, 2, 2)).astype(np.float32)
    path = write_recording(tmp_path / "run.nii", values)
    told = run(path, ScanConfig(out=tmp_path / "out", vendor="philips"))
    assert any("rounded to steps of" in text for text in told)
    told = run(path, ScanConfig(out=tmp_path / "nifti", vendor="nifti"))
    assert not any("rounded" in text for text in told)


def test_onsets_are_written_beside(tmp_path: Path, recording: Path) -> None:
    config = ScanConfig(out=tmp_path / "out", vendor="nifti", onsets=tmp_path / "shown.tsv", start_volume=3)
    run(recording, config)
    assert (tmp_path / "shown.tsv").read_text() == "onset\tduration\ttrial_type\n1.750\t1\thouse\n"


def test_a_run_of_nsd_is_scanned_with_its_pictures(tmp_path: Path) -> None:
    path = write_sample(tmp_path / "nsd").series_file()
    config = ScanConfig(out=tmp_path / "out", vendor="siemens", onsets=tmp_path / "events.tsv", speed=10.0)
    told = run(path, config)
    assert "25 volumes of 7 x 6 x 5 voxels, one every 1.333 s" in told[0]
    shown = open_recording(path)
    events = read_events(tmp_path / "events.tsv", tmp_path / "run.nii", shown.sfreq_hz, None, [])
    np.testing.assert_array_equal(events.stimuli.onset, shown.stimuli.onset)
    np.testing.assert_array_equal(events.stimuli.id, shown.stimuli.id)  # type: ignore[arg-type]
    assert len(list((tmp_path / "out").iterdir())) == 25


@pytest.mark.lsl
def test_markers_are_sent_on_the_scan_s_clock(tmp_path: Path, recording: Path, source_id: str) -> None:
    config = ScanConfig(
        out=tmp_path / "out", vendor="nifti", speed=10.0, markers=True, source_id=source_id, wait=True
    )
    done: list[float] = []

    def play() -> None:
        scan(recording, config, WallClock(), lambda: BEGAN, threading.Event(), lambda text: None)
        done.append(pylsl.local_clock())

    player = threading.Thread(target=play)
    player.start()
    (info,) = pylsl.resolve_byprop("source_id", source_id, timeout=20)
    inlet = pylsl.StreamInlet(info)
    got = [inlet.pull_sample(timeout=20) for _ in range(2)]
    inlet.close_stream()
    del inlet
    player.join(30)
    assert [text for text, _ in got] == [["face"], ["house"]]
    # 3.25 s of the recording, ten times as fast, whenever they were read.
    assert got[1][1] - got[0][1] == pytest.approx(0.325, abs=1e-6)
    assert len(list((tmp_path / "out").iterdir())) == 6
    assert len(done) == 1


def test_the_repetition_time_is_asked_for_where_nothing_says_it(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "run.nii", integers((4, 3, 2, 3)), tr_s=0.0)
    with pytest.raises(RecordingError, match=r"does not say its repetition time.*Or give --tr-s"):
        run(path, ScanConfig(out=tmp_path / "out", vendor="nifti"))
    told = run(path, ScanConfig(out=tmp_path / "out", vendor="nifti", tr_s=0.8))
    assert "one every 0.8 s" in told[0]


def test_what_cannot_be_scanned_is_refused(tmp_path: Path, recording: Path) -> None:
    config = ScanConfig(out=tmp_path / "out", vendor="siemens")
    one = write_recording(tmp_path / "one.nii", integers((4, 3, 2)))
    with pytest.raises(RecordingError, match=r"one volume of shape \(4, 3, 2\).*four axes"):
        run(one, config)
    with pytest.raises(RecordingError, match=r"There is no file .*none.nii"):
        run(tmp_path / "none.nii", config)
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(RecordingError, match="is no NIfTI file"):
        run(tmp_path / "text.nii", config)
    (tmp_path / "bold_events.tsv").unlink()
    with pytest.raises(RecordingError, match=r"no events.tsv beside it.*--markers and --onsets"):
        run(recording, ScanConfig(out=tmp_path / "out", vendor="nifti", onsets=tmp_path / "shown.tsv"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "3,", "a", "1.5", "4-7"])
def test_volumes_are_whole_numbers(text: str) -> None:
    with pytest.raises(UsageError, match=r"--drop-volumes is .*as in --drop-volumes 10,11"):
        parse_volumes("--drop-volumes", text)


def test_the_flag_names_every_scanner_there_is() -> None:
    assert get_args(ScanVendor) == VENDORS


def test_flags_of_markers_belong_to_markers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belongs to --markers"):
        ScanConfig(out=tmp_path, vendor="nifti", wait=True)
    with pytest.raises(UsageError, match="belong to --markers"):
        ScanConfig(out=tmp_path, vendor="nifti", name="x")


def test_an_unknown_vendor_is_a_usage_error(tmp_path: Path, recording: Path) -> None:
    tokens = ["scan", str(recording), "--out", str(tmp_path / "out"), "--as", "toshiba"]
    done = subprocess.run(
        [sys.executable, "-m", "decode_stream", *tokens], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode != 0
    assert "toshiba" in done.stdout + done.stderr
    assert "philips-enhanced" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
