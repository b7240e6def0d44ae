"""Voxels that hold no numbers, or never change."""

import numpy as np
import pytest

from decode_stream.decoders.encoders.ridge import fit_ridge
from decode_stream.decoders.encoders.ridge_settings import RidgeSettings
from decode_stream.stream.errors import RecordingError, UsageError

RUNS = np.repeat(np.arange(4), 10)


def features(n_voxels: int = 9) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, n_voxels)).astype(np.float32)


def test_voxels_that_are_not_numbers_are_refused_by_name() -> None:
    given = features()
    given[5, 2] = np.nan
    given[7, 4] = np.inf
    with pytest.raises(
        RecordingError, match=r"2 voxels \(number 3, number 5\) of 9 hold values that are not"
    ):
        fit_ridge(given, np.ones((40, 2)), RUNS)


def test_voxels_of_which_none_changes_are_refused() -> None:
    with pytest.raises(UsageError, match="None of the 9 voxels ever changes over 40 trials"):
        fit_ridge(np.ones((40, 9)), np.ones((40, 2)), RUNS)


def test_a_penalty_too_small_for_voxels_that_depend_on_each_other_is_refused() -> None:
    given = features(4).astype(np.float64)
    twice = np.hstack([given, given])
    with pytest.raises(UsageError, match="A penalty of 1e-200 is too small"):
        fit_ridge(twice, given[:, :2], RUNS, RidgeSettings((1e-200,)))
    # Of several, those that can be solved for are left to choose from.
    readout = fit_ridge(twice, given[:, :2], RUNS, RidgeSettings((1e-200, 1.0), rescaled=True))
    assert readout.penalties.tolist() == [1.0, 1.0]


def test_runs_of_few_trials_are_left_out_together() -> None:
    given = features()
    wanted = given[:, :2].astype(np.float64)
    runs = np.arange(40)  # a run each
    runs[39] = 38
    assert np.isfinite(fit_ridge(given, wanted, runs).weights).all()
    lone = np.zeros(40, np.int64)
    lone[39] = 1  # nothing is left to choose on but parts of the other
    assert np.isfinite(fit_ridge(given, wanted, lone).weights).all()
