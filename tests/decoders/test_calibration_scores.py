"""Calibration scores against what is known of evidence whose truth is drawn from it."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from decode_stream.decoders.scoring.calibration_scores import (
    Reliability,
    calibration_scores,
    debiased_error,
    reliability,
)
from decode_stream.decoders.scoring.scores import Scores, TrialScore
from decode_stream.decoders.scoring.showings import Showings, showings


def drawn(n: int, k: int, seed: int, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Log-evidence, and truths that follow `factor` times it."""
    rng = np.random.default_rng(seed)
    e = 1.5 * rng.standard_normal((n, k))
    return e, (softmax(factor * e, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


def runs_of(n: int) -> np.ndarray:
    return np.arange(n) // (n // 10)


@pytest.mark.parametrize("k", [2, 12])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_slope_is_the_factor_that_the_evidence_lacks(k: int, factor: float) -> None:
    told = calibration_scores(*drawn(3000, k, 1, factor), runs_of(3000))
    assert told.slope.low < factor < told.slope.high
    assert told.slope.high - told.slope.low < 0.4 * factor
    assert (told.intercept.low < 0 < told.intercept.high) is (factor == 1.0 or k == 2)
    if k == 12:
        assert (told.intercept.value > 0) is (factor > 1) or factor == 1.0
    assert told.ece is not None
    assert (told.ece < 0.03) is (factor == 1.0)
    assert sum(told.reliability.n) == told.n == 3000


def test_the_intercept_tells_that_an_entry_is_favoured() -> None:
    e, truth = drawn(4000, 2, 3)
    told = calibration_scores(e + np.array([0.8, 0.0]), truth, runs_of(4000))
    assert told.intercept.low < 0.8 < told.intercept.high
    assert told.slope.low < 1 < told.slope.high


def test_log_loss_and_brier_score_are_what_they_are_by_definition() -> None:
    e, truth = drawn(70, 3, 4)
    told = calibration_scores(e, truth, runs_of(70))
    p, y = softmax(e, axis=1), np.eye(3)[truth]
    assert told.log_loss == pytest.approx(-(y * log_softmax(e, axis=1)).sum(axis=1).mean())
    assert told.brier == pytest.approx(((p - y) ** 2).sum(axis=1).mean())


def test_debiasing_takes_off_what_chance_adds() -> None:
    plain, debiased = [], []
    for seed in range(200):
        e, truth = drawn(300, 6, seed)
        diagram = reliability(softmax(e, axis=1).max(axis=1), (e.argmax(axis=1) == truth).astype(float))
        n, y, f = (np.array(part) for part in (diagram.n, diagram.right, diagram.confidence))
        plain.append(float(n @ np.abs(y - f)) / 300)
        debiased.append(debiased_error(diagram))
    assert np.mean(plain) > 0.07
    # With z = |N(0, 1)|, E[2 z - E|N(z, 1)|] / E[z] = (2 - sqrt(2)).
    assert np.mean(debiased) / np.mean(plain) == pytest.approx(2 - np.sqrt(2), abs=0.04)


def test_an_error_that_is_there_is_not_taken_off() -> None:
    bins = Reliability((0.5, 0.9), (0.3, 0.7), (2000, 2000))
    assert debiased_error(bins) == pytest.approx(0.2, abs=0.002)
    # Hits that never vary tell no variance, and nothing is taken off.
    assert debiased_error(Reliability((0.4,), (1.0,), (10,))) == pytest.approx(0.6)


def test_bins_have_equal_mass_in_the_order_of_confidence() -> None:
    confidence = np.random.default_rng(0).random(100)
    diagram = reliability(confidence, (confidence > 0.5).astype(float))
    assert len(diagram.n) == 15
    assert max(diagram.n) - min(diagram.n) == 1
    assert list(diagram.confidence) == sorted(diagram.confidence)


def test_what_the_trials_do_not_tell_is_nan_and_none() -> None:
    flat = calibration_scores(np.zeros((20, 3)), np.arange(20) % 3, np.zeros(20, np.int64))
    assert flat.ece is None
    assert np.isnan([flat.slope.value, flat.slope.low]).all()
    separable = np.stack([np.zeros(40), np.linspace(-1, 1, 40)], axis=1)
    told = calibration_scores(separable, (separable[:, 1] > 0).astype(int), np.zeros(40, np.int64))
    assert np.isnan([told.slope.value, told.intercept.value]).all()
    one = calibration_scores(np.array([[0.0, 1.0, 0.0]]), np.array([1]), np.zeros(1, np.int64))
    assert one.n == 1
    with pytest.raises(ValueError, match="0 trials among 3"):
        calibration_scores(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0, np.int64))


def test_overlapping_trials_widen_the_intervals() -> None:
    e, truth = drawn(400, 4, 5)
    alone = calibration_scores(e, truth, np.zeros(400, np.int64)).slope
    order = np.repeat(np.arange(400), 10)  # each trial ten times in a row tells no more than once
    copied = calibration_scores(e[order], truth[order], np.zeros(4000, np.int64)).slope
    assert copied.value == pytest.approx(alone.value)
    assert copied.high - copied.low > 0.6 * (alone.high - alone.low)


def test_intervals_of_pictures_shown_again_cover_what_others_would_give() -> None:
    n_pictures, n_sets = 40, 40
    rng = np.random.default_rng(0)
    truth = np.tile(np.arange(n_pictures), 25)
    told = []
    for seed in range(n_sets):
        # Pictures are easier or harder, by errors of their own that the evidence does not know of.
        e = rng.standard_normal((len(truth), n_pictures))
        e[np.arange(len(truth)), truth] += 1.0 + rng.normal(0, 0.7, n_pictures)[truth]
        of = {
            repeating: calibration_scores(
                e, truth, runs_of(len(truth)), repeating=repeating, n_resamples=200, seed=seed
            )
            for repeating in (False, True)
        }
        assert of[True].slope.value == of[False].slope.value
        told.append(of)
    for name in ("slope", "intercept"):
        value = np.mean([getattr(of[True], name).value for of in told])
        covered = {
            repeating: sum(
                getattr(of[repeating], name).low <= value <= getattr(of[repeating], name).high for of in told
            )
            for repeating in (False, True)
        }
        assert covered[True] >= 0.88 * n_sets, covered
        assert covered[False] < 0.7 * n_sets, covered


def test_of_two_intervals_the_wider_is_kept() -> None:
    e, truth = drawn(400, 12, 6)
    runs = np.arange(400) // 40
    plain, repeated = (calibration_scores(e, truth, runs, repeating=r) for r in (False, True))
    for name in ("slope", "intercept"):
        one, other = getattr(plain, name), getattr(repeated, name)
        assert other.high - other.low >= one.high - one.low


def test_showings_are_told_by_their_number() -> None:
    scores = Scores(2)
    for i in range(6):
        right = float(i != 1)
        scores.add(TrialScore(i, i, 0, np.zeros(2), np.ones(1), 0, np.nan, i // 2 + 1, right, 0.5 - 0.1 * i))
    assert showings(scores) == Showings(
        (1, 2), (2, 2), (0.5, 1.0), (pytest.approx(0.45), pytest.approx(0.25))
    )
    scores.trials = scores.trials[:2]
    assert showings(scores) == Showings()
