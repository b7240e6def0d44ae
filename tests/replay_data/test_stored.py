import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.open import fingerprint, inspect, open_recording
from decode_stream.replay_data.stored import store
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, Gap

CHANNELS = (Channel("Oz", "eeg", "V", (0.0, -0.09, 0.01)), Channel("Pz", "eeg", "V"), Channel("STI", "stim"))


def continuous() -> ArrayRecording:
    data = np.random.default_rng(0).standard_normal((1000, 3))
    table = StimulusTable(
        onset=np.array([10, 400, 900]),
        id=np.array([7, -1, 72_999]),
        concept=np.array(["aardvark", "", 'tab\tand "quote"']),
        split=np.array(["train", "target", "test"]),
        session=np.array([1, 1, 2]),
    )
    return ArrayRecording(
        data,
        CHANNELS,
        250.0,
        gaps=(Gap(500, 20, "loss", 2.0),),
        name="sub-01",
        notes=("A note.",),
        stimuli=table,
    )


def trials() -> ArrayRecording:
    epoch = Epoch(25, 5, in_order=False)
    table = StimulusTable(np.arange(8) * 25 + 5, np.arange(8) + 1)
    data = np.random.default_rng(1).standard_normal((200, 3))
    return ArrayRecording(data, CHANNELS, 100.0, gaps=epoch_gaps(8, epoch, 100.0), stimuli=table, epoch=epoch)


@pytest.mark.parametrize("make", [continuous, trials])
def test_a_converted_recording_is_what_it_was(make, tmp_path: Path) -> None:
    recording = make()
    store(recording, tmp_path / "x.recording", source="from here")
    back = open_recording(tmp_path / "x.recording")
    for name in ("name", "channels", "sfreq_hz", "n_samples", "markers", "gaps", "notes", "epoch"):
        assert getattr(back, name) == getattr(recording, name), name
    assert back.stimuli.columns == recording.stimuli.columns
    for name in back.stimuli.columns:
        np.testing.assert_array_equal(getattr(back.stimuli, name), getattr(recording.stimuli, name))
    np.testing.assert_array_equal(back.read(3, 777), recording.data[3:777].astype(np.float32))
    assert back.read(990, 2000).shape == recording.data[990:2000].shape


def test_markers_that_are_not_ids_are_kept(tmp_path: Path) -> None:
    recording = ArrayRecording(np.zeros((50, 3)), CHANNELS, 250.0, ((3, "face"), (9, "house")))
    store(recording, tmp_path / "x.recording")
    assert open_recording(tmp_path / "x.recording").markers == ((3, "face"), (9, "house"))


def test_channels_are_chosen_in_reading(tmp_path: Path) -> None:
    store(continuous(), tmp_path / "x.recording")
    back = open_recording(tmp_path / "x.recording", modality="eeg", exclude_channels=["Oz"])
    assert [channel.name for channel in back.channels] == ["Pz"]
    np.testing.assert_array_equal(back.read(0, 5)[:, 0], continuous().data[:5, 1].astype(np.float32))


def test_the_signal_is_mapped_not_loaded(tmp_path: Path) -> None:
    store(continuous(), tmp_path / "x.recording")
    recording = open_recording(tmp_path / "x.recording")
    assert isinstance(recording._signal, np.memmap)
    block = recording.read(0, 10)
    block[:] = 0  # a reader's block is its own
    assert recording.read(0, 10).any()


def test_inspection_tells_what_is_there(tmp_path: Path) -> None:
    store(trials(), tmp_path / "x.recording")
    inspection = inspect(tmp_path / "x.recording")
    facts = dict(inspection.facts)
    assert inspection.sound
    assert "order in which they were shown is lost" in facts["trials"]
    assert facts["distinct ids"] == "8"
    assert facts["not said"] == "concept, image, split, session, run, repeat"


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "x.recording"
    store(continuous(), path)
    with pytest.raises(RecordingError, match="exists already"):
        store(trials(), path)
    store(trials(), path, overwrite=True)
    assert open_recording(path).n_samples == 200
    (tmp_path / "precious").mkdir()
    with pytest.raises(RecordingError, match="nothing else is replaced"):
        store(trials(), tmp_path / "precious", overwrite=True)


def test_a_recording_cut_short_leaves_nothing(tmp_path: Path) -> None:
    class Short(ArrayRecording):
        def read(self, start: int, stop: int) -> np.ndarray:
            return super().read(start, stop - 1)

    with pytest.raises(RecordingError, match="may be cut off"):
        store(Short(np.zeros((50, 3)), CHANNELS, 250.0), tmp_path / "x.recording")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    source, out = tmp_path / "a.recording", tmp_path / "b.recording"
    store(ArrayRecording(np.zeros((100_000, 3)), CHANNELS, 250.0), source)
    before = sorted(tmp_path.iterdir())
    code = "import sys; from decode_stream.cli import main; main()"
    limited = subprocess.run(
        [sys.executable, "-c", code, "convert", str(source), "--out", str(out)],
        capture_output=True,
        text=True,
        # A file may not grow beyond this, as on a disk that is full.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)),
    )
    assert limited.returncode == 2
    assert "cannot be written: File too large. Nothing was left there" in limited.stderr
    assert "Traceback" not in limited.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "signal.npy").unlink(), r"signal\.npy cannot be read"),
        (
            lambda p: (p / "signal.npy").write_bytes((p / "signal.npy").read_bytes()[:-8]),
            r"signal\.npy cannot be read",
        ),
        (
            lambda p: np.save(p / "signal.npy", np.zeros((3, 3), np.float32)),
            r"holds float32 of shape \(3, 3\)",
        ),
        (lambda p: (p / "stimuli.tsv").write_text("onset\tid\n1\n"), "rows differ in length"),
        (lambda p: (p / "stimuli.tsv").write_text("onset\tcolour\n1\t2\n"), "is not a table of stimuli"),
        (lambda p: (p / "recording.json").write_text('{"schema": 9}'), "has schema 9"),
        (lambda p: (p / "recording.json").write_text("{"), "is not what it should be"),
    ],
)
def test_a_damaged_folder_is_told(damage, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.recording"
    store(continuous(), path)
    damage(path)
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


def test_a_converted_recording_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    store(continuous(), tmp_path / "x.recording")
    store(trials(), tmp_path / "y.recording")
    assert fingerprint(tmp_path / "x.recording") != fingerprint(tmp_path / "y.recording")
