"""Every mapper of voxels on one simulated person of NSD, beside the ideal observer.

``python -m benchmarks.mappers FOLDER [--models a,b] [--sessions N] [--voxels N] [--epochs N] [--batch-size N]
[--seed S]``. By default 15,724 voxels and the 30,000 trials of 40 sessions, as published for subject 1. The 1000
pictures that all people share are the test; the rest is trained on, but a twentieth of its pictures, by which the
evidence is calibrated and epochs are chosen. Single trials among all test pictures (chance .001) and among 300 of them,
and the three showings of a picture put together. FOLDER holds the betas that were drawn. Each mapper is fitted in a
process of its own; its row is printed, and added to FOLDER/mappers.jsonl; rows that are there, made with the same
settings, are not made anew.
"""

import argparse
import json
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.fitted import beside_ideal, encoded, numbered, simulated_gallery
from benchmarks.machine import machine
from benchmarks.simulated_fmri import model as true_model
from benchmarks.simulated_fmri import simulated
from decode_stream.config import Model
from decode_stream.decoders.calibration import fit_calibration
from decode_stream.decoders.chains import whole_chain
from decode_stream.decoders.cross_fit import similarities
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions, Validation
from decode_stream.decoders.ideal.ideal_observer import Sufficient, log_likelihood
from decode_stream.decoders.ideal.ideal_observer_fmri import betas_observer
from decode_stream.decoders.recipe import Gallery, Recipe, Trained
from decode_stream.decoders.scoring.identification import k_way
from decode_stream.replay_data.nsd.facts import TRIAL_S
from decode_stream.replay_data.simulation.simulate_nsd import SimulatedNsd
from decode_stream.stream.types import IntArray
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.models import MODELS, fitter

__all__ = ["main"]

