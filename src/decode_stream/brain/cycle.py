"""``decode-stream brain cycle``: from embeddings to voxels by an encoding model, and back by the decoder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.brain.cycle import Cycle, cycle
from decode_stream.decoders.brain.voxel_encoding import fit_voxels, held_out_parts
from decode_stream.decoders.scoring.intervals import picture_interval
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .config import CycleConfig
from .decoded import DecodedTrials, decoded_trials
from .embeddings import LabelEmbeddings, target_embeddings
from .figure import Panel, draw, draw_bars
from .output import check_outputs, mean_interval, print_table, write_told

__all__ = ["tell_cycle"]

_COPIES = 6.0


def tell_cycle(paths: Sequence[Path], config: CycleConfig) -> int:
    """Send embeddings to voxels and back, and print how well they return; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If bundle, recordings and pictures do not go together, or there are too few trials.
    """
    check_outputs(config.json, config.figure)
    trials = decoded_trials(paths, config, config.bundle, config.provider, _COPIES)
    scored = np.zeros(len(trials.entries), dtype=np.bool_)
    scored[trials.known()] = True
    labels = _embeddings(trials, config, paths)
    answers = trials.answers()
    predicted, apart = _predicted(trials, labels, answers)
    truth = trials.entries[scored]
    ways = {
        "predicted answers": cycle(trials.readout, predicted[scored], truth),
        "measured answers": cycle(trials.readout, answers[scored], truth),
    }
    rows = [
        (way, score, float(values.mean()), *_interval(score, values, truth))
        for way, found in ways.items()
        for score, values in _scores(found).items()
    ]
    n_entries = len(trials.bundle.manifest.gallery)
    print_table(
        f"{trials.bundle.manifest.name}: there and back, n = {len(truth)} trials, {n_entries}-way, chance "
        f"{1 / n_entries:.3f} and 0.5",
        ("what is decoded", "score", "mean", "95 % low", "high"),
        rows,
    )
    if config.figure is not None:
        draw([_panel(rows)], trials.bundle.manifest.name, config.figure)
    notes = (
        "No trial is learnt from whose picture is in the part held out."
        if apart
        else "The encoding model learns from other trials of the same entries.",
        *trials.notes,
    )
    told = {
        "bundle": trials.bundle.manifest.name,
        "n_trials": len(truth),
        "n_entries": n_entries,
        "scores": [
            {"of": way, "score": score, "mean": mean, "low": low, "high": high}
            for way, score, mean, low, high in rows
        ],
    }
    write_told(told, notes, config.json)
    return 0


def _panel(rows: Sequence[tuple[str, str, float, float, float]]) -> Panel:
    names = [f"{way}: {score}" for way, score, *_ in rows]
    mean, low, high = (np.array([row[i] for row in rows]) for i in (2, 3, 4))
    label = "score with 95 % interval over pictures"
    return partial(draw_bars, names=names, values=mean, label=label, low=low, high=high)


def _scores(found: Cycle) -> dict[str, npt.NDArray[np.float64]]:
    return {"top-1": found.right, "two-way": found.two_way, "cosine": found.cosine}


def _interval(score: str, values: FloatArray, pictures: IntArray) -> tuple[float, float]:
    """Return the 95 % interval over pictures."""
    if score == "cosine":  # lies beyond the bounds of a proportion
        return mean_interval(values, pictures)
    return picture_interval(values, pictures)[:2]


def _embeddings(trials: DecodedTrials, config: CycleConfig, paths: Sequence[Path]) -> LabelEmbeddings:
    """Return the embedding of every label, in the space where the bundle compares them."""
    bundle = trials.bundle
    if not bundle.manifest.training.target:
        entry = np.full(len(trials.labels), -1)
        entry[trials.pictures] = trials.entries
        embeddings = np.where(entry[:, None] >= 0, bundle.gallery[entry], 0).astype(np.float32)
        return LabelEmbeddings(embeddings, entry >= 0)
    target = bundle.manifest.training.target
    made = target_embeddings(trials.recordings, trials.labels, target, config.images, config.captions, paths)
    if made.space != bundle.manifest.space:
        raise UsageError(
            f"{target} gives embeddings of {made.space} here, and {bundle.manifest.name!r} was trained on "
            f"{bundle.manifest.space}. Give the weights that it was trained with."
        )
    if bundle.projector is None:
        return made
    return LabelEmbeddings(bundle.projector.project(made.embeddings), made.known, made.space)


def _predicted(
    trials: DecodedTrials, labels: LabelEmbeddings, answers: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], bool]:
    """Return the answers that encoding models predict which have not seen the trials, and whether not their pictures.

    Pictures with a target are kept apart; a gallery of a few that every run shows could not be.
    """
    shown = labels.known[trials.pictures]
    pictures = trials.pictures[shown]
    apart = bool(trials.bundle.manifest.training.target)
    embeddings, runs = labels.embeddings[pictures], trials.runs[shown]
    made = np.empty((len(pictures), answers.shape[1]), np.float32)
    for learnt, left in held_out_parts(runs, pictures if apart else None):
        groups = pictures if apart else runs
        encoder = fit_voxels(embeddings[learnt], answers[shown][learnt], groups[learnt])
        made[left] = encoder.predict(embeddings[left])
    predicted = np.zeros_like(answers)
    predicted[shown] = made
    return predicted, apart
