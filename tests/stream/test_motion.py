"""The head is followed: known displacements are found, and voxels are read where they went."""

import numpy as np
import pytest
from benchmarks.registration import Head, errors

from decode_stream.stream.errors import UsageError
from decode_stream.stream.fmri.motion import MotionCorrection

GRID, VOXEL_MM, NOISE = (36, 44, 30), 3.0, 20.0


def oblique() -> np.ndarray:
    """A slab tilted by 20 degrees whose x runs to the left, away from the middle, as scanners write it."""
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    affine_mm = np.eye(4)
    affine_mm[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag([-3.0, 3.0, 3.0])
    affine_mm[:3, 3] = [70.0, -90.0, 12.0]
    return affine_mm


@pytest.fixture(scope="module")
def head() -> Head:
    return Head(GRID, VOXEL_MM)


def follower(head: Head) -> MotionCorrection:
    return MotionCorrection(head.volume([0] * 3, [0] * 3, NOISE, 0), head.affine_mm, head.voxels)


@pytest.mark.parametrize("affine_mm", [None, oblique()])
def test_known_displacements_are_found_to_a_tenth(affine_mm: np.ndarray | None) -> None:
    head = Head(GRID, VOXEL_MM, affine_mm=affine_mm)
    follow = follower(head)
    rng = np.random.default_rng(3)
    for seed in range(1, 7):
        shift_mm, angles_deg = rng.uniform(-2, 2, 3), rng.uniform(-2, 2, 3)
        corrected = follow.correct(head.volume(shift_mm, angles_deg, NOISE, seed))
        off_mm, off_deg = errors(corrected.motion, shift_mm, angles_deg)
        assert off_mm < 0.1
        assert off_deg < 0.1


def test_voxels_are_read_where_they_went(head: Head) -> None:
    still = head.volume([0] * 3, [0] * 3, 0.0, 0)
    moved = head.volume([1.5, -1.0, 0.7], [1.0, -1.5, 0.5], 0.0, 0)
    follow = MotionCorrection(still, head.affine_mm, head.voxels)
    there = still[tuple(head.voxels.T)]
    off = np.std(follow.correct(moved).values - there)
    assert off < 0.1 * np.std(moved[tuple(head.voxels.T)] - there)


def test_a_head_that_lies_elsewhere_when_a_run_begins_is_found(head: Head) -> None:
    shift_mm, angles_deg = [7.0, -5.0, 6.0], [4.0, -3.0, 5.0]
    follow = follower(head)
    off_mm, off_deg = errors(
        follow.correct(head.volume(shift_mm, angles_deg, NOISE, 1)).motion, shift_mm, angles_deg
    )
    assert off_mm < 0.2
    assert off_deg < 0.2


def test_another_gain_moves_nothing(head: Head) -> None:
    motion = follower(head).correct(3 * head.volume([0.5, 0, 0], [0, 0, 1], NOISE, 1)).motion
    assert max(errors(motion, [0.5, 0, 0], [0, 0, 1])) < 0.1


def test_a_header_that_lies_elsewhere_is_taken_into_account(head: Head) -> None:
    volume = head.volume([0] * 3, [0] * 3, NOISE, 1)
    shifted_mm = head.affine_mm.copy()
    shifted_mm[:3, 3] += [4.0, 0.0, -2.0]
    corrected = follower(head).correct(volume, shifted_mm)
    np.testing.assert_allclose(corrected.motion[:3], [-4, 0, 2], atol=0.1)
    plain = volume[tuple(head.voxels.T)]
    assert np.corrcoef(corrected.values, plain)[0, 1] > 0.99


def test_a_session_that_goes_on_finds_the_same_bits(head: Head) -> None:
    volumes = [head.volume([0.3 * i, 0, 0.1 * i], [0, 0.2 * i, 0], NOISE, i) for i in range(1, 4)]
    whole, first, again = follower(head), follower(head), follower(head)
    expected = [whole.correct(volume) for volume in volumes]
    first.correct(volumes[0])
    again.resume(first.state())
    for volume, told in zip(volumes[1:], expected[1:], strict=True):
        corrected = again.correct(volume)
        np.testing.assert_array_equal(corrected.values, told.values)
        np.testing.assert_array_equal(corrected.motion, told.motion)
    again.resume(follower(head).state())
    assert again.motion is None


@pytest.mark.parametrize("bad", [np.zeros(GRID), np.full(GRID, np.nan)])
def test_a_volume_without_a_head_keeps_the_movement_of_the_one_before(head: Head, bad: np.ndarray) -> None:
    follow = follower(head)
    before = follow.correct(head.volume([1, 0, 0], [0, 0, 0], NOISE, 1)).motion
    np.testing.assert_array_equal(follow.correct(bad).motion, before)


@pytest.mark.parametrize(
    ("reference", "affine_mm", "words"),
    [
        (np.ones((40, 20, 1)), np.eye(4), "40 x 20 x 1"),
        (np.zeros(GRID), np.eye(4), "no signal"),
        (np.ones(GRID), np.zeros((4, 4)), "affine"),
    ],
)
def test_what_cannot_be_registered_is_refused(
    reference: np.ndarray, affine_mm: np.ndarray, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        MotionCorrection(reference, affine_mm, np.zeros((1, 3), np.int64))
