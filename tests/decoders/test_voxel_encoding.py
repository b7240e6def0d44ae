"""Encoding models: what is predicted of pictures that were not learnt from, and what is refused."""

import numpy as np
import pytest

from decode_stream.decoders.brain.voxel_encoding import encode_voxels, fit_voxels, held_out_parts
from decode_stream.stream.errors import UsageError

N_PICTURES, N_DIMS = 150, 12


def drawn(loud: float = 3.0, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Trials of two sessions of four runs: voxels 0 to 2 answer to the embedding, 3 to the picture alone, 4 to none."""
    rng = np.random.default_rng(seed)
    looks = rng.standard_normal((N_PICTURES, N_DIMS))
    pictures = np.concatenate([rng.permutation(N_PICTURES) for _ in range(2)])
    runs = np.arange(len(pictures)) * 8 // len(pictures)
    told = looks @ rng.standard_normal((N_DIMS, 3)) / np.sqrt(N_DIMS)
    own = rng.standard_normal((N_PICTURES, 1))
    signal = np.concatenate([loud * told, 5 * own, np.zeros((N_PICTURES, 1))], axis=1)
    voxels = signal[pictures] + rng.standard_normal((len(pictures), 5)) + 10 * (runs[:, None] // 4)
    return looks[pictures], voxels, runs, runs // 4, pictures


def test_voxels_are_predicted_as_far_as_the_embedding_tells() -> None:
    found = encode_voxels(*drawn())
    assert (found.correlation[:3] > 0.8).all()
    assert found.n_trials == 300
    assert found.n_parts == 5
    # A voxel that knows each picture by itself cannot be told from other pictures; nor can one that knows nothing.
    assert np.abs(found.correlation[3:]).max() < 0.25


def test_embeddings_with_as_many_numbers_as_pictures_remember_none_of_them() -> None:
    _, voxels, runs, sessions, pictures = drawn()
    found = encode_voxels(np.eye(N_PICTURES)[pictures], voxels, runs, sessions, pictures)
    assert np.abs(found.correlation).max() < 0.25
    known = encode_voxels(np.eye(N_PICTURES)[pictures], voxels, runs, sessions, None)
    assert known.correlation[3] > 0.5  # of categories other trials of the same are learnt from


def test_no_trial_is_learnt_from_that_shows_a_held_out_picture() -> None:
    *_, runs, _, pictures = drawn()
    parts = held_out_parts(runs, pictures)
    assert sorted(np.concatenate([left for _, left in parts]).tolist()) == list(range(300))
    for learnt, left in parts:
        assert not set(runs[learnt].tolist()) & set(runs[left].tolist())
        assert not set(pictures[learnt].tolist()) & set(pictures[left].tolist())
    assert len(held_out_parts(np.zeros(300, np.int64), None)) == 5


def test_more_dimensions_than_trials_are_fitted_the_same_way() -> None:
    looks, voxels, runs, *_ = drawn()
    wide = np.concatenate([looks, np.zeros((300, 400))], axis=1)
    some = fit_voxels(wide, voxels, runs).predict(wide)
    # Dimensions that say nothing change the size of the penalties, and no more than that.
    assert np.corrcoef(some[:, 0], fit_voxels(looks, voxels, runs).predict(looks)[:, 0])[0, 1] > 0.999


def test_held_out_trials_have_no_say_in_units_or_level() -> None:
    looks, voxels, runs, sessions, pictures = drawn()
    before = encode_voxels(looks, voxels, runs, sessions, pictures).correlation
    changed = np.where(sessions[:, None] == 1, 5 * voxels - 40, voxels)
    assert encode_voxels(looks, changed, runs, sessions, pictures).correlation == pytest.approx(
        before, abs=1e-5
    )


def test_voxels_without_data_are_left_out() -> None:
    looks, voxels, runs, sessions, pictures = drawn()
    voxels[sessions == 1, 1] = np.nan
    found = encode_voxels(looks, voxels, runs, sessions, pictures).correlation
    assert np.isnan(found).tolist() == [False, True, False, False, False]


def test_too_few_trials_are_refused() -> None:
    looks, voxels, _, sessions, pictures = drawn()
    with pytest.raises(UsageError, match="9 of 18 trials are left to learn from"):
        encode_voxels(looks[:18], voxels[:18], np.arange(18) // 9, sessions[:18], pictures[:18])
    # Two sessions of the same pictures: nothing is left that the other does not show.
    with pytest.raises(UsageError, match="0 of 300 trials are left"):
        encode_voxels(looks, voxels, np.arange(300) // 150, sessions, pictures)
