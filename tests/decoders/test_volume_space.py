"""A bundle of fMRI knows in which grid its voxels lie, and holds a volume to bring live ones to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.bundle import load_bundle, save_bundle
from decode_stream.decoders.volume_space import VolumeSpace
from decode_stream.stream.errors import BundleError

from .bundles import small_bundle

AFFINE_MM = np.array([[-3.0, 0, 0, 40], [0, 2.9, 0.4, -50], [0, -0.4, 2.9, 7], [0, 0, 0, 1]])


def test_grid_and_reference_travel_with_the_bundle(tmp_path: Path) -> None:
    bundle = small_bundle()
    reference = np.random.default_rng(0).random((4, 5, 6), np.float32)
    manifest = replace(bundle.manifest, volume=VolumeSpace.of((4, 5, 6), AFFINE_MM))
    save_bundle(replace(bundle, manifest=manifest, reference=reference), tmp_path / "a.zip")
    loaded = load_bundle(tmp_path / "a.zip")
    assert loaded.manifest.volume is not None
    assert loaded.manifest.volume.grid == (4, 5, 6)
    np.testing.assert_array_equal(loaded.manifest.volume.affine, AFFINE_MM)
    assert loaded.reference is not None
    np.testing.assert_array_equal(loaded.reference, reference)


def test_bundles_without_them_are_read_as_before(tmp_path: Path) -> None:
    save_bundle(small_bundle(), tmp_path / "a.zip")
    loaded = load_bundle(tmp_path / "a.zip")
    assert loaded.manifest.volume is None
    assert loaded.reference is None


def test_a_reference_of_another_grid_is_refused() -> None:
    bundle = small_bundle()
    manifest = replace(bundle.manifest, volume=VolumeSpace((4, 5, 6)))
    with pytest.raises(BundleError, match="reference"):
        replace(bundle, manifest=manifest, reference=np.zeros((4, 5, 7), np.float32))
    with pytest.raises(BundleError, match="reference"):
        replace(bundle, reference=np.zeros((4, 5, 7), np.float32))


def test_what_is_no_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="grid"):
        VolumeSpace((4, 0, 6))
    with pytest.raises(ValueError, match="affine"):
        VolumeSpace((4, 5, 6), ((1.0,),))
