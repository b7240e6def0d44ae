import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from decode_stream.replay_data.formats.nifti_volumes import open_nifti
from decode_stream.replay_data.formats.voxels import VoxelRecording
from decode_stream.replay_data.nsd.design import DESIGN, RESPONSES, STIM_INFO, design_trials, subject_trials
from decode_stream.replay_data.nsd.pictures import PICTURES
from decode_stream.replay_data.nsd.regions import regions
from decode_stream.replay_data.nsd.write import write_betas
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording
from tests.replay_data.nsd_sample import AFFINE_MM, GRID, Sample, write_sample


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """What the tests share and leave as it is."""
    return write_sample(tmp_path_factory.mktemp("nsd"))


@pytest.fixture
def sample(published: Sample, tmp_path: Path) -> Sample:
    """A copy that a test may damage."""
    shutil.copytree(published.root, tmp_path / "nsd")
    return replace(published, root=tmp_path / "nsd")


def opened(path: Path, **options: str) -> VoxelRecording:
    recording: Recording = open_recording(path, **options)  # type: ignore[arg-type]
    assert isinstance(recording, VoxelRecording)
    return recording


def test_hdf5_and_nifti_give_the_same_betas(published: Sample) -> None:
    hdf5, nifti = (opened(published.beta_file(form)) for form in ("hdf5", "nii.gz"))
    assert hdf5.channels == nifti.channels
    np.testing.assert_array_equal(hdf5.read(0, 99), nifti.read(0, 99))
    np.testing.assert_allclose(hdf5.read(0, 99), published.betas, rtol=1e-6)
    for start, stop in ((3, 4), (60, 999), (5, 5), (0, 1)):
        np.testing.assert_array_equal(hdf5.read(start, stop), nifti.read(start, stop))
        np.testing.assert_array_equal(nifti.read(start, stop), nifti.read(0, 99)[start:stop])
    assert hdf5.read(0, 2).dtype == np.float32
    # The order of voxels is C order over (x, y, z) of the mask, as numpy's own masking has it.
    volumes = np.asanyarray(nibabel.load(published.beta_file("nii.gz")).dataobj)
    np.testing.assert_allclose(hdf5.read(0, 99), volumes[published.mask].T / 300, rtol=1e-6)
    with h5py.File(published.beta_file()) as file:
        assert file["betas"].shape == (len(published.betas), *GRID[::-1])
        assert file["betas"].chunks == (len(published.betas), 1, 1, 1)


def test_hdf5_that_holds_trial_after_trial_is_read_alike(sample: Sample) -> None:
    before = opened(sample.beta_file()).read(0, 99)
    with h5py.File(sample.beta_file(), "r+") as file:
        values = file["betas"][:]
        del file["betas"]
        file["betas"] = values
    np.testing.assert_array_equal(opened(sample.beta_file()).read(0, 99), before)
    np.testing.assert_array_equal(opened(sample.beta_file()).read(17, 50), before[17:50])


def test_betas_are_trials_of_one_sample(published: Sample) -> None:
    recording = opened(published.beta_file())
    n_trials = len(published.betas)
    assert recording.n_samples == n_trials
    assert recording.epoch is not None
    assert (recording.epoch.n_times, recording.epoch.onset, recording.epoch.in_order) == (1, 0, True)
    assert recording.gaps == ()  # nothing can run across the edges of betas
    assert recording.sfreq_hz == 0.25
    first = recording.channels[0]
    x, y, z = recording.voxels[0].tolist()
    assert (first.name, first.type, first.unit) == (f"{x},{y},{z}", "voxel", "%")
    np.testing.assert_allclose(first.position_m, (AFFINE_MM @ [x, y, z, 1])[:3] / 1e3)
    assert recording.stimuli.columns == ("onset", "id", "image", "split", "session", "run", "repeat")
    assert recording.markers == tuple(enumerate(map(str, np.asarray(recording.stimuli.id).tolist())))


def test_time_series_have_pictures_on_their_volumes(sample: Sample) -> None:
    recording = opened(sample.series_file())
    assert recording.sfreq_hz == 0.75
    assert recording.n_samples == 25
    np.testing.assert_array_equal(recording.read(0, 25), sample.volumes)
    np.testing.assert_array_equal(recording.read(20, 22), sample.volumes[20:22])
    trials = design_trials(sample.design, 1).of(1, 1)
    assert trials.slot is not None
    np.testing.assert_array_equal(recording.stimuli.onset, trials.slot * 3)
    np.testing.assert_array_equal(recording.stimuli.id, trials.table.id)
    assert recording.stimuli.split is not None
    np.testing.assert_array_equal(recording.stimuli.duration_s, np.full(len(trials.slot), 3.0))
    assert recording.stimuli.fraction is None
    design = sample.series_file().parent.parent / "design/design_session01_run01.tsv"
    assert len(design.read_text().split()) == 24
    # Without the run's own file, the slots of the experiment's design say the same.
    design.unlink()
    again = opened(sample.series_file())
    np.testing.assert_array_equal(again.stimuli.onset, recording.stimuli.onset)
    (sample.root / DESIGN).unlink()
    (sample.root / "nsddata/ppdata/subj01/behav/responses.tsv").unlink()
    last = opened(sample.series_file())
    assert len(last.stimuli) == 0
    assert "s3://natural-scenes-dataset/nsddata_timeseries/ppdata/subj01/func1pt8mm/design" in " ".join(
        last.notes
    )


