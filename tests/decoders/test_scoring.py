from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from decode_stream.decoders.scoring.intervals import (
    block_bootstrap,
    bootstrap_interval,
    few_drawn,
    picture_means,
    picture_spread,
    wilson,
)
from decode_stream.decoders.scoring.scores import Scores, TrialScore, auc, hits, paired_auc_difference


@given(n=st.integers(1, 2000), share=st.floats(0, 1))
def test_wilson_is_scipys(n: int, share: float) -> None:
    k = round(share * n)
    expected = binomtest(k, n).proportion_ci(method="wilson")
    low, high = wilson(k, n)
    assert float(low) == pytest.approx(expected.low, abs=1e-9)
    assert float(high) == pytest.approx(expected.high, abs=1e-9)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_auc_counts_pairs(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([s for s, _ in rows], dtype=float)
    positive = np.array([p for _, p in rows])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    value = auc(scores, positive)
    assert np.isnan(value) if not pairs else value == pytest.approx(np.mean(pairs))


def test_ties_share_a_hit() -> None:
    evidence = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 1.0], [0.0, 5.0, 5.0], [np.nan, 0.0, 1.0]])
    truth = np.array([0, 1, 0, 1])
    assert hits(evidence, truth)[:3] == pytest.approx([1, 1 / 3, 0])
    assert hits(evidence, truth, 2)[:3] == pytest.approx([1, 2 / 3, 0])
    assert hits(evidence, truth, 3)[:3].tolist() == [1, 1, 1]
    assert np.isnan(hits(evidence, truth)[3])


def score(truth: int, evidence: list[float], by_latency: list[list[float]], number: int = 0) -> TrialScore:
    windows = np.array(by_latency)
    return TrialScore(number, 0, truth, np.array(evidence), hits(windows, np.full(len(windows), truth)))


