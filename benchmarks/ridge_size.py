"""Ridge regression at the size of NSD: ours with a penalty chosen for each dimension, scikit-learn's with one given.

``python -m benchmarks.ridge_size [--trials N] [--voxels N] [--dimensions N] [--wide N] [--pictures N]``. Data are
drawn: pictures with an embedding each, shown in turn over 40 sessions, to voxels that answer some of it in noise. Each
fit runs in a process of its own, whose peak memory is told, the drawn data included; first to ``--dimensions`` by both,
then to ``--wide`` by ours alone. Set OMP_NUM_THREADS to name the threads.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from decode_stream.decoders.encoders.ridge import fit_ridge
from decode_stream.decoders.encoders.ridge_settings import RidgeSettings
from decode_stream.stream.types import IntArray

__all__ = ["drawn", "main"]

_N_SESSIONS, _N_TEST = 40, 500
#: Voxels, or pictures, drawn at once.
_BLOCK = 512
#: Multiples of the number of voxels.
_PENALTIES = tuple(float(10.0**power) for power in range(-3, 4))


def drawn(
    n_trials: int, n_voxels: int, dimension: int, n_pictures: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], IntArray]:
    """Return answers (n_trials, n_voxels), embeddings (n_pictures, dimension), and the picture of each trial."""
    rng = np.random.default_rng(0)
    embeddings = np.empty((n_pictures, dimension), np.float32)
    # What embeddings share is in a few directions, as of pictures; some dimensions have more of it than others.
    n_factors = min(64, dimension)
    factors = rng.standard_normal((n_pictures, n_factors), np.float32)
    uneven = rng.standard_normal((n_factors, dimension), np.float32) * np.geomspace(0.03, 3, dimension)
    loadings = uneven.astype(np.float32)[:, rng.permutation(dimension)]
    for start in range(0, n_pictures, _BLOCK):
        own = rng.standard_normal((min(_BLOCK, n_pictures - start), dimension), np.float32)
        embeddings[start : start + _BLOCK] = factors[start : start + _BLOCK] @ loadings + own
    labels = np.concatenate([rng.permutation(n_pictures) for _ in range(n_trials // n_pictures + 1)])[
        :n_trials
    ]
    features = np.empty((n_trials, n_voxels), np.float32)
    for start in range(0, n_voxels, _BLOCK):
        n = min(_BLOCK, n_voxels - start)
        tuning = 0.1 * rng.standard_normal((n_factors, n), np.float32) / np.sqrt(n_factors)
        features[:, start : start + n] = (factors @ tuning)[labels] + rng.standard_normal(
            (n_trials, n), np.float32
        )
    return features, embeddings, labels


def _fitted(who: str, asked: argparse.Namespace, dimension: int) -> dict[str, float]:
    """Fit on all trials but the last ones, and return what that took and how well these are predicted."""
    features, embeddings, labels = drawn(asked.trials + _N_TEST, asked.voxels, dimension, asked.pictures)
    train, test = slice(asked.trials), slice(asked.trials, None)
    drawn_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    if who == "ours":
        runs = np.arange(asked.trials) * _N_SESSIONS // asked.trials
        settings = RidgeSettings(_PENALTIES, relative=True, per_target=True)
        readout = fit_ridge(features[train], embeddings, runs, settings, labels[train])
        weights, n_penalties = readout.weights, len(np.unique(readout.penalties))
    else:
        from sklearn.linear_model import Ridge

        model = Ridge(alpha=float(asked.voxels), copy_X=False).fit(features[train], embeddings[labels[train]])
        weights, n_penalties = model.coef_.T, 1
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    some = slice(256)
    predicted, truth = features[test] @ weights[:, some], embeddings[labels[test], some]
    r = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, truth.T, strict=True)])
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {
        "wall_s": took_s,
        "cpu_s": cpu_s,
        "peak_gb": peak_gb,
        "drawn_gb": drawn_gb,
        "r": float(r),
        "penalties": n_penalties,
    }


def main() -> None:
    """Fit each in a process of its own, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24_980)
    parser.add_argument("--voxels", type=int, default=15_724)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--wide", type=int, default=38_400, help="0 to leave it out")
    parser.add_argument("--pictures", type=int, default=9000)
    parser.add_argument("--fit", choices=("ours", "scikit-learn"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.fit:
        print(json.dumps(_fitted(asked.fit, asked, asked.dimensions)))
        return
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"{machine()}\n{threads} threads; {asked.trials} trials, {asked.voxels} voxels", flush=True)
    fits = [("ours", asked.dimensions), ("scikit-learn", asked.dimensions), ("ours", asked.wide)]
    for who, dimension in fits:
        if not dimension:
            continue
        sizes = ["--trials", asked.trials, "--voxels", asked.voxels, "--pictures", asked.pictures]
        command = ["-m", "benchmarks.ridge_size", "--fit", who, *sizes, "--dimensions", dimension]
        done = subprocess.run(
            [sys.executable, *map(str, command)], check=True, stdout=subprocess.PIPE, text=True
        )
        took = json.loads(done.stdout)
        tried = f"{len(_PENALTIES)} penalties" if who == "ours" else "1 penalty"
        print(
            f"{who:12s} to {dimension} dimensions, {tried}: {took['wall_s']:.0f} s ({took['cpu_s']:.0f} s of CPU), "
            f"peak memory {took['peak_gb']:.1f} GB; correlation with {_N_TEST} new trials {took['r']:.3f}; "
            f"{took['penalties']} different penalties chosen",
            flush=True,
        )


if __name__ == "__main__":
    main()
