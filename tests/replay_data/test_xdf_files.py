"""XDF as LabRecorder writes it, from files that the tests write byte by byte."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decode_stream.replay_data.formats import xdf_files
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.stream.errors import RecordingError
from tests.replay_data.xdf_writer import XdfStreamData, write_xdf

SFREQ_HZ = 250.0
N = 1000
BEGAN_S = 5000.0


def stamps(n: int = N, sfreq_hz: float = SFREQ_HZ, began_s: float = BEGAN_S) -> Any:
    return began_s + np.arange(n) / sfreq_hz


def eeg(**other: Any) -> XdfStreamData:
    """Return a stream whose first channel carries the sample number."""
    given = {
        "name": "amp",
        "type": "EEG",
        "stamps_s": stamps(),
        "values": np.stack([np.arange(N), np.full(N, 2.5), np.zeros(N)], axis=1),
        "sfreq_hz": SFREQ_HZ,
        "labels": ("Oz", "Pz", "TRG"),
        "types": ("EEG", "EEG", "Trigger"),
        "units": ("microvolts", "microvolts", ""),
    }
    return XdfStreamData(**(given | other))


def marks(samples: list[int], texts: list[Any], **other: Any) -> XdfStreamData:
    at_s = BEGAN_S + np.array(samples) / SFREQ_HZ
    given = {"name": "markers", "type": "Markers", "format": "string"} | other
    return XdfStreamData(**given, stamps_s=at_s, values=texts)


def read(path: Path, **options: Any) -> Any:
    return open_recording(path, **options)


def test_signal_and_markers_are_read_in_the_words_of_a_live_stream(tmp_path: Path) -> None:
    path = write_xdf(tmp_path / "run.xdf", marks([3, 500, 999], ["1", "house", "2"]), eeg())
    recording = read(path)
    assert [(c.name, c.type, c.unit) for c in recording.channels] == [
        ("Oz", "eeg", "uV"),
        ("Pz", "eeg", "uV"),
        ("TRG", "stim", ""),
    ]
    assert (recording.sfreq_hz, recording.n_samples, recording.gaps) == (SFREQ_HZ, N, ())
    assert recording.read(0, N).dtype == np.float32
    np.testing.assert_array_equal(recording.read(0, N)[:, 0], np.arange(N))
    assert recording.markers == ((3, "1"), (500, "house"), (999, "2"))
    assert recording.stimuli.id is None
    assert recording.notes == ()
    assert [c.name for c in read(path, modality="eeg").channels] == ["Oz", "Pz"]


@pytest.mark.parametrize("deduced", [False, True])
def test_clock_offsets_bring_streams_of_different_computers_together(tmp_path: Path, deduced: bool) -> None:
    # The amplifier's clock is 12.5 s behind the recorder's, the stimulus computer's 700 s ahead.
    signal = eeg(stamps_s=stamps() - 12.5, offset_s=12.5, deduced=deduced)
    markers = marks([10, 400], [7, 8], format="int32", offset_s=-700.0, per_chunk=1)
    markers.stamps_s = markers.stamps_s + 700.0
    recording = read(write_xdf(tmp_path / "run.xdf", signal, markers))
    assert recording.markers == ((10, "7"), (400, "8"))
    assert recording.stimuli.id.tolist() == [7, 8]


def test_jitter_moves_no_marker_and_a_loss_is_found(tmp_path: Path) -> None:
    kept = np.delete(np.arange(4000), np.s_[2000:2150])
    rng = np.random.default_rng(0)
    at_s = BEGAN_S + kept / SFREQ_HZ + rng.exponential(2e-3, len(kept))
    signal = eeg(stamps_s=at_s, values=kept[:, None].repeat(3, axis=1))
    samples = [20, 500, 1500, 2050, 2300, 3990]
    markers = marks(samples, list(map(str, samples)))
    # What is stamped late on average is late for the markers too.
    markers.stamps_s = markers.stamps_s + 2e-3
    recording = read(write_xdf(tmp_path / "run.xdf", signal, markers))
    assert [(gap.start, gap.n_lost, gap.kind) for gap in recording.gaps] == [(2000, 150, "loss")]
    assert [int(recording.read(at, at + 1)[0, 0]) for at, _ in recording.markers] == [
        20,
        500,
        1500,
        2300,
        3990,
    ]
    assert [label for _, label in recording.markers] == ["20", "500", "1500", "2300", "3990"]
    assert "1 markers lie outside the signal or in a gap of it; they are left out." in recording.notes
    assert "1 gaps in the time stamps, 150 samples lost." in recording.notes


def test_markers_in_json_fill_the_table_of_stimuli(tmp_path: Path) -> None:
    texts = [
        '{"id": 12, "concept": "aardvark", "image": "a/b.jpg", "split": "train"}',
        '{"id": 5, "concept": "bee"}',
    ]
    recording = read(write_xdf(tmp_path / "run.xdf", eeg(), marks([3, 9], texts)))
    assert recording.markers == ((3, "12"), (9, "5"))
    assert recording.stimuli.columns == ("onset", "id", "concept", "image", "split")
    assert recording.stimuli.id.tolist() == [12, 5]
    assert recording.stimuli.image.tolist() == ["a/b.jpg", ""]


def test_of_several_signals_the_one_with_most_channels_of_the_modality_is_read(tmp_path: Path) -> None:
    gaze = eeg(name="eyes", type="Gaze", values=np.zeros((N, 8)), labels=(), types=(), units=())
    small = eeg(name="small", values=np.ones((N, 1)), labels=(), types=(), units=())
    path = write_xdf(tmp_path / "run.xdf", gaze, small, eeg())
    assert [c.name for c in read(path).channels] == ["Oz", "Pz", "TRG"]
    chosen = read(path, stream="small")
    assert [(c.name, c.type) for c in chosen.channels] == [("ch1", "eeg")]
    assert "does not name its channels" in chosen.notes[0]
    assert len(read(path, stream="eyes").channels) == 8
    with pytest.raises(
        RecordingError, match="no such stream 'smal'. Did you mean 'small'\\?.*'eyes' \\(Gaze, 8 ch"
    ):
        read(path, stream="smal")


def test_where_it_is_open_which_stream_is_meant_they_are_listed(tmp_path: Path) -> None:
    path = write_xdf(tmp_path / "run.xdf", eeg(), eeg(name="other"))
    with pytest.raises(
        RecordingError, match=r"2 streams that could be the signal.*'amp'.*'other'.*--stream NAME"
    ):
        read(path)
    told = inspect(path)
    assert told.sound
    assert [finding.level for finding in told.findings] == ["note"]
    path = write_xdf(
        tmp_path / "two.xdf",
        eeg(),
        marks([3], ["1"]),
        marks([4], ["2"], name="keys"),
        marks([], [], name="empty"),
    )
    with pytest.raises(
        RecordingError, match=r"2 streams with markers.*'markers'.*'keys'.*--marker-column NAME"
    ):
        read(path)
    assert read(path, marker_column="keys").markers == ((4, "2"),)
    with pytest.raises(RecordingError, match="no such stream 'kyes'. Did you mean 'keys'"):
        read(path, marker_column="kyes")
    assert "Marker stream 'empty' is empty." in read(path, marker_column="empty").notes


def test_a_file_without_what_is_needed_says_so(tmp_path: Path) -> None:
    only_markers = write_xdf(tmp_path / "m.xdf", marks([3], ["1"]))
    with pytest.raises(
        RecordingError, match="no stream of numbers at a regular rate.*'markers' \\(Markers, 1 ch"
    ):
        read(only_markers)
    empty = eeg(stamps_s=np.empty(0), values=np.empty((0, 3)))
    with pytest.raises(RecordingError, match="'amp' holds no samples"):
        read(write_xdf(tmp_path / "e.xdf", empty, n_channels=[3]))
    assert "There is no marker stream." in read(write_xdf(tmp_path / "s.xdf", eeg())).notes
    broken = tmp_path / "n.xdf"
    broken.write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(RecordingError, match="is no XDF file"):
        read(broken)
    with pytest.raises(RecordingError, match="Unit 'bananas' is not known"):
        read(tmp_path / "s.xdf", unit="bananas")
    csv = tmp_path / "run.csv"
    csv.write_text("timestamps,Oz\n" + "".join(f"{i / 128},0\n" for i in range(64)))
    with pytest.raises(RecordingError, match="no XDF file: it holds one signal"):
        read(csv, stream="amp")


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    whole = write_xdf(tmp_path / "whole.xdf", marks([3, 60], ["1", "2"]), eeg(footer=False)).read_bytes()
    path = tmp_path / "cut.xdf"
    for n_cut in (1, 7, 300, 700):
        path.write_bytes(whole[:-n_cut])
        recording = read(path)
        assert recording.n_samples in (N - 50, N - 100)
        np.testing.assert_array_equal(recording.read(0, N)[:, 0], np.arange(recording.n_samples))
        assert any("cut off in the middle of a chunk" in note for note in recording.notes)
    path.write_bytes(whole)
    assert any("not ended properly" in note for note in read(path).notes)
    # Of what is left of nothing but the headers, nothing can be read.
    path.write_bytes(whole[:900])
    with pytest.raises(RecordingError):
        read(path)


def test_packed_files_are_read_and_large_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_xdf(tmp_path / "run.xdf", eeg(), marks([3], ["1"]))
    packed = tmp_path / "run.xdf.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed).markers == ((3, "1"),)
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(RecordingError, match="cannot be read"):
        read(packed)
    monkeypatch.setattr(xdf_files, "_MOST_BYTES", 10_000)
    with pytest.raises(RecordingError, match="XDF is read into memory"):
        read(path)


def test_a_rate_that_the_stamps_belie_is_not_believed(tmp_path: Path) -> None:
    recording = read(write_xdf(tmp_path / "run.xdf", eeg(sfreq_hz=300.0)))
    assert recording.sfreq_hz == SFREQ_HZ
    assert any("declares 300 Hz" in note for note in recording.notes)


def test_an_inspection_lists_the_streams(tmp_path: Path) -> None:
    path = write_xdf(tmp_path / "run.xdf", eeg(), marks([3], ["1"]))
    told = inspect(path)
    assert told.layout == "XDF recorded from LSL"
    assert dict(told.facts)["stream 1"] == "'amp' (EEG, 3 ch float32, 250 Hz)"
    assert dict(told.facts)["stream 2"] == "'markers' (Markers, 1 ch string, irregular)"
    assert told.sound
    assert xdf_files.read(path, ReadOptions(exclude_channels=("Pz",))).channels[1].name == "TRG"


def test_of_volumes_it_is_told_how_far_behind_the_nearest_a_marker_lies(tmp_path: Path) -> None:
    volumes = XdfStreamData(
        name="scanner",
        type="FMRI",
        stamps_s=stamps(40, 0.5),
        values=np.ones((40, 2)),
        sfreq_hz=0.5,
        labels=("1,2,3", "1,2,4"),
        types=("voxel", "voxel"),
        units=("", ""),
    )
    behind = np.array([0.0, 0.25, -0.4])
    at = [3 * SFREQ_HZ * 2, (7 + behind[1]) * SFREQ_HZ * 2, (12 + behind[2]) * SFREQ_HZ * 2]
    recording = read(write_xdf(tmp_path / "run.xdf", marks(at, ["face", "house", "face"]), volumes))  # type: ignore[arg-type]
    assert recording.markers == ((3, "face"), (7, "house"), (12, "face"))
    np.testing.assert_allclose(recording.stimuli.fraction, behind, atol=1e-6)
    assert read(write_xdf(tmp_path / "eeg.xdf", marks([3], ["face"]), eeg())).stimuli.fraction is None
