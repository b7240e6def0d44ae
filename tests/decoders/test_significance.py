"""Cluster tests: they find what is there, where it is, and hold their level where nothing is."""

import numpy as np
import pytest
from scipy.stats import t

from decode_stream.decoders.scoring.significance import (
    Choices,
    flip_test,
    shuffle_test,
    shuffled_accuracies,
    shuffles,
)


def similarities(n: int, n_points: int, n_entries: int, seed: int, *, signal: slice | None = None) -> tuple:
    """Return similarities that are alike at neighbouring points, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_entries, size=n)
    noise = np.cumsum(rng.standard_normal((n, n_points + 4, n_entries)), axis=1)
    fits = noise[:, 4:] - noise[:, :-4]
    if signal is not None:
        fits[:, signal][np.arange(n), :, labels] += 2.0
    return fits, labels


def test_choices_are_right_and_ties_are_shared() -> None:
    fits = np.array([[[1.0, 0, 0], [2, 2, 0]], [[0, 0, 0], [0, 1, 5]]])
    choices = Choices.of(fits)
    np.testing.assert_allclose(choices.right(np.array([0, 2])), [[1, 0.5], [1 / 3, 1]])
    np.testing.assert_allclose(choices.right(np.array([1, 0])), [[0, 0.5], [1 / 3, 0]])


def test_labels_are_shuffled_within_runs() -> None:
    labels, runs = np.array([0, 0, 0, 1, 5, 6, 7, 8]), np.array([0, 1, 0, 1, 0, 1, 0, 1])
    drawn = list(shuffles(labels, runs, 20, seed=1))
    for shuffled in drawn:
        for run in (0, 1):
            assert sorted(shuffled[runs == run]) == sorted(labels[runs == run])
    assert len({tuple(shuffled) for shuffled in drawn}) > 5


def test_shuffled_labels_are_right_by_chance() -> None:
    fits, labels = similarities(200, 3, 5, 0, signal=slice(0, 3))
    null = shuffled_accuracies(Choices.of(fits), labels, np.zeros(200, int), n_shuffles=200)
    assert null.shape == (200, 3)
    np.testing.assert_allclose(null.mean(axis=0), 0.2, atol=0.01)
    assert null.max() < Choices.of(fits).right(labels).mean(axis=0).min()


def test_a_cluster_is_found_where_it_is() -> None:
    fits, labels = similarities(150, 20, 6, 1, signal=slice(8, 13))
    test = shuffle_test(Choices.of(fits), labels, np.repeat([0, 1, 2], 50), (20,), n_shuffles=200)
    assert test.significant[8:13].all()
    assert not test.significant[:6].any()
    assert not test.significant[16:].any()
    (found,) = [c for c in test.clusters(np.arange(20.0)) if c.p < 0.05]
    assert found.p == pytest.approx(1 / 201)
    assert 6 <= found.first <= 8
    assert 12 <= found.last <= 15


def test_a_cluster_over_two_latencies_is_found() -> None:
    fits, labels = similarities(120, 36, 4, 2)
    square = fits.reshape(120, 6, 6, 4)
    square[np.arange(120), 1:4, 2:5, labels] += 3.0
    test = shuffle_test(Choices.of(fits), labels, np.zeros(120, int), (6, 6), n_shuffles=200)
    assert test.significant[1:4, 2:5].all()
    assert test.significant.sum() < 16
    found = min(test.clusters(np.arange(6.0)), key=lambda cluster: cluster.p)
    assert found.first in (0, 1)
    assert found.last in (3, 4)


def test_the_level_is_held_over_all_latencies_where_nothing_is() -> None:
    false = 0
    for seed in range(60):
        fits, labels = similarities(60, 15, 4, 100 + seed)
        test = shuffle_test(Choices.of(fits), labels, np.zeros(60, int), (15,), n_shuffles=99, seed=seed)
        false += test.significant.any()
    assert false <= 8  # of 60 at 5 %: more than 8 has a probability below 0.5 %


def test_what_never_varies_says_nothing() -> None:
    flat = np.zeros((30, 5, 4))
    test = shuffle_test(Choices.of(flat), np.arange(30) % 4, np.zeros(30, int), (5,), n_shuffles=50)
    assert not len(test.p)
    assert not test.significant.any()
    assert test.clusters(np.arange(5.0)) == ()


def test_signs_are_flipped_over_people_in_every_way() -> None:
    rng = np.random.default_rng(4)
    accuracies = 0.1 + 0.01 * rng.standard_normal((6, 12))
    accuracies[:, 4:8] += 0.1
    test = flip_test(accuracies, 0.1)
    assert test.significant.tolist() == [4 <= i < 8 for i in range(12)]
    # 2^6 ways: the signs as they are stand alone.
    assert test.p.min() == pytest.approx(1 / 64)
    matrix = flip_test(np.repeat(accuracies[:, :, None], 3, axis=2), 0.1)
    assert matrix.significant.shape == (12, 3)
    assert matrix.significant[4:8].all()
    with pytest.raises(ValueError, match="One curve"):
        flip_test(accuracies[:1], 0.1)


def test_few_people_cannot_be_significant() -> None:
    # With three people p cannot fall below 1/8, however large the effect.
    test = flip_test(0.9 + 0.01 * np.random.default_rng(5).standard_normal((3, 8)), 0.1)
    assert test.p.min() >= 1 / 8
    assert not test.significant.any()


def test_it_agrees_with_mne_but_for_the_data_counted_twice() -> None:
    from mne.stats import permutation_cluster_1samp_test

    rng = np.random.default_rng(6)
    x = 0.02 * rng.standard_normal((7, 30)).cumsum(axis=1)
    x[:, 10:14] += 0.15
    ours = flip_test(x + 0.1, 0.1)

    def statistic(values: np.ndarray) -> np.ndarray:
        variance = values.var(axis=0, ddof=1)
        return values.mean(axis=0) / np.sqrt((variance + 1e-3 * variance.max()) / len(values))

    _, clusters, p, _ = permutation_cluster_1samp_test(
        x, threshold=t.ppf(0.95, 6), tail=1, stat_fun=statistic, out_type="mask", verbose="error"
    )
    labels = np.zeros(30, int)
    for number, cluster in enumerate(clusters, start=1):
        labels[cluster] = number
    np.testing.assert_array_equal(ours.labels, labels)
    np.testing.assert_allclose(ours.p, p - 1 / 128, atol=1e-9)
    assert ours.p.min() < 0.05