def test_a_run_design_of_other_pictures_is_followed_and_told(sample: Sample) -> None:
    design = sample.series_file().parent.parent / "design/design_session01_run01.tsv"
    design.write_text("0\n17\n" + "0\n" * 22)
    recording = opened(sample.series_file())
    assert recording.markers == ((1, "16"),)
    assert any("name other pictures" in note for note in recording.notes)


def test_a_table_of_pictures_that_is_cut_off_is_told(sample: Sample) -> None:
    table = sample.root / STIM_INFO
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:3]))
    notes = opened(sample.beta_file()).notes
    assert any("does not list the pictures of" in note and "cut off" in note for note in notes)


def test_responses_tell_what_they_can_without_the_design(sample: Sample) -> None:
    full = subject_trials(sample.root, 1)
    (sample.root / DESIGN).unlink()
    table = opened(sample.beta_file()).stimuli
    assert full is not None
    for name in ("id", "session", "run", "repeat", "image"):
        np.testing.assert_array_equal(getattr(table, name), getattr(full.of(1).table, name))
    assert table.split is None
    (sample.root / "nsddata/ppdata/subj01/behav/responses.tsv").unlink()
    recording = opened(sample.beta_file())
    assert recording.stimuli.columns == ("onset", "session")
    assert recording.markers == ()
    assert "s3://natural-scenes-dataset/nsddata/experiments/nsd/nsd_expdesign.mat" in " ".join(
        recording.notes
    )


def test_masks_by_name_by_label_and_by_path(published: Sample, tmp_path: Path) -> None:
    path = published.beta_file()
    folder = published.func / "roi"
    values = {
        atlas: np.asanyarray(nibabel.load(folder / f"{atlas}.nii.gz").dataobj)
        for atlas in ("streams", "prf-visualrois")
    }
    for asked, mask in (
        ("streams", values["streams"] > 0),
        ("prf-visualrois=V1v", values["prf-visualrois"] == 1),
        ("prf-visualrois=v1D,7", np.isin(values["prf-visualrois"], [2, 7])),
        ("streams=ventral", values["streams"] == 5),
        ("all", np.ones(GRID, dtype=bool)),
        (f"{folder / 'streams.nii.gz'}=early", values["streams"] == 1),
    ):
        np.testing.assert_array_equal(opened(path, mask=asked).voxels, np.argwhere(mask), err_msg=asked)
    own = tmp_path / "own.nii"
    nibabel.Nifti1Image((values["streams"] == 2).astype(np.uint8), AFFINE_MM).to_filename(own)
    np.testing.assert_array_equal(opened(path, mask=str(own)).voxels, np.argwhere(values["streams"] == 2))
    recording = opened(path)
    found = regions(published.func, recording.voxels)
    np.testing.assert_array_equal(found["streams"].labels, values["streams"][tuple(recording.voxels.T)])
    assert found["streams"].names == {1: "early", 5: "ventral"}  # from the dataset's own table
    assert found["prf-visualrois"].names[7] == "hV4"  # as published


