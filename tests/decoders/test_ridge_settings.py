"""The set-ups of the literature, and what tells targets apart."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge

from decode_stream.decoders.encoders import ridge
from decode_stream.decoders.encoders.ridge import RidgeReadout, fit_ridge
from decode_stream.decoders.encoders.ridge_settings import OURS, RidgeSettings, published, target_kind
from decode_stream.decoders.manifest import CATEGORIES, EmbeddingSpace

N_TRIALS, N_VOXELS, N_DIMS = 90, 25, 3


def trials(n_voxels: int = N_VOXELS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return trials of which the first dimension is clear, the second noisy, the last not there at all."""
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((N_TRIALS, N_DIMS)) * [1.0, 5.0, 2.0] + 3.0
    tuning = rng.standard_normal((N_DIMS, n_voxels)) * np.array([[1.0], [0.05], [0.0]])
    features = embeddings @ tuning + rng.standard_normal((N_TRIALS, n_voxels))
    return features * rng.uniform(1, 100, n_voxels) + 7.0, embeddings, np.repeat(np.arange(6), N_TRIALS // 6)


def predicted(readout: RidgeReadout, features: np.ndarray) -> np.ndarray:
    return np.asarray(features @ readout.weights + readout.offset)


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (EmbeddingSpace("vae 0123456789ab", "latents of 64 px", 12), "latent"),
        (EmbeddingSpace("ViT-L-14 0123", "text embedding", 12), "text"),
        (EmbeddingSpace("ViT-L-14 0123", "pooled", 12), "vision"),
        (EmbeddingSpace("file 0123", "somewhere", 12), "vision"),
        (EmbeddingSpace(CATEGORIES, "one-hot", 12, "none"), "vision"),
    ],
)
def test_spaces_are_told_apart_by_what_made_them(space: EmbeddingSpace, kind: str) -> None:
    assert target_kind(space) == kind


