"""The commands of ``decode-stream brain``, on a simulated person in NSD's folders."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from decode_stream.brain import memory
from decode_stream.brain.ceiling import tell_ceiling
from decode_stream.brain.config import (
    CeilingConfig,
    CycleConfig,
    EncodeConfig,
    InterpolateConfig,
    WeightsConfig,
    WhatIfConfig,
)
from decode_stream.brain.cycle import tell_cycle
from decode_stream.brain.encode import tell_encoding
from decode_stream.brain.interpolate import tell_interpolation
from decode_stream.brain.weights import tell_weights
from decode_stream.brain.what_if import tell_what_if
from decode_stream.config import TrainConfig
from decode_stream.decoders.bundle import load_bundle, save_bundle
from decode_stream.free_memory import free_bytes
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.formats.voxels import voxel_channels
from decode_stream.replay_data.formats.write_nifti import write_nifti
from decode_stream.replay_data.stored import store
from decode_stream.stream.errors import BundleError, RecordingError, UsageError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.training.train import train_bundle
from tests.app.nsd_person import N_VOXELS, NsdPerson, write_person

N_EMPTY = 3


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> NsdPerson:
    return write_person(tmp_path_factory.mktemp("nsd"))


@pytest.fixture(scope="module")
def bundle(person: NsdPerson, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "person.bundle"
    config = TrainConfig(modality="fmri", target=person.target, out=out)
    assert train_bundle(person.betas, config) == 0
    return out


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., dict]:
    """Run a command and return what it wrote as JSON."""

    def run(command: Callable, paths: list[Path], config: type, **settings: object) -> dict:
        out = tmp_path / "told.json"
        assert command(paths, config(json=out, **settings)) == 0
        return dict(json.loads(out.read_text()))

    return run


def write_mask(path: Path, values: np.ndarray, affine_mm: np.ndarray) -> Path:
    write_nifti(path, values.shape, np.dtype("<i2"), affine_mm, 0.0, iter([values]))
    return path


def test_the_ceiling_is_that_of_the_person_and_its_map_lies_in_place(
    person: NsdPerson, told: Callable, tmp_path: Path
) -> None:
    out = tmp_path / "nc.nii.gz"
    found = told(tell_ceiling, person.betas, CeilingConfig, repeats=3, nifti=out, figure=tmp_path / "nc.png")
    subject, table = person.nsd.subject, person.nsd.trials.table
    signal = subject.answers(person.nsd.shown(table)).std(axis=0)
    noise = subject.beta_noise * np.sqrt(subject.own_noise**2 + (subject.shared_noise**2).sum(axis=1))
    truth = 100 * signal**2 / (signal**2 + noise**2 / 3)
    image = nibabel.load(out)
    assert np.allclose(image.affine, subject.affine_mm)
    volume = np.asarray(image.dataobj)
    assert np.corrcoef(volume[subject.mask], truth)[0, 1] > 0.9
    assert np.isnan(volume[~subject.mask]).all()
    assert found["regions"][0]["name"] == "streams=early"
    assert sum(region["n_voxels"] for region in found["regions"]) == N_VOXELS
    assert (tmp_path / "nc.png").stat().st_size > 5000


def test_repeats_count_whatever_session_is_missing(person: NsdPerson, told: Callable) -> None:
    table = person.nsd.trials.table
    kept = np.asarray(table.session) != 2
    counts = np.unique(np.asarray(table.id)[kept], return_counts=True)[1]
    found = told(tell_ceiling, [person.betas[0], person.betas[2]], CeilingConfig)
    assert found["n_pictures"] == np.count_nonzero(counts > 1)
    assert found["n_trials"] == counts[counts > 1].sum()


def test_volumes_have_a_ceiling_too(person: NsdPerson, told: Callable) -> None:
    found = told(
        tell_ceiling, person.runs, CeilingConfig, region=("prf-visualrois=V1v,V1d", "streams=ventral")
    )
    assert [region["name"] for region in found["regions"]] == ["prf-visualrois=V1v,V1d", "streams=ventral"]
    assert all(region["median"] >= 0 for region in found["regions"])


def test_voxels_without_data_in_a_session_are_told(tmp_path: Path, told: Callable) -> None:
    person = write_person(tmp_path / "nsd", empty=N_EMPTY)
    found = told(tell_ceiling, person.betas, CeilingConfig)
    assert f"{N_EMPTY} of {N_VOXELS} voxels hold no data in some session, and are left out." in found["notes"]
    assert sum(region["n_known"] for region in found["regions"]) == N_VOXELS - N_EMPTY


def test_voxels_are_predicted_up_to_their_ceiling(person: NsdPerson, told: Callable, tmp_path: Path) -> None:
    out = tmp_path / "enc.nii.gz"
    found = told(
        tell_encoding, person.betas, EncodeConfig, target=person.target, nifti=out, figure=tmp_path / "e.png"
    )
    early = found["regions"][0]
    assert 0.4 < early["share"] < 1.1
    assert early["correlation"] < early["ceiling"]
    assert np.isfinite(np.asarray(nibabel.load(out).dataobj)[person.nsd.subject.mask]).all()


def test_a_ceiling_of_elsewhere_can_be_given(person: NsdPerson, told: Callable, tmp_path: Path) -> None:
    subject = person.nsd.subject
    ncsnr = np.where(subject.mask, 10, 0).astype(np.int16)
    path = write_mask(tmp_path / "ncsnr.nii.gz", ncsnr, subject.affine_mm)
    found = told(tell_encoding, person.betas, EncodeConfig, target=person.target, ncsnr=path)
    assert found["regions"][0]["ceiling"] == pytest.approx(np.sqrt(100 / 101), abs=1e-6)
    nothing = write_mask(tmp_path / "zero.nii.gz", 0 * ncsnr, subject.affine_mm)
    with pytest.raises(UsageError, match="Is it of another person"):
        tell_encoding(person.betas, EncodeConfig(target=person.target, ncsnr=nothing))


def test_a_bundle_knows_the_regions_of_its_voxels(bundle: Path, person: NsdPerson, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    assert loaded.regions is not None
    subject = person.nsd.subject
    assert np.array_equal(loaded.regions.mask("streams=ventral"), subject.streams == 5)
    assert loaded.manifest.regions["streams"][0] == "early"
    again = load_bundle(save_bundle_as(loaded, tmp_path / "again.zip"))
    assert again.regions is not None
    assert np.array_equal(again.regions.mask("prf-visualrois=V1v"), subject.visual == 1)
    labels = (bundle / "regions.safetensors").read_bytes()
    (bundle / "regions.safetensors").write_bytes(labels[:-1] + b"\x09")
    with pytest.raises(BundleError, match=r"regions\.safetensors in .* is not the file that was saved"):
        load_bundle(bundle)
    (bundle / "regions.safetensors").write_bytes(labels)


def save_bundle_as(bundle, path: Path) -> Path:
    save_bundle(bundle, path)
    return path


def test_weights_are_mapped_region_by_region(
    bundle: Path, person: NsdPerson, told: Callable, tmp_path: Path
) -> None:
    out = tmp_path / "w.nii.gz"
    settings = {"bundle": bundle, "nifti": out, "map": "sensitivity", "figure": tmp_path / "w.png"}
    found = told(tell_weights, person.betas[:1], WeightsConfig, **settings)
    assert found["linear"]
    assert all(region["pattern"]["mean"] > 0 for region in found["regions"])
    assert (np.asarray(nibabel.load(out).dataobj)[person.nsd.subject.mask] > 0).all()
    entry = load_bundle(bundle).manifest.gallery[0]
    assert told(tell_weights, person.betas[:1], WeightsConfig, bundle=bundle, entry=entry)["entry"] == entry
    with pytest.raises(UsageError, match="has no entry 'nothing'"):
        tell_weights(person.betas[:1], WeightsConfig(bundle=bundle, entry="nothing"))


def test_what_is_sent_to_voxels_comes_back(
    bundle: Path, person: NsdPerson, told: Callable, tmp_path: Path
) -> None:
    found = told(tell_cycle, person.betas, CycleConfig, bundle=bundle, figure=tmp_path / "c.png")
    scores = {(row["of"], row["score"]): row["mean"] for row in found["scores"]}
    assert scores["predicted answers", "two-way"] > 0.8
    assert scores["predicted answers", "cosine"] > 0.3
    assert "No trial is learnt from whose picture is in the part held out." in found["notes"]
    assert any(note.startswith("NOT HELD OUT") for note in found["notes"])


def test_regions_are_silenced_and_raised(
    bundle: Path, person: NsdPerson, told: Callable, tmp_path: Path
) -> None:
    found = told(tell_what_if, person.betas, WhatIfConfig, bundle=bundle, figure=tmp_path / "i.png")
    assert sum(region["n_voxels"] for region in found["regions"]) == N_VOXELS
    assert min(region["change_nats"] for region in found["regions"]) < 0
    everything = told(
        tell_what_if, person.betas, WhatIfConfig, bundle=bundle, region=("nsdgeneral=nsdgeneral",)
    )
    n_entries = len(load_bundle(bundle).manifest.gallery)
    assert everything["regions"][0]["top1_after"] == pytest.approx(1 / n_entries, abs=0.1)
    one = told(
        tell_what_if,
        person.betas,
        WhatIfConfig,
        bundle=bundle,
        region=("streams=early",),
        raise_sd=3,
        trial=2,
    )
    assert one["trial"] == 2
    assert sum(one["regions"][0]["after"]) == pytest.approx(1)
    assert one["regions"][0]["cosine"] < 1
    with pytest.raises(UsageError, match=r"There is no trial 9999; they are 1 to \d+"):
        tell_what_if(person.betas, WhatIfConfig(bundle=bundle, trial=9999))
    with pytest.raises(UsageError, match="--raise-sd is 0"):
        WhatIfConfig(bundle=bundle, raise_sd=0)


def test_what_lies_between_two_scans_is_decoded(
    bundle: Path, person: NsdPerson, told: Callable, tmp_path: Path
) -> None:
    settings = {"bundle": bundle, "between": (1, 2), "steps": 5, "figure": tmp_path / "b.png"}
    found = told(tell_interpolation, person.betas[:1], InterpolateConfig, **settings)
    assert found["t"] == [0, 0.25, 0.5, 0.75, 1]
    assert found["cosine_first"][0] == pytest.approx(1)
    with pytest.raises(UsageError, match="names trial 1 twice"):
        tell_interpolation(person.betas[:1], InterpolateConfig(bundle=bundle, between=(1, 1)))


def test_a_region_without_a_voxel_of_the_bundle_is_refused(person: NsdPerson, tmp_path: Path) -> None:
    out = tmp_path / "ventral.bundle"
    settings = {"modality": "fmri", "target": person.target, "mask": "streams=ventral", "out": out}
    assert train_bundle(person.betas, TrainConfig(**settings)) == 0
    with pytest.raises(UsageError, match="streams has no region 'early' here. It has: ventral"):
        tell_what_if(person.betas, WhatIfConfig(bundle=out, region=("streams=early",)))
    subject = person.nsd.subject
    early = np.zeros(subject.mask.shape, np.int16)
    early[subject.mask] = subject.streams == 1
    mask = write_mask(tmp_path / "early.nii.gz", early, subject.affine_mm)
    with pytest.raises(UsageError, match=r"None of the \d+ voxels of .* lies in .*early\.nii\.gz"):
        tell_what_if(person.betas, WhatIfConfig(bundle=out, region=(str(mask),)))


def test_a_mask_of_another_grid_or_person_is_refused(person: NsdPerson, bundle: Path, tmp_path: Path) -> None:
    subject = person.nsd.subject
    other = write_mask(tmp_path / "other.nii.gz", np.ones((9, 9, 9), np.int16), subject.affine_mm)
    with pytest.raises(RecordingError, match=r"has the grid \(9, 9, 9\)"):
        tell_ceiling(person.betas, CeilingConfig(region=(str(other),)))
    moved = subject.affine_mm + np.pad([[5.0]], ((0, 3), (3, 0)))
    shifted = write_mask(tmp_path / "moved.nii.gz", subject.mask.astype(np.int16), moved)
    with pytest.raises(RecordingError, match="lie differently"):
        tell_what_if(person.betas, WhatIfConfig(bundle=bundle, region=(str(shifted),)))
    with pytest.raises(RecordingError, match=r"lacks \d+ of the 200 voxels that 'person' decodes"):
        tell_what_if(person.betas, WhatIfConfig(bundle=bundle, mask="streams=ventral"))


def test_more_voxels_than_memory_holds_are_refused_before_they_are_read(
    person: NsdPerson, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (free_bytes() or 1) > 0
    monkeypatch.setattr(memory, "free_bytes", lambda: 100_000)
    for run in (
        lambda: tell_ceiling(person.betas, CeilingConfig()),
        lambda: tell_weights(person.betas, WeightsConfig(bundle=bundle)),
    ):
        with pytest.raises(UsageError, match=r"of 200 voxels take .* GB, and 0\.0 GB of memory are free"):
            run()


def converted(folder: Path, n: int = 30, n_pictures: int = 30) -> Path:
    """A converted recording of three voxels, outside NSD's folders."""
    data = np.random.default_rng(0).standard_normal((n, 3))
    recording = ArrayRecording(
        data,
        voxel_channels(np.array([[1, 2, 3], [2, 2, 3], [3, 2, 3]]), None, "%"),
        0.25,
        markers=tuple((i, str(i % n_pictures)) for i in range(n)),
        name="own",
        stimuli=StimulusTable(np.arange(n), np.arange(n) % n_pictures),
        epoch=Epoch(1, 0, in_order=True),
    )
    store(recording, folder / "own.recording")
    return folder / "own.recording"