def test_scores_count_hits_ties_and_latencies() -> None:
    scores = Scores(3)
    scores.add(score(0, [2.0, 1.0, 0.0], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    scores.add(score(2, [1.0, 0.0, 1.0], [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]))
    scores.add(score(1, [1.0, 0.0, 0.5], [[0.0, 0.0, 1.0], [np.nan] * 3]))
    assert scores.hits().tolist() == [1.0, 0.5, 0.0]
    assert scores.hits(2).tolist() == [1.0, 1.0, 0.0]
    assert scores.by_latency() == pytest.approx([2 / 3, (0 + 1 / 3) / 2])
    assert scores.auc() is None
    assert scores.interval(scores.hits())[0] < 0.5 < scores.interval(scores.hits())[1]


def counted(scores: Scores, top: int) -> list[float]:
    """Count from the evidence of each trial, entry by entry, whether the truth is among the best."""
    right = []
    for trial in scores.trials:
        own = trial.log_evidence[trial.stimulus]
        above = sum(value > own for value in trial.log_evidence)
        ties = sum(value == own for value in trial.log_evidence)
        known = not any(np.isnan(value) for value in trial.log_evidence)
        right.append(min(1.0, max(0.0, (top - above) / ties)) if known else np.nan)
    return right


@pytest.mark.parametrize("n_entries", [2, 3, 7])
def test_hits_are_those_of_the_trials_as_they_stand(n_entries: int) -> None:
    rng = np.random.default_rng(n_entries)
    scores = Scores(n_entries)

    def same() -> None:
        for top in (1, 2, n_entries):
            assert np.array_equal(scores.hits(top), counted(scores, top), equal_nan=True)
            straight = hits(scores.log_evidence(), scores.truth(), top)
            assert np.array_equal(scores.hits(top), straight, equal_nan=True)

    for i in range(60):
        # Few values, so that there are ties; now and then one that is none.
        evidence = rng.integers(0, 3, n_entries).astype(float)
        evidence[rng.random(n_entries) < 0.03] = rng.choice([np.nan, np.inf, -np.inf])
        scores.add(TrialScore(i, i, int(rng.integers(n_entries)), evidence, np.ones(1), showing=i // 9 + 1))
        same()
    before = scores.hits()
    assert len(set(before[np.isfinite(before)])) > 2
    assert np.isnan(before).any()
    worse = np.arange(n_entries)[::-1].astype(float)
    last = n_entries - 1
    scores.trials[7] = replace(scores.trials[7], log_evidence=worse, stimulus=last)
    scores.trials[9] = replace(scores.trials[9], log_evidence=worse, stimulus=0)
    scores.trials.pop(30)
    same()
    assert scores.hits()[[7, 9]].tolist() == [0.0, 1.0]
    assert scores.hits(n_entries)[7] == 1.0


def test_hits_do_not_go_through_the_evidence_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = Scores(3)
    for i in range(4):
        scores.add(TrialScore(i, i, i % 3, np.eye(3)[0], np.ones(1)))
    monkeypatch.setattr(Scores, "log_evidence", lambda scores: pytest.fail("looked at all evidence"))
    assert scores.hits().tolist() == [1.0, 0.0, 0.0, 1.0]


def test_no_trials_say_nothing() -> None:
    scores = Scores(2)
    assert scores.hits().shape == scores.hits(5).shape == (0,)
    assert scores.interval(scores.hits()) == (0.0, 1.0)
    assert scores.auc() is None


def test_two_classes_have_an_auc() -> None:
    scores = Scores(2)
    for truth, odds in ((0, -1.0), (1, 2.0), (1, -2.0), (0, -3.0)):
        scores.add(score(truth, [0.0, odds], [[0.0, odds]]))
    assert scores.auc() == pytest.approx(3 / 4)


def test_block_bootstrap_is_wider_than_wilson_for_trials_that_go_together() -> None:
    rng = np.random.default_rng(0)
    hits = np.repeat(rng.integers(0, 2, 60), 10).astype(float)
    low, high = block_bootstrap(hits, np.zeros(600, dtype=np.int64))
    plain_low, plain_high = wilson(hits.sum(), 600)
    assert high - low > 1.8 * (plain_high - plain_low)


def test_block_bootstrap_covers_the_truth_for_independent_trials() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for i in range(100):
        hits = (rng.random(300) < 0.3).astype(float)
        low, high = block_bootstrap(hits, np.repeat([0, 1, 2], 100), n_resamples=300, seed=i)
        covered += low <= 0.3 <= high
    assert covered >= 86


@pytest.mark.parametrize("n", [8, 15, 30, 60, 200])
def test_intervals_of_overlapping_trials_cover_and_are_never_narrower(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = 0
    for _ in range(150):
        scores, plain = Scores(2, overlapping=True), Scores(2)
        right = rng.random(n) < 0.7
        for i in range(n):
            trial = score(0, [1.0, 0.0] if right[i] else [0.0, 1.0], [[1.0, 0.0]], i)
            scores.add(trial)
            plain.add(trial)
        low, high = scores.interval(scores.hits())
        narrow_low, narrow_high = plain.interval(plain.hits())
        assert high - low >= narrow_high - narrow_low - 1e-9
        covered += low <= 0.7 <= high
    assert covered >= 135


@pytest.mark.parametrize("n_pictures", [10, 30])
def test_intervals_of_pictures_shown_again_cover_what_others_would_give(n_pictures: int) -> None:
    rng = np.random.default_rng(n_pictures)
    covered = covered_plain = 0
    for _ in range(60):
        # Pictures are easy or hard: of others as many would be easy.
        easy = rng.beta(1.0, 1.0, n_pictures)
        scores, pictures = Scores(n_pictures), np.repeat(np.arange(n_pictures), 20)
        for picture, right in zip(pictures, rng.random(len(pictures)) < easy[pictures], strict=True):
            evidence = np.eye(n_pictures)[picture if right else picture - 1]
            scores.add(TrialScore(scores.n, scores.n, int(picture), evidence, np.array([1.0])))
        low, high = scores.interval(scores.hits())
        plain_low, plain_high = wilson(scores.hits().sum(), scores.n)
        covered += low <= 0.5 <= high
        covered_plain += plain_low <= 0.5 <= plain_high
    assert covered >= 52
    assert covered_plain < 40
    assert scores.interval_name == "Wilson, widened by cluster-robust variance over pictures"


@pytest.mark.parametrize("n_runs", [5, 8, 19])
def test_intervals_of_few_runs_cover_what_others_would_give(n_runs: int) -> None:
    rng = np.random.default_rng(n_runs)
    n, covered = 400, 0
    for i in range(n):
        # Each run has a level of its own, which others would not share.
        level = np.repeat(rng.normal(0.5, 0.1, n_runs), 20)
        right = (rng.random(len(level)) < level).astype(float)
        low, high = block_bootstrap(right, np.repeat(np.arange(n_runs), 20), n_resamples=400, seed=i)
        covered += low <= 0.5 <= high
    assert 0.92 * n <= covered <= 0.985 * n


def test_the_factor_of_few_runs_fades_and_is_for_runs_alone() -> None:
    factors = [few_drawn(np.repeat(np.arange(n), 3)) for n in (4, 5, 20, 1000)]
    assert factors == pytest.approx(
        [1, 2.776 / 1.96 * np.sqrt(5 / 4), 2.093 / 1.96 * np.sqrt(20 / 19), 1], abs=2e-3
    )


def test_the_spread_over_pictures_is_that_of_drawn_ones() -> None:
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 300, 4000)
    right = (rng.random(4000) < rng.random(300)[pictures]).astype(float)
    assert picture_spread(right, pictures) == pytest.approx(
        bootstrap_interval(picture_means(right, pictures)), abs=0.003
    )
    both = picture_means(np.stack([right, 2 * right], axis=1), pictures)
    assert both == pytest.approx(picture_means(right, pictures)[:, None] * [1, 2])


def test_categories_shown_again_widen_nothing() -> None:
    scores = Scores(9, pictures=False)
    for i in range(180):
        # Three of the nine are never found.
        scores.add(TrialScore(i, i, i % 9, np.eye(9)[max(i % 9, 3)], np.array([1.0])))
    assert not scores.repeating
    assert scores.interval_name == "Wilson, pointwise"
    low, high = scores.interval(scores.hits())
    assert (low, high) == pytest.approx(wilson(scores.hits().sum(), 180))
    scores.pictures = True
    assert scores.repeating
    assert scores.interval(scores.hits())[0] < low - 0.1


def test_an_interval_says_what_widened_it() -> None:
    scores = Scores(9)
    for i in range(9):
        scores.add(TrialScore(i, i, i, np.eye(9)[i], np.array([1.0])))
    # Every picture once, and all of them found.
    assert scores.interval_name == "Wilson, pointwise"
    assert scores.interval(scores.hits())[0] == pytest.approx(wilson(9, 9)[0])
    for i in range(9):
        scores.add(TrialScore(9 + i, 9 + i, i, np.eye(9)[i // 3], np.array([1.0])))
    assert scores.interval_name == "Wilson, widened by cluster-robust variance over pictures"
    alone = scores.interval(scores.hits())
    scores.overlapping = True
    assert scores.interval_name == (
        "Wilson, widened by the wider of block bootstrap and cluster-robust variance over pictures"
    )
    both = scores.interval(scores.hits())
    assert both[0] <= alone[0] < alone[1] <= both[1]
    few = Scores(2, trials=[TrialScore(i, i, i % 2, np.eye(2)[0], np.array([1.0])) for i in range(20)])
    assert few.interval_name == "Wilson, pointwise"


def test_paired_difference_tells_a_better_decoder_from_an_equal_one() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(800) < 0.5
    runs = np.repeat(np.arange(4), 200)
    good = truth + rng.standard_normal(800)
    same = good + 0.2 * rng.standard_normal(800)
    bad = 0.3 * truth + rng.standard_normal(800)
    _, low, _ = paired_auc_difference(good, bad, truth, runs, n_resamples=300)
    assert low > 0.05
    _, low, high = paired_auc_difference(good, same, truth, runs, n_resamples=300)
    assert -0.03 < low < high < 0.03
