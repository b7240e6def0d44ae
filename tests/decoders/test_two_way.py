"""Two-way identification as it develops, and the interval that goes with it."""

import numpy as np
import pytest

from decode_stream.decoders.scoring.identification import two_way
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.scores import Scores, TrialScore
from decode_stream.decoders.scoring.two_way import running_two_way, share_interval, two_way_effect


def scored(evidence: np.ndarray, truth: np.ndarray) -> Scores:
    scores = Scores(evidence.shape[1])
    for number, (row, stimulus) in enumerate(zip(evidence, truth, strict=True)):
        scores.add(TrialScore(number, 3 * number, int(stimulus), row, np.ones(1)))
    return scores


def test_each_trial_counts_the_entries_that_the_true_one_beats() -> None:
    rows = np.array([[3.0, 1, 2, 0], [1, 1, 1, 1], [0, 1, 2, 3], [2, 2, 1, 3], [np.nan, 1, 2, 3]])
    scores = scored(rows, np.zeros(5, np.int64))
    np.testing.assert_allclose(scores.two_way(), [1, 0.5, 0, 0.5, np.nan])
    np.testing.assert_allclose(scores.two_way()[:4], two_way(rows[:4], np.zeros(4, np.int64)))


def test_a_gallery_of_one_identifies_nothing() -> None:
    assert np.isnan(scored(np.zeros((3, 1)), np.zeros(3, np.int64)).two_way()).all()


def test_the_running_mean_is_that_of_the_trials_so_far() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(20, size=30)
    evidence = rng.standard_normal((30, 20))
    evidence[np.arange(30), truth] += 1
    scores, at = scored(evidence, truth), np.array([1, 7, 30])
    trace = running_two_way(scores, at)
    shares = scores.two_way()
    np.testing.assert_allclose(trace.mean, [shares[:n].mean() for n in at])
    assert ((trace.low < trace.mean) & (trace.mean < trace.high)).all()
    assert trace.low.min() >= 0
    assert trace.high.max() <= 1
    # What comes after does not change what was told before.
    early = running_two_way(scored(evidence[:7], truth[:7]), at[:2])
    np.testing.assert_allclose(early.high, trace.high[:2])
    wider = running_two_way(scores, at, effect=2.0)
    assert (wider.high - wider.low > trace.high - trace.low)[1:].all()


def test_the_interval_of_right_and_wrong_is_wilsons() -> None:
    right = np.array([1.0, 0, 1, 1, 0, 1, 1, 1])
    at = np.arange(1, 9)
    got = share_interval(right, at)
    np.testing.assert_allclose(got, wilson(np.cumsum(right), at), atol=1e-12)


@pytest.mark.parametrize(("n_entries", "ahead", "n"), [(20, 0.0, 10), (20, 1.0, 30), (5, 1.0, 5)])
def test_the_interval_holds_the_truth_as_often_as_it_says(n_entries: int, ahead: float, n: int) -> None:
    rng = np.random.default_rng(1)
    evidence = rng.standard_normal((1000, n, n_entries))
    evidence[..., 0] += ahead
    shares = (evidence[..., 1:] < evidence[..., :1]).mean(-1)
    true = shares.mean()
    intervals = np.array([np.concatenate(share_interval(row, np.array([n]))) for row in shares])
    held = ((intervals[:, 0] <= true) & (true <= intervals[:, 1])).mean()
    assert held > 0.93
    # And is narrower than Wilson's, which knows nothing of how little shares spread.
    low, high = wilson(shares.sum(1), np.full(1000, float(n)))
    assert np.mean(intervals[:, 1] - intervals[:, 0]) < 0.9 * np.mean(high - low)


def test_pictures_that_come_again_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    # The same ten pictures six times, each identified as badly as ever.
    truth = np.tile(np.arange(10), 6)
    evidence = np.tile(np.where(np.eye(10, dtype=bool), rng.normal(0.5, 2, (10, 1)), 0), (6, 1))
    evidence += 0.01 * rng.standard_normal(evidence.shape)
    assert two_way_effect(scored(evidence, truth)) > 2
    assert two_way_effect(scored(evidence[:10], truth[:10])) == 1
