"""Every decoder on real EEG: faces against houses, leave one run out over the five runs.

``python -m benchmarks.faces_houses DATA FOLDER [--models a,b] [--epochs N]``, DATA with run-01.csv to run-05.csv.
Bundles are made and scored by the commands that users type, ``decode-stream train`` on four runs and ``decode-stream
evaluate`` on the fifth: scaling, weights and calibration come from the other runs, the calibration from a
leave-one-run-out among them. Decoders are compared on the trials that all of them decided; a difference is claimed
where both of its intervals, over trials and over runs, exclude 0. FOLDER keeps the bundles and what they scored; what
is there is not made anew. With ``--epochs`` networks train for so long, not for as long as their papers say.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.machine import machine
from decode_stream.decoders.bundle_files import load_manifest
from decode_stream.decoders.scoring.intervals import bootstrap_interval
from decode_stream.decoders.scoring.scores import auc, paired_auc_difference
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.training.models import MODELS, known_model

__all__ = ["Scored", "common", "main", "scored"]

_RUNS = range(1, 6)
#: What all others are compared with.
_REFERENCE = "lda"
#: Onsets of one trial lie on the grids of decoders of different rates.
_SAME_S = 0.02


@dataclass(frozen=True, eq=False)
class Scored:
    """What a decoder made of trials of runs that it had not seen, in order of run and onset.

    Attributes
    ----------
    runs : array of shape (n_trials,), int64
    onsets_s : array of shape (n_trials,), float64
        From the start of the run.
    face : array of shape (n_trials,), bool
    log_odds : array of shape (n_trials,), float64
        Of a face.
    """

    runs: IntArray
    onsets_s: npt.NDArray[np.float64]
    face: npt.NDArray[np.bool_]
    log_odds: npt.NDArray[np.float64]

    def of(self, which: npt.NDArray[np.bool_]) -> "Scored":
        """Return some of the trials."""
        return Scored(self.runs[which], self.onsets_s[which], self.face[which], self.log_odds[which])


def common(decoders: list[Scored]) -> list[Scored]:
    """Return the trials that all decoders decided."""
    kept = decoders[0]
    for other in decoders[1:]:
        kept = kept.of(_matched(kept, other))
    return [other.of(_matched(other, kept)) for other in decoders]


def _matched(scored: Scored, other: Scored) -> npt.NDArray[np.bool_]:
    """Return which trials another decoder decided too."""
    apart = np.abs(scored.onsets_s[:, None] - other.onsets_s)
    apart[scored.runs[:, None] != other.runs] = np.inf
    found: npt.NDArray[np.bool_] = np.any(apart < _SAME_S, axis=1)
    return found


def _made(command: list[str], out: Path) -> None:
    """Run a command, unless what it makes is there."""
    if not out.exists():
        subprocess.run([sys.executable, "-m", "decode_stream", *command], check=True)


def scored(data: Path, folder: Path, model: str, epochs: int | None = None) -> Scored:
    """Return what a decoder makes of each run, trained and calibrated on the other four.

    Parameters
    ----------
    data : Path
        Folder with run-01.csv to run-05.csv.
    folder : Path
        Of bundles and scores; what is there is not made anew.
    model : str
    epochs : int, optional
        Of a network; by default as its paper says.
    """
    columns = []
    for run in _RUNS:
        asked = (
            () if epochs is None or MODELS[known_model(model)].check is None else ("--epochs", str(epochs))
        )
        made = "-".join((model, *asked[1:]))
        bundle, told = (folder / f"{made}-without-{run}.{end}" for end in ("bundle", "json"))
        others = [str(data / f"run-{other:02d}.csv") for other in _RUNS if other != run]
        said = ["--modality", "eeg", "--events", "1=house,2=face"]
        _made(["train", *others, *said, "--model", model, *asked, "--out", str(bundle)], bundle)
        _made(
            ["evaluate", str(data / f"run-{run:02d}.csv"), "--bundle", str(bundle), "--json", str(told)],
            told,
        )
        manifest = load_manifest(bundle)
        names, rate = list(manifest.gallery), float(manifest.schedule.sfreq_hz)
        face = names.index("face")
        for trial in json.loads(told.read_text())["per_trial"]:
            evidence = trial["log_evidence"]
            columns.append(
                (run, trial["onset"] / rate, trial["stimulus"] == face, evidence[face] - evidence[1 - face])
            )
    runs, onsets_s, shown, log_odds = (np.array(column) for column in zip(*sorted(columns), strict=True))
    return Scored(runs, onsets_s, shown, log_odds)


def _over_runs(ours: Scored, theirs: Scored) -> str:
    """Return the mean difference of runs with Student's interval: five runs are few."""
    runs = [theirs.runs == run for run in np.unique(theirs.runs)]
    each = [auc(ours.log_odds[r], ours.face[r]) - auc(theirs.log_odds[r], theirs.face[r]) for r in runs]
    half = stats.t.ppf(0.975, len(each) - 1) * np.std(each, ddof=1) / np.sqrt(len(each))
    mean = np.mean(each)
    return f"of runs {mean:+.3f} (95 % {mean - half:+.3f} to {mean + half:+.3f}, t)"


def _pooled(scores: FloatArray, face: npt.NDArray[np.bool_], seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(scores), size=len(scores)) for _ in range(2000)]
    low, high = bootstrap_interval(np.array([auc(scores[d], face[d]) for d in draws]))
    return f"{auc(scores, face):.3f} (95 % {low:.3f} to {high:.3f})"


def main() -> None:
    """Print the AUC of every decoder, and the paired difference to LDA."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(n for n, e in MODELS.items() if "eeg" in e.modalities))
    parser.add_argument("--epochs", type=int)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    names = sorted({*asked.models.split(","), _REFERENCE})
    made = {name: scored(asked.data, asked.folder, name, asked.epochs) for name in names}
    together = dict(zip(names, common(list(made.values())), strict=True))
    reference = together[_REFERENCE]
    print(
        f"{machine()}\nfaces or houses, leave one run out over runs 1 to 5: single trial, 2-way, chance 0.500; "
        f"n = {len(reference.runs)}, decided by all of them"
    )
    for name, trials in together.items():
        line = f"{name:18s} n {len(made[name].runs)}; AUC {_pooled(trials.log_odds, trials.face)}"
        if name != _REFERENCE:
            difference, low, high = paired_auc_difference(
                trials.log_odds, reference.log_odds, trials.face, trials.runs
            )
            line += (
                f"; to {_REFERENCE} within runs {difference:+.3f} (95 % {low:+.3f} to {high:+.3f}, bootstrap over "
                f"trials), {_over_runs(trials, reference)}"
            )
        print(line)


if __name__ == "__main__":
    main()
