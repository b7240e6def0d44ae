"""What a picture may say: faded by what is open, bounded in contrast, none at all of what is unlike the training."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from decode_stream.decoders.generation.condition import EmbeddingBelief
from decode_stream.decoders.generation.confidence import (
    ContrastBounds,
    NoveltyGate,
    confidence,
    contrast_bounds,
    draw_several,
    fade,
    mean_picture,
    rms_contrast,
    variance_map,
)

from .plain_generator import PlainGenerator, plain_picture_model

_STEP_S = 0.025
Pictures = npt.NDArray[np.uint8]
drawn_pictures = arrays(np.uint8, (3, 8, 8, 3))


def pictures(n: int, seed: int = 0) -> Pictures:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), np.uint8)


# Confidence


def test_confidence_is_the_share_of_the_variance_that_is_settled() -> None:
    model = plain_picture_model()
    np.testing.assert_array_equal(confidence(model.nothing(2), model), [0, 0])
    np.testing.assert_allclose(confidence(model.known(np.zeros((1, 192))), model), [1])
    # Both halves of the demos' space vary alike.
    half = EmbeddingBelief(model.nothing().mean, np.array([[0.25, 1.0]], np.float32))
    np.testing.assert_allclose(confidence(half, model), [0.375], atol=1e-5)


def test_a_space_without_a_layout_settles_by_what_is_seen_alone() -> None:
    model = replace(plain_picture_model(), semantic=(0, 192))
    belief = EmbeddingBelief(model.nothing().mean, np.array([[0.2, 1.0]], np.float32))
    np.testing.assert_allclose(confidence(belief, model), [0.8], atol=1e-6)


# Fading


@given(drawn_pictures)
@settings(max_examples=20, deadline=None)
def test_fading_ends_at_the_picture_and_at_the_mean_picture(drawn: Pictures) -> None:
    prior = pictures(1, seed=1)[0]
    faded = fade(drawn, prior, np.array([1.0, 0.0, 0.5]))
    np.testing.assert_array_equal(faded[0], drawn[0])
    np.testing.assert_array_equal(faded[1], prior)
    between = (drawn[2].astype(float) + prior) / 2
    assert np.abs(faded[2] - between).max() <= 0.5


def test_fading_by_the_settled_share_errs_least() -> None:
    rng = np.random.default_rng(0)
    # Truth and picture have the mean of the belief in common, and err from it alike and apart.
    settled, prior = 0.36, np.full((8, 8, 3), 120.0)
    common = rng.normal(0, 30 * np.sqrt(settled), (400, 8, 8, 3))
    truth, drawn = (prior + common + rng.normal(0, 30 * np.sqrt(1 - settled), common.shape) for _ in range(2))
    drawn8 = np.rint(np.clip(drawn, 0, 255)).astype(np.uint8)
    errors = {
        share: np.mean((fade(drawn8, prior.astype(np.uint8), np.full(400, share)) - truth) ** 2)
        for share in (0.0, settled - 0.2, settled, settled + 0.2, 1.0)
    }
    assert min(errors, key=lambda share: errors[share]) == settled


def test_the_mean_picture_is_drawn_of_nothing_from_several_noises() -> None:
    generator = PlainGenerator(side_px=16)
    prior = mean_picture(generator, seed=3, n_steps=1, n=64)
    layout = generator.pictures.layout.layout(generator.pictures.mean[None])[0]
    assert np.abs(prior / 255 - layout.repeat(2, axis=0).repeat(2, axis=1)).mean() < 0.03
    one = draw_several(generator, generator.pictures.nothing(), 3, 1, 1)[0]
    assert np.abs(prior.astype(float) - one).mean() > 10


# What is imagined


def test_what_is_known_is_not_imagined_and_what_is_open_is() -> None:
    generator = PlainGenerator(side_px=16)
    known = generator.pictures.known(np.zeros((1, 192)))
    np.testing.assert_array_equal(variance_map(draw_several(generator, known, 0, 4, 1)), 0)
    spread = variance_map(draw_several(generator, generator.pictures.nothing(), 0, 64, 1))
    assert spread.shape == (16, 16)
    assert 70 < spread.mean() < 110  # twice 0.2 of 255, less what is clipped


def test_a_variance_map_is_full_where_black_and_white_are_as_likely() -> None:
    drawn = np.zeros((4, 2, 2, 3), np.uint8)
    drawn[:2, 0] = 255
    np.testing.assert_array_equal(variance_map(drawn), [[255, 255], [0, 0]])
    with pytest.raises(ValueError, match="two or more"):
        variance_map(drawn[:1])


# Contrast


def test_contrast_is_kept_within_bounds_and_colours_about_their_mean() -> None:
    bounds = ContrastBounds(20.0, 30.0)
    strong, weak, right = (
        np.rint(128 + (pictures(1, seed).astype(float) - 128) * factor).astype(np.uint8)
        for seed, factor in ((1, 1.0), (2, 0.3), (3, 0.45))
    )
    kept = bounds.kept(np.concatenate([strong, weak, right]))
    assert rms_contrast(strong)[0] > 30
    assert rms_contrast(kept)[0] == pytest.approx(30, abs=0.5)
    assert rms_contrast(weak)[0] < 20
    assert rms_contrast(kept)[1] == pytest.approx(20, abs=0.5)
    np.testing.assert_array_equal(kept[2], right[0])
    np.testing.assert_allclose(kept.mean(axis=(1, 2))[0], strong.mean(axis=(1, 2))[0], atol=1)


@given(drawn_pictures, st.floats(0, 60), st.floats(0, 60))
@settings(max_examples=40, deadline=None)
def test_contrast_is_at_most_doubled_and_never_beyond_the_upper_bound(
    drawn: Pictures, low: float, more: float
) -> None:
    before, after = rms_contrast(drawn), rms_contrast(ContrastBounds(low, low + more).kept(drawn))
    assert (after <= np.maximum(low + more, 1.0) + 1).all()
    assert (after <= 2 * before + 1).all()


def test_a_flat_picture_stays_flat() -> None:
    flat = np.full((1, 8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(ContrastBounds(20, 30).kept(flat), flat)


def test_bounds_leave_out_two_in_a_hundred() -> None:
    drawn = np.rint(128 + (pictures(200) - 128.0) * np.linspace(0.1, 1, 200)[:, None, None, None]).astype(
        np.uint8
    )
    bounds, contrast = contrast_bounds(drawn), rms_contrast(drawn)
    assert ((contrast < bounds.low) | (contrast > bounds.high)).sum() == 4
    for low, high in ((3.0, 2.0), (-1.0, 2.0), (float("nan"), 2.0)):
        with pytest.raises(ValueError, match="Contrast"):
            ContrastBounds(low, high)


# Unlike the training


def ordinary(n: int, seed: int) -> npt.NDArray[np.float64]:
    """Return novelty scores of ordinary windows, each of which shares three quarters with the next."""
    from scipy.stats import norm

    parts = np.random.default_rng(seed).standard_normal(n + 3)
    scores: npt.NDArray[np.float64] = norm.cdf(sum(parts[i : n + i] for i in range(4)) / 2)
    return scores


def test_ordinary_windows_leave_drawing_on() -> None:
    gate = NoveltyGate()
    told = [gate.add(float(score), i * _STEP_S) for i, score in enumerate(ordinary(4000, 0))]
    assert np.mean(told) > 0.998


def test_windows_unlike_the_training_stop_drawing_and_it_goes_on_after_some_ordinary_ones() -> None:
    gate = NoveltyGate()
    for i in range(20):
        assert gate.add(0.5, i * _STEP_S)
    told = [gate.add(1.0, (20 + i) * _STEP_S) for i in range(20)]
    assert told[:3] == [True] * 3
    assert not any(told[8:])
    # In between the two limits nothing changes.
    lower = [gate.add(0.95, (40 + i) * _STEP_S) for i in range(40)]
    assert not any(lower)
    assert not gate.open
    after = [gate.add(0.5, (80 + i) * _STEP_S) for i in range(20)]
    assert after[-1]
    assert all(gate.add(0.95, (100 + i) * _STEP_S) for i in range(40))


def test_one_window_does_not_stop_drawing_even_after_a_pause() -> None:
    gate = NoveltyGate()
    for i in range(20):
        gate.add(0.5, i * _STEP_S)
    assert gate.add(0.995, 60.0)
    assert gate.add(0.5, 60.1)


def test_a_score_that_is_no_number_counts_as_far_out_and_none_as_no_news() -> None:
    gate = NoveltyGate()
    assert all(gate.add(None, i * _STEP_S) for i in range(100))
    assert not [gate.add(float("nan"), 3 + i * _STEP_S) for i in range(30)][-1]
    # What does not come later does not count, and drawing stays off.
    assert not gate.add(0.0, 0.0)
    assert not gate.add(None, 60.0)
