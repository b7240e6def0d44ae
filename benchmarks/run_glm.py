"""Betas while the scan runs, at the size of NSD: ours volume by volume, beside nilearn's model refitted for a trial.

``python -m benchmarks.run_glm [--voxels N] [--volumes N] [--trials N] [--refits N] [--figure PATH]``. Volumes are
drawn: drift, autoregressive noise, and what six motion estimates leave. Ours takes each volume in and tells the betas
of all trials that are decided or refined with it. At some trials' moments nilearn's ``run_glm`` (AR(1), one job) fits
the same model to all volumes so far, as real-time MindEye does: a column of the trial, one of all others, drift and
motion. Its time has the design in it, but no images and no masking. Set OMP_NUM_THREADS to name the threads; CPU time
beside the time on the wall tells what else ran on the machine.
"""

import argparse
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.fmri.hrf import LIBRARY
from decode_stream.stream.fmri.trial_betas import TrialBetas
from decode_stream.stream.types import FloatArray

__all__ = ["DrawnRun", "Timing", "drawn_run", "main", "ours", "refit"]

_TR_S, _STIMULUS_S = 4 / 3, 3.0
_MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
#: The goal: 99 of 100 volumes take no longer, and the last quarter of a run so many times the first's at most.
_GOAL_MS, _GOAL_GROWTH = 150.0, 1.2


@dataclass(frozen=True, eq=False)
class DrawnRun:
    """Volumes (n_volumes, n_voxels), motion estimates (n_volumes, 6) and the trials' onsets in volumes."""

    volumes: npt.NDArray[np.float32]
    motion: FloatArray
    onsets: FloatArray


@dataclass(frozen=True, eq=False)
class Timing:
    """Seconds for each volume, and how many betas it told.

    Attributes
    ----------
    wall_s, cpu_s : array of shape (n_volumes,)
        On the wall and of the processor.
    n_told : array of shape (n_volumes,)
        Trials whose betas were told.
    final_s : float
        For the betas of all trials with the whole run.
    """

    wall_s: FloatArray
    cpu_s: FloatArray
    n_told: npt.NDArray[np.int64]
    final_s: float

    @property
    def growth(self) -> float:
        """99th percentile of the last quarter of the run over that of the first that told betas of several trials."""
        busy = np.flatnonzero(self.n_told >= np.median(self.n_told[self.n_told > 0]))
        quarters = np.array_split(self.cpu_s[busy[0] : busy[-1] + 1], 4)
        return float(np.percentile(quarters[-1], 99) / np.percentile(quarters[0], 99))


def drawn_run(n_volumes: int, n_voxels: int, n_trials: int) -> DrawnRun:
    """Return a run whose trials fill it evenly."""
    rng = np.random.default_rng(0)
    onsets = np.linspace(6, n_volumes - 12, n_trials)
    noise = rng.standard_normal((n_volumes, n_voxels), np.float32)
    rho = rng.uniform(0, 0.6, n_voxels).astype(np.float32)
    for now in range(1, n_volumes):
        noise[now] += rho * noise[now - 1]
    motion = np.repeat([0.02, 0.0004], 3) * np.cumsum(rng.standard_normal((n_volumes, 6)), axis=0)
    phase = np.arange(n_volumes)[:, None] / n_volumes
    drift = np.cos(2 * np.pi * (phase + rng.uniform(size=n_voxels)))
    moved = motion @ (rng.standard_normal((6, n_voxels)) / motion.std(axis=0)[:, None])
    volumes = 1000 + 10 * (noise + drift.astype(np.float32) + moved.astype(np.float32))
    return DrawnRun(volumes, motion, onsets)


def ours(run: DrawnRun, spec: GlmSpec) -> Timing:
    """Lead the run through volume by volume."""
    n_volumes, n_voxels = run.volumes.shape
    betas = TrialBetas(spec, n_voxels, _TR_S, n_volumes)
    wall_s, cpu_s = np.empty((2, n_volumes))
    n_told = np.zeros(n_volumes, np.int64)
    trials = list(enumerate(run.onsets))
    for n, (volume, motion) in enumerate(zip(run.volumes, run.motion, strict=True)):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        while trials and trials[0][1] <= n:
            betas.add_trial(*trials.pop(0))
        n_told[n] = sum(beta.state != "withheld" for beta in betas.add(volume, motion))
        wall_s[n], cpu_s[n] = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    began_s = time.perf_counter()
    betas.finish()
    return Timing(wall_s, cpu_s, n_told, time.perf_counter() - began_s)


