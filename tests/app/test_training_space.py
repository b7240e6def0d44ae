"""What a decoder keeps of the volumes that it is trained on: their grid, and one of them."""

from pathlib import Path

import numpy as np

from decode_stream.decoders.volume_space import VolumeSpace
from decode_stream.replay_data.formats.write_nifti import write_nifti
from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.stored import store
from decode_stream.stream.fmri.beta_recording import beta_recording
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.training.volume_space import volume_space

from .scanned_runs import AFFINE_MM, GRID, images, run, subject


def test_of_images_the_mean_of_the_first_is_kept(tmp_path: Path) -> None:
    volumes = np.stack(images(run(subject(), 0)))[:25]
    path = tmp_path / "run.nii.gz"
    write_nifti(path, (*GRID, 25), np.dtype(np.int16), AFFINE_MM, 2.0, iter(volumes))
    (tmp_path / "run_events.tsv").write_text("onset\tduration\ttrial_type\n4\t1\tcat\n12\t1\tface\n")
    recording = open_recording(path)
    betas = beta_recording(recording, GlmSpec(stimulus_s=1.0, high_pass_s=None, planned_volumes=25))
    for opened in (recording, betas):
        space, reference = volume_space(path, opened)
        assert space is not None
        assert space.grid == GRID
        np.testing.assert_allclose(np.array(space.affine_mm), AFFINE_MM, atol=1e-5)
        assert reference is not None
        np.testing.assert_allclose(reference, volumes[:10].astype(np.int16).mean(axis=0), rtol=1e-6)


def test_of_what_was_converted_its_source_is_asked(tmp_path: Path) -> None:
    volumes = np.stack(images(run(subject(), 0)))[:12]
    path = tmp_path / "run.nii.gz"
    write_nifti(path, (*GRID, 12), np.dtype(np.int16), AFFINE_MM, 2.0, iter(volumes))
    store(open_recording(path), tmp_path / "run.recording", source=str(path))
    converted = open_recording(tmp_path / "run.recording")
    space, reference = volume_space(tmp_path / "run.recording", converted)
    assert space is not None
    assert reference is not None
    path.unlink()
    assert volume_space(tmp_path / "run.recording", converted) == (None, None)


def test_what_says_nothing_of_its_grid_keeps_none(tmp_path: Path) -> None:
    assert volume_space(tmp_path / "run-0", run(subject(), 0)) == (None, None)
    assert VolumeSpace.of(GRID, None).affine is None
