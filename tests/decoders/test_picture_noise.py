"""What comes again with a picture, held against draws whose covariances are known."""

import numpy as np
import pytest

from decode_stream.decoders.encoders.picture_noise import fit_picture_noise, shown_again

DIMENSION = 12
SHARES = np.array([0.6, 0.3, 0.1] + [0.0] * 9)


def turned(seed: int = 0) -> np.ndarray:
    """Return directions at right angles, one a row."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((DIMENSION, DIMENSION)))[0]


def drawn(pictures: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Return white trials of which a share, in directions that are no axes, is their picture's."""
    rng = np.random.default_rng(seed)
    own = rng.standard_normal((pictures.max() + 1, DIMENSION))[pictures] * np.sqrt(shares)
    return (own + rng.standard_normal((len(pictures), DIMENSION)) * np.sqrt(1 - shares)) @ turned()


def test_directions_and_shares_are_found_though_some_pictures_are_shown_more_often() -> None:
    counts = np.random.default_rng(1).integers(2, 7, size=2000)
    pictures = np.random.default_rng(2).permutation(np.repeat(np.arange(2000), counts))
    axes, rho = fit_picture_noise(drawn(pictures, SHARES, 3) + 5, pictures)
    assert axes @ axes.T == pytest.approx(np.eye(DIMENSION), abs=1e-9)
    assert rho == pytest.approx(SHARES, abs=0.04)
    assert np.abs(axes[:3] @ turned()[:3].T).diagonal() == pytest.approx(np.ones(3), abs=0.05)


def test_noise_that_is_new_at_every_showing_has_no_directions() -> None:
    pictures = np.repeat(np.arange(200), 3)
    _, rho = fit_picture_noise(drawn(pictures, np.zeros(DIMENSION), 4), pictures)
    # Along the axes of its own covariance the largest would be some .15.
    assert rho.max() < 0.04
    assert rho.min() >= 0


def test_of_few_pictures_hardly_more_than_the_mean_is_believed() -> None:
    pictures = np.repeat(np.arange(100), 2)
    _, rho = fit_picture_noise(drawn(pictures, np.full(DIMENSION, 0.3), 5), pictures)
    assert rho.mean() == pytest.approx(0.3, abs=0.06)
    assert rho.std() < 0.1


def test_only_pictures_that_are_shown_again_tell_and_only_where_they_are_many() -> None:
    once, twice = np.arange(1000, 1050), np.tile(np.arange(100), 2)
    pictures = np.concatenate([once, twice])
    assert shown_again(pictures).tolist() == list(range(50, 250))
    assert not len(shown_again(pictures[:-1]))
    assert not len(shown_again(np.arange(500)))