def cut_hdf5(sample: Sample) -> Path:
    path = sample.beta_file()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def cut_nifti(sample: Sample) -> Path:
    path = sample.beta_file("nii.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def other_session(sample: Sample) -> Path:
    return sample.beta_file().rename(sample.beta_file(session=41))


def other_subject(sample: Sample) -> Path:
    folder = sample.root / "nsddata_betas/ppdata"
    (folder / "subj01").rename(folder / "subj02")
    for path in (sample.func / "roi").iterdir():
        other = Path(str(path).replace("subj01", "subj02"))
        other.parent.mkdir(parents=True, exist_ok=True)
        nibabel.Nifti1Image(np.ones((82, 106, 84), np.uint8), AFFINE_MM).to_filename(other)
    return Path(str(sample.beta_file()).replace("subj01", "subj02"))


def no_mask(sample: Sample) -> Path:
    (sample.func / "roi/nsdgeneral.nii.gz").unlink()
    return sample.beta_file()


def moved_mask(sample: Sample) -> Path:
    path = sample.func / "roi/nsdgeneral.nii.gz"
    nibabel.Nifti1Image(np.ones(GRID, np.uint8), AFFINE_MM + 2 * np.eye(4)).to_filename(path)
    return sample.beta_file("nii.gz")


def outside(sample: Sample) -> Path:
    return sample.beta_file().rename(sample.root.parent / "betas_session01.hdf5")


def fewer_trials(sample: Sample) -> Path:
    with h5py.File(sample.beta_file(), "r+") as file:
        values = file["betas"][:-3]
        del file["betas"]
        file["betas"] = values
    return sample.beta_file()


def surface(sample: Sample) -> Path:
    with h5py.File(sample.beta_file(), "r+") as file:
        del file["betas"]
        file["betas"] = np.zeros((66, 1000), np.int16)
    return sample.beta_file()


def huge(sample: Sample) -> Path:
    with h5py.File(sample.beta_file(), "r+") as file:
        del file["betas"]
        file.create_dataset("betas", (750, 30_000, 30_000, 30_000), "<i2", chunks=(750, 1, 1, 1))
    return sample.beta_file()


def cut_design(sample: Sample) -> Path:
    path = sample.root / DESIGN
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return sample.beta_file()


def on_the_surface(sample: Sample) -> Path:
    return sample.beta_file().rename(sample.beta_file().with_name("lh.betas_session01.hdf5"))


def empty_folder(sample: Sample) -> Path:
    shutil.rmtree(sample.root / "nsddata_betas/ppdata")
    return sample.root / "nsddata_betas"


def odd_run_design(sample: Sample) -> Path:
    (sample.series_file().parent.parent / "design/design_session01_run01.tsv").write_text("<html>\n")
    return sample.series_file()


def run_design_beyond(sample: Sample) -> Path:
    design = sample.series_file().parent.parent / "design/design_session01_run01.tsv"
    design.write_text("0\n73001\n" + "0\n" * 22)
    return sample.series_file()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (run_design_beyond, "names picture 73001, and NSD's are 1 to 73000"),
        (cut_hdf5, "is no HDF5 file, or is damaged or cut off"),
        (cut_nifti, r"is cut off: \d+ of \d+ volumes are whole"),
        (other_session, r"says session 41, and subject 1 had 40"),
        (other_subject, r"Give a mask of the same person and space\. That grid is subject 2's in func1pt8mm"),
        (
            no_mask,
            r"does not exist\. There are: prf-visualrois, streams\. .*s3://natural-scenes-dataset/nsddata/ppdata/",
        ),
        (moved_mask, r"have the same shape but lie differently: their affines differ by up to 2"),
        (outside, "lies outside NSD's folders"),
        (fewer_trials, r"holds \d+ trials, and nsd_expdesign.mat has \d+ for session 1 of subject 1"),
        (surface, "has no dataset 'betas'"),
        (huge, r"has the grid \(7, 6, 5\) and .* the grid \(30000, 30000, 30000\)"),
        (cut_design, r"nsd_expdesign\.mat is damaged or cut off: .* Download it again from s3://"),
        (
            on_the_surface,
            "is NSD betas on the surface, not a recording of volumes. .* of func1pt8mm or func1mm",
        ),
        (empty_folder, "holds neither betas nor time series of NSD. Inspect it"),
        (odd_run_design, "is no column of whole numbers"),
    ],
)
def test_what_is_damaged_is_told(sample: Sample, damage: Callable[[Sample], Path], message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        open_recording(damage(sample))


def test_what_cannot_be_asked_is_told(published: Sample) -> None:
    path = published.beta_file()
    for options, message in (
        ({"mask": "nsdgeneral2"}, r"Did you mean 'nsdgeneral'\?"),
        ({"mask": "streams=dorsal"}, r"has no label 'dorsal'.*Known are 1 early, 5 ventral"),
        ({"mask": "streams=99"}, "holds no voxel"),
        ({"mask": "/none/x.nii.gz"}, "does not exist"),
        ({"mask": str(published.series_file())}, "holds 25 volumes; a mask is a single one"),
        ({"unit": "uV"}, "no use for the unit 'uV'"),
        ({"marker_column": "x"}, "no use for the marker column"),
        ({"modality": "eeg"}, "no EEG channel left"),
        ({"exclude_channels": ["0,0,99"]}, "no channel '0,0,99' to leave out"),
    ):
        with pytest.raises(RecordingError, match=message):
            open_recording(path, **options)  # type: ignore[arg-type]
    name = opened(path).channels[3].name
    left = open_recording(path, exclude_channels=[name], modality="fmri")
    assert name not in [channel.name for channel in left.channels]
    np.testing.assert_array_equal(left.read(4, 6), np.delete(opened(path).read(4, 6), 3, axis=1))


def test_folders_say_what_they_hold_and_lack(sample: Sample) -> None:
    found = inspect(sample.root)
    assert found.layout == "NSD, the dataset's folder"
    assert found.sound
    facts = dict(found.facts)
    assert facts["subject 1, func1pt8mm, betas_fithrf"] == "1 sessions of 40"
    assert facts["subject 1, func1pt8mm, time series"] == "1 runs in 1 sessions of 40"
    missing = [finding.text for finding in found.findings if finding.level == "missing"]
    assert any(
        "sessions not here: 2-40, such as s3://natural-scenes-dataset/nsddata_betas/ppdata/subj01/" in m
        for m in missing
    )
    assert any("time series: runs of session 1 not here: 2-12." in m for m in missing)
    answers = sample.root / RESPONSES.format(1)
    assert any("as the design has them" in finding.text for finding in found.findings)
    lines = answers.read_text().splitlines(keepends=True)
    answers.write_text("".join([lines[0], *lines[:0:-1]]))
    assert any("names other pictures than nsd_expdesign" in f.text for f in inspect(sample.root).findings)
    for inside in ("nsddata_betas", "nsddata_betas/ppdata/subj01", "nsddata_timeseries/ppdata"):
        assert inspect(sample.root / inside).layout == f"NSD, {inside}"
    # One recording in two forms is one; a folder of several names them.
    assert opened(sample.root / "nsddata_betas").name == "betas_session01.hdf5"
    with pytest.raises(
        RecordingError, match=r"holds 2 recordings: nsddata_betas/.*timeseries_session01_run01"
    ):
        open_recording(sample.root)
    with pytest.raises(RecordingError, match=r"It holds nsd: give one of them"):
        open_recording(sample.root.parent)
    with pytest.raises(RecordingError, match="is NSD's experimental design, not a recording"):
        open_recording(sample.root / DESIGN)
    for part in (DESIGN, STIM_INFO, PICTURES):
        assert inspect(sample.root / part).sound
        (sample.root / part).unlink()
    cut_nifti(sample).with_suffix("").with_suffix(".hdf5").unlink()
    write_betas(
        sample.root, 1, 2, np.zeros((3, 8)), np.ones((2, 2, 2), bool), AFFINE_MM, version="betas_fithrf"
    )
    write_betas(sample.root, 1, 1, sample.betas, sample.mask, AFFINE_MM, version="betas_assumehrf")
    found = inspect(sample.root)
    texts = {
        level: " ".join(f.text for f in found.findings if f.level == level)
        for level in ("wrong", "missing", "note")
    }
    assert "is cut off" in texts["wrong"]
    assert "betas of 2 kinds, betas_assumehrf, betas_fithrf: do not mix them" in texts["note"]
    assert (
        "nsd_stimuli.hdf5, the pictures (40 GB): s3://natural-scenes-dataset/nsddata_stimuli"
        in texts["missing"]
    )


def test_files_of_different_grids_were_mixed_up(sample: Sample) -> None:
    write_betas(
        sample.root, 1, 2, np.zeros((3, 8)), np.ones((2, 2, 2), bool), AFFINE_MM, version="betas_fithrf"
    )
    found = inspect(sample.root)
    assert not found.sound
    assert any("lie on different grids" in finding.text for finding in found.findings)


def test_inspection_of_a_file(published: Sample) -> None:
    found = inspect(published.beta_file())
    assert found.layout == "NSD betas (betas_fithrf), subject 1, session 1"
    facts = dict(found.facts)
    assert "int16" in facts["stored as"]
    assert facts["units"] == f"% ({int(published.mask.sum())})"
    assert inspect(published.series_file()).layout == "NSD time series, subject 1, session 1, run 1"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    mask = np.ones((2, 2, 2), dtype=np.bool_)
    betas = np.zeros((5, 8))
    betas[3, 4] = 200.0
    with pytest.raises(RecordingError, match=r"reach 60000 .*up to 32767"):
        write_betas(tmp_path, 1, 1, betas, mask, AFFINE_MM)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    betas[3, 4] = np.nan
    with pytest.raises(RecordingError, match="not finite"):
        write_betas(tmp_path, 1, 1, betas, mask, AFFINE_MM, forms=["nii.gz"])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    write_betas(tmp_path, 1, 1, np.zeros((5, 8)), mask, AFFINE_MM, forms=["nii.gz"])
    written = next(path for path in tmp_path.rglob("*.nii.gz"))
    assert open_nifti(written).tr_s == 4.0
    with pytest.raises(RecordingError, match="exists already"):
        write_betas(tmp_path, 1, 1, np.zeros((5, 8)), mask, AFFINE_MM)
