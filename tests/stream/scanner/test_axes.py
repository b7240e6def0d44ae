"""Volumes laid along the axes of another grid keep every value at its place."""

from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest

from decode_stream.stream.scanner.axes import turn_onto
from decode_stream.stream.scanner.volume import Volume


def oblique_mm() -> np.ndarray:
    x, z = 0.2, -0.15
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    affine_mm = np.eye(4)
    affine_mm[:3, :3] = about_x @ about_z @ np.diag([2.0, 2.5, 3.0])
    affine_mm[:3, 3] = [-30.0, -40.0, 20.0]
    return affine_mm


def volume_of(image: nibabel.Nifti1Image) -> Volume:
    data = np.asarray(image.dataobj, np.float32)
    return Volume(0, data, image.affine, 1.5, None, 0.0, Path("v_0001.nii"), "run")


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_every_order_and_direction_of_axes_is_turned_back(order: tuple[int, int, int]) -> None:
    data = np.arange(4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
    image = nibabel.Nifti1Image(data, oblique_mm())
    for signs in product((1, -1), repeat=3):
        other = image.as_reoriented(np.column_stack([order, signs]))
        turn = turn_onto(other.affine, image.affine)
        if (order, signs) == ((0, 1, 2), (1, 1, 1)):
            assert turn is None
            continue
        assert turn is not None
        laid = turn.of(volume_of(other))
        np.testing.assert_array_equal(laid.data, data)
        np.testing.assert_allclose(laid.affine_mm, image.affine, atol=1e-9)
        assert laid.data.flags.c_contiguous


def test_a_head_that_lies_a_little_otherwise_is_not_turned() -> None:
    moved = oblique_mm()
    tilt = np.eye(4)
    tilt[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    tilt[:3, 3] = [4.0, -8.0, 2.0]
    assert turn_onto(tilt @ moved, moved) is None


def test_it_says_where_the_axes_led_and_lead() -> None:
    turn = turn_onto(np.diag([-2.0, 2.0, 3.0, 1.0]), np.diag([2.0, 2.0, 3.0, 1.0]))
    assert turn is not None
    assert turn.words == "LAS to RAS"
    assert (turn.axes, turn.reversed_axes) == ((0, 1, 2), (True, False, False))
