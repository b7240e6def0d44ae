"""Every decoder on one simulated person, beside the ideal observer.

``python -m benchmarks.decoders FOLDER eeg|meg [--models a,b] [--trials N] [--epochs N] [--seed S] [--loudness X]
[--showings N]``. All decoders see the same trials of 600 ms through the same chain, at the published channel counts,
and are trained without the concepts of the 200 test images: 200-way exact image, chance .005, single trials and several
showings of an image put together. FOLDER holds the trials that were drawn. Each row is printed, and added to
FOLDER/MODALITY.jsonl, as soon as it is there; rows that are there, made with the same settings, are not made anew.
"""

import argparse
import json
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from benchmarks.drawn import PROTOCOLS, Lab, simulated_person, zero_shot
from benchmarks.fitted import beside_ideal, encoded, numbered, simulated_gallery
from benchmarks.machine import machine
from decode_stream.config import Model
from decode_stream.decoders.calibration import fit_calibration
from decode_stream.decoders.cross_fit import similarities
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.fit_options import FitOptions, Validation
from decode_stream.decoders.ideal.ideal_observer import Sufficient, log_likelihood
from decode_stream.decoders.recipe import Gallery, Recipe, Trained
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.simulation.forward import ForwardModel
from decode_stream.replay_data.simulation.schedules import PictureSet
from decode_stream.replay_data.simulation.subjects import enlarged
from decode_stream.stream.types import FloatArray, IntArray, Modality
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.models import MODELS, fitter

__all__ = ["main"]

_LENGTH = Fraction(3, 5)
_N_LATENCIES = 21
_HELD_CONCEPTS = 50


@dataclass(frozen=True, eq=False)
class _Drawn:
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


def _draw(folder: Path, modality: str, n_trials: int, n_showings: int, seed: int, loudness: float) -> _Drawn:
    protocol = PROTOCOLS[modality]
    pictures, forward = simulated_person(modality, seed)
    if loudness != 1:
        forward = enlarged(forward, loudness)
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
    return _Drawn(lab, pictures, forward, test, drawn["train"], drawn["test"], shown, order, seen)


def _recipe(drawn: _Drawn, modality: Modality, model: Model, gallery: Gallery) -> Recipe:
    chain = drawn.lab.observer.chain
    rate = Fraction(chain.sfreq_hz).limit_denominator(1000)
    whole = MODELS[model].specs is not None
    schedule = WindowSchedule(rate, _LENGTH, first_s=_LENGTH) if whole else WindowSchedule(rate)
    n_latencies = 1 if whole else _N_LATENCIES
    return Recipe(modality, drawn.forward.channels, chain, WindowSpec(), schedule, n_latencies, gallery)


def _trials(values: FloatArray, which: IntArray, labels: IntArray, recipe: Recipe, folder: Path) -> TrialSet:
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


def _fit(
    drawn: _Drawn, modality: Modality, model: Model, options: FitOptions, folder: Path
) -> tuple[Trained, Recipe, Calibration, int, float]:
    """Return what was trained, on how many trials and for how long, and its calibration on held-out concepts."""
    assert drawn.pictures.table.concept is not None
    every = np.unique(drawn.shown)
    concepts = drawn.pictures.table.concept[every]
    rng = np.random.default_rng(options.seed)
    names = np.unique(concepts)
    out = np.isin(concepts, rng.choice(names, min(_HELD_CONCEPTS, len(names) // 4), replace=False))
    kept = simulated_gallery(drawn.pictures.embeddings, every[~out])
    recipe = _recipe(drawn, modality, model, kept)
    training = _trials(drawn.train, *numbered(drawn.shown, every[~out]), recipe, folder)
    held_pictures = np.sort(rng.permutation(every[out])[:200])
    held = _trials(drawn.train, *numbered(drawn.shown, held_pictures), recipe, folder)
    shown = simulated_gallery(drawn.pictures.embeddings, held_pictures)
    began_s = time.process_time()
    trained = fitter(model)(training, recipe, options.of(model, Validation(held, shown.embeddings)))
    took_s = time.process_time() - began_s
    known = similarities(trained, held, shown, known=True)
    growing = recipe.schedule.first_s is not None
    calibration = fit_calibration(known, held.labels, known[:, 0], growing=growing)
    return trained, recipe, calibration, len(training.labels), took_s


def _measure(
    drawn: _Drawn, modality: Modality, model: Model, options: FitOptions, folder: Path
) -> dict[str, object]:
    trained, recipe, calibration, n_training, took_s = _fit(drawn, modality, model, options, folder)
    gallery = simulated_gallery(drawn.pictures.embeddings, drawn.test_pictures)
    trials = _trials(drawn.test, np.arange(len(drawn.order)), drawn.order, recipe, folder)
    evidence = calibration.log_evidence(similarities(trained, trials, gallery, known=True))
    n_parameters, window_ms = encoded(trained, np.array(trials.windows[:4]))
    expected = gallery.embeddings.astype(np.float64) @ drawn.forward.weights + drawn.forward.bias
    row: dict[str, object] = {
        "model": model,
        "training_trials": n_training,
        "training_cpu_s": round(took_s, 1),
        "parameters": n_parameters,
        "ms_a_window": round(window_ms, 3),
    }
    n_entries = len(gallery.names)
    n_showings = len(drawn.order) // n_entries
    for n_together in (n for n in PROTOCOLS[modality].averages if n <= n_showings):
        group = drawn.order + n_entries * (np.arange(len(drawn.order)) // n_entries // n_together)
        # Showings left over, too few for one more group, are left out.
        n_groups = n_entries * (n_showings // n_together)
        truth = np.arange(n_groups) % n_entries
        said = np.zeros((int(group.max()) + 1, n_entries))
        np.add.at(said, group, evidence)
        said = said[:n_groups]
        pooled = drawn.seen.pooled(group)
        ideal = log_likelihood(pooled, expected, drawn.forward.specific.astype(np.float64))[:n_groups]
        top1, best = hits(said, truth), hits(ideal, truth)
        row[f"of {n_together}"] = beside_ideal(top1, best, truth, n_entries, n_training) | {
            "top5": round(float(hits(said, truth, 5).mean()), 4)
        }
    return row


def main() -> None:
    """Make the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("modality", choices=["eeg", "meg"])
    parser.add_argument(
        "--models", default=",".join(n for n, e in MODELS.items() if "eeg" in e.modalities and n != "lda")
    )
    parser.add_argument("--trials", type=int, default=8000)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--loudness", type=float, default=1.0, help="of the responses, against those of people"
    )
    parser.add_argument("--showings", type=int, default=40, help="of each test image")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    table = asked.folder / f"{asked.modality}.jsonl"
    settings = {name: getattr(asked, name) for name in ("trials", "showings", "loudness", "seed", "epochs")}
    rows = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    made = {row["model"] for row in rows if row["settings"] == settings}
    wanted = [model for model in asked.models.split(",") if model not in made]
    print(
        f"{machine()}; {asked.modality}, {asked.trials} training trials, "
        f"responses {asked.loudness:g} times as large as those of people",
        flush=True,
    )
    drawn = _draw(asked.folder, asked.modality, asked.trials, asked.showings, asked.seed, asked.loudness)
    for model in wanted:
        options = FitOptions(
            asked.seed,
            folder=asked.folder / asked.modality / "training",
            n_epochs=asked.epochs,
            report=lambda text: print(text, flush=True),
            progress=lambda report: print(report, flush=True),
        )
        row = _measure(drawn, asked.modality, model, options, asked.folder) | {"settings": settings}
        with table.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
