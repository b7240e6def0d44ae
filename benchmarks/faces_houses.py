"""Channel attention against shrinkage LDA on real EEG: leave one run out over the five face/house runs.

``python -m benchmarks.faces_houses FOLDER`` with the folder that holds run-01.csv to run-05.csv. Both decoders go
through the same chain, windows and calibration, and are scored on the same trials.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.config import Model
from decode_stream.decoders.cross_fit import cross_fit, similarities
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import category_gallery, cut, design, scaled
from decode_stream.decoders.scoring.scores import auc, bootstrap_interval, paired_auc_difference
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.training.models import fitter

__all__ = ["held_out_scores", "main"]

_EVENTS = {"1": "house", "2": "face"}
_MODELS: tuple[Model, ...] = ("channel-attention", "lda")


def held_out_scores(
    recordings: Sequence[Recording], model: Model, seed: int = 0
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return each trial's log-odds of a face from a decoder that never saw the trial's run.

    Scaling, weights and calibration all come from the other runs; the calibration from a second, inner
    leave-one-run-out among them.

    Returns
    -------
    scores : array of shape (n_trials,), float
    labels, runs : array of shape (n_trials,), int64
    """
    gallery = category_gallery(recordings, _EVENTS)
    parts = []
    for run, recording in enumerate(recordings):
        others = [other for other in recordings if other is not recording]
        recipe = design(others, "eeg", None, gallery)
        inner = cross_fit(recipe, others, fitter(model), FitOptions(seed))
        recipe = scaled(recipe, others)
        trained = fitter(model)(cut(recipe, others), recipe, FitOptions(seed))
        trials = cut(recipe, [recording])
        known = similarities(trained, trials, gallery, known=True)
        evidence = inner.calibration().log_evidence(known)
        parts.append((evidence[:, 1] - evidence[:, 0], trials.labels, np.full(len(trials.labels), run)))
    scores, labels, runs = (np.concatenate(column) for column in zip(*parts, strict=True))
    return scores, labels, runs


def _pooled(scores: FloatArray, face: npt.NDArray[np.bool_], seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(scores), size=len(scores)) for _ in range(2000)]
    low, high = bootstrap_interval(np.array([auc(scores[d], face[d]) for d in draws]))
    return f"{auc(scores, face):.3f} (95 % {low:.3f} to {high:.3f})"


def main(folder: Path) -> None:
    """Print AUCs over all runs and for run 5 alone, and the paired differences."""
    recordings = [open_recording(folder / f"run-{run:02d}.csv") for run in range(1, 6)]
    results = {model: held_out_scores(recordings, model) for model in _MODELS}
    ours, labels, runs = results["channel-attention"]
    theirs = results["lda"][0]
    for name, keep in (("leave one run out, runs 1-5", runs >= 0), ("run 5, trained on 1-4", runs == 4)):
        face = labels[keep] == 1
        difference, low, high = paired_auc_difference(ours[keep], theirs[keep], face, runs[keep])
        print(f"{name}: single trial, 2-way, chance 0.500, n = {int(keep.sum())}")
        for model in _MODELS:
            print(f"  AUC {model}: {_pooled(results[model][0][keep], face)}")
        print(
            f"  paired difference within runs: {difference:+.3f} (95 % {low:+.3f} to {high:+.3f}, trial bootstrap)"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
