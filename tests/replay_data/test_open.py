import shutil
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.formats.mne_files import MneRecording
from decode_stream.replay_data.open import fingerprint, inspect, open_recording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording

CSV = "timestamps,Oz,Marker0\n" + "".join(f"{i / 250:.3f},{i},{i == 9:d}\n" for i in range(500))


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "run-01.csv"
    path.write_text(CSV)
    return path


@pytest.fixture
def fif(tmp_path: Path) -> Path:
    path = tmp_path / "sub-01_raw.fif"
    info = mne.create_info(["Oz", "Pz"], 250.0, "eeg")
    mne.io.RawArray(np.zeros((2, 1000)), info, verbose="error").save(path, verbose="error")
    return path


def test_the_reader_is_chosen_by_the_path(csv: Path, fif: Path) -> None:
    table: Recording = open_recording(csv)
    assert isinstance(table, ArrayRecording)
    assert table.markers == ((9, "1"),)
    signal: Recording = open_recording(str(fif), exclude_channels=["Pz"])
    assert isinstance(signal, MneRecording)
    assert [channel.name for channel in signal.channels] == ["Oz"]


def test_csv_needs_no_mne(csv: Path) -> None:
    code = (
        "import sys; from decode_stream.replay_data.open import open_recording; "
        f"open_recording({str(csv)!r}); sys.exit('mne' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_cannot_be_opened_is_told_with_what_would_work(csv: Path, fif: Path) -> None:
    folder = csv.parent
    (folder / "empty.csv").touch()
    (folder / "notes.txt").write_text("hello")
    (folder / "nothing").mkdir()
    (folder / "x.ds").mkdir()
    (folder / "x.ds" / "x.meg4").write_bytes(b"1")
    (folder / "y.vhdr").write_text("header")
    (folder / "y.eeg").write_bytes(b"1")
    for name, message in (
        ("run-1.csv", r"does not exist\. Did you mean .*run-01\.csv\?"),
        ("no/run-01.csv", r"does not exist\. Nor does its folder"),
        ("empty.csv", "is empty"),
        ("notes.txt", r"of no kind known here \(\.txt\)\. Recordings are the published"),
        ("nothing", "is a folder, not a recording. It holds no recording either"),
        ("", r"is a folder, not a recording\. It holds .*run-01\.csv.*: give one of them"),
        ("x.ds/x.meg4", r"a part of a recording\. Give the folder .*x\.ds"),
        ("x.ds", "cannot be read by MNE-Python"),
        ("y.eeg", r"a part of a recording\. Give .*y\.vhdr"),
    ):
        with pytest.raises(RecordingError, match=message):
            open_recording(folder / name)
    with pytest.raises(RecordingError, match="for CSV files only"):
        open_recording(fif, unit="uV")


def test_mne_says_nothing_while_it_reads(fif: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recording = open_recording(fif)
    recording.read(0, recording.n_samples)
    assert capfd.readouterr() == ("", "")


def test_real_recordings_open(real_data: Path) -> None:
    assert open_recording(real_data / "eeg_faces_houses" / "run-05.csv").n_samples == 30_720
    with pytest.raises(RecordingError, match=r"testdata_ctf_short_discontinuous\.ds"):
        open_recording(real_data / "meg_ctf")


def test_a_copy_has_the_fingerprint_of_its_recording_and_another_run_has_not(
    csv: Path, tmp_path: Path
) -> None:
    copy = shutil.copy(csv, tmp_path / "renamed.csv")
    other = tmp_path / "other.csv"
    other.write_text(CSV.replace("1.996,499", "1.996,498"))
    assert fingerprint(copy) == fingerprint(csv) != fingerprint(other)
    assert len(fingerprint(csv)) == 64


@pytest.mark.parametrize("place", [0, (1 << 20) - 1, -(1 << 20), -1, "longer"])
def test_a_fingerprint_covers_size_and_both_ends_of_a_large_file(tmp_path: Path, place: int | str) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    data = bytearray(3 << 20)
    one.write_bytes(data)
    if isinstance(place, str):
        data.append(0)
    else:
        data[place] = 1
    two.write_bytes(data)
    assert fingerprint(one) != fingerprint(two)


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("run.vhdr", "run.eeg"),
        ("run.set", "run.fdt"),
        ("run.ds", "run.ds/run.meg4"),
        ("alone.set", "alone.set"),
    ],
)
def test_the_fingerprint_is_that_of_the_samples(tmp_path: Path, name: str, samples: str) -> None:
    for folder, header in (("a", "header"), ("b", "a header"), ("c", "header")):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / name
        if path.suffix == ".ds":
            path.mkdir()
        elif name != samples:
            path.write_text(header)
        (tmp_path / folder / samples).write_text("the samples" if folder != "c" else "THE SAMPLES")
        (tmp_path / folder / samples).parent.joinpath("note.txt").write_text(folder)
    a, b, c = (fingerprint(tmp_path / folder / name) for folder in "abc")
    assert a == b != c


def test_the_fingerprint_of_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.ds").mkdir()
    for name in ("nowhere.csv", "empty.ds"):
        with pytest.raises(RecordingError, match=f"{name} cannot be read"):
            fingerprint(tmp_path / name)


def test_what_may_not_be_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    is_file = Path.is_file

    def refusing(path: Path) -> bool:
        # As the system answers for what lies in a folder without permission; root is never refused.
        if path.parent == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refusing)
    with pytest.raises(RecordingError, match=r"locked/recording\.json cannot be read: Permission denied"):
        inspect(locked)
    with pytest.raises(RecordingError, match="It holds no recording either"):
        inspect(tmp_path)
    with pytest.raises(RecordingError, match="does not exist"):
        inspect(tmp_path / "lockd")
