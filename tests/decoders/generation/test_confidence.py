"""What a picture may say: faded by what is open, and none at all of what is unlike the training."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from decode_stream.decoders.generation.condition import Condition, EmbeddingBelief
from decode_stream.decoders.generation.confidence import (
    NoveltyGate,
    confidence,
    draw_unknown,
    fade,
    variance_map,
)

from .plain_generator import PlainGenerator, plain_picture_model

_STEP_S = 0.025
Pictures = npt.NDArray[np.uint8]
drawn_pictures = arrays(np.uint8, (3, 8, 8, 3))


def pictures(n: int, seed: int = 0) -> Pictures:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), np.uint8)


def drawn_of(generator: PlainGenerator, belief: EmbeddingBelief, n: int) -> Pictures:
    condition = generator.pictures.condition(belief)
    return np.concatenate([generator.draw(condition, noise[None], 1) for noise in generator.noise(0, n)])


# Confidence


def test_confidence_is_the_share_of_the_variance_that_is_settled() -> None:
    model = plain_picture_model()
    np.testing.assert_array_equal(confidence(model.nothing(2), 0.8), [0, 0])
    np.testing.assert_allclose(confidence(model.known(np.zeros((1, 192))), 0.8), [1])
    # What is seen is settled well and the layout not at all, then the other way round.
    shares = np.array([[0.25, 1.0], [1.0, 0.25]], np.float32)
    beliefs = EmbeddingBelief(model.nothing(2).mean, shares)
    np.testing.assert_allclose(confidence(beliefs, 0.8), [0.15, 0.6], atol=1e-6)


@pytest.mark.parametrize(
    ("detail", "layout_share"), [(0.0, 1.0), (1.0, 0.5), (3.0, 0.25)], ids=["none", "as much", "more"]
)
def test_the_layout_counts_as_much_as_it_makes_pictures_differ(detail: float, layout_share: float) -> None:
    model = plain_picture_model()
    # Layouts far within the range of colours: nothing is clipped.
    model = replace(model, covariance=model.covariance / 40)
    layouts = 255**2 * model.layout.variances(model.covariance).mean()

    class Drawing(PlainGenerator):
        pictures = model

        def draw(self, condition: Condition, noise: Pictures, n_steps: int) -> Pictures:
            sd = np.sqrt((1 + detail) * layouts)
            return np.rint(np.clip(128 + sd * noise, 0, 255)).astype(np.uint8)

    found = draw_unknown(Drawing(side_px=16), seed=1, n_steps=1, n=64)
    assert found.layout_share == pytest.approx(layout_share, abs=0.03)


def test_a_space_without_a_layout_settles_by_what_is_seen_alone() -> None:
    model = plain_picture_model()
    without = replace(model, layout=replace(model.layout, weight=np.zeros_like(model.layout.weight)))

    class Without(PlainGenerator):
        pictures = without

    found = draw_unknown(Without(side_px=16), seed=1, n_steps=1, n=4)
    assert found.layout_share == 0
    belief = EmbeddingBelief(model.nothing().mean, np.array([[0.2, 1.0]], np.float32))
    np.testing.assert_allclose(confidence(belief, found.layout_share), [0.8], atol=1e-6)


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


def test_a_weak_belief_faded_by_the_root_of_its_share_errs_more_than_the_mean_picture() -> None:
    rng = np.random.default_rng(0)
    settled, prior = 0.1, np.full((8, 8, 3), 120, np.uint8)
    common = prior + rng.normal(0, 30 * np.sqrt(settled), (400, 8, 8, 3))
    truth, drawn = (common + rng.normal(0, 30 * np.sqrt(1 - settled), common.shape) for _ in range(2))
    drawn8 = np.rint(np.clip(drawn, 0, 255)).astype(np.uint8)
    by_share, nothing, by_root = (
        np.mean((fade(drawn8, prior, np.full(400, share)) - truth) ** 2)
        for share in (settled, 0.0, np.sqrt(settled))
    )
    assert by_share < nothing < by_root


def test_the_mean_picture_is_drawn_of_nothing_from_several_noises() -> None:
    generator = PlainGenerator(side_px=16)
    prior = draw_unknown(generator, seed=3, n_steps=1, n=64).mean
    layout = generator.pictures.layout.layout(generator.pictures.mean[None])[0]
    assert np.abs(prior / 255 - layout.repeat(2, axis=0).repeat(2, axis=1)).mean() < 0.03
    one = drawn_of(generator, generator.pictures.nothing(), 1)[0]
    assert np.abs(prior.astype(float) - one).mean() > 10
    with pytest.raises(ValueError, match="two on"):
        draw_unknown(generator, seed=3, n_steps=1, n=1)


# What is imagined


def test_what_is_known_is_not_imagined_and_what_is_open_is() -> None:
    generator = PlainGenerator(side_px=16)
    known = generator.pictures.known(np.zeros((1, 192)))
    np.testing.assert_array_equal(variance_map(drawn_of(generator, known, 4)), 0)
    spread = variance_map(drawn_of(generator, generator.pictures.nothing(), 64))
    assert spread.shape == (16, 16)
    assert 70 < spread.mean() < 110  # twice 0.2 of 255, less what is clipped


def test_a_variance_map_is_full_where_black_and_white_are_as_likely() -> None:
    drawn = np.zeros((4, 2, 2, 3), np.uint8)
    drawn[:2, 0] = 255
    np.testing.assert_array_equal(variance_map(drawn), [[255, 255], [0, 0]])
    with pytest.raises(ValueError, match="two or more"):
        variance_map(drawn[:1])


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


def test_what_is_drawn_as_a_mean_is_not_faded_twice() -> None:
    rng = np.random.default_rng(8)
    prior, shares = np.full((8, 8, 3), 128, np.uint8), (0.1, 0.4)
    for settled in shares:
        seen = rng.normal(0, np.sqrt(settled), (300, 8, 8, 3))
        truth = 128 + 30 * (seen + rng.normal(0, np.sqrt(1 - settled), seen.shape))
        for chance in (0.0, 0.3, 1.0):
            by_chance = rng.normal(0, np.sqrt(chance * (1 - settled)), seen.shape)
            drawn = np.clip(128 + 30 * (seen + by_chance), 0, 255).round().astype(np.uint8)
            errors = {
                c: float(np.mean((fade(drawn, prior, np.full(300, settled), c) - truth) ** 2))
                for c in (0.0, 0.3, 1.0)
            }
            assert min(errors, key=errors.__getitem__) == chance


def test_it_is_measured_how_much_is_drawn_by_chance() -> None:
    class Mean(PlainGenerator):
        def draw(self, condition: Condition, noise: npt.NDArray[np.float32], n_steps: int) -> Pictures:
            return np.full((len(condition), self.side_px, self.side_px, 3), 128, np.uint8)

    assert draw_unknown(Mean(side_px=16), seed=1, n_steps=1, n=8).chance_share == 0
    assert draw_unknown(PlainGenerator(side_px=16), seed=1, n_steps=1, n=8).chance_share > 0.01
