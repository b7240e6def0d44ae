import gzip
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from decode_stream.replay_data.formats.nifti_volumes import open_nifti
from decode_stream.replay_data.formats.voxels import VoxelRecording
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording

AFFINE_MM = np.array([[-3.1, 0, 0, 60], [0, 3.75, 0, -36], [0, 0, 3.75, 5], [0, 0, 0, 1.0]])
EVENTS = "onset\tduration\ttrial_type\n2.0\t4\tface\n9.4\t4\thouse\n16.1\t4\tcat\n"


def volumes(dtype: str = "int16", n_volumes: int = 12) -> npt.NDArray[Any]:
    values = np.random.default_rng(0).integers(1, 1000, (5, 4, 3, n_volumes)).astype(dtype)
    values[0, :, :, :] = 0
    return values


def write(
    path: Path,
    values: npt.NDArray[Any],
    tr: float = 2.0,
    units: str = "sec",
    scale: tuple[float, float] | None = None,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, AFFINE_MM)
    image.header.set_xyzt_units("mm", units)
    if values.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    if scale:
        image.header.set_slope_inter(*scale)
    image.to_filename(path)
    return path


def opened(path: Path, **options: Any) -> VoxelRecording:
    recording: Recording = open_recording(path, **options)
    assert isinstance(recording, VoxelRecording)
    return recording


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["int16", ">i2", "uint8", "float32", "float64"])
def test_every_form_is_read_alike(tmp_path: Path, ending: str, dtype: str) -> None:
    values = volumes(dtype)
    path = write(tmp_path / f"sub-01_bold{ending}", values)
    recording = opened(path)
    expected = values[values[..., 0] > 0].T.astype(np.float32)
    assert len(recording.channels) == 48
    np.testing.assert_array_equal(recording.read(0, 12), expected)
    for start, stop in ((7, 9), (2, 3), (11, 99), (4, 4), (0, 12)):
        block = recording.read(start, stop)
        assert block.dtype == np.float32
        np.testing.assert_array_equal(block, expected[start:stop])


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_scale_and_offset_are_applied(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    image = nibabel.Nifti1Image(volumes().astype(np.float64) * 0.37 - 20, AFFINE_MM)
    image.header.set_data_dtype(np.int16)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 2.0))
    image.to_filename(path)
    stored = open_nifti(path)
    assert (stored.dtype, stored.slope == 1.0) == (np.int16, False)
    recording = opened(path, mask="all")
    np.testing.assert_allclose(
        recording.read(3, 5), nibabel.load(path).get_fdata()[..., 3:5].reshape(60, 2).T, 1e-5
    )


def test_channels_and_events(tmp_path: Path) -> None:
    path = write(tmp_path / "ses-02" / "sub-01_ses-02_task-see_run-3_desc-preproc_bold.nii.gz", volumes())
    (path.parent / "sub-01_ses-02_task-see_run-3_events.tsv").write_text(EVENTS)
    (path.parent / "sub-01_ses-02_task-see_run-4_events.tsv").write_text(EVENTS.replace("face", "wrong"))
    recording = opened(path)
    assert recording.sfreq_hz == 0.5
    first = recording.channels[0]
    assert (first.name, first.type, first.unit) == ("1,0,0", "voxel", "")
    np.testing.assert_allclose(first.position_m, (0.0569, -0.036, 0.005))
    assert [channel.name for channel in recording.channels[:4]] == ["1,0,0", "1,0,1", "1,0,2", "1,1,0"]
    # 9.4 s lies nearer to the volume at 10 s, 16.1 s to that at 16 s.
    assert recording.markers == ((1, "face"), (5, "house"), (8, "cat"))
    assert recording.stimuli.columns == ("onset", "concept", "session", "run", "fraction", "duration_s")
    assert (np.asarray(recording.stimuli.session)[0], np.asarray(recording.stimuli.run)[0]) == (2, 3)
    np.testing.assert_allclose(recording.stimuli.fraction, [0, -0.3, 0.05])
    np.testing.assert_array_equal(recording.stimuli.duration_s, [4, 4, 4])
    assert any("2 onsets lie between volumes, of 2 s each" in note for note in recording.notes)
    found = inspect(path)
    assert dict(found.facts)["shape"] == "(5, 4, 3, 12)"
    assert dict(found.facts)["events"] == "sub-01_ses-02_task-see_run-3_events.tsv"


