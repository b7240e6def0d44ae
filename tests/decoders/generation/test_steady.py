"""The mean of beliefs that is drawn: on the sphere, still in noise, new with the stimulus, the same at any rate."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from decode_stream.decoders.generation.condition import EmbeddingBelief, LayoutMap, PictureModel
from decode_stream.decoders.generation.decoder_noise import DecoderNoise
from decode_stream.decoders.generation.steady import Steadied, SteadyBelief, slerp
from decode_stream.stream.errors import GeneratorError

_N, _STEP_S, _WINDOW_S = 64, 0.025, 0.1
Array = npt.NDArray[np.float64]


def model(dimension: int = _N, mean: float = 0.0) -> PictureModel:
    return PictureModel(
        np.full(dimension, mean, np.float32),
        np.eye(dimension, dtype=np.float32) / dimension,
        (0, dimension),
        LayoutMap(np.zeros((12, dimension), np.float32), np.zeros(12, np.float32), 2, 2),
    )


def belief(mean: Array, open_share: float = 0.3) -> EmbeddingBelief:
    return EmbeddingBelief(mean[None].astype(np.float32), np.full((1, 2), open_share, np.float32))


def truths(n: int, seed: int, dimension: int = _N) -> Array:
    drawn = np.random.default_rng(seed).standard_normal((n, dimension))
    unit: Array = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def noisy(truth: Array, n: int, snr: float, rng: np.random.Generator, per_window: int = 4) -> Array:
    """Return what is decoded of one truth from n windows, each of which shares all but one part with the next."""
    parts = rng.standard_normal((n + per_window - 1, len(truth))) / np.sqrt(len(truth) * per_window)
    summed = np.cumsum(np.concatenate([np.zeros((1, len(truth))), parts]), axis=0)
    decoded: Array = truth + (summed[per_window:] - summed[:-per_window]) / snr
    return decoded


def follow(
    steady: SteadyBelief,
    decoded: Array,
    start_s: float = 0.0,
    trial: int | None = None,
    step_s: float = _STEP_S,
) -> list[Steadied]:
    return [steady.add(belief(row), start_s + step_s * i, trial) for i, row in enumerate(decoded)]


def cosines(told: list[Steadied], truth: Array) -> Array:
    means = np.stack([one.belief.mean[0] for one in told])
    along: Array = means @ truth / np.linalg.norm(means, axis=1)
    return along


# The sphere


@given(
    arrays(np.float64, 5, elements=st.floats(-1, 1, width=32)),
    arrays(np.float64, 5, elements=st.floats(-1, 1, width=32)),
    st.floats(-0.5, 1.5),
)
@settings(max_examples=60, deadline=None)
def test_a_way_between_unit_vectors_never_leaves_the_sphere(start: Array, end: Array, part: float) -> None:
    start, end = start + 1e-3, end - 1e-3
    start, end = start / max(np.linalg.norm(start), 1e-12), end / max(np.linalg.norm(end), 1e-12)
    if not (start.any() and end.any()):
        return
    between = slerp(start, end, part)
    assert np.linalg.norm(between) == pytest.approx(1)
    opposite = start @ end < -1 + 1e-9
    if 0 <= part < 1 and not opposite:
        whole, walked = np.arccos(np.clip([start @ end, start @ between], -1, 1))
        assert walked == pytest.approx(part * whole, abs=1e-5)


def test_between_opposite_directions_the_first_holds() -> None:
    up = np.eye(3)[0]
    assert slerp(up, -up, 0.7) is up
    np.testing.assert_array_equal(slerp(up, -up, 1.0), -up)


@given(
    st.lists(
        st.tuples(
            arrays(np.float32, 6, elements=st.floats(-1e3, 1e3, width=32)),
            st.floats(0, 1, width=32),
            st.floats(1e-4, 30),
            st.sampled_from([None, 1, 2]),
        ),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_the_mean_lies_among_the_beliefs(
    came: list[tuple[npt.NDArray[np.float32], float, float, int | None]],
) -> None:
    steady, time_s, lengths, shares = SteadyBelief(model(6, mean=0.5)), 0.0, [], []
    for mean, share, step_s, trial in came:
        time_s += step_s
        lengths.append(float(np.linalg.norm(mean - np.float32(0.5))))
        shares.append(share)
        told = steady.add(belief(mean.astype(np.float64), share), time_s, trial)
        assert np.isfinite(told.belief.mean).all()
        length = float(np.linalg.norm(told.belief.mean - np.float32(0.5)))
        assert min(lengths) - 1e-3 <= length * (1 + 1e-5)
        assert length <= max(lengths) * (1 + 1e-5) + 1e-3
        assert min(shares) - 1e-6 <= told.belief.open_share.min()
        assert told.belief.open_share.max() <= max(shares) + 1e-6


# Without noise, and at a change


def test_without_noise_beliefs_go_through_as_they_are() -> None:
    shown = truths(3, 0).repeat(40, axis=0)
    told = follow(SteadyBelief(model(mean=0.1)), shown + 0.1)
    given_ = np.stack([one.belief.mean[0] for one in told])
    np.testing.assert_allclose(given_[:40], shown[:40] + 0.1, atol=1e-6)
    late = np.abs(given_ - shown - 0.1).max(axis=1) > 1e-6
    assert not late.any()


def test_a_belief_that_stays_the_same_is_drawn_once() -> None:
    told = follow(SteadyBelief(model()), truths(1, 1).repeat(50, axis=0))
    assert [one.draw for one in told] == [True] + [False] * 49


def test_a_new_trial_begins_anew_at_once() -> None:
    steady, rng = SteadyBelief(model()), np.random.default_rng(0)
    first, second = truths(2, 2)
    follow(steady, noisy(first, 40, 0.8, rng), trial=4)
    new = noisy(second, 1, 0.8, rng)[0]
    told = steady.add(belief(new), 1.0, trial=5)
    assert told.change == "onset"
    assert told.draw
    np.testing.assert_allclose(told.belief.mean[0], new, atol=1e-6)
    # The same trial, and no news of a trial, go on.
    assert steady.add(belief(new), 1.1, trial=5).change == ""
    assert steady.add(belief(new), 1.2).change == ""
    assert steady.add(belief(new), 1.3, trial=5).change == ""


@pytest.mark.parametrize("snr", [0.8, 1.6])
def test_a_change_that_nobody_tells_is_noticed_within_a_tenth_of_a_second(snr: float) -> None:
    steady, rng, dimension = SteadyBelief(model(128)), np.random.default_rng(1), 128
    shown = truths(8, 3, dimension)
    decoded = np.concatenate([noisy(truth, 60, snr, rng) for truth in shown])
    changes = [i for i, one in enumerate(follow(steady, decoded)) if one.change == "detected"]
    late = [min((i - onset for i in changes if i >= onset), default=999) for onset in range(60, 480, 60)]
    assert max(late) <= 4
    assert len(changes) <= len(late) + 2


def test_one_odd_belief_does_not_change_the_picture() -> None:
    for step_s, per_window, least in ((_STEP_S, 4, 0.8), (0.3, 1, 0.5)):
        steady, rng = SteadyBelief(model(128)), np.random.default_rng(2)
        shown, odd = truths(2, 4, 128)
        told = follow(steady, noisy(shown, 40, 1.6, rng, per_window), step_s=step_s)
        odd_one = steady.add(belief(odd), 40 * step_s)
        assert odd_one.change == ""
        assert cosines([odd_one], shown)[0] > least
        assert "detected" not in {one.change for one in told}


# In noise


@pytest.mark.parametrize("snr", [0.35, 0.8, 1.6])
def test_in_noise_the_mean_is_stiller_and_nearer_than_the_beliefs(snr: float) -> None:
    rng, shown = np.random.default_rng(5), truths(1, 5, 128)[0]
    decoded = noisy(shown, 60, snr, rng)
    steady = SteadyBelief(model(128))
    told = follow(steady, decoded, trial=1)
    means = np.stack([one.belief.mean[0] for one in told])
    moved = [np.linalg.norm(np.diff(rows[40:], axis=0), axis=1).mean() for rows in (decoded, means)]
    assert moved[0] > 8 * moved[1]
    raw = decoded @ shown / np.linalg.norm(decoded, axis=1)
    assert cosines(told, shown)[40:].mean() > raw[40:].mean() + 0.04
    # The share of noise is measured, not given: 1 / (1 + snr^2).
    assert steady.noise_share == pytest.approx(1 / (1 + snr**2), abs=0.08)


def test_noise_is_measured_alike_at_any_rate_and_overlap() -> None:
    shown = truths(1, 6, 128)[0]
    for per_window in (1, 4, 16):
        rng, noise, step_s = np.random.default_rng(6), DecoderNoise(_WINDOW_S), _WINDOW_S / per_window
        rows = noisy(shown, 400, 0.8, rng, per_window)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for i in range(1, len(rows)):
            noise.add(rows[i - 1], rows[i], step_s, i * step_s)
        assert noise.share == pytest.approx(1 / (1 + 0.8**2), abs=0.06)
        cosine = rows @ shown
        assert noise.spread() == pytest.approx(cosine.std(), rel=0.5)


def test_a_few_changes_of_the_truth_do_not_count_as_noise() -> None:
    steady, rng = SteadyBelief(model(128)), np.random.default_rng(7)
    decoded = np.concatenate([noisy(truth, 12, 3.0, rng) for truth in truths(10, 7, 128)])
    follow(steady, decoded)
    assert steady.noise_share < 0.2


def test_the_mean_is_the_same_at_any_rate() -> None:
    # Every second window, and every fourth, of one signal.
    rng, shown = np.random.default_rng(8), truths(2, 8, 128)
    fine = np.concatenate([noisy(truth, 240, 0.8, rng, per_window=16) for truth in shown])
    ends = []
    for every in (1, 2, 4):
        told = follow(SteadyBelief(model(128)), fine[every - 1 :: every], step_s=every * _WINDOW_S / 16)
        ends.append(told[-1].belief.mean[0])
        assert cosines(told, shown[1])[-1] > 0.9
    for end in ends[1:]:
        assert end @ ends[0] / np.linalg.norm(end) / np.linalg.norm(ends[0]) > 0.99


def test_after_a_pause_what_is_new_counts() -> None:
    steady, rng = SteadyBelief(model(128)), np.random.default_rng(9)
    first, second = truths(2, 9, 128)
    follow(steady, noisy(first, 60, 0.8, rng))
    told = steady.add(belief(noisy(second, 1, 0.8, rng)[0]), 20.0)
    assert cosines([told], first)[0] < 0.3


def test_what_says_nothing_moves_no_direction_and_shortens_the_mean() -> None:
    steady, rng = SteadyBelief(model()), np.random.default_rng(10)
    told = follow(steady, noisy(truths(1, 10)[0], 30, 0.8, rng))[-1].belief.mean[0]
    after = [steady.add(belief(np.zeros(_N), 1.0), 1 + _STEP_S * i) for i in range(20)]
    means = np.stack([one.belief.mean[0] for one in after])
    np.testing.assert_allclose(means @ told / np.linalg.norm(told), np.linalg.norm(means, axis=1), rtol=1e-5)
    assert (np.diff(np.linalg.norm(means, axis=1)) < 0).all()
    assert after[-1].belief.open_share.min() > after[0].belief.open_share.max()


def test_before_anything_is_known_the_pictures_mean_is_drawn() -> None:
    steady = SteadyBelief(model(mean=0.2))
    told = steady.add(belief(np.full(_N, np.float32(0.2)), 1.0), 0.0)
    np.testing.assert_allclose(told.belief.mean[0], 0.2, atol=1e-6)
    new = truths(1, 11)[0] + 0.2
    # The first that is known stands for itself: there is nothing to average it with.
    np.testing.assert_allclose(steady.add(belief(new), 0.1).belief.mean[0], new, atol=1e-6)


def growing(truth: Array, n: int, snr: float, rng: np.random.Generator) -> list[EmbeddingBelief]:
    """Return beliefs that rest on all windows so far, each on one more: their means, and what they leave open."""
    seen = truth + np.cumsum(rng.standard_normal((n, len(truth))), axis=0) / np.arange(1, n + 1)[:, None] / (
        snr * np.sqrt(len(truth))
    )
    settled = 1 / (1 + 1 / (snr**2 * np.arange(1, n + 1)))
    return [belief(share * row, 1 - share) for row, share in zip(seen, settled, strict=True)]


def test_a_belief_that_knows_more_largely_replaces_those_before() -> None:
    rng, steady, shown = np.random.default_rng(13), SteadyBelief(model(128)), truths(12, 13, 128)
    newest, drawn, moved = [], [], []
    for trial, truth in enumerate(shown):
        came = growing(truth, 40, 0.2, rng)
        told = [steady.add(one, trial + _STEP_S * i, trial) for i, one in enumerate(came)]
        newest.append(float(came[-1].mean[0] @ truth / np.linalg.norm(came[-1].mean)))
        drawn.append(cosines(told[-1:], truth)[0])
        np.testing.assert_allclose(told[-1].belief.open_share, came[-1].open_share, atol=0.06)
        pairs = (np.stack([one.mean[0] for one in came]), np.stack([one.belief.mean[0] for one in told]))
        moved.append([np.linalg.norm(np.diff(rows[20:], axis=0), axis=1).mean() for rows in pairs])
    # What the last one knows is drawn, nearly, and it comes more calmly.
    assert np.mean(drawn) > np.mean(newest) - 0.02
    assert np.mean(moved, axis=0)[0] > 2 * np.mean(moved, axis=0)[1]


# Skipping


def test_skipping_is_the_same_each_time_and_bounds_what_is_missed() -> None:
    rng = np.random.default_rng(12)
    decoded = np.concatenate([noisy(truth, 60, 100.0, rng) for truth in truths(3, 12)])
    once, again = (follow(SteadyBelief(model()), decoded) for _ in range(2))
    assert [one.draw for one in once] == [one.draw for one in again]
    assert 3 < sum(one.draw for one in once) < len(once) - 10
    drawn = once[0].belief.mean
    for one in once:
        drawn = one.belief.mean if one.draw else drawn
        assert np.linalg.norm(one.belief.mean - drawn) <= 0.01 + 1e-6


def test_a_belief_that_only_opens_is_drawn_again() -> None:
    steady, shown = SteadyBelief(model()), truths(1, 13)[0]
    follow(steady, shown[None].repeat(30, axis=0))
    assert not steady.add(belief(shown, 0.31), 1.0).draw
    assert steady.add(belief(shown, 0.5), 1.1).draw


# Bad input


def test_what_is_not_finite_is_refused_and_leaves_everything_as_it_was() -> None:
    steady, other = SteadyBelief(model()), SteadyBelief(model())
    shown = truths(1, 14)[0]
    for one in (steady, other):
        follow(one, shown[None].repeat(3, axis=0))
    for bad in (belief(np.full(_N, np.nan)), belief(np.full(_N, np.inf)), belief(shown, np.nan)):
        with pytest.raises(GeneratorError, match="not finite"):
            steady.add(bad, 0.2, 7)
    np.testing.assert_array_equal(
        steady.add(belief(shown), 0.2, None).belief.mean, other.add(belief(shown), 0.2, None).belief.mean
    )


@pytest.mark.parametrize("time_s", [1.0, 0.5, float("nan"), float("inf")])
def test_time_goes_forward(time_s: float) -> None:
    steady, shown = SteadyBelief(model()), truths(1, 15)[0]
    steady.add(belief(shown), 1.0)
    with pytest.raises(ValueError, match="order of time"):
        steady.add(belief(shown), time_s)


def test_a_belief_of_other_shape_is_refused() -> None:
    steady = SteadyBelief(model())
    with pytest.raises(ValueError, match="shape"):
        steady.add(belief(np.ones(_N + 1)), 0.0)
    with pytest.raises(ValueError, match="shape"):
        steady.add(EmbeddingBelief(np.ones((2, _N), np.float32), np.ones((2, 2), np.float32)), 0.0)
    with pytest.raises(ValueError, match="length above 0"):
        SteadyBelief(model(), 0.0)
