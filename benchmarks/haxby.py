"""Every decoder of fMRI on real blocks of pictures: eight categories, leave one run out over runs 1 to 9.

``python -m benchmarks.haxby DATA [--models a,b] [--epochs N]``, DATA with task001_run00N/bold_1slice.nii.gz of Haxby et
al. (2001). Each run is decoded by what was fitted on the other eight: scaling, penalties and weights come from these.
Beside our models stands scikit-learn's logistic regression on the same folds and the same features, the mean of the
volumes of a block behind the causal chain; it standardises voxels by the training runs. Below it stands the same on
block means of the raw volumes around the mean of their run, which knows the run to its end, and so is no live decoder.
Differences are paired, block by block, and claimed where the interval over runs excludes 0.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from decode_stream.config import Model
from decode_stream.decoders.cross_fit import HeldOut, cross_fit
from decode_stream.decoders.design import design
from decode_stream.decoders.encoders.ridge import answers
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.recipe import Gallery, Recipe, Trained, category_gallery
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.paired import paired_difference
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.training.models import MODELS, fitter, known_model, trial_spec

__all__ = ["block_means", "decoded", "logistic", "logistic_hits", "main"]

_RUNS = range(1, 10)
#: The answer comes so long after the block, which is so long.
_LAG_S, _WIDTH_S = 5.0, 22.5
_REFERENCE = "logistic regression"


def logistic(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
    """Fit scikit-learn's logistic regression on the mean volume of each trial; its embedding are log-probabilities."""
    model = _logistic_regression().fit(answers(trials.windows), trials.labels)

    def embed(windows: npt.NDArray[np.float32], known: bool) -> FloatArray:
        told: FloatArray = model.predict_log_proba(answers(windows))[:, None]
        return told

    def export(windows: npt.NDArray[np.float32]) -> OnnxModel:
        raise NotImplementedError("The reference is not run in a session.")

    return Trained(embed, export)


def _logistic_regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))


def block_means(recordings: Sequence[Recording], gallery: Gallery) -> tuple[FloatArray, IntArray, IntArray]:
    """Return the raw mean volume of each block around that of its run's blocks, its category, and its run."""
    means, labels, runs = list[FloatArray](), list[int](), list[int]()
    stimuli = gallery.stimuli()
    for run, recording in enumerate(recordings):
        voxels = [i for i, channel in enumerate(recording.channels) if channel.type == "voxel"]
        volumes = np.asarray(recording.read(0, recording.n_samples)[:, voxels], np.float64)
        lag, width = (round(time_s * recording.sfreq_hz) for time_s in (_LAG_S, _WIDTH_S))
        blocks = [volumes[at + lag : at + lag + width].mean(axis=0) for at, _ in recording.markers]
        means.append(np.stack(blocks) - np.mean(blocks, axis=0))
        labels += [stimuli[label] for _, label in recording.markers]
        runs += [run] * len(blocks)
    return np.concatenate(means), np.array(labels), np.array(runs)


def logistic_hits(features: FloatArray, labels: IntArray, runs: IntArray) -> npt.NDArray[np.float64]:
    """Return whether logistic regression, fitted without its run, names each block rightly."""
    right = np.zeros(len(labels))
    for run in np.unique(runs):
        out = runs == run
        right[out] = (
            _logistic_regression().fit(features[~out], labels[~out]).predict(features[out]) == labels[out]
        )
    return right


def decoded(recordings: Sequence[Recording], gallery: Gallery, name: str, epochs: int | None) -> HeldOut:
    """Return what a model, or the reference, says of each run when fitted on the others.

    Parameters
    ----------
    name : str
        Of our models, or ``logistic regression``.
    epochs : int or None
        Of networks, instead of their papers'.
    """
    model: Model | None = None if name == _REFERENCE else known_model(name)
    spec = None if model is None else trial_spec(model, "fmri", "growing")
    recipe = design(recordings, "fmri", None, gallery, spec=spec, lag_s=_LAG_S, width_s=_WIDTH_S)
    fit = logistic if model is None else fitter(model)
    steps = epochs if model is not None and MODELS[model].check is not None else None
    return cross_fit(recipe, recordings, fit, FitOptions(n_epochs=steps))


def _told(right: FloatArray) -> str:
    n = len(right)
    low, high = wilson(right.sum(), n)
    return f"{right.sum():g} of {n} right, {right.mean():.3f} (95 % {low:.3f} to {high:.3f})"


def main() -> None:
    """Print how often each is right, and the paired difference to logistic regression."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", default="ridge")
    parser.add_argument("--epochs", type=int)
    asked = parser.parse_args()
    recordings = [
        open_recording(asked.data / f"task001_run{run:03d}" / "bold_1slice.nii.gz", mask="all")
        for run in _RUNS
    ]
    gallery = category_gallery(recordings, None)
    chance = 1 / len(gallery.names)
    print(
        f"{machine()}\n{len(gallery.names)} categories, chance {chance:.3f}, leave one run out over {len(_RUNS)}"
    )
    reference = decoded(recordings, gallery, _REFERENCE, None)
    theirs = hits(reference.known[:, 0], reference.labels)
    print(f"{_REFERENCE:20s} {_told(theirs)}")
    for name in asked.models.split(","):
        held_out = decoded(recordings, gallery, name, asked.epochs)
        ours = hits(held_out.known[:, 0], held_out.labels)
        d = paired_difference(ours, theirs, held_out.runs)
        print(
            f"{name:20s} {_told(ours)}; to {_REFERENCE} {d.value:+.3f} (95 % {d.low:+.3f} to {d.high:+.3f}, "
            f"{d.interval}), it alone right {d.better}, the other alone {d.worse}, exact McNemar p = {d.p:.2f}"
        )
    raw = logistic_hits(*block_means(recordings, gallery))
    print(f"logistic regression, raw block means around their run's: {_told(raw)}")


if __name__ == "__main__":
    main()
