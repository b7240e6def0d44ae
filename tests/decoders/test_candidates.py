"""A gallery that is compared with again and again."""

import tracemalloc

import numpy as np
import pytest

from decode_stream.decoders.candidates import Candidates

N_ENTRIES, DIMENSION = 700, 3000


def drawn(n: int, dimension: int = DIMENSION) -> np.ndarray:
    rng = np.random.default_rng(n)
    return (5 * rng.standard_normal((n, dimension)) + 2).astype(np.float32)


def plainly(embeddings: np.ndarray, gallery: np.ndarray, norm: str) -> np.ndarray:
    a, b = embeddings.astype(np.float64), gallery.astype(np.float64)
    if norm == "unit":
        a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b))
    return np.asarray(a @ b.T)


@pytest.mark.parametrize("norm", ["unit", "none"])
@pytest.mark.parametrize("n", [1, 600])
def test_blocks_give_what_the_whole_in_double_precision_gives(norm: str, n: int) -> None:
    embeddings, gallery = drawn(n), drawn(N_ENTRIES)
    candidates = Candidates(gallery, norm)
    expected = plainly(embeddings, gallery, norm)
    for _ in range(2):
        np.testing.assert_allclose(candidates.similarity(embeddings), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", ["unit", "none"])
def test_a_window_alone_fits_as_it_does_among_others(norm: str) -> None:
    embeddings, candidates = drawn(40), Candidates(drawn(N_ENTRIES), norm)
    together = candidates.similarity(embeddings)
    alone = np.concatenate([candidates.similarity(one[None]) for one in embeddings])
    np.testing.assert_allclose(alone, together, rtol=1e-12, atol=1e-12)


def test_some_numbers_of_some_entries_are_as_they_are_compared() -> None:
    gallery = drawn(30)
    whole = gallery / np.linalg.norm(gallery.astype(np.float64), axis=1, keepdims=True)
    got = Candidates(gallery, "unit").block(np.array([4, 2]), slice(10, 14))
    assert got == pytest.approx(whole[[4, 2], 10:14], rel=1e-12)
    assert (Candidates(gallery, "none").block(slice(1, 3)) == gallery[1:3]).all()


def test_embeddings_and_entries_of_nothing_fit_nothing() -> None:
    gallery = np.zeros((2, 3), np.float32)
    assert (Candidates(gallery, "unit").similarity(np.zeros((1, 3))) == 0).all()
    assert Candidates(gallery, "unit").similarity(np.zeros((0, 3))).shape == (0, 2)


def test_a_decision_takes_no_copy_of_the_gallery() -> None:
    gallery = np.ones((200, 1 << 16), np.float32)
    candidates, embedding = Candidates(gallery, "unit"), np.ones((1, 1 << 16), np.float32)
    tracemalloc.start()
    try:
        candidates.similarity(embedding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < gallery.nbytes / 4
