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


@pytest.mark.parametrize("norm", ["unit", "none"])
@pytest.mark.parametrize("k", [0, 1, 5, N_ENTRIES, N_ENTRIES + 3])
def test_the_best_are_those_of_all_in_double_precision(norm: str, k: int) -> None:
    candidates = Candidates(drawn(N_ENTRIES), norm)
    for embedding in (*drawn(6), drawn(1)[0] * 1e-30):
        everything = candidates.similarity(embedding[None])[0]
        places, similarities = candidates.best(embedding, k)
        assert places.tolist() == np.argsort(-everything, kind="stable")[:k].tolist()
        np.testing.assert_allclose(similarities, everything[places], rtol=1e-12)


@pytest.mark.parametrize("norm", ["unit", "none"])
def test_what_single_precision_cannot_tell_apart_is_told_apart(norm: str) -> None:
    # Entries of which one number differs in its last bits: their products are rounded by more than that.
    rng = np.random.default_rng(0)
    gallery = np.tile(rng.standard_normal(768).astype(np.float32), (400, 1))
    gallery[:, 7] = 1 + np.float32(2.0**-23) * rng.permutation(400).astype(np.float32)
    candidates, embedding = Candidates(gallery, norm), np.ones(768)
    roughly = gallery @ embedding.astype(np.float32)
    right = np.argsort(-candidates.similarity(embedding[None])[0], kind="stable")[:5].tolist()
    assert np.argsort(-roughly, kind="stable")[:5].tolist() != right
    assert candidates.best(embedding, 5)[0].tolist() == right


def test_only_few_are_compared_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    plainly_similar = Candidates.similarity

    def counted(self: Candidates, embeddings: np.ndarray) -> np.ndarray:
        compared.append(len(self.entries))
        return plainly_similar(self, embeddings)

    monkeypatch.setattr(Candidates, "similarity", counted)
    rng = np.random.default_rng(1)
    gallery = rng.standard_normal((20_000, 64), np.float32)
    Candidates(gallery, "unit").best(rng.standard_normal(64), 5)
    assert len(compared) == 1
    assert 5 <= compared[0] < 20


def test_of_equal_entries_the_first_are_the_best() -> None:
    gallery = np.eye(4, dtype=np.float32)[[1, 0, 2, 0, 0, 3]]
    for norm in ("unit", "none"):
        places, similarities = Candidates(gallery, norm).best(np.array([2.0, 1.0, 0, 0]), 3)
        assert places.tolist() == [1, 3, 4]
        assert similarities[0] == similarities[2]
    assert Candidates(gallery, "unit").best(np.zeros(4), 2)[0].tolist() == [0, 1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("large", [np.nan, np.inf, 1e300])
def test_numbers_beyond_single_precision_rank_as_in_double(large: float) -> None:
    candidates = Candidates(drawn(30, 8), "none")
    embedding = drawn(1, 8)[0].astype(np.float64)
    embedding[3] = large
    with np.errstate(invalid="ignore"):
        everything = candidates.similarity(embedding[None])[0]
    places, similarities = candidates.best(embedding, 4)
    assert places.tolist() == np.argsort(-np.nan_to_num(everything, nan=-np.inf), kind="stable")[:4].tolist()
    np.testing.assert_array_equal(similarities, everything[places])


def test_an_empty_gallery_has_no_best() -> None:
    places, similarities = Candidates(np.zeros((0, 3), np.float32), "unit").best(np.ones(3), 5)
    assert places.shape == similarities.shape == (0,)
