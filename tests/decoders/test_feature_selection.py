import numpy as np
import pytest

from decode_stream.decoders.targets.selection import best_decoded, decoded_correlation


def test_correlations_are_those_of_numpy() -> None:
    rng = np.random.default_rng(2)
    decoded, wanted = rng.standard_normal((2, 50, 4))
    wanted[:, 3] = 2.0
    expected = [np.corrcoef(decoded[:, k], wanted[:, k])[0, 1] for k in range(3)]
    np.testing.assert_allclose(decoded_correlation(decoded, wanted), [*expected, 0])


def test_the_quarter_that_is_decoded_best_is_kept() -> None:
    correlation = np.array([0.1, 0.9, -0.95, 0.5, 0.3, 0.0, 0.2, 0.4])
    assert np.flatnonzero(best_decoded(correlation)).tolist() == [1, 3]
    assert np.flatnonzero(best_decoded(correlation, 0.5)).tolist() == [1, 3, 4, 7]
    assert best_decoded(np.zeros(3)).tolist() == [True, False, False]
    for share in (0, 1.5):
        with pytest.raises(ValueError, match="A share lies above 0"):
            best_decoded(np.zeros(3), share)
