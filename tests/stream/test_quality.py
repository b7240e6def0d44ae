"""Figures of volumes as they come equal those of the whole run."""

import numpy as np
import pytest

from decode_stream.stream.fmri.quality import RunQuality
from decode_stream.stream.types import MOTION, Channel


def channels(n_voxels: int, motion: bool = True) -> tuple[Channel, ...]:
    voxels = tuple(Channel(f"{i},0,0", "voxel") for i in range(n_voxels))
    return (*voxels, *(Channel(name, "misc") for name in MOTION)) if motion else voxels


@pytest.fixture
def run() -> np.ndarray:
    rng = np.random.default_rng(0)
    voxels = 500 + 10 * rng.standard_normal((30, 40)).cumsum(0)
    motion = 0.05 * rng.standard_normal((30, 6)) * [1, 1, 1, 0.01, 0.01, 0.01]
    motion[20] += [0.6, 0, 0, 0, 0, 0]
    return np.hstack([voxels, motion])


def test_displacement_is_that_of_power_et_al(run: np.ndarray) -> None:
    quality = RunQuality(channels(40))
    quality.add(run)
    steps = np.abs(np.diff(run[:, 40:], axis=0))
    displacement_mm, motion = quality.displacement_mm, quality.motion
    assert displacement_mm is not None
    assert motion is not None
    assert np.isnan(displacement_mm[0])
    np.testing.assert_allclose(displacement_mm[1:], steps[:, :3].sum(1) + 50 * steps[:, 3:].sum(1))
    np.testing.assert_array_equal(motion, run[:, 40:])


def test_dvars_and_tsnr_are_those_of_the_volumes_so_far(run: np.ndarray) -> None:
    quality = RunQuality(channels(40))
    for row in run:
        quality.add(row[None])
    voxels = run[:, :40]
    change = np.sqrt((np.diff(voxels, axis=0) ** 2).mean(1))
    level = (voxels.cumsum(0) / np.arange(1, 31)[:, None]).mean(1)
    np.testing.assert_allclose(quality.dvars[1:], 100 * change / level[1:])
    assert quality.tsnr == pytest.approx(np.median(voxels.mean(0) / voxels.std(0, ddof=1)))


def test_lost_volumes_keep_their_places_and_have_no_neighbours(run: np.ndarray) -> None:
    quality = RunQuality(channels(40))
    quality.add(run[:5])
    quality.skip(2)
    quality.add(run[7:10])
    assert quality.n_volumes == 10
    assert np.flatnonzero(np.isnan(quality.dvars)).tolist() == [0, 5, 6, 7]
    displacement_mm, motion = quality.displacement_mm, quality.motion
    assert displacement_mm is not None
    assert motion is not None
    assert np.flatnonzero(np.isnan(displacement_mm)).tolist() == [0, 5, 6, 7]
    assert np.flatnonzero(np.isnan(motion[:, 0])).tolist() == [5, 6]


def test_a_stream_without_motion_channels_tells_no_motion(run: np.ndarray) -> None:
    quality = RunQuality(channels(40, motion=False))
    run[3, 4] = np.nan
    quality.add(run[:, :40])
    assert quality.motion is None
    assert quality.displacement_mm is None
    assert np.isfinite(quality.tsnr)
    assert np.isfinite(quality.dvars[1:]).all()
