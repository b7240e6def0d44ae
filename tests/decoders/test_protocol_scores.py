"""Repeats, generalisation across time, transductive scores and means over decoders."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from decode_stream.decoders.scoring.joined import joined, mean_interval
from decode_stream.decoders.scoring.measured import Curve, Matrix, Measured, Number
from decode_stream.decoders.scoring.repeats import groups_of, repeat_curve, sizes_of
from decode_stream.decoders.scoring.scores import hits
from decode_stream.decoders.scoring.time_resolved import accuracy_matrix, cross_validated, given_and_told
from decode_stream.decoders.scoring.transductive import assigned, standardised


def test_sizes_are_doubled_up_to_what_most_pictures_have() -> None:
    assert sizes_of(np.repeat(np.arange(10), 80)) == (1, 2, 4, 8, 16, 32, 64, 80)
    assert sizes_of(np.arange(10)) == (1,)
    assert sizes_of(np.array([0, 0, 0, 1, 1, 1, 2])) == (1, 2, 3)


def test_groups_hold_each_trial_once() -> None:
    truth = np.array([0, 1, 0, 1, 0, 2, 1, 0])
    groups = list(groups_of(truth, 2, seed=3))
    assert [picture for picture, _ in groups] == [0, 0, 1]
    used = np.concatenate([group for _, group in groups])
    assert len(set(used.tolist())) == len(used) == 6
    assert all((truth[group] == picture).all() for picture, group in groups)


def test_more_repeats_are_better_and_the_interval_is_over_pictures() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(20), 16)
    evidence = rng.standard_normal((320, 20)) + 0.8 * np.eye(20)[truth]

    def summed(groups: list) -> np.ndarray:
        return np.array([evidence[group].sum(axis=0) for group in groups])

    curve, n_pictures = repeat_curve("summed", summed, truth, (1, 4, 16), n_resamples=300)
    assert n_pictures.tolist() == [20, 20, 20]
    assert curve.y[0] == pytest.approx(hits(evidence, truth).mean())
    assert curve.y[0] < curve.y[1] < curve.y[2]
    assert all(low <= y <= high for low, y, high in zip(curve.low, curve.y, curve.high, strict=True))


def moving(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return windows (n, 4, 3, 5) in which latencies 0 and 1 share a code and 2 and 3 have it reversed."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    windows = rng.standard_normal((n, 4, 3, 5)).astype(np.float32)
    sign = (2 * labels - 1)[:, None, None] * np.array([1, 1, -1, -1])[None, :, None]
    windows[:, :, 0] += 0.7 * sign
    return windows, labels


def test_what_is_learned_at_one_latency_is_tested_at_the_others() -> None:
    windows, labels = moving(120, 1)
    runs = np.repeat([0, 1, 2], 40)
    choices = cross_validated(windows, labels, runs, np.eye(2))
    matrix = accuracy_matrix(choices, labels, runs, 0.1 + 0.025 * np.arange(4), n_shuffles=100)
    values = np.array(matrix.values)
    same_code = np.kron(np.eye(2), np.ones((2, 2))).astype(bool)
    assert (values[same_code] > 0.8).all()
    # A reversed code is below chance, not at it.
    assert (values[~same_code] < 0.2).all()
    assert np.array(matrix.significant)[same_code].all()
    assert not np.array(matrix.significant)[~same_code].any()
    with pytest.raises(ValueError, match="one run"):
        cross_validated(windows, labels, np.zeros(120, int), np.eye(2))


def test_nothing_of_a_run_reaches_its_own_decoder() -> None:
    windows, labels = moving(60, 2)
    runs = np.repeat([0, 1], 30)
    before = cross_validated(windows, labels, runs, np.eye(2))
    other = labels.copy()
    other[runs == 1] = 1 - other[runs == 1]
    after = cross_validated(windows, other, runs, np.eye(2))
    np.testing.assert_array_equal(before.best[runs == 1], after.best[runs == 1])
    assert (before.best[runs == 0] != after.best[runs == 0]).any()


def test_an_encoder_is_told_one_latency_and_given_another() -> None:
    windows, labels = moving(60, 3)
    asked = []

    def embed(cut: np.ndarray, told: int) -> np.ndarray:
        asked.append(told)
        size = cut[:, 0].mean(axis=1) * (1 if told < 2 else -1)
        return np.stack([-size, size], axis=1)

    choices = given_and_told(embed, lambda embeddings: embeddings, windows, 2)
    values = choices.right(labels).mean(axis=0).reshape(4, 4)
    assert sorted(asked) == sorted([0, 1, 2, 3] * 4)
    assert (values[:2, :2] > 0.8).all()
    assert (values[2:, 2:] > 0.8).all()
    assert (values[:2, 2:] < 0.2).all()


def test_standardised_predictions_use_the_whole_test_set() -> None:
    rng = np.random.default_rng(4)
    gallery = rng.standard_normal((10, 6))
    truth = np.arange(10)
    # A common offset that hides everything: each trial alone is lost, together it is taken off.
    predicted = 50 + gallery + 0.1 * rng.standard_normal((10, 6))
    alone = predicted @ gallery.T
    together = standardised(predicted, gallery)
    np.testing.assert_allclose(together.mean(axis=0), gallery.mean(axis=0))
    cosine = together @ gallery.T / np.linalg.norm(gallery, axis=1)
    assert hits(cosine, truth).mean() > hits(alone, truth).mean() + 0.3
    assert not np.allclose(standardised(predicted[:5], gallery), together[:5])


def test_no_picture_is_assigned_twice() -> None:
    # Both trials prefer picture 0; only together is the second one found.
    evidence = np.array([[5.0, 0.0], [1.0, 0.0]])
    truth = np.array([0, 1])
    assert hits(evidence, truth).tolist() == [1, 0]
    assert assigned(evidence, truth).tolist() == [1, 1]
    # Another showing is another set.
    assert assigned(np.concatenate([evidence, evidence[:1]]), np.array([0, 1, 0])).tolist() == [1, 1, 1]


def measured(value: float, level: float = 0.0) -> Measured:
    x = np.arange(8.0)
    y = 0.1 + level + 0.2 * ((x > 2) & (x < 6)) + 0.01 * np.sin(37 * value + x)
    curve = Curve.of("alone", x, y, y - 0.1, y + 0.1)
    matrix = Matrix((0.1, 0.2), (0.1, 0.2), ((value, 0.1), (0.1, value)), ((True, False), (False, True)))
    number = Number("top-1 of 10", value, value - 0.1, value + 0.1, 0.1, 50)
    return Measured("latency", "says", 10, "1", 0.1, 50, "Wilson", (number,), (curve,), matrix)


def test_the_interval_over_people_is_students() -> None:
    values = np.array([0.2, 0.3, 0.25, 0.4])
    mean, low, high = mean_interval(values)
    expected = t.interval(0.95, 3, values.mean(), values.std(ddof=1) / 2)
    assert mean == pytest.approx(0.2875)
    assert (float(low), float(high)) == pytest.approx(expected)


def test_seeds_are_averaged_before_people() -> None:
    parts = [measured(value) for value in (0.2, 0.4, 0.5, 0.5, 0.5)]
    whole = joined(parts, [1, 1, 2, 2, 2])
    (number,) = whole.numbers
    assert number.value == pytest.approx(0.4)  # not 0.42, the mean over decoders
    assert number.n == whole.n == 2
    assert whole.interval == "t, over 2 subjects"
    assert "5 decoders in all" in whole.notes[0]
    seeds = joined(parts[:2], [1, 1])
    assert seeds.interval == "t, over 2 seeds of one subject"
    assert seeds.numbers[0].value == pytest.approx(0.3)
    assert np.array(seeds.matrix.values) == pytest.approx(np.array([[0.3, 0.1], [0.1, 0.3]]))  # type: ignore[union-attr]


def test_curves_of_several_people_are_tested_together() -> None:
    whole = joined([measured(0.1 * i, 0.01 * (i % 2)) for i in range(7)], range(7))
    (curve,) = whole.curves
    best = min(curve.clusters, key=lambda cluster: cluster.p)
    assert best.p < 0.05
    assert best.first <= 3
    assert best.last >= 5
    with pytest.raises(ValueError, match="as many candidates"):
        joined([measured(0.1), replace(measured(0.1), k=20, chance=0.05)], [1, 2])
