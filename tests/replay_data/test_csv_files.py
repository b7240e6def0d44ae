import gzip
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.formats import csv_files
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.stream.errors import RecordingError

N = 3000


def read_csv(path: Path, **options: object) -> ArrayRecording:
    return csv_files.read(path, ReadOptions(**options))


def write(
    path: Path,
    *,
    header: str = "timestamps,TP9,AF7,Right AUX,Marker0",
    markers: dict[int, str] | None = None,
    scale: float = 10.0,
) -> list[str]:
    """Write a recording as muse-lsl does, and return its lines."""
    rng = np.random.default_rng(0)
    values = scale * rng.standard_normal((N, 3))
    labels = markers or {}
    lines = [header] + [
        f"{150_000 + i / 256:.3f},{a:.9g},{b:.9g},{c:.9g},{labels.get(i, '0')}"
        for i, (a, b, c) in enumerate(values)
    ]
    path.write_text("\n".join(lines) + "\n")
    return lines


def reopened(path: Path, lines: list[str]) -> ArrayRecording:
    path.write_text("\n".join(lines))
    return read_csv(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.csv"


def test_signal_markers_and_rate_are_read(path: Path) -> None:
    write(path, markers={0: "1", 70: "2", 2999: "73000"})
    recording = read_csv(path)
    assert recording.name == "run.csv"
    assert recording.sfreq_hz == 256.0
    assert recording.n_samples == N
    assert recording.markers == ((0, "1"), (70, "2"), (2999, "73000"))
    assert [(c.name, c.type, c.unit) for c in recording.channels] == [
        *[("TP9", "eeg", "uV"), ("AF7", "eeg", "uV"), ("Right AUX", "misc", "uV")]
    ]
    expected = 10.0 * np.random.default_rng(0).standard_normal((N, 3))
    np.testing.assert_allclose(recording.read(10, 400), expected[10:400], rtol=1e-8)
    assert recording.gaps == ()


def test_the_modality_leaves_the_noise_channel_out(path: Path) -> None:
    write(path)
    assert [channel.name for channel in read_csv(path, modality="eeg").channels] == ["TP9", "AF7"]
    assert [channel.name for channel in read_csv(path, exclude_channels=["TP9"]).channels] == [
        "AF7",
        "Right AUX",
    ]
    assert read_csv(path, exclude_channels=["TP9"]).data.shape == (N, 2)


def test_a_marker_sits_where_its_value_begins(path: Path) -> None:
    held = (
        dict.fromkeys(range(10, 20), "5")
        | dict.fromkeys(range(20, 25), "6")
        | {30: "5.0", 40: "", 50: "nan", 60: "0.0"}
    )
    write(path, markers=held)
    assert read_csv(path).markers == ((10, "5"), (20, "6"), (30, "5"))


def test_codes_beyond_32_bits_and_words_are_kept(path: Path) -> None:
    write(path, markers={5: str(2**63 - 1), 9: "-4", 12: "house", 20: '"a, b"', 30: "1.5"})
    labels = [label for _, label in read_csv(path).markers]
    assert labels == [str(2**63 - 1), "-4", "house", "a, b", "1.5"]


def test_a_marker_column_can_be_named(path: Path) -> None:
    write(path, header="timestamps,TP9,AF7,Right AUX,codes", markers={5: "1"})
    assert len(read_csv(path).channels) == 4
    recording = read_csv(path, marker_column="codes")
    assert recording.markers == ((5, "1"),)
    assert len(recording.channels) == 3
    with pytest.raises(
        RecordingError, match=r"'code'\. Did you mean 'codes'\? Its columns are: timestamps, TP9"
    ):
        read_csv(path, marker_column="code")


def test_units_come_from_the_header_the_values_or_the_user(path: Path) -> None:
    write(path, header="time,TP9 [\u00b5V],AF7 (nV),Right AUX,stim")
    recording = read_csv(path)
    assert [(c.name, c.unit) for c in recording.channels] == [("TP9", "uV"), ("AF7", "nV"), ("Right AUX", "")]
    write(path, scale=1e-5)
    assert {channel.unit for channel in read_csv(path).channels} == {"V"}
    assert {channel.unit for channel in read_csv(path, unit="microvolts").channels} == {"uV"}
    write(path, scale=1e-2)
    recording = read_csv(path)
    assert {channel.unit for channel in recording.channels} == {""}
    assert "unknown" in recording.notes[0]
    with pytest.raises(RecordingError, match="Unit 'parsec' is not known"):
        read_csv(path, unit="parsec")


def test_lost_samples_are_a_gap(path: Path) -> None:
    lines = write(path)
    recording = reopened(path, lines[:1001] + lines[1033:])
    assert [(gap.start, gap.n_lost, gap.kind) for gap in recording.gaps] == [(1000, 32, "loss")]
    assert recording.gaps[0].time_s == pytest.approx(1032 / 256, abs=2e-3)
    assert "1 gaps in the time stamps, 32 samples lost." in recording.notes


def test_compressed_and_semicolon_files_are_read(path: Path) -> None:
    lines = write(path, markers={7: "1"})
    packed = path.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_csv(packed).markers == ((7, "1"),)
    np.testing.assert_array_equal(read_csv(packed).data, read_csv(path).data)
    assert reopened(path, [line.replace(",", ";") for line in lines]).markers == ((7, "1"),)
    packed.write_bytes(packed.read_bytes()[:5000])
    with pytest.raises(RecordingError, match="damaged or cut off"):
        read_csv(packed)


def test_a_last_row_that_was_cut_off_is_dropped_and_told(path: Path) -> None:
    lines = write(path)
    recording = reopened(path, [*lines[:-1], "150011.7,4.2"])
    assert recording.n_samples == N - 1
    assert "The last row (row 3001) was cut off after 2 of 5 columns and is left out." in recording.notes


@pytest.mark.parametrize(
    ("row", "text", "message"),
    [
        (700, "150002.7,1,2", "row 701 has 3 of 5 columns"),
        (700, "150002.7,1,2,3,0,9", "row 701 has 6 columns where the header names 5"),
        (700, "150002.7,1,abc,3,0", "row 701, column 'AF7': 'abc' is not a number"),
        (700, "x,1,2,3,0", "row 701, column 'timestamps': 'x' is not a number"),
        (700, ",1,2,3,0", "row 701, column 'timestamps': the time stamp is missing"),
        (700, "inf,1,2,3,0", "row 701, column 'timestamps': the time stamp is missing"),
        (0, "1.0,2,3,4,0", "no column of time stamps"),
        (0, "timestamps,TP9,TP9,AUX,Marker0", "more than one column 'TP9'"),
    ],
)
def test_a_damaged_file_is_told_where(path: Path, row: int, text: str, message: str) -> None:
    lines = write(path)
    lines[row] = text
    with pytest.raises(RecordingError, match=message):
        reopened(path, lines)


def test_missing_values_are_counted(path: Path) -> None:
    lines = write(path)
    lines[50] = "150000.191,,nan,3,0"
    recording = reopened(path, lines)
    assert np.isnan(recording.read(49, 50)).tolist() == [[True, True, False]]
    assert "2 values are missing or not finite." in recording.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"timestamps,TP9,Marker0\n", "column names but no samples"),
        (b"\n1,2\n", "is empty"),
        (b"timestamps,Marker0\n1,0\n", "no column with a signal"),
        (b"timestamps,TP9\n1.0,2\n", "time stamps that advance"),
        (b"\xff\xfe\x00\x01", "not a text table"),
        (b"timestamps,TP9\n1.0,\x00\n2.0,1\n", "row 2, column 'TP9'|not a text table"),
    ],
)
def test_what_is_no_recording_is_refused(path: Path, text: bytes, message: str) -> None:
    path.write_bytes(text)
    with pytest.raises(RecordingError, match=message):
        read_csv(path)


def test_real_runs_have_no_gaps_and_all_markers(real_data: Path) -> None:
    for number, n_markers in enumerate((197, 195, 195, 194, 194), start=1):
        recording = read_csv(real_data / "eeg_faces_houses" / f"run-0{number}.csv", modality="eeg")
        assert recording.sfreq_hz == 256.0
        assert recording.gaps == ()
        assert len(recording.markers) == n_markers
        assert {label for _, label in recording.markers} == {"1", "2"}
        assert [(channel.name, channel.unit) for channel in recording.channels] == [
            *[("TP9", "uV"), ("AF7", "uV"), ("AF8", "uV"), ("TP10", "uV")]
        ]


def test_a_loss_in_a_real_run_is_found(real_data: Path, path: Path) -> None:
    lines = (real_data / "eeg_faces_houses" / "run-01.csv").read_text().splitlines()
    recording = reopened(path, lines[:9001] + lines[9037:])
    (gap,) = recording.gaps
    assert abs(gap.start - 9000) <= 12
    assert abs(gap.n_lost - 36) <= 3
