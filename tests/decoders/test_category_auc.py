"""Categories from embeddings: the area under the ROC curve against pairs counted one by one."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score

from decode_stream.decoders.candidates import Candidates
from decode_stream.decoders.scoring.category_auc import CategoryClassifier, category_aucs, fit_categories


def test_the_area_is_that_of_pairs_of_trials_and_pictures_are_drawn_whole() -> None:
    rng = np.random.default_rng(0)
    present = rng.random((30, 3)) < 0.4
    present[:, 2] = True  # nothing to tell apart
    pictures = rng.permutation(np.concatenate([np.arange(30), rng.integers(30, size=40)]))
    scores = np.round(rng.standard_normal((70, 3)) + present[pictures], 1)  # some tie
    value, drawn = category_aucs(scores, present, pictures, n_resamples=400, seed=1)
    for category in range(2):
        truth = present[pictures, category]
        assert value[category] == pytest.approx(roc_auc_score(truth, scores[:, category]))
    assert np.isnan(value[2])
    assert np.isnan(drawn[:, 2]).all()
    # The first replicate by hand: each trial as often as its picture was drawn.
    counts = np.random.default_rng(1).multinomial(30, np.full(30, 1 / 30), size=400)[0]
    again = np.repeat(np.arange(70), counts[pictures])
    expected = roc_auc_score(present[pictures[again], 0], scores[again, 0])
    assert drawn[0, 0] == pytest.approx(expected)
    assert drawn.shape == (400, 3)
    assert np.nanstd(drawn[:, 0]) > 0.02


def fitted(embeddings: np.ndarray, present: np.ndarray) -> CategoryClassifier:
    return fit_categories(Candidates(embeddings, "none"), np.arange(len(embeddings)), present)


def test_a_classifier_of_pictures_finds_their_categories() -> None:
    rng = np.random.default_rng(2)
    embeddings = rng.standard_normal((400, 12))
    directions = rng.standard_normal((12, 2))
    present = embeddings @ directions + 0.5 * rng.standard_normal((400, 2)) > 0.8
    classifier = fitted(embeddings[:300], present[:300])
    value, _ = category_aucs(
        classifier.scores(embeddings[300:]), present[300:], np.arange(100), n_resamples=10
    )
    assert (value > 0.9).all()
    shuffled = fitted(embeddings[:300], rng.permutation(present[:300]))
    value, _ = category_aucs(shuffled.scores(embeddings[300:]), present[300:], np.arange(100), n_resamples=10)
    assert np.abs(value - 0.5).max() < 0.3
    # More dimensions than pictures, as of tokens laid flat, is no other task.
    wide = fitted(np.tile(embeddings[:300], 40), present[:300])
    value, _ = category_aucs(
        wide.scores(np.tile(embeddings[300:], 40)), present[300:], np.arange(100), n_resamples=1
    )
    assert (value > 0.9).all()


@pytest.mark.parametrize(
    "n_copies", [1, 2], ids=["each once", "each twice, as a picture given under two names"]
)
def test_more_dimensions_than_pictures_give_what_scikit_learn_gives(
    monkeypatch: pytest.MonkeyPatch, n_copies: int
) -> None:
    monkeypatch.setattr("decode_stream.decoders.scoring.category_auc._VALUES", 7 * 40)
    rng = np.random.default_rng(3)
    gallery = np.tile(rng.standard_normal((60, 90)) + 1, (n_copies, 1)).astype(np.float32)
    places = rng.permutation(60 * n_copies)[: 40 * n_copies]
    of_directions = rng.standard_normal((90, 3))
    present = gallery[places] @ of_directions - 1 * of_directions.sum(axis=0) > 0
    rows = gallery / np.linalg.norm(gallery.astype(np.float64), axis=1, keepdims=True)
    found = fit_categories(Candidates(gallery, "unit"), places, present)
    spread = rows[places].var(axis=0).sum() * len(places) / min(len(places), 90)
    model = RidgeCV(np.logspace(-4, 3, 15) * spread, alpha_per_target=True).fit(rows[places], present * 1.0)
    assert len(set(model.alpha_)) > 1
    assert found.scores(rows) == pytest.approx(model.predict(rows), abs=1e-6)
