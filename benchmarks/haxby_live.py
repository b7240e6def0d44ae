"""Live fMRI on real blocks of pictures: Haxby's eight categories, trained on runs 1 to 6, decoded live on runs 7 to 9.

``python -m benchmarks.haxby_live DATA [--choose] [--speed N]``, DATA with task001_run00N/bold_1slice.nii.gz of Haxby et
al. (2001), their events and motion estimates. ``--choose`` compares settings on runs 1 to 6 alone, each run decoded by
what was fitted on the other five: betas by the model of the run so far, and the mean of the volumes of a block behind
the causal chain. The setting with the best two-way identification is `CHOSEN`. Without it, runs 7 to 9 are played over
LSL and decoded as they come, beside the same decoder offline.
"""

import argparse
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle, save_bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.decoders.cross_fit import cross_fit
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.design import design
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import category_gallery
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.scores import Scores, TrialScore, hits
from decode_stream.replay_data.open import open_recording
from decode_stream.sessions.session import Session
from decode_stream.sessions.source import Source
from decode_stream.stream.errors import SessionError
from decode_stream.stream.fmri.beta_recording import beta_recording
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import MOTION
from decode_stream.training.models import fitter, trial_spec
from decode_stream.training.train import train

__all__ = ["CHOSEN", "main"]

_TRAINED, _TESTED = range(1, 7), range(7, 10)
#: How long a block lasts, and when the mean of its volumes is read. Seconds.
_BLOCK_S, _LAGS_S = 22.5, (2.5, 5.0)
#: Chosen on runs 1 to 6.
CHOSEN: dict[str, Any] = {
    "stimulus_s": _BLOCK_S,
    "decide_s": 20.0,
    "high_pass_s": None,
    "noise": "ols",
    "nuisance_penalty": 30.0,
    "confounds": MOTION,
}


def _path(data: Path, run: int) -> Path:
    return data / f"task001_run{run:03d}" / "bold_1slice.nii.gz"


def _opened(data: Path, runs: Sequence[int]) -> list[Recording]:
    return [open_recording(_path(data, run), mask="all") for run in runs]


def _settings() -> list[dict[str, Any]]:
    """Return the settings that are compared: of the model first, then of when a block is decided."""
    models = product((None, 128.0), ("ols", "ar1"), (0.0, 30.0, 100.0), ((), MOTION))
    names = ("high_pass_s", "noise", "nuisance_penalty", "confounds")
    found = [CHOSEN | {"decide_s": 27.5} | dict(zip(names, values, strict=True)) for values in models]
    return found + [CHOSEN | {"decide_s": at_s} for at_s in (17.5, 20.0, 22.5, 25.0, 30.0)]


def _cross_fitted(recordings: Sequence[Recording], **window: Any) -> Scores:
    """Return the scores of each run, decoded by ridge regression on the others."""
    gallery = category_gallery(recordings, None)
    recipe = design(recordings, "fmri", None, gallery, spec=trial_spec("ridge", "fmri", "growing"), **window)
    held_out = cross_fit(recipe, recordings, fitter("ridge"), FitOptions())
    scores = Scores(len(gallery.names), pictures=False)
    for i, (evidence, truth) in enumerate(zip(held_out.known[:, 0], held_out.labels.tolist(), strict=True)):
        right = hits(evidence[None], np.array([truth]))
        scores.add(TrialScore(i, i, truth, np.asarray(evidence, np.float64), right))
    return scores


def _told(scores: Scores) -> str:
    right, n = float(scores.hits().sum()), scores.n
    low, high = wilson(right, n)
    two_way = float(scores.two_way().mean())
    return f"{right:g} of {n} right, {right / n:.3f} (95 % {low:.3f} to {high:.3f}), two-way {two_way:.3f}"


def _choose(data: Path) -> None:
    volumes = _opened(data, _TRAINED)
    for lag_s in _LAGS_S:
        told = _told(_cross_fitted(volumes, lag_s=lag_s, width_s=_BLOCK_S))
        print(f"mean of volumes, lag {lag_s:g} s: {told}", flush=True)
    for setting in _settings():
        spec = GlmSpec(**setting)
        made = _cross_fitted([beta_recording(recording, spec) for recording in volumes])
        print(
            f"betas at {spec.decide_s:g} s, high-pass {spec.high_pass_s}, {spec.noise}, penalty "
            f"{spec.nuisance_penalty:g}, {len(spec.confounds)} confounds: {_told(made)}",
            flush=True,
        )


def _live(path: Path, bundle: Bundle, speed: float) -> Session:
    config = SessionConfig(modality="fmri", replay=path, mask="all", speed=speed)
    session = Session(config, Source(config, path), bundle, lambda info: watch_chain(info, "fmri"))
    session.start()
    session.join()
    return session


def _joined(parts: Sequence[Scores]) -> Scores:
    joined = Scores(parts[0].n_entries, pictures=False)
    for part in parts:
        for trial in part.trials:
            joined.add(trial)
    return joined


def _play(data: Path, speed: float) -> None:
    spec = GlmSpec(**CHOSEN)
    learnt = [beta_recording(recording, spec) for recording in _opened(data, _TRAINED)]
    gallery = category_gallery(learnt, None)
    made, _ = train(learnt, name="haxby", modality="fmri", model="ridge", gallery=gallery, glm=spec)
    live, offline, refined, final = (list[Scores]() for _ in range(4))
    with tempfile.TemporaryDirectory() as folder:
        bundle = save_bundle(made, Path(folder) / "haxby.bundle")
        for run in _TESTED:
            recording = beta_recording(_opened(data, [run])[0], spec)
            offline.append(decode_recording(bundle, Encoder(bundle), recording, gallery.stimuli()).scores)
            session = _live(_path(data, run), bundle, speed)
            if session.pipeline is None or (decoder := session.pipeline.decoder) is None:
                raise SessionError("The replay was not decoded.")
            live.append(decoder.scores)
            refined.append(decoder.revisions.scores("refined"))
            final.append(decoder.revisions.scores("final"))
            print(f"run {run}: volume to belief {session.stages['total'].summary_ms()} ms", flush=True)
    apart = np.abs(_joined(live).log_evidence() - _joined(offline).log_evidence()).max()
    for name, scores in (("live", live), ("offline", offline), ("refined", refined), ("final", final)):
        print(f"{name:8s} {_told(_joined(scores))}")
    print(f"live and offline log-evidence apart by {apart:.1e} at most")


def main() -> None:
    """Compare settings on runs 1 to 6, or play runs 7 to 9."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--speed", type=float, default=40.0)
    asked = parser.parse_args()
    print(machine())
    if asked.choose:
        _choose(asked.data)
    else:
        _play(asked.data, asked.speed)


if __name__ == "__main__":
    main()
