"""Level and spread of the betas so far."""

import numpy as np
import pytest

from decode_stream.stream.fmri.running_scale import RunningScale


def test_each_beta_is_standardised_by_those_so_far() -> None:
    betas = np.random.default_rng(0).normal(3.0, 2.0, (12, 5))
    betas[:, 4] = 7.0
    scale = RunningScale(5, 3)
    for n, beta in enumerate(betas, 1):
        scale.add(beta)
        assert scale.ready is (n >= 3)
        if n < 2:
            with pytest.raises(ValueError, match="second beta"):
                scale.apply(beta)
            continue
        mean, spread = betas[:n].mean(axis=0), betas[:n].std(axis=0, ddof=1)
        spread[4] = 1.0
        np.testing.assert_allclose(scale.apply(beta), (beta - mean) / spread, rtol=1e-5, atol=1e-6)
    assert scale.apply(betas[0])[4] == 0


def test_one_beta_is_no_warm_up() -> None:
    with pytest.raises(ValueError, match="warm-up of 1"):
        RunningScale(5, 1)
