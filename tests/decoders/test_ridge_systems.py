"""The square matrix of a ridge regression, from which folds are taken and given back."""

import numpy as np
import pytest

from decode_stream.decoders.encoders.ridge_systems import RidgeSystem, mirror
from decode_stream.decoders.encoders.ridge_trials import RidgeTrials, standardised


def trials(n_voxels: int) -> RidgeTrials:
    rng = np.random.default_rng(0)
    features, embeddings = rng.standard_normal((60, n_voxels)), rng.standard_normal((60, 3))
    return standardised(features, embeddings, np.arange(60), 0, np.float64)


@pytest.mark.parametrize("n_voxels", [20, 100], ids=["by voxels", "by trials"])
def test_what_a_fold_leaves_out_comes_back_even_where_the_work_on_it_fails(n_voxels: int) -> None:
    system = RidgeSystem(trials(n_voxels))
    with pytest.raises(MemoryError), system.without(np.arange(10)):
        raise MemoryError
    penalties = np.full(3, 2.0)
    expected = RidgeSystem(trials(n_voxels)).weights(penalties)
    assert system.weights(penalties) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [1, 7, 9])
def test_the_lower_half_is_filled_in_place(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr("decode_stream.decoders.encoders.ridge_systems._ROWS", 3)
    whole = np.random.default_rng(0).standard_normal((n, n))
    whole += whole.T
    upper = np.triu(whole) + np.tril(np.full((n, n), 9.0), -1)
    mirror(upper)
    assert (upper == whole).all()
