"""A ridge regression on whole trials as `train` asks for it: windows that slide and windows that grow."""

from fractions import Fraction

import numpy as np
import onnxruntime as ort
import pytest

from decode_stream.decoders.encoders import linear_windows
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.decoders.runtime import UNKNOWN_LATENCY
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.fit_linear import fit_linear_encoder

SLIDING = WindowSchedule(Fraction(50))
GROWING = WindowSchedule(Fraction(50), Fraction(2, 5), Fraction(1, 10), first_s=Fraction(1, 10))
N_TRIALS, N_PICTURES = 96, 12


def recipe(schedule: WindowSchedule, n_latencies: int) -> Recipe:
    embeddings = np.random.default_rng(0).standard_normal((N_PICTURES, 4)).astype(np.float32)
    names = tuple(f"picture {i}" for i in range(N_PICTURES))
    space = EmbeddingSpace("pictures", "all", 4, "unit")
    gallery = Gallery(names, embeddings, space, {}, {})
    # Fitting looks at the windows and the gallery alone.
    return Recipe("eeg", (), None, None, schedule, n_latencies, gallery)  # type: ignore[arg-type]


def trials(recipe: Recipe) -> TrialSet:
    rng = np.random.default_rng(1)
    schedule, n = recipe.schedule, recipe.n_latencies
    labels = np.arange(N_TRIALS) % N_PICTURES
    tuning = rng.standard_normal((4, 3, schedule.stop(n - 1)))
    epochs = np.einsum("nd,dct->nct", recipe.gallery.embeddings[labels], tuning)
    epochs += rng.standard_normal(epochs.shape)
    spans = [(0, schedule.n_times)]
    if schedule.first_s is None:
        spans = [(schedule.start(k), schedule.stop(k)) for k in range(n)]
    windows = np.stack([epochs[:, :, start:stop] for start, stop in spans], axis=1)
    return TrialSet(windows.astype(np.float32), labels, np.arange(N_TRIALS) // 16)


@pytest.mark.parametrize(("schedule", "n_latencies"), [(SLIDING, 8), (GROWING, 4)])
def test_it_decodes_and_its_graph_says_the_same(schedule: WindowSchedule, n_latencies: int) -> None:
    how = recipe(schedule, n_latencies)
    every = trials(how)
    trained = fit_linear_encoder(every.where(every.runs < 5), how, FitOptions())
    new = every.where(every.runs == 5)
    embeddings = trained.embed(new.windows, True)
    assert embeddings.shape == (16, n_latencies, 4)
    assert not trained.embed(new.windows, False).any(), "no evidence without an onset"
    answer = embeddings.sum(axis=1) if schedule.first_s is None else embeddings[:, -1]
    pictures = how.gallery.embeddings / np.linalg.norm(how.gallery.embeddings, axis=1, keepdims=True)
    assert ((answer @ pictures.T).argmax(axis=1) == new.labels).mean() > 0.7

    session = ort.InferenceSession(trained.export(new.windows[:3]).graph, providers=["CPUExecutionProvider"])
    last = n_latencies - 1
    window = new.windows[:, last] if schedule.first_s is None else new.windows[:, 0]
    latencies_s = np.full(16, schedule.latency_s(last), np.float32)
    latencies_s[1::2] = UNKNOWN_LATENCY
    (got,) = session.run(["embedding"], {"window": window, "latency_s": latencies_s})
    np.testing.assert_allclose(got[::2], embeddings[::2, last], atol=1e-5)
    assert not got[1::2].any()


def test_between_two_latencies_a_growing_window_has_a_constant_between_theirs() -> None:
    how = recipe(GROWING, 4)
    every = trials(how)
    every.windows[:] += 5.0
    trained = fit_linear_encoder(every, how, FitOptions())
    session = ort.InferenceSession(
        trained.export(every.windows[:3]).graph, providers=["CPUExecutionProvider"]
    )

    def constant(latency_s: float) -> np.ndarray:
        feed = {"window": np.zeros((1, 3, 20), np.float32), "latency_s": np.array([latency_s], np.float32)}
        return session.run(["embedding"], feed)[0][0]

    first, second, last = constant(0.1), constant(0.2), constant(0.4)
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_allclose(constant(0.175), 0.25 * first + 0.75 * second, atol=1e-5)
    np.testing.assert_allclose(constant(0.02), first, atol=1e-6)
    np.testing.assert_allclose(constant(0.9), last, atol=1e-6)


def test_it_says_where_samples_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    how, said = recipe(GROWING, 4), list[str]()
    fit_linear_encoder(trials(how), how, FitOptions(report=said.append))
    assert not said
    monkeypatch.setattr(linear_windows, "_MOST_FEATURES", 30)
    fit_linear_encoder(trials(how), how, FitOptions(report=said.append))
    assert len(said) == 1
    assert "averaging 2 neighbouring samples" in said[0]