def test_the_published_set_ups() -> None:
    assert published("takagi", "latent").penalties == (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
    assert published("takagi", "text").penalties == published("takagi", "latent").penalties
    assert published("takagi", "vision").penalties == (1e4, 2e4, 4e4)
    assert published("takagi", "vision").per_target
    found = {kind: published("brain-diffuser", kind) for kind in ("latent", "text", "vision")}
    assert {kind: s.penalties for kind, s in found.items()} == {
        "latent": (5e4,),
        "text": (1e5,),
        "vision": (6e4,),
    }
    assert all(s.rescaled and s.ddof == 1 for s in found.values())
    assert [published("minddiffuser", kind).n_selected for kind in ("text", "vision", "latent")] == [
        250,
        350,
        4000,
    ]
    assert OURS.relative
    assert not OURS.per_target


@pytest.mark.parametrize(
    "wrong",
    [
        {"penalties": ()},
        {"penalties": (1.0, 0.0)},
        {"penalties": (2.0, 1.0)},
        {"penalties": (1.0, 2.0), "n_selected": 3},
        {"penalties": (1.0,), "n_selected": 0},
        {"penalties": (1.0,), "n_selected": 3, "rescaled": True},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="got"):
        RidgeSettings(**wrong)


def test_every_dimension_takes_the_penalty_of_its_own_noise() -> None:
    features, embeddings, runs = trials()
    readout = fit_ridge(features, embeddings, runs, RidgeSettings(relative=True, per_target=True))
    assert readout.penalties[2] > 10 * readout.penalties[0]
    assert len(np.unique(fit_ridge(features, embeddings, runs).penalties)) == 1


@pytest.mark.parametrize("n_voxels", [N_VOXELS, 200])
@pytest.mark.parametrize("per_target", [True, False])
def test_factors_choose_and_solve_as_himalaya_does(
    n_voxels: int, per_target: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, embeddings, runs = trials(n_voxels)
    settings = RidgeSettings((1.0, 10.0, 100.0, 1e3), per_target=per_target)
    expected = fit_ridge(features, embeddings, runs, settings)
    monkeypatch.setattr(ridge, "_FEW_TRIALS", 0)
    monkeypatch.setattr(ridge, "_FEW_VOXELS", 0)
    readout = fit_ridge(features, embeddings, runs, settings)
    assert readout.penalties == pytest.approx(expected.penalties)
    assert predicted(readout, features) == pytest.approx(predicted(expected, features), abs=1e-8)


@pytest.mark.parametrize("n_voxels", [N_VOXELS, 200])
def test_a_large_fit_chooses_on_the_last_fold_in_single_precision(
    n_voxels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, embeddings, runs = trials(n_voxels)
    settings = RidgeSettings((30.0, 1e4), per_target=True)
    last = runs == 5
    errors = []
    for penalty in settings.penalties:
        center, spread = features.mean(0), features.std(0)
        x, y = (features - center) / spread, embeddings - embeddings.mean(0)
        told = Ridge(penalty, fit_intercept=False).fit(x[~last], y[~last]).predict(x[last])
        errors.append(((told - y[last]) ** 2).mean(0))
    expected = np.array(settings.penalties)[np.argmin(errors, axis=0)]
    for name in ("_FEW_TRIALS", "_FEW_VOXELS", "_MANY"):
        monkeypatch.setattr(ridge, name, 0)
    readout = fit_ridge(features, embeddings, runs, settings)
    assert readout.weights.dtype == np.float32
    assert readout.penalties.tolist() == expected.tolist()
    by_dimension = [Ridge(p).fit(x, y[:, i]).predict(x) for i, p in enumerate(expected)]
    assert predicted(readout, features) == pytest.approx(np.array(by_dimension).T, abs=1e-3)


def test_a_row_for_every_trial_and_a_label_for_every_trial_give_the_same() -> None:
    features, _, runs = trials()
    rng = np.random.default_rng(1)
    entries, labels = rng.standard_normal((8, 4)), rng.integers(0, 8, N_TRIALS)
    settings = RidgeSettings((5.0, 50.0), relative=True, rescaled=True)
    by_label = fit_ridge(features, entries, runs, settings, labels)
    by_row = fit_ridge(features, entries[labels], runs, settings)
    assert by_label.weights == pytest.approx(by_row.weights, rel=1e-9)


def test_brain_diffuser_is_scikit_learns_ridge_on_its_scores_rescaled() -> None:
    features, embeddings, runs = trials()
    readout = fit_ridge(features, embeddings, runs, RidgeSettings((20.0,), ddof=1, rescaled=True))
    z = (features - features.mean(0)) / features.std(0, ddof=1)
    plain = Ridge(20.0).fit(z, embeddings)
    left_out = np.empty_like(embeddings)
    for run in range(6):
        out = runs == run
        y = embeddings[~out] - embeddings.mean(0)
        left_out[out] = Ridge(20.0, fit_intercept=False).fit(z[~out], y).predict(z[out])
    gain = embeddings.std(0) / left_out.std(0)
    expected = (plain.predict(z) - embeddings.mean(0)) * gain
    assert predicted(readout, features) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    # What is shrunken most is blown up most.
    assert gain[2] > gain[0] > 1


def test_minddiffuser_uses_the_voxels_that_correlate_most_with_a_dimension() -> None:
    features, embeddings, runs = trials()
    n_selected, penalty = 6, 0.15
    readout = fit_ridge(features, embeddings, runs, RidgeSettings((penalty,), n_selected=n_selected))
    z, y = (features - features.mean(0)) / features.std(0), embeddings - embeddings.mean(0)
    for i in range(N_DIMS):
        size = [abs(pearsonr(voxel, y[:, i])[0]) for voxel in z.T]
        best = np.sort(np.argsort(size)[-n_selected:])
        assert np.flatnonzero(readout.weights[:, i]).tolist() == best.tolist()
        expected = Ridge(penalty).fit(z[:, best], y[:, i]).predict(z[:, best])
        assert predicted(readout, features)[:, i] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("n_voxels", [40, 200])
def test_all_voxels_are_used_where_there_are_fewer_than_are_to_be_selected(n_voxels: int) -> None:
    features, embeddings, runs = trials(n_voxels)
    selected = fit_ridge(features, embeddings, runs, RidgeSettings((2.0,), n_selected=n_voxels + 1))
    assert "all are used" in selected.notes[0]
    every = fit_ridge(features, embeddings, runs, RidgeSettings((2.0,)))
    assert selected.weights == pytest.approx(every.weights, rel=1e-5, abs=1e-9)
    assert every.notes == ()


def test_a_choice_at_the_edge_of_the_grid_is_told() -> None:
    features, embeddings, runs = trials()
    readout = fit_ridge(features, embeddings, runs, RidgeSettings((1e4, 2e4), per_target=True))
    small, large = readout.notes
    assert small.startswith(
        "2 of 3 dimensions took the smallest penalty tried, 10000; a smaller one may be better"
    )
    assert "--model ridge tries others" in small
    assert large.startswith("1 of 3 dimensions took the largest penalty tried, 20000")
    ours = fit_ridge(features, embeddings[:, 2:], runs, RidgeSettings((1e-3, 1e-2), relative=True))
    assert ours.notes[0].startswith("all 1 dimensions took the largest")
    assert "check --lag-s, --mask and the markers" in ours.notes[0]
