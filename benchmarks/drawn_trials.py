"""Trials of a simulated person in files, and decoders fitted on them as sessions would cut them."""

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from benchmarks.drawn import PROTOCOLS, Lab, zero_shot
from benchmarks.fitted import numbered, simulated_gallery
from decode_stream.config import Model
from decode_stream.decoders.calibration import fit_calibration, fit_repeat_correlation
from decode_stream.decoders.cross_fit import similarities, similarities_of_showings
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.fit_options import FitOptions, Validation
from decode_stream.decoders.ideal.ideal_observer import Sufficient
from decode_stream.decoders.recipe import Gallery, Recipe, Trained
from decode_stream.replay_data.simulation.forward import ForwardModel
from decode_stream.replay_data.simulation.schedules import PictureSet
from decode_stream.stream.types import FloatArray, IntArray, Modality
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.models import MODELS, fitter

__all__ = ["DrawnTrials", "cut_windows", "draw_trials", "fit_decoder", "trial_recipe"]

_LENGTH = Fraction(3, 5)
_N_LATENCIES = 21
_HELD_CONCEPTS = 50


@dataclass(frozen=True, eq=False)
class DrawnTrials:
    """Trials of one person.

    Attributes
    ----------
    lab : Lab
    train, test : array of shape (n_trials, n_times, n_channels), float32
        Mapped from files; each channel has unit spread over the training trials.
    shown, order : array of shape (n_trials,), int64
        The picture of each training trial, and which of the test pictures each test trial shows.
    seen : Sufficient
        All that the test trials tell the ideal observer.
    """

    lab: Lab
    pictures: PictureSet
    forward: ForwardModel
    test_pictures: IntArray
    train: FloatArray
    test: FloatArray
    shown: IntArray
    order: IntArray
    seen: Sufficient


def draw_trials(
    folder: Path,
    modality: Modality,
    person: tuple[PictureSet, ForwardModel],
    n_trials: int,
    n_showings: int,
    seed: int,
) -> DrawnTrials:
    """Draw trials of training pictures, and of all test pictures.

    Parameters
    ----------
    folder : Path
        Where they are kept, as ``MODALITY-train.part`` and ``MODALITY-test.part``.
    person : PictureSet and ForwardModel
        As of `simulated_person`.
    n_trials : int
        Of the training, whole pictures.
    n_showings : int
        Of each test picture.
    seed : int
    """
    protocol = PROTOCOLS[modality]
    pictures, forward = person
    lab = Lab(forward, pictures, protocol, seed)
    train, test = zero_shot(pictures)
    rng = np.random.default_rng(seed)
    # As many pictures as there are to be trials of, all of their showings: a shorter experiment.
    some = rng.permutation(train)[: max(1, n_trials // protocol.n_train)]
    shown = rng.permutation(np.repeat(some, protocol.n_train))
    order = np.tile(np.arange(len(test)), n_showings)
    n_values = (lab.observer.n_times, len(forward.channels))
    drawn, seen = {}, None
    for name, which in (("train", shown), ("test", test[order])):
        stem = folder / f"{modality}-{name}"
        drawn[name] = np.memmap(stem.with_suffix(".part"), np.float32, "w+", shape=(len(which), *n_values))
        at = 0
        for windows, told in lab.raw(which):
            drawn[name][at : at + len(windows)] = windows
            at += len(windows)
            if name == "test":
                seen = told if seen is None else seen.joined(told)
    assert seen is not None
    spread = np.std(drawn["train"][:2000], axis=(0, 1))
    for values in drawn.values():
        for start in range(0, len(values), 1000):
            values[start : start + 1000] /= spread
    return DrawnTrials(lab, pictures, forward, test, drawn["train"], drawn["test"], shown, order, seen)


def trial_recipe(drawn: DrawnTrials, modality: Modality, model: Model, gallery: Gallery) -> Recipe:
    """Return what is fixed before a fit: windows of 100 ms every 25 ms over 600 ms, or whole trials of a network."""
    chain = drawn.lab.observer.chain
    rate = Fraction(chain.sfreq_hz).limit_denominator(1000)
    whole = MODELS[model].specs is not None
    schedule = WindowSchedule(rate, _LENGTH, first_s=_LENGTH) if whole else WindowSchedule(rate)
    n_latencies = 1 if whole else _N_LATENCIES
    return Recipe(modality, drawn.forward.channels, chain, WindowSpec(), schedule, n_latencies, gallery)


def cut_windows(
    values: FloatArray, which: IntArray, labels: IntArray, recipe: Recipe, folder: Path
) -> TrialSet:
    """Return trials as a session would cut them, in a file: windows overlap fourfold."""
    schedule, n_latencies = recipe.schedule, recipe.n_latencies
    shape = (len(which), n_latencies, values.shape[2], schedule.n_times)
    # Without a name: it goes with the array.
    with TemporaryFile(dir=folder) as file:
        file.truncate(4 * int(np.prod(shape)))
        windows = np.memmap(file, np.float32, "r+", shape=shape)
    for i, place in enumerate(which):
        for k in range(n_latencies):
            start, stop = schedule.start(k), schedule.stop(k)
            windows[i, k, :, : stop - start] = values[place, start:stop].T
    return TrialSet(windows, labels, np.zeros(len(which), np.int64))


def fit_decoder(
    drawn: DrawnTrials, modality: Modality, model: Model, options: FitOptions, folder: Path
) -> tuple[Trained, Recipe, Calibration, int, float]:
    """Return what was trained, its calibration on held-out concepts, on how many trials, and its CPU seconds."""
    assert drawn.pictures.table.concept is not None
    every = np.unique(drawn.shown)
    concepts = drawn.pictures.table.concept[every]
    rng = np.random.default_rng(options.seed)
    names = np.unique(concepts)
    out = np.isin(concepts, rng.choice(names, min(_HELD_CONCEPTS, len(names) // 4), replace=False))
    kept = simulated_gallery(drawn.pictures.embeddings, every[~out])
    recipe = trial_recipe(drawn, modality, model, kept)
    training = cut_windows(drawn.train, *numbered(drawn.shown, every[~out]), recipe, folder)
    held_pictures = np.sort(rng.permutation(every[out])[:200])
    held = cut_windows(drawn.train, *numbered(drawn.shown, held_pictures), recipe, folder)
    shown = simulated_gallery(drawn.pictures.embeddings, held_pictures)
    began_s = time.process_time()
    trained = fitter(model)(training, recipe, options.of(model, Validation(held, shown.embeddings)))
    took_s = time.process_time() - began_s
    known = similarities(trained, held, shown, known=True)
    growing = recipe.schedule.first_s is not None
    calibration = fit_calibration(known, held.labels, known[:, 0], growing=growing)
    most = int(np.bincount(held.labels).max())
    of_showings = similarities_of_showings(trained, held, shown, most)
    calibration = fit_repeat_correlation(
        calibration,
        calibration.log_evidence(known),
        held.labels,
        {n: calibration.log_evidence(said) for n, said in of_showings.items()} or None,
    )
    return trained, recipe, calibration, len(training.labels), took_s
