"""What could be learnt at most: from nothing nothing, from everything everything."""

import numpy as np
import pytest
from benchmarks.best_learner import learnt_weights


@pytest.mark.parametrize(("told", "kept"), [(1e9, 1.0), (1e-9, 0.0)])
def test_weights_are_learnt_as_far_as_trials_tell_of_them(told: float, kept: float) -> None:
    rng = np.random.default_rng(0)
    weights, looks = rng.standard_normal((5, 3)), rng.standard_normal((40, 5))
    learnt = learnt_weights(weights, np.ones(3), looks.T @ looks, told * np.eye(3), seed=1)
    np.testing.assert_allclose(learnt, kept * weights, atol=1e-2)


def test_between_the_two_estimates_are_shrunken() -> None:
    rng = np.random.default_rng(0)
    weights, looks = rng.standard_normal((60, 40)), rng.standard_normal((600, 60))
    learnt = learnt_weights(weights, np.ones(40), looks.T @ looks, np.eye(40) / 600, seed=1)
    assert 0.3 < (learnt * weights).sum() / (weights**2).sum() < 0.7
    assert (learnt**2).sum() < 0.8 * (weights**2).sum()
