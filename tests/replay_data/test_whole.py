"""Files that appear when they are whole, and errors that say on which side they lie."""

from pathlib import Path

import pytest

from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError


def test_what_cannot_be_read_meanwhile_is_not_called_unwritable(tmp_path: Path) -> None:
    gone = tmp_path / "gone.npy"
    with pytest.raises(RecordingError) as told, written_whole(tmp_path / "out.npy") as place:
        place.write_bytes(gone.read_bytes())
    text = str(told.value)
    assert text.startswith(f"{gone} cannot be read: No such file or directory.")
    assert text.endswith(f"{tmp_path / 'out.npy'} was not written.")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_told_by_its_own_name(tmp_path: Path) -> None:
    missing = r"out\.npy cannot be written: No such file or directory\. Nothing was left"
    with pytest.raises(RecordingError, match=missing), written_whole(tmp_path / "out.npy") as place:
        (place / "inside").write_bytes(b"1")
    full = OSError(28, "No space left on device")
    with (
        pytest.raises(RecordingError, match=r"out\.npy cannot be written: No space left"),
        written_whole(tmp_path / "out.npy"),
    ):
        raise full
    assert list(tmp_path.iterdir()) == []


def test_of_several_files_the_one_that_fails_is_no_source_of_the_others(tmp_path: Path) -> None:
    with (
        pytest.raises(RecordingError, match=r"npy cannot be written: No such file or directory"),
        written_whole(tmp_path / "one.npy") as one,
        written_whole(tmp_path / "two.npy"),
    ):
        (one / "inside").write_bytes(b"1")
    assert list(tmp_path.iterdir()) == []
