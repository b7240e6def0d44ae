"""The protocol that puts showings of a picture together."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from decode_stream.decoders.decoded import similarity_rows
from decode_stream.decoders.scoring.intervals import LEAST_PICTURES
from decode_stream.decoders.scoring.measured import Measured, Number
from decode_stream.decoders.scoring.repeats import repeat_curve, sizes_of
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .evaluation import Evaluation
from .showings import averaged_after, averaged_before

__all__ = ["measure_repeats"]

_Average = Callable[[Evaluation, Sequence[IntArray]], FloatArray]

#: Windows that may be decoded anew for means of signals, which take one draw of groups instead of five beyond it.
_MANY_WINDOWS = 20_000
_WEIGHED = (
    "summed evidence is weighed, direction by direction, for what comes again with a picture; means are not"
)


def measure_repeats(evaluation: Evaluation, says: str) -> Measured:
    """Score n showings of a picture, put together as signals, as embeddings and as evidence."""
    decoded, truth = evaluation.decoded, evaluation.truth
    sizes = sizes_of(truth)
    if len(sizes) < 2:
        raise UsageError(
            "repeats needs pictures that are shown more than once; most of these are shown once. Give all recordings "
            "of the test pictures."
        )
    seeds = tuple(range(evaluation.seed, evaluation.seed + 5))
    few = truth.size * evaluation.bundle.manifest.n_latencies <= _MANY_WINDOWS
    ways: list[tuple[str, Callable[[Sequence[IntArray]], FloatArray], tuple[int, ...]]] = [
        ("signals averaged", partial(_evidence, evaluation, averaged_before), seeds if few else seeds[:1]),
        ("embeddings averaged", partial(_evidence, evaluation, averaged_after), seeds),
        ("log-evidence summed", decoded.evidence_of_showings, seeds),
    ]
    curves, n_pictures = [], np.zeros(len(sizes), np.int64)
    for name, combine, drawn in ways:
        curve, n_pictures = repeat_curve(name, combine, truth, sizes, seeds=drawn)
        curves.append(curve)
    numbers = [
        Number(
            f"{curve.name}, {sizes[at]} showing{'s' * (sizes[at] > 1)}",
            curve.y[at],
            curve.low[at],
            curve.high[at],
            evaluation.chance,
            int(n_pictures[at]),
        )
        for curve in curves
        for at in (0, -1)
    ]
    correlation = decoded.bundle.manifest.calibration.repeat_correlation
    told = "was never measured" if correlation is None else f"is {correlation:.2f}"
    return Measured(
        "repeats",
        says,
        evaluation.scores.n_entries,
        f"1 to {sizes[-1]}",
        evaluation.chance,
        int(n_pictures[0]),
        "bootstrap over pictures" if n_pictures.min() >= LEAST_PICTURES else "Wilson, over groups of trials",
        tuple(numbers),
        tuple(curves),
        x_name="showings put together",
        notes=(
            f"windows are gated for artefacts and clamped before signals are averaged; the correlation of repeats, "
            f"which scales summed evidence and moves no pick, {told}",
            *([_WEIGHED] if decoded.bundle.weighs_showings else []),
            *_of_categories(evaluation),
        ),
        details={"n_pictures": [int(n) for n in n_pictures], "sizes": list(sizes)},
    )


def _of_categories(evaluation: Evaluation) -> tuple[str, ...]:
    if not evaluation.bundle.manifest.space.of_categories:
        return ()
    return ("entries of the gallery are categories: showings put together may be of different pictures",)


def _evidence(evaluation: Evaluation, average: _Average, groups: Sequence[IntArray]) -> FloatArray:
    """Return the evidence of averages, latency by latency."""
    bundle = evaluation.bundle
    fits = similarity_rows(average(evaluation, groups), bundle.gallery, bundle.norm)
    return evaluation.decoded.evidence_until(fits, -1)