def test_columns_that_say_what_was_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "bold_1slice.nii.gz", volumes())
    table = tmp_path / "bold_events.tsv"
    table.write_text(
        "onset\tduration\t73k_id\tstim_file\n4\t3\t46003\ta.png\n0\t3\t1\tn/a\nn/a\t3\t7\tb.png\n99\t3\t7\tb.png\n"
    )
    recording = opened(path)
    assert recording.markers == ((0, "0"), (2, "46002"))
    np.testing.assert_array_equal(recording.stimuli.image, ["", "a.png"])
    said = " ".join(recording.notes)
    assert "1 of 4 rows of bold_events.tsv lack an onset or a 73k_id" in said
    assert "1 events of bold_events.tsv lie outside the 12 volumes" in said
    assert opened(path, marker_column="stim_file").markers == ((2, "a.png"),)
    table.write_text("onset\tduration\tvalue\tcolour\n4\t3\t12\tred\n6\t3\t-3\tblue\n")
    assert opened(path).markers == ((2, "12"),)
    np.testing.assert_array_equal(opened(path).stimuli.id, [12, -3])
    assert opened(path, marker_column="colour").markers == ((2, "red"), (3, "blue"))
    with pytest.raises(RecordingError, match=r"no column 'color'\. Did you mean 'colour'\?"):
        open_recording(path, marker_column="color")
    for text, message in (
        ("", "events.tsv is empty"),
        ("onset,trial_type\n1,x\n", "Columns are separated by tabs"),
        ("onset\tcolour\n1\tred\n", "none of the columns 73k_id, trial_type"),
        ("onset\ttrial_type\nsoon\tred\n", "row 2, column 'onset': 'soon' is not a number"),
        ("onset\ttrial_type\n1\t\xff\n", "is not a table of text"),
    ):
        table.write_text(text, encoding="latin-1")
        with pytest.raises(RecordingError, match=message):
            open_recording(path)
    table.unlink()
    alone = opened(path)
    assert alone.markers == ()
    assert any("No events.tsv" in note for note in alone.notes)
    with pytest.raises(RecordingError, match="no events.tsv beside it, so no column 'value'"):
        open_recording(path, marker_column="value")


def test_repetition_time(tmp_path: Path) -> None:
    path = tmp_path / "func" / "sub-01_task-see_bold.nii"
    for tr, units, expected_s, note in (
        (2.5, "sec", 2.5, ""),
        (2500, "msec", 2.5, ""),
        (2500, "sec", 2.5, "was taken as milliseconds"),
        (2.5, "unknown", 2.5, ""),
        (1.0, "sec", 1.0, "which programs also write that do not know it"),
    ):
        recording = opened(write(path, volumes(), tr, units))
        assert recording.sfreq_hz == pytest.approx(1 / expected_s)
        assert note in " ".join(recording.notes)
        assert bool(note) == any("repetition time" in n for n in recording.notes)
    write(path, volumes(), 0.0)
    with pytest.raises(
        RecordingError, match=r"does not say its repetition time.*sub-01_task-see_bold\.json beside it"
    ):
        open_recording(path)
    (tmp_path / "task-see_bold.json").write_text(json.dumps({"RepetitionTime": 1.6}))
    assert opened(path).sfreq_hz == 1 / 1.6
    path.with_suffix(".json").write_text(json.dumps({"RepetitionTime": 0.8}))
    recording = opened(path)
    assert recording.sfreq_hz == 1 / 0.8
    assert any("0.8 s by sub-01_task-see_bold.json; the header says 0 s" in note for note in recording.notes)
    path.with_suffix(".json").write_text("[")
    with pytest.raises(RecordingError, match="is not the JSON text that BIDS has"):
        open_recording(path)