def refit(run: DrawnRun, spec: GlmSpec, trial: int, n: int) -> tuple[float, float]:
    """Fit nilearn's model of one trial to the first `n` volumes, and return its seconds, on the wall and of the CPU."""
    import pandas as pd
    from nilearn.glm.first_level import make_first_level_design_matrix, run_glm

    assert spec.high_pass_s is not None
    volumes = run.volumes[:n].astype(np.float64)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    begun = run.onsets[run.onsets < n - 1]
    events = pd.DataFrame(
        {
            "onset": begun * _TR_S,
            "duration": spec.stimulus_s,
            "trial_type": ["probe" if i == trial else "others" for i in range(len(begun))],
        }
    )
    design = make_first_level_design_matrix(
        np.arange(n) * _TR_S, events, "glover", "cosine", 1 / spec.high_pass_s, add_regs=run.motion[:n]
    )
    run_glm(volumes, design.to_numpy(), noise_model="ar1", n_jobs=1)
    return time.perf_counter() - began_s, time.process_time() - began_cpu_s


def _told(name: str, timing: Timing) -> None:
    wall_ms, cpu_ms = (1e3 * each[timing.n_told > 0] for each in (timing.wall_s, timing.cpu_s))
    p99_ms = float(np.percentile(wall_ms, 99))
    met = p99_ms <= _GOAL_MS and timing.growth <= _GOAL_GROWTH
    print(
        f"{name:24s} p50 {np.median(wall_ms):.1f} ms, p99 {p99_ms:.1f} ms a volume "
        f"(CPU {np.median(cpu_ms):.1f} and {np.percentile(cpu_ms, 99):.1f}); "
        f"{timing.n_told.mean():.1f} betas a volume, {timing.n_told.max()} at most; "
        f"p99 of the last quarter {timing.growth:.2f} times the first's (CPU); "
        f"goal {'met' if met else 'missed'}; all betas at the end {timing.final_s:.2f} s",
        flush=True,
    )


def _drawn_figure(path: Path, timing: Timing, refits: dict[int, tuple[float, float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    axes.semilogy(1e3 * timing.cpu_s, ".", ms=4, label="decode-stream, a volume with all its betas")
    cpu_ms = [1e3 * cpu_s for _, cpu_s in refits.values()]
    axes.semilogy(list(refits), cpu_ms, "o-", label="nilearn, refit for one trial")
    axes.axhline(1e3 * _TR_S, color="0.6", lw=1, ls="--", label="time of repetition")
    axes.set(xlabel="volumes so far", ylabel="CPU time (ms)")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Time both, and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxels", type=int, default=15_724)
    parser.add_argument("--volumes", type=int, default=226)
    parser.add_argument("--trials", type=int, default=62)
    parser.add_argument("--refits", type=int, default=6, help="of nilearn's model, along the run; 0 for none")
    parser.add_argument("--figure", type=Path, help="where to draw the time of a volume along the run")
    asked = parser.parse_args()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(
        f"{machine()}\n{threads} threads; {asked.voxels} voxels, {asked.volumes} volumes, {asked.trials} trials"
    )
    run = drawn_run(asked.volumes, asked.voxels, asked.trials)
    spec = GlmSpec(stimulus_s=_STIMULUS_S, confounds=_MOTION, nuisance_penalty=0.0)
    shape_of = tuple((np.arange(asked.voxels) % len(LIBRARY)).tolist())
    specs = {
        "one response": spec,
        "white noise": replace(spec, noise="ols"),
        "a library of responses": replace(spec, hrf="library", hrf_of_voxel=shape_of),
    }
    timings = dict[str, Timing]()
    for name, each in specs.items():
        timings[name] = ours(run, each)
        _told(name, timings[name])
    timing = timings["one response"]
    refits = dict[int, tuple[float, float]]()
    after = round(spec.decide_s / _TR_S)
    for trial in np.linspace(2, asked.trials - 1, asked.refits).astype(int):
        n = min(int(np.ceil(run.onsets[trial])) + after, asked.volumes)
        refits[n] = refit(run, spec, int(trial), n)
        wall_s, cpu_s = refits[n]
        ours_s, ours_cpu_s = timing.wall_s[n - 1], timing.cpu_s[n - 1]
        print(
            f"nilearn, trial {trial} at volume {n}: {wall_s:.2f} s (CPU {cpu_s:.2f}); "
            f"ours {1e3 * ours_s:.1f} ms (CPU {1e3 * ours_cpu_s:.1f}) for {timing.n_told[n - 1]} betas: "
            f"{cpu_s / ours_cpu_s:.0f} times the CPU time",
            flush=True,
        )
    if asked.figure:
        _drawn_figure(asked.figure, timing, refits)


if __name__ == "__main__":
    main()
