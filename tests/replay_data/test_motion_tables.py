"""Motion estimates beside images: which table is taken, in which order and unit, and what is refused."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from decode_stream.replay_data.formats.motion_tables import MOTION_CHANNELS, find_motion, read_motion
from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.stored import store
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import MOTION

N = 5


def images(path: Path) -> Path:
    values = np.random.default_rng(0).integers(1, 99, (2, 3, 1, N)).astype(np.int16)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3, 3, 3, 2.0))
    nibabel.save(image, path)
    return path


def motion() -> np.ndarray:
    """Return translations, then rotations."""
    return np.round(np.random.default_rng(1).standard_normal((N, 6)), 5)


def write_mcflirt(path: Path, values: np.ndarray) -> Path:
    path.write_text("".join("  ".join(f"{x:.8g}" for x in (*row[3:], *row[:3])) + "  \n" for row in values))
    return path


def write_fmriprep(path: Path, values: np.ndarray) -> Path:
    names = ("csf", *MOTION, "framewise_displacement")
    rows = [("1.5", *(str(x) for x in row), "n/a") for row in values]
    path.write_text("\n".join("\t".join(row) for row in (names, *rows)) + "\n")
    return path


@pytest.mark.parametrize("table", ["bold_moest.txt", "bold.par", "bold_run1.par"])
def test_motion_of_mcflirt_follows_the_voxels(tmp_path: Path, table: str) -> None:
    write_mcflirt(tmp_path / table, motion())
    recording = open_recording(images(tmp_path / "bold_run1.nii.gz"))
    assert recording.channels[-6:] == MOTION_CHANNELS
    assert [(c.name, c.type, c.unit) for c in MOTION_CHANNELS[2:4]] == [
        ("trans_z", "misc", "mm"),
        ("rot_x", "misc", "rad"),
    ]
    values = recording.read(1, 4)
    assert (values.shape, values.dtype) == ((3, 12), np.float32)
    np.testing.assert_allclose(values[:, 6:], motion()[1:4], rtol=1e-6)
    assert any(table in note for note in recording.notes)
    store(recording, tmp_path / "it.recording")
    again = open_recording(tmp_path / "it.recording")
    assert again.channels == recording.channels
    np.testing.assert_array_equal(again.read(0, N), recording.read(0, N))


def test_motion_of_fmriprep_is_found_by_the_entities(tmp_path: Path) -> None:
    stem = "sub-01_task-see_run-2"
    table = write_fmriprep(tmp_path / f"{stem}_desc-confounds_timeseries.tsv", motion())
    write_fmriprep(tmp_path / "sub-01_task-see_run-1_desc-confounds_timeseries.tsv", -motion())
    path = images(tmp_path / f"{stem}_space-T1w_desc-preproc_bold.nii.gz")
    assert find_motion(path) == table
    np.testing.assert_allclose(open_recording(path).read(0, N)[:, 6:], motion(), rtol=1e-6)


def test_without_motion_there_are_voxels_alone(tmp_path: Path) -> None:
    write_mcflirt(tmp_path / "other.par", motion())
    recording = open_recording(images(tmp_path / "bold.nii.gz"))
    assert {channel.type for channel in recording.channels} == {"voxel"}


def test_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    short = write_mcflirt(tmp_path / "a.par", motion()[:4])
    with pytest.raises(RecordingError, match="motion of 4 volumes, and the images hold 5"):
        read_motion(short, N)
    odd = write_mcflirt(tmp_path / "b.par", motion())
    odd.write_text(odd.read_text().replace("  \n", " 7\n", 1))
    with pytest.raises(RecordingError, match=r"b\.par is not the table of six numbers"):
        read_motion(odd, N)
    (tmp_path / "e.par").write_text("")
    with pytest.raises(RecordingError, match="six numbers"):
        read_motion(tmp_path / "e.par", N)
    holes = motion()
    holes[3, 2] = np.nan
    with pytest.raises(RecordingError, match=r"c\.par holds no number for volume 3"):
        read_motion(write_mcflirt(tmp_path / "c.par", holes), N)
    lacking = write_fmriprep(tmp_path / "d.tsv", motion())
    lacking.write_text(lacking.read_text().replace("rot_y", "other"))
    with pytest.raises(RecordingError, match="lacks the columns rot_y"):
        read_motion(lacking, N)


@pytest.mark.real
def test_real_motion_estimates_are_read(real_data: Path) -> None:
    run = real_data / "fmri_haxby2001/sub001/BOLD/task001_run001"
    recording = open_recording(run / "bold_1slice.nii.gz", mask="all")
    assert [channel.name for channel in recording.channels[-6:]] == list(MOTION)
    first = np.loadtxt(run / "bold_moest.txt")[0]
    np.testing.assert_allclose(recording.read(0, 1)[0, -6:], [*first[3:], *first[:3]], rtol=1e-6)
    # Heads move by tenths of a millimetre, and turn by hundredths of a radian at most.
    assert np.abs(recording.read(0, 121)[:, -3:]).max() < 0.05
