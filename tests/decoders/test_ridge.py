"""The plain decoder of fMRI."""

import tracemalloc

import numpy as np
import pytest

from decode_stream.decoders.encoders.ridge import RidgeReadout, answers, entries, fit_ridge, needed_bytes
from decode_stream.decoders.encoders.ridge_settings import OURS, RidgeSettings
from decode_stream.decoders.runtime import UNKNOWN_LATENCY
from decode_stream.export.linear import export_ridge
from decode_stream.stream.errors import UsageError

N_TRIALS, N_VOXELS, N_DIMS = 120, 30, 4


def linear_trials(n_voxels: int = N_VOXELS, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((N_TRIALS, N_DIMS))
    tuning = rng.standard_normal((N_DIMS, n_voxels))
    sizes = rng.uniform(0.1, 100, n_voxels)
    features = sizes * (embeddings @ tuning + noise * rng.standard_normal((N_TRIALS, n_voxels)) + 3)
    return features, embeddings, np.repeat(np.arange(6), N_TRIALS // 6)


def closed_form(features: np.ndarray, embeddings: np.ndarray, penalty: float) -> np.ndarray:
    x = (features - features.mean(0)) / features.std(0)
    y = embeddings - embeddings.mean(0)
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return np.asarray(x @ weights)


@pytest.mark.parametrize(
    "n_voxels", [N_VOXELS, 400], ids=["more trials than voxels", "more voxels than trials"]
)
def test_the_solution_is_that_of_the_normal_equations(n_voxels: int) -> None:
    features, embeddings, runs = linear_trials(n_voxels)
    readout = fit_ridge(features, embeddings, runs)
    got = features @ readout.weights + readout.offset
    expected = closed_form(features, embeddings, readout.penalties[0])
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.corrcoef(got.ravel(), (embeddings - embeddings.mean(0)).ravel())[0, 1] > 0.95


def test_pure_noise_is_penalised_more_than_a_clear_answer() -> None:
    features, embeddings, runs = linear_trials(noise=0.1)
    clear = fit_ridge(features, embeddings, runs)
    rng = np.random.default_rng(1)
    readout = fit_ridge(features, rng.standard_normal(embeddings.shape), runs)
    assert readout.penalties[0] > clear.penalties[0]


def test_a_single_run_is_parted_to_choose_the_penalty() -> None:
    features, embeddings, _ = linear_trials()
    readout = fit_ridge(features, embeddings, np.zeros(N_TRIALS, np.int64))
    assert readout.weights.shape == (N_VOXELS, N_DIMS)


def test_a_voxel_that_never_changes_counts_for_nothing() -> None:
    features, embeddings, runs = linear_trials()
    features[:, 3] = 0.1 + 7.0 / 3
    readout = fit_ridge(features, embeddings, runs)
    assert np.isfinite(readout.weights).all()
    assert np.abs(readout.weights[3]).max() < 1e-12


def test_too_few_trials_are_refused() -> None:
    features, embeddings, runs = linear_trials()
    with pytest.raises(UsageError, match="needs 10 at least, and there are 9"):
        fit_ridge(features[:9], embeddings[:9], runs[:9])


def test_answers_are_means_over_the_volumes_of_a_window() -> None:
    windows = np.random.default_rng(0).standard_normal((5, 1, 3, 4)).astype(np.float32)
    assert answers(windows) == pytest.approx(windows.astype(np.float64).mean(axis=(1, 3)))


def test_entries_are_directions_where_they_are_compared_by_them() -> None:
    gallery = np.array([[3.0, 4.0], [0.0, 2.0]])
    assert entries(gallery, "unit") == pytest.approx(np.array([[0.6, 0.8], [0, 1]]))
    assert entries(gallery, "none").tolist() == gallery.tolist()


def test_the_exported_graph_gives_the_same_and_nothing_without_an_onset() -> None:
    import onnxruntime as ort

    rng = np.random.default_rng(0)
    readout = RidgeReadout(rng.standard_normal((6, 3)), rng.standard_normal(3), np.ones(3))
    windows = rng.standard_normal((4, 1, 6, 5)).astype(np.float32)
    session = ort.InferenceSession(export_ridge(readout, windows).graph, providers=["CPUExecutionProvider"])
    latencies = np.array([0, 4, UNKNOWN_LATENCY, 0], np.float32)
    (got,) = session.run(["embedding"], {"window": windows[:, 0], "latency_s": latencies})
    expected = readout.embed(windows)[:, 0]
    expected[2] = 0
    assert got == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("n_trials", "n_voxels"), [(400, 300), (150, 900)])
@pytest.mark.parametrize(
    "settings",
    [OURS, RidgeSettings((5.0, 50.0), rescaled=True), RidgeSettings((0.15,), n_selected=200)],
    ids=["decomposed", "factored", "selected"],
)
def test_a_fit_takes_no_more_memory_than_is_said(
    settings: RidgeSettings, n_trials: int, n_voxels: int
) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_trials, n_voxels)).astype(np.float32)
    wanted = rng.standard_normal((n_trials, 250)).astype(np.float32)
    runs = np.arange(n_trials) // 50
    fit_ridge(features, wanted, runs, settings)  # what is loaded and kept is not of the fit
    tracemalloc.start()
    try:
        readout = fit_ridge(features, wanted, runs, settings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Besides: what is given, and the weights as they are written and run.
    peak += features.nbytes + wanted.nbytes + 2 * readout.weights.nbytes
    said = needed_bytes(n_trials, n_voxels, 250, settings, n_trials)
    assert said / 3 < peak < 1.05 * said
