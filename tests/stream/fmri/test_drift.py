import numpy as np
import pytest
from nilearn.glm.first_level.design_matrix import create_cosine_drift

from decode_stream.stream.fmri.drift import Drift


@pytest.mark.parametrize(
    ("n_volumes", "tr_s", "high_pass_s"), [(226, 4 / 3, 128.0), (121, 2.5, 100.0), (40, 2, 16)]
)
def test_cosines_equal_nilearn(n_volumes, tr_s, high_pass_s):
    theirs = create_cosine_drift(1 / high_pass_s, np.arange(n_volumes) * tr_s)
    ours = Drift(n_volumes, high_pass_s, tr_s).cosines(np.arange(n_volumes))
    assert ours.shape == theirs.shape
    assert np.abs(np.roll(ours, -1, axis=1) - theirs).max() < 1e-12


def test_without_a_high_pass_the_constant_is_alone():
    drift = Drift(100, None, 2.0)
    assert drift.n_columns == 1
    assert (drift.row(np.arange(100)) == 1).all()


def test_columns_of_a_stage_are_orthogonal_and_span_the_cosines():
    drift = Drift(226, 128.0, 4 / 3)
    volumes = np.arange(226)
    led = drift.row(volumes)
    n_stages = 0
    for volume in volumes:
        if drift.is_due(volume):
            matrix = drift.next_stage()
            led = led @ matrix.T
            n_stages += 1
        if volume == drift.stage_stop - 1:
            so_far = drift.row(volumes[: volume + 1])
            gram = so_far.T @ so_far
            gram[0] /= np.sqrt(volume + 1)
            gram[:, 0] /= np.sqrt(volume + 1)
            # Of the first stage, of nine volumes, rounding leaves the finest difference five digits.
            assert np.abs(gram - np.eye(5)).max() < 1e-4
            assert np.abs(led[: volume + 1] - so_far).max() < 1e-4
            assert np.abs(drift.cosines(volumes[:9]) @ drift.of_cosines().T - so_far[:9]).max() < 1e-4
    assert n_stages > 5
    assert not drift.is_due(1000)


def test_cosines_that_are_one_column_yet_are_not_told_apart():
    drift = Drift(900, 128.0, 2.0)
    assert drift.n_columns == 29
    assert not drift.told_apart.all()
    while drift.is_due(899):
        drift.next_stage()
    assert drift.told_apart.all()
