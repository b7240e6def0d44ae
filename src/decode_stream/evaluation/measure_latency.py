"""Protocols along latency: accuracy of each window, and generalisation across time."""

from functools import partial

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.decoded import latency_ends_s, similarity_rows, unit_rows
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.measured import Matrix, Measured, Number
from decode_stream.decoders.scoring.significance import Choices
from decode_stream.decoders.scoring.time_resolved import (
    accuracy_curve,
    accuracy_matrix,
    cross_validated,
    given_and_told,
)
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .evaluation import Evaluation
from .measure_pictures import SINGLE

__all__ = ["measure_generalisation", "measure_latency", "measure_linear_generalisation"]

#: A matrix costs as many windows a trial as there are latencies, squared.
_MOST_TRIALS = 1000


def _window_words(evaluation: Evaluation) -> str:
    schedule = evaluation.bundle.manifest.schedule
    if schedule.first_s is not None:
        return "growing window"
    return f"{1e3 * float(schedule.length_s):g} ms window"


def measure_latency(evaluation: Evaluation, says: str) -> Measured:
    """Score each window alone, and all windows so far."""
    decoded, scores = evaluation.decoded, evaluation.scores
    ends_s, seed = latency_ends_s(evaluation.bundle), evaluation.seed
    similarities = decoded.similarities()
    words = _window_words(evaluation)
    grows = evaluation.bundle.manifest.schedule.first_s is not None
    name = words if grows else f"{words} alone"
    alone, _ = accuracy_curve(name, similarities, scores, ends_s, seed=seed)
    curves = [alone]
    if not grows and len(ends_s) > 1:
        until = np.stack([decoded.evidence_until(similarities, k) for k in range(len(ends_s))], axis=1)
        curves.append(accuracy_curve("all windows so far", until, scores, ends_s, seed=seed)[0])
    numbers, notes = [], []
    for curve in curves:
        best = int(np.argmax(curve.y))
        numbers.append(
            Number(
                f"{curve.name}, highest",
                curve.y[best],
                curve.low[best],
                curve.high[best],
                evaluation.chance,
                scores.n,
            )
        )
        notes.append(f"{curve.name}: highest at {curve.x[best]:.0f} ms")
    notes.append("the highest of several points is no held-out score: choose the latency on other data")
    return Measured(
        "latency",
        says,
        scores.n_entries,
        SINGLE,
        evaluation.chance,
        scores.n,
        f"{scores.interval_name}; of each point",
        tuple(numbers),
        tuple(curves),
        x_name=f"end of the {words} after onset (ms)",
        notes=tuple(notes),
    )


def measure_generalisation(evaluation: Evaluation, says: str) -> Measured:
    """Tell the bundle's encoder one latency and give it the window of another."""
    bundle = evaluation.bundle
    schedule = bundle.manifest.schedule
    windows, rows, notes = _windows(evaluation, "generalisation")
    told_s = [schedule.latency_s(k) for k in range(bundle.manifest.n_latencies)]

    def embed(cut: npt.NDArray[np.float32], told: int) -> FloatArray:
        return evaluation.encode(cut, np.full(len(cut), told_s[told]))

    fit = partial(similarity_rows, gallery=bundle.gallery, norm=bundle.norm)
    choices = given_and_told(embed, fit, windows, len(bundle.gallery))
    by_told = choices.best.reshape(*choices.best.shape[:2], len(told_s), -1)
    if (by_told == by_told[:, :, :1]).all():
        notes = (*notes, "this encoder takes no notice of the latency it is told: only the window counts")
    return _of_matrix("generalisation", says, evaluation, choices, rows, notes)


def measure_linear_generalisation(evaluation: Evaluation, says: str) -> Measured:
    """Fit linear decoders at each latency on all runs but one and test them at every latency on that one."""
    windows, rows, notes = _windows(evaluation, "generalisation-linear")
    runs = evaluation.decoded.runs[rows]
    if len(np.unique(runs)) < 2:
        raise UsageError(
            "generalisation-linear holds out each recording in turn, and there is one. Give several, one a run."
        )
    features = unit_rows(evaluation.bundle.gallery, evaluation.bundle.norm)
    choices = cross_validated(windows, evaluation.truth[rows], runs, features)
    notes = (
        *notes,
        "fitted on other recordings of these; pictures that come in several were seen in the fit",
    )
    return _of_matrix("generalisation-linear", says, evaluation, choices, rows, notes)


def _windows(evaluation: Evaluation, name: str) -> tuple[npt.NDArray[np.float32], IntArray, tuple[str, ...]]:
    windows = evaluation.decoded.windows
    assert windows is not None
    if windows.shape[1] < 2:
        raise UsageError(f"{name} needs several latencies; the bundle decodes one window a trial.")
    rows, notes = evaluation.some(_MOST_TRIALS)
    return windows[rows], rows, notes


def _of_matrix(
    name: str, says: str, evaluation: Evaluation, choices: Choices, rows: IntArray, notes: tuple[str, ...]
) -> Measured:
    ends_s = latency_ends_s(evaluation.bundle)
    truth, runs = evaluation.truth[rows], evaluation.decoded.runs[rows]
    matrix: Matrix = accuracy_matrix(choices, truth, runs, ends_s, seed=evaluation.seed)
    values = np.array(matrix.values)
    n = max(len(rows) / evaluation.scores.design_effect(evaluation.scores.hits()), 1.0)
    same, other = values.diagonal(), values[~np.eye(len(values), dtype=bool)]
    numbers = []
    for words, value in (
        ("same latency, mean", float(same.mean())),
        ("other latency, mean", float(other.mean())),
    ):
        low, high = wilson(value * n, n)
        numbers.append(Number(words, value, float(low), float(high), evaluation.chance, len(rows)))
    return Measured(
        name,
        says,
        evaluation.scores.n_entries,
        SINGLE,
        evaluation.chance,
        len(rows),
        "Wilson, over trials, as if each trial had one window",
        tuple(numbers),
        matrix=matrix,
        notes=notes,
    )
