"""Which of k pictures was seen: against brute force, and against the published formulas."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decode_stream.decoders.scoring.identification import (
    concept_centres,
    correlations,
    drawn_k_way,
    k_way,
    nth_showing,
    retrieval,
    two_way,
)
from decode_stream.decoders.scoring.intervals import picture_interval
from decode_stream.decoders.scoring.scores import hits


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=4),
    k=st.integers(2, 6),
    top=st.integers(1, 3),
)
def test_k_way_is_the_mean_over_all_draws(rows: list[list[int]], k: int, top: int) -> None:
    evidence = np.array(rows, float)
    truth = np.arange(len(rows)) % 6
    for i, row in enumerate(evidence):
        others = [c for c in range(6) if c != truth[i]]
        drawn = [
            hits(row[[truth[i], *some]][None], np.zeros(1, np.int64), top)[0]
            for some in combinations(others, k - 1)
        ]
        assert k_way(evidence, truth, k, top)[i] == pytest.approx(np.mean(drawn))


def test_k_way_of_the_whole_gallery_is_the_exact_picture() -> None:
    rng = np.random.default_rng(0)
    evidence, truth = rng.standard_normal((50, 30)), rng.integers(30, size=50)
    for top in (1, 5):
        np.testing.assert_allclose(k_way(evidence, truth, 30, top), hits(evidence, truth, top))
    with pytest.raises(ValueError, match="k is 31"):
        k_way(evidence, truth, 31)


def test_draws_of_fixed_seeds_scatter_about_the_expectation() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(40, size=200)
    evidence = rng.standard_normal((200, 40)) + 1.5 * np.eye(40)[truth]
    drawn = drawn_k_way(evidence, truth, 10, range(50))
    assert drawn.shape == (50, 200)
    np.testing.assert_array_equal(drawn, drawn_k_way(evidence, truth, 10, range(50)))
    assert drawn.mean() == pytest.approx(k_way(evidence, truth, 10).mean(), abs=0.01)
    assert drawn.mean(axis=1).std() > 0


def test_two_way_is_mindeyes_formula() -> None:
    rng = np.random.default_rng(2)
    features = rng.standard_normal((12, 40))
    predicted = 3 + 0.3 * features + rng.standard_normal((12, 40))
    r = np.corrcoef(features, predicted)[:12, 12:]
    success = np.array([(r[:, j] < r[j, j]).sum() / 11 for j in range(12)])
    np.testing.assert_allclose(two_way(correlations(predicted, features), np.arange(12)), success)


def test_retrieval_goes_both_ways() -> None:
    # Predictions 0 and 1 both look like picture 0; picture 2 is found from both sides.
    fits = np.array([[0.9, 0.1, 0.0], [0.8, 0.5, 0.0], [0.1, 0.2, 0.7]])
    forward, backward = retrieval(fits)
    assert forward.tolist() == [1, 0, 1]
    assert backward.tolist() == [1, 1, 1]
    forward, backward = retrieval(fits.T)
    assert forward.tolist() == [1, 1, 1]
    assert backward.tolist() == [1, 0, 1]


def test_showings_are_counted_in_order() -> None:
    assert nth_showing(np.array([3, 1, 3, 3, 1, 2])).tolist() == [0, 0, 1, 2, 1, 0]


def test_concept_centres_are_plain_or_unit_means() -> None:
    features = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 5.0]])
    plain = concept_centres(features, np.array([0, 0, 1]), 2, unit=False)
    np.testing.assert_allclose(plain, [[1, 1], [0, 5]])
    unit = concept_centres(features, np.array([0, 0, 1]), 2, unit=True)
    np.testing.assert_allclose(unit, [[0.5**0.5, 0.5**0.5], [0, 1]])
    # The same decoded embedding picks another concept: that is why the protocol says which it is.
    said = np.array([1.0, 0.3])
    assert int(np.argmax(plain @ said)) == 1
    assert int(np.argmax(unit @ said)) == 0


def test_trials_of_one_picture_are_right_or_wrong_together() -> None:
    rng = np.random.default_rng(3)
    easy = rng.random(40) < 0.4
    pictures = np.repeat(np.arange(40), 25)
    low, high, how = picture_interval(easy[pictures].astype(float), pictures)
    assert how == "bootstrap over pictures"
    assert high - low > 0.25  # as of 40 pictures, not of 1000 trials
    assert low < easy.mean() < high
    _, _, how = picture_interval(np.array([1.0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert how == "Wilson, over trials"
