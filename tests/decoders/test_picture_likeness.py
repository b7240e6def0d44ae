"""How like pictures are: against formulas worked out one window at a time, and properties that must hold."""

import numpy as np
import numpy.typing as npt
import pytest

from decode_stream.decoders.scoring.identification import k_way, two_way
from decode_stream.decoders.scoring.picture_likeness import (
    difference_of_means,
    picture_identification,
    pixel_correlation,
    ratio_of_means,
    structural_similarity,
)


def picture(seed: int, side_px: int = 24) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(side_px, side_px, 3), dtype=np.uint8)


def flat(level: int, side_px: int = 24) -> npt.NDArray[np.uint8]:
    return np.full((side_px, side_px, 3), level, np.uint8)


def by_windows(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Return SSIM as Wang et al. write it: window by window, with the weights of a Gaussian of 1.5 pixels."""
    x, y = (picture @ np.array([0.2125, 0.7154, 0.0721]) / 255 for picture in (one, other))
    places = np.arange(-5, 6)
    weights = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for row in range(5, len(x) - 5):
        for column in range(5, len(x) - 5):
            a, b = (grey[row - 5 : row + 6, column - 5 : column + 6] for grey in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            spread_a, spread_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            light = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            values.append(light * (2 * both + 9e-4) / (spread_a + spread_b + 9e-4))
    return float(np.mean(values))


def test_structural_similarity_is_that_of_the_paper() -> None:
    one, other = picture(0), picture(1)
    mixed = ((one.astype(int) + other) // 2).astype(np.uint8)
    found = structural_similarity([one, one, one], [one, other, mixed], side_px=24)
    assert found[0] == pytest.approx(1)
    assert found[1:] == pytest.approx([by_windows(one, other), by_windows(one, mixed)], abs=1e-9)
    assert structural_similarity([mixed], [one], side_px=24)[0] == pytest.approx(found[2])
    # Of pictures of one colour only lightness is left.
    told = structural_similarity([flat(51)], [flat(102)])[0]
    assert told == pytest.approx((2 * 0.2 * 0.4 + 1e-4) / (0.2**2 + 0.4**2 + 1e-4), abs=1e-9)
    with pytest.raises(ValueError, match="11 pixels does not fit into pictures of 10"):
        structural_similarity([one], [one], side_px=10)


def test_pixels_correlate_whatever_the_contrast() -> None:
    one = picture(0)
    paler = (one.astype(int) // 2 + 60).astype(np.uint8)
    found = pixel_correlation([one, paler, 255 - one, flat(9)], [one, one, one, one])
    assert found == pytest.approx([1, 1, -1, 0], abs=2e-4)
    other = picture(1)
    by_hand = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert pixel_correlation([one], [other], side_px=24)[0] == pytest.approx(by_hand)
    large = one.repeat(3, axis=0).repeat(3, axis=1)
    assert pixel_correlation([large], [one], side_px=24)[0] > 0.95
    with pytest.raises(ValueError, match="1 drawn pictures cannot be compared with 2"):
        pixel_correlation([one], [one, one])


def test_identification_looks_both_ways() -> None:
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((6, 40))
    truth = np.repeat(np.arange(6), 2)
    drawn = seen[truth] + 2.0 * rng.standard_normal((12, 40))
    found = picture_identification(drawn, seen, truth)
    fits = np.corrcoef(drawn, seen)[:12, 12:]
    np.testing.assert_allclose(found.fits, fits)
    assert found.forward == pytest.approx(two_way(fits, truth))
    for trial, picture_ in enumerate(truth):
        others = fits[truth != picture_, picture_]
        assert found.backward[trial] == pytest.approx(np.mean(others < fits[trial, picture_]))
    assert picture_identification(seen, seen, np.arange(6)).backward == pytest.approx(np.ones(6))
    alike = picture_identification(np.ones((6, 40)), seen, np.arange(6))
    assert alike.forward == pytest.approx(np.full(6, 0.5))
    assert alike.backward == pytest.approx(np.full(6, 0.5))


def test_draws_of_k_tend_to_what_is_expected_and_come_again() -> None:
    rng = np.random.default_rng(1)
    seen = rng.standard_normal((30, 20))
    found = picture_identification(seen + 2.0 * rng.standard_normal((30, 20)), seen, np.arange(30))
    draws = found.k_way(5, range(400))
    assert draws.shape == (400, 30)
    assert draws.mean() == pytest.approx(k_way(found.fits, found.truth, 5).mean(), abs=0.02)
    np.testing.assert_array_equal(found.k_way(5, [7]), draws[7:8])
    with pytest.raises(ValueError, match="k is 31"):
        found.k_way(31, [0])


def test_what_cannot_be_identified_is_refused() -> None:
    with pytest.raises(ValueError, match="two pictures"):
        picture_identification(np.ones((3, 4)), np.ones((2, 4)), np.zeros(3, int))
    with pytest.raises(ValueError, match="not finite"):
        picture_identification(np.full((2, 4), np.nan), np.ones((2, 4)), np.arange(2))


def test_scores_of_the_same_trials_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(50), 4)
    hardness = rng.uniform(0.4, 0.8, 50)[pictures]
    ours = hardness + 0.1 + rng.normal(0, 0.01, 200)
    apart = difference_of_means(ours, hardness, pictures)
    assert apart.value == pytest.approx(0.1, abs=0.005)
    assert apart.low < apart.value < apart.high
    # What both find hard does not widen it: of one score alone the interval is many times as wide.
    assert apart.high - apart.low < 0.01 < np.ptp(np.quantile(hardness, [0.3, 0.7]))
    assert (apart.n, apart.n_pictures) == (200, 50)
    ratio = ratio_of_means(ours, hardness, pictures)
    assert ratio.value == pytest.approx(ours.mean() / hardness.mean())
    assert ratio.low < ratio.value < ratio.high
    same = ratio_of_means(ours, ours, pictures)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))


def test_scores_that_cannot_be_compared_are_refused() -> None:
    ones, pictures = np.ones(10), np.arange(10)
    with pytest.raises(ValueError, match="10 and 9 scores of 10 trials"):
        difference_of_means(ones, ones[1:], pictures)
    with pytest.raises(ValueError, match="7 pictures say nothing"):
        difference_of_means(ones, ones, np.minimum(pictures, 6))
    with pytest.raises(ValueError, match="means above 0"):
        ratio_of_means(ones, -ones, pictures)