def test_masks(tmp_path: Path) -> None:
    path = write(tmp_path / "x.nii.gz", volumes())
    mask = np.zeros((5, 4, 3), np.uint8)
    mask[2, 3, 1] = mask[0, 0, 2] = mask[4, 1, 0] = 1
    own = write(tmp_path / "mask.nii.gz", mask)
    recording = opened(path, mask=str(own))
    assert [channel.name for channel in recording.channels] == ["0,0,2", "2,3,1", "4,1,0"]
    np.testing.assert_array_equal(recording.read(2, 4), volumes()[mask > 0].T[2:4])
    assert len(opened(path, mask="all").channels) == 60
    left = opened(path, mask=str(own), exclude_channels=["2,3,1"])
    np.testing.assert_array_equal(left.read(2, 4), recording.read(2, 4)[:, [0, 2]])
    other = write(tmp_path / "other.nii.gz", mask[:4])
    moved = tmp_path / "moved.nii"
    nibabel.Nifti1Image(mask, AFFINE_MM + np.diag([0.5, 0, 0, 0])).to_filename(moved)
    empty = write(tmp_path / "empty.nii", mask * 0)
    for asked, message in (
        (str(other), r"has the grid \(4, 4, 3\) and .* the grid \(5, 4, 3\)"),
        (str(moved), "differ by up to 0.5. Resample the mask"),
        (str(empty), "holds no voxel"),
        (str(path), "holds 12 volumes; a mask is a single one"),
        ("nsdgeneral", "knows no region 'nsdgeneral'"),
        (str(tmp_path / "none.nii"), "does not exist"),
    ):
        with pytest.raises(RecordingError, match=message):
            open_recording(path, mask=asked)
    with pytest.raises(RecordingError, match="one volume of shape"):
        open_recording(own)
    found = inspect(own)
    assert (found.layout, dict(found.facts)["labels"]) == ("NIfTI image of one volume", "0, 1")


def test_the_default_mask_looks_at_the_first_volume_only(tmp_path: Path) -> None:
    values = volumes("float32")
    values[1, 0, 0, 0] = np.nan
    values[1, 1, 1, 0] = 0
    values[2, 2, 2, 5:] = np.nan
    recording = opened(write(tmp_path / "x.nii.gz", values))
    names = [channel.name for channel in recording.channels]
    assert len(names) == 46
    assert "1,0,0" not in names
    assert "1,1,1" not in names
    assert np.isnan(recording.read(5, 6)[0, names.index("2,2,2")])
    every = opened(tmp_path / "x.nii.gz", mask="all")
    assert any("1 of the 60 voxels are not finite in the first volume" in note for note in every.notes)
    with pytest.raises(RecordingError, match="no voxel above zero in its first volume"):
        open_recording(write(tmp_path / "zero.nii", values * 0))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    values = np.random.default_rng(1).integers(1, 30_000, (9, 8, 7, 12)).astype(np.int16)
    path = write(tmp_path / f"x{ending}", values)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(RecordingError, match=r"cut off"):
        open_recording(path)


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    whole = write(tmp_path / "x.nii.gz", volumes())
    # Parts that are compressed one by one are still one file.
    content = gzip.decompress(whole.read_bytes())
    parts = tmp_path / "parts.nii.gz"
    parts.write_bytes(gzip.compress(content[:900]) + gzip.compress(content[900:]))
    np.testing.assert_array_equal(opened(parts).read(0, 12), opened(whole).read(0, 12))
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"no image" * 100))
    (tmp_path / "text.nii").write_bytes(b"no image" * 100)
    (tmp_path / "plain.nii.gz").write_bytes(content)
    nibabel.Nifti1Image(np.zeros((2, 2, 2, 3), np.complex64), AFFINE_MM).to_filename(tmp_path / "complex.nii")
    nibabel.Nifti1Image(np.ones((2, 2, 2, 1, 3), np.int16), AFFINE_MM).to_filename(tmp_path / "five.nii")
    huge = bytearray(content)
    huge[40:56] = np.array([4, 30_000, 30_000, 30_000, 30_000, 1, 1, 1], "<i2").tobytes()
    (tmp_path / "huge.nii").write_bytes(huge)
    (tmp_path / "huge.nii.gz").write_bytes(gzip.compress(huge))
    for name, message in (
        ("text.nii.gz", "is no NIfTI file, or is damaged"),
        ("text.nii", "is no NIfTI file, or is damaged"),
        ("plain.nii.gz", "damaged"),
        ("complex.nii", "holds complex64 values"),
        ("five.nii", "four axes"),
        ("huge.nii", "is cut off: 0 of 30000 volumes are whole"),
        ("huge.nii.gz", r"declares \d+ bytes of volumes, which cannot be in a file of"),
    ):
        with pytest.raises(RecordingError, match=message):
            open_recording(tmp_path / name)
    with pytest.raises(RecordingError, match="no use for the unit 'uV'"):
        open_recording(whole, unit="uV")
    with pytest.raises(RecordingError, match="no EEG channel left"):
        open_recording(whole, modality="eeg")