_HELD_SHARE, _HELD_MOST = 0.05, 200
_AMONG = 300
_SAMPLED_S = 0.05
_BLOCK = 1000


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Betas of one person.

    Attributes
    ----------
    values : array of shape (n_trials, n_voxels), float32
        Mapped from a file, standardised by the training trials.
    shown : array of shape (n_trials,), int64
        The picture of each trial.
    sessions : array of shape (n_trials,), int64
    test : array of shape (n_pictures,), int64
        The pictures that are not trained on, in ascending order.
    seen : Sufficient
        All that the test trials tell the ideal observer.
    """

    nsd: SimulatedNsd
    values: npt.NDArray[np.float32]
    shown: IntArray
    sessions: IntArray
    test: IntArray
    seen: Sufficient


class _PeakMemory:
    """The most memory that this process holds of its own while the block runs, files mapped into it left out."""

    def __enter__(self) -> "_PeakMemory":
        self.peak_gb, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        status = Path("/proc/self/status")
        while not self._over.wait(_SAMPLED_S):
            for line in status.read_text(encoding="ascii").splitlines():
                if line.startswith("RssAnon"):
                    self.peak_gb = max(self.peak_gb, int(line.split()[1]) / 1e6)


def _draw(folder: Path, n_sessions: int, n_voxels: int, grid: tuple[int, int, int], seed: int) -> _Drawn:
    """Return the betas of a person, from FOLDER where they were drawn before."""
    nsd = simulated(n_sessions, n_voxels, grid, seed)
    table, shared = nsd.trials.table, nsd.design.sharedix - 1
    assert table.id is not None
    assert table.session is not None
    shown, test = table.id, np.sort(shared[np.isin(shared, table.id)])
    held = np.isin(shown, test)
    path = folder / f"betas-{n_sessions}-{n_voxels}-{seed}.npy"
    tells = path.with_suffix(".npz")
    if not tells.exists():
        truth = true_model(nsd.subject, nsd.subject.beta_noise)
        values = np.lib.format.open_memmap(path, "w+", np.float32, (len(shown), nsd.subject.n_voxels))
        at, parts = 0, list[Sufficient]()
        for session in range(1, n_sessions + 1):
            betas = nsd.betas(session)
            rows = at + np.arange(len(betas))
            parts.append(betas_observer(betas[held[rows]], truth, rows[held[rows]]))
            values[rows] = betas
            at += len(betas)
        _standardise(values, np.flatnonzero(~held))
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.joined(part)
        np.savez(tells, rows=whole.rows, b=whole.b, counts=whole.counts, grams=whole.grams)
    with np.load(tells) as told:
        seen = Sufficient(*(told[name] for name in ("rows", "b", "counts", "grams")))
    return _Drawn(nsd, np.load(path, mmap_mode="r"), shown, table.session, test, seen)


def _standardise(values: npt.NDArray[np.float32], training: IntArray) -> None:
    """Bring each voxel to mean 0 and spread 1 over the training trials, in place."""
    sums, squares = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for start in range(0, len(training), _BLOCK):
        block = values[training[start : start + _BLOCK]].astype(np.float64)
        sums += block.sum(axis=0)
        squares += (block**2).sum(axis=0)
    mean = sums / len(training)
    spread = np.sqrt(squares / len(training) - mean**2)
    for start in range(0, len(values), _BLOCK):
        values[start : start + _BLOCK] = (values[start : start + _BLOCK] - mean) / spread


def _recipe(drawn: _Drawn, gallery: Gallery) -> Recipe:
    rate = 1 / Fraction(str(TRIAL_S))
    channels = drawn.nsd.subject.channels
    schedule = WindowSchedule(rate, 1 / rate, 1 / rate)
    return Recipe("fmri", channels, whole_chain(channels, float(rate)), WindowSpec(), schedule, 1, gallery)


def _trials(drawn: _Drawn, which: IntArray, labels: IntArray) -> TrialSet:
    every = TrialSet(drawn.values[:, None, :, None], drawn.shown, drawn.sessions)
    return replace(every.where(np.isin(np.arange(len(drawn.shown)), which)), labels=labels)


def _fit(drawn: _Drawn, model: Model, options: FitOptions) -> tuple[Trained, TrialSet, Gallery]:
    """Return what was trained, and the trials and pictures held out of it."""
    rng = np.random.default_rng(options.seed)
    training = np.setdiff1d(drawn.shown, drawn.test)
    n_held = min(_HELD_MOST, round(_HELD_SHARE * len(training)))
    held = np.sort(rng.choice(training, n_held, replace=False))
    kept = np.setdiff1d(training, held)
    gallery, shown = (simulated_gallery(drawn.nsd.embeddings, places) for places in (kept, held))
    out = _trials(drawn, *numbered(drawn.shown, held))
    trained = fitter(model)(
        _trials(drawn, *numbered(drawn.shown, kept)),
        _recipe(drawn, gallery),
        options.of(model, Validation(out, shown.embeddings)),
    )
    return trained, out, shown


def _measure(asked: argparse.Namespace, name: Model) -> dict[str, object]:
    """Fit one mapper and score it; in a process of its own."""
    drawn = _draw(asked.folder, asked.sessions, asked.voxels, tuple(asked.grid), asked.seed)
    options = FitOptions(
        asked.seed,
        folder=asked.folder / "training",
        n_epochs=asked.epochs if MODELS[name].check else None,
        batch_size=asked.batch_size if MODELS[name].check else None,
        report=lambda text: print(text, flush=True),
        progress=lambda report: print(report, flush=True),
    )
    began_s = time.process_time()
    with _PeakMemory() as memory:
        trained, out, shown = _fit(drawn, name, options)
    took_s = time.process_time() - began_s
    known = similarities(trained, out, shown, known=True)
    calibration = fit_calibration(known, out.labels, known[:, 0])
    gallery = simulated_gallery(drawn.nsd.embeddings, drawn.test)
    trials = _trials(drawn, *numbered(drawn.shown, drawn.test))
    fits = calibration.log_evidence(similarities(trained, trials, gallery, known=True))
    n_parameters, window_ms = encoded(trained, np.array(trials.windows[:4]))
    n_training = int(np.count_nonzero(~np.isin(drawn.shown, drawn.test))) - len(out.labels)
    row: dict[str, object] = {
        "model": name,
        "training_trials": n_training,
        "training_cpu_s": round(took_s, 1),
        "peak_memory_gb": round(memory.peak_gb, 2),
        "parameters": n_parameters,
        "ms_a_trial": round(window_ms, 3),
    }
    ideal = log_likelihood(drawn.seen, gallery.embeddings.astype(np.float64))
    # The observer's trials are in order of the experiment, as those of `numbered` are.
    together = np.zeros((len(drawn.test), len(drawn.test)))
    np.add.at(together, trials.labels, fits)
    best = log_likelihood(drawn.seen.pooled(trials.labels), gallery.embeddings.astype(np.float64))
    cases = {"of 1": (fits, ideal, trials.labels), "of 3": (together, best, np.arange(len(drawn.test)))}
    for case, (said, bound, truth) in cases.items():
        n_entries = len(drawn.test)
        for k in sorted({n_entries, min(_AMONG, n_entries)}):
            mine, its = k_way(said, truth, k), k_way(bound, truth, k)
            row[f"{case}, {k}-way"] = beside_ideal(mine, its, truth, k, n_training)
    return row


def main() -> None:
    """Make the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(n for n, e in MODELS.items() if "fmri" in e.modalities))
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--voxels", type=int, default=15_724)
    parser.add_argument("--grid", type=int, nargs=3, default=(81, 104, 83))
    parser.add_argument("--epochs", type=int, help="of networks; by default their papers'")
    parser.add_argument("--batch-size", type=int, help="of networks; by default their papers'")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    table = asked.folder / "mappers.jsonl"
    settings = {name: getattr(asked, name) for name in ("sessions", "voxels", "seed", "epochs", "batch_size")}
    rows = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    made = {row["model"] for row in rows if row["settings"] == settings}
    print(f"{machine()}; {asked.sessions} sessions, {asked.voxels} voxels", flush=True)
    _draw(asked.folder, asked.sessions, asked.voxels, tuple(asked.grid), asked.seed)
    for name in (model for model in asked.models.split(",") if model not in made):
        # A process each, so that none's memory is counted for the next.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            row = pool.submit(_measure, asked, name).result() | {"settings": settings}
        with table.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
