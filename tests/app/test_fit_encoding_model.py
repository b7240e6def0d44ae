"""The generative decoder as `train` asks for it."""

from fractions import Fraction

import numpy as np
import pytest

from decode_stream.decoders.cross_fit import similarities
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.stream.errors import UsageError
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.fit_encoding_model import fit_encoding_encoder

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