def test_recordings_that_tell_too_little_are_refused(tmp_path: Path, told: Callable) -> None:
    with pytest.raises(UsageError, match="Each of the 30 pictures was shown once"):
        tell_ceiling([converted(tmp_path)], CeilingConfig())
    (tmp_path / "again").mkdir()
    path = converted(tmp_path / "again", n_pictures=10)
    found = told(tell_ceiling, [path], CeilingConfig)
    assert [region["name"] for region in found["regions"]] == ["all voxels"]
    with pytest.raises(UsageError, match="Nothing tells the regions of the voxels of .*own.recording"):
        tell_ceiling([path], CeilingConfig(region=("streams=ventral",)))
    with pytest.raises(UsageError, match="does not keep the grid of its voxels"):
        tell_ceiling([path], CeilingConfig(nifti=tmp_path / "x.nii.gz"))
    with pytest.raises(UsageError, match="must end in .nii.gz"):
        tell_ceiling([path], CeilingConfig(nifti=tmp_path / "x.png"))
    with pytest.raises(UsageError, match="is given twice"):
        tell_ceiling([path, path], CeilingConfig())
    with pytest.raises(UsageError, match="Recordings are needed"):
        tell_ceiling([], CeilingConfig())


def test_categories_are_encoded_as_they_are_named(tmp_path: Path, told: Callable) -> None:
    path = converted(tmp_path, 60, 4)
    found = told(tell_encoding, [path], EncodeConfig, events="0=face,1=face,2=house,3=house")
    assert found["n_trials"] == 60
    assert "Categories are learnt from other trials of the same ones." in found["notes"]
    with pytest.raises(UsageError, match="needs two categories"):
        tell_encoding([path], EncodeConfig(events="0=face"))
    with pytest.raises(RecordingError, match="--events names 9, and the markers say 0, 1, 2, 3"):
        tell_encoding([path], EncodeConfig(events="9=face"))


def test_real_blocks_are_encoded_below_their_ceiling(real_data: Path, told: Callable) -> None:
    folder = real_data / "fmri_haxby2001/sub001/BOLD"
    runs = [folder / f"task001_run00{n}/bold_1slice.nii.gz" for n in range(1, 7)]
    found = told(tell_encoding, runs, EncodeConfig, lag_s=5.0, width_s=22.5)
    (everywhere,) = found["regions"]
    assert found["n_trials"] == 48
    assert 0 < everywhere["correlation"] < everywhere["ceiling"]