def test_no_room_for_the_voxels_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = opened(write(tmp_path / "x.nii.gz", volumes()))

    class Full:
        def __getattr__(self, name: str) -> Any:
            if name == "write":
                raise OSError(28, "No space left on device")
            return lambda *_: None

    monkeypatch.setattr(recording.source, "_gathered", Full())
    with pytest.raises(RecordingError, match="cannot be kept in .*: No space left on device.*TMPDIR"):
        recording.read(0, 1)


def check_run(path: Path, n_volumes: int, categories: list[str]) -> None:
    """Compare a run with what nibabel reads of it."""
    recording = opened(path)
    n_voxels = len(recording.voxels)
    values = nibabel.load(path).get_fdata()
    assert recording.n_samples == n_volumes == values.shape[-1]
    assert recording.sfreq_hz == 0.4
    np.testing.assert_array_equal(
        recording.read(0, n_volumes)[:, :n_voxels], values[values[..., 0] > 0].T.astype(np.float32)
    )
    assert [label for _, label in recording.markers] == categories
    rows = (path.parent / "bold_events.tsv").read_text().splitlines()[1:]
    assert [at * 2.5 for at, _ in recording.markers] == [float(row.split("\t")[0]) for row in rows]
    assert inspect(path).sound


HAXBY = ["scissors", "face", "cat", "shoe", "house", "scrambledpix", "bottle", "chair"]


def test_a_real_run(real_data: Path) -> None:
    folder = real_data / "fmri_haxby2001/sub001/BOLD"
    check_run(folder / "task001_run001/bold_1slice.nii.gz", 121, HAXBY)
    assert len(list(folder.glob("*/bold_1slice.nii.gz"))) == 9
    for path in folder.glob("*/bold_1slice.nii.gz"):
        assert sorted(label for _, label in opened(path).markers) == sorted(HAXBY)


def test_a_run_like_the_real_one(tmp_path: Path) -> None:
    path = write(tmp_path / "bold_1slice.nii.gz", volumes(n_volumes=121), tr=2.5)
    onsets_s = (15.0, 52.5, 87.5, 122.5, 157.5, 195.0, 230.0, 265.0)
    rows = [f"{onset_s}\t22.5\t{what}" for onset_s, what in zip(onsets_s, HAXBY, strict=True)]
    (tmp_path / "bold_events.tsv").write_text("\n".join(["onset\tduration\ttrial_type", *rows]) + "\n")
    check_run(path, 121, HAXBY)
