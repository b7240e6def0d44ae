"""Two decoders on the same trials: against counts by hand and the binomial."""

from math import comb

import numpy as np
import pytest

from decode_stream.decoders.scoring.paired import exact_mcnemar, paired_difference


def test_mcnemars_exact_test_is_a_binomial_of_the_trials_on_which_two_differ() -> None:
    ours = np.array([1.0] * 9 + [0.0] * 2 + [1.0] * 5 + [0.0] * 4)
    theirs = np.array([0.0] * 9 + [1.0] * 2 + [1.0] * 5 + [0.0] * 4)
    p, better, worse = exact_mcnemar(ours, theirs)
    assert (better, worse) == (9, 2)
    assert p == pytest.approx(2 * sum(comb(11, i) for i in range(3)) / 2**11)
    assert exact_mcnemar(ours, ours) == (1.0, 0, 0)


def test_the_interval_knows_that_showings_of_a_picture_are_right_together() -> None:
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(30), 20)
    runs = np.tile(np.repeat(np.arange(2), 10), 30)
    gain = rng.choice([-1, 0, 1], 30, p=[0.2, 0.4, 0.4])[pictures].astype(float)
    theirs = np.where(gain < 0, 1.0, 0.0)
    ours = theirs + gain
    apart = paired_difference(ours, theirs, np.zeros(600, int))
    found = paired_difference(ours, theirs, runs, pictures)
    assert found.value == apart.value == pytest.approx(gain.mean())
    assert found.interval == "bootstrap over pictures"
    spread = gain[::20].std() / np.sqrt(30)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * spread, rel=0.1)
    assert found.low < found.value < found.high
    same = paired_difference(ours, ours, runs, pictures)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="3 and 2 trials"):
        paired_difference(np.ones(3), np.ones(2), np.zeros(3, int))
