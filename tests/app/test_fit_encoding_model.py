"""The generative decoder as `train` asks for it."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.bundle import load_bundle, save_bundle
from decode_stream.decoders.cross_fit import similarities
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.stream.errors import UsageError
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.fit_encoding_model import fit_encoding_encoder
from decode_stream.training.train import train

from .simulated_runs import simulated_runs

N_TRIALS, N_PICTURES, N_LATENCIES = 360, 12, 8


def recipe(schedule: WindowSchedule) -> Recipe:
    # Of any length: where pictures are compared by cosine, only their direction is learnt and told.
    embeddings = 3 * np.random.default_rng(0).standard_normal((N_PICTURES, 4)).astype(np.float32)
    names = tuple(f"picture {i}" for i in range(N_PICTURES))
    gallery = Gallery(names, embeddings, EmbeddingSpace("pictures", "all", 4, "unit"), {}, {})
    # Fitting looks at the windows and the gallery alone.
    return Recipe("eeg", (), None, None, schedule, N_LATENCIES, gallery)  # type: ignore[arg-type]


def test_it_decodes_by_the_rule_of_its_projector() -> None:
    schedule = WindowSchedule(Fraction(100))
    how = recipe(schedule)
    rng = np.random.default_rng(1)
    labels = np.arange(N_TRIALS) % N_PICTURES
    n_samples = schedule.stop(N_LATENCIES - 1)
    course = np.exp(-0.5 * ((np.arange(n_samples) - 15) / 3) ** 2)
    epochs = 0.5 * (how.gallery.embeddings[labels] @ rng.standard_normal((4, 3)))[:, :, None] * course
    epochs += rng.standard_normal(epochs.shape)
    windows = np.stack(
        [epochs[:, :, schedule.start(k) : schedule.stop(k)] for k in range(N_LATENCIES)], axis=1
    )
    every = TrialSet(windows.astype(np.float32), labels, np.arange(N_TRIALS) // 60)
    said: list[str] = []
    trained = fit_encoding_encoder(every.where(every.runs < 5), how, FitOptions(report=said.append))
    new = every.where(every.runs == 5)
    fits = similarities(trained, new, how.gallery, known=True)
    assert (fits.sum(axis=1).argmax(axis=1) == new.labels).mean() > 0.7
    assert not similarities(trained, new, how.gallery, known=False).any(), "no evidence without an onset"
    assert trained.export(new.windows[:3])
    assert said[-1].endswith("directions of the signal tell pictures apart")


def test_windows_that_grow_are_refused() -> None:
    how = recipe(WindowSchedule(Fraction(100), Fraction(2, 5), Fraction(1, 10), first_s=Fraction(1, 10)))
    none = TrialSet(np.empty((0, 1, 3, 40), np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
    with pytest.raises(UsageError, match="windows that slide"):
        fit_encoding_encoder(none, how, FitOptions())


def test_what_comes_again_with_a_picture_is_measured_and_travels(tmp_path: Path) -> None:
    n_pictures, names = 144, tuple(f"picture {i}" for i in range(144))
    looks = np.random.default_rng(2).standard_normal((n_pictures, 4)).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    runs = simulated_runs(looks, names, n_runs=3, n_trials=n_pictures, n_channels=3, soa_s=0.7, seed=1)
    gallery = Gallery(names, looks, EmbeddingSpace("pictures", "all", 4, "unit"), {}, {})
    told: list[str] = []
    bundle, held_out = train(
        runs,
        name="weighed",
        modality="eeg",
        model="encoding",
        gallery=gallery,
        protocol="concepts",
        options=FitOptions(report=told.append),
    )
    assert any("of the noise there comes again with the picture" in line for line in told)
    assert list(held_out.of_showings) == [2]
    save_bundle(bundle, tmp_path / "a.bundle.zip")
    few = load_bundle(tmp_path / "a.bundle.zip")
    assert few.weighs_showings
    assert few.projector is not None
    assert few.projector.rho is not None
    # Of a person whose answers are large, what embeddings do not tell of them is as well.
    assert few.projector.rho.max() > 0.1
    assert few.manifest.calibration.repeat_correlation is None, "21 trials are too few for it"
    assert few.of_showings(1) is few.gallery
    assert (np.abs(few.of_showings(9)[:, 0]) < np.abs(few.gallery[:, 0])).all()
