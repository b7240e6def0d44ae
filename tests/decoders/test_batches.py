"""Retrieval within batches: against loops, and against what all draws tend to."""

import numpy as np
import pytest

from decode_stream.decoders.scoring.batches import (
    batch_counts,
    found_in_batches,
    random_batches,
    stream_batches,
)
from decode_stream.decoders.scoring.identification import k_way


def test_a_stream_gives_every_picture_once_a_pass() -> None:
    batches = stream_batches(10, 3, 7, seed=1)
    assert [len(set(batch.tolist())) for batch in batches] == [3] * 7
    for start in (0, 3):  # three batches a pass, and one picture that fills none
        assert len(np.unique(np.concatenate(batches[start : start + 3]))) == 9
    assert np.array_equal(np.array(batches), np.array(stream_batches(10, 3, 7, seed=1)))
    assert not np.array_equal(np.array(batches), np.array(stream_batches(10, 3, 7, seed=2)))


def test_random_batches_are_drawn_anew_each() -> None:
    batches = random_batches(10, 6, 50, seed=0)
    assert {len(set(batch.tolist())) for batch in batches} == {6}
    # Two batches of six of ten share two at least; successive ones of a stream would share none.
    assert len({tuple(sorted(batch.tolist())) for batch in batches}) > 30
    for draw in (random_batches, stream_batches):
        with pytest.raises(ValueError, match="batch of 11 cannot be drawn from 10"):
            draw(10, 11, 1, 0)


def test_draws_tend_to_what_is_exact_for_each_picture() -> None:
    rng = np.random.default_rng(3)
    fits = rng.standard_normal((40, 40)) + 2 * np.eye(40)
    own = np.arange(40)
    for draw in (random_batches, stream_batches):
        forward, backward = found_in_batches(fits, draw(40, 10, 800, 0))
        assert forward.mean() == pytest.approx(k_way(fits, own, 10).mean(), abs=0.015)
        assert backward.mean() == pytest.approx(k_way(fits.T, own, 10).mean(), abs=0.015)
    # By hand: of three pictures, one prediction looks like another's picture.
    fits = np.array([[0.9, 0.1, 0.0], [0.8, 0.5, 0.0], [0.1, 0.2, 0.7]])
    forward, backward = found_in_batches(fits, [np.array([0, 1]), np.array([1, 2]), np.arange(3)])
    assert forward.tolist() == pytest.approx([1 / 2, 1, 2 / 3])
    assert backward.tolist() == pytest.approx([1, 1, 1])


def test_another_showing_of_the_picture_counts_as_right() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(6, size=24)
    fits = rng.standard_normal((24, 6)) + np.eye(6)[truth]
    batches = stream_batches(24, 8, 3, seed=0)
    forward, backward, chance = batch_counts(fits, truth, batches)
    for b, batch in enumerate(batches):
        shown = truth[batch]
        for i, trial in enumerate(batch):
            among = [fits[trial, picture] for picture in shown]
            assert forward[b, i] == (shown[int(np.argmax(among))] == truth[trial])
            of_trials = [fits[other, truth[trial]] for other in batch]
            assert backward[b, i] == (shown[int(np.argmax(of_trials))] == truth[trial])
            assert chance[b, i] == pytest.approx(np.mean(shown == truth[trial]))
    # Where nothing is known all tie, and what is right by chance is the chance.
    forward, backward, chance = batch_counts(np.zeros((24, 6)), truth, batches)
    np.testing.assert_allclose(forward, chance)
    np.testing.assert_allclose(backward, chance)
