"""Protocols of retrieval as papers on fMRI count it: MindEye's, MindEye2's and Mind Reader's, told apart."""

from collections.abc import Callable, Sequence

import numpy as np

from decode_stream.decoders.scoring.batches import (
    batch_counts,
    found_in_batches,
    random_batches,
    stream_batches,
)
from decode_stream.decoders.scoring.identification import correlations, k_way, two_way
from decode_stream.decoders.scoring.intervals import picture_interval
from decode_stream.decoders.scoring.joined import mean_interval
from decode_stream.decoders.scoring.measured import Measured, Number
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .evaluation import Evaluation
from .measure_pictures import SINGLE
from .showings import (
    averaged_after,
    averaged_before,
    fits_of,
    gives_likelihoods,
    groups_by_picture,
    whole_embeddings,
)

__all__ = ["measure_mind_reader", "measure_mindeye", "measure_mindeye2"]

#: Pictures in a batch, and batches, of all three papers; Mind Reader goes through the trials once.
_BATCH, _N_DRAWS = 300, 30
_WAYS = ("brain to picture", "picture to brain")
_BEFORE = "repeats averaged before the mapper"
_AFTER = "repeats averaged after the mapper"


def measure_mindeye(evaluation: Evaluation, says: str) -> Measured:
    """Score retrieval in batches of a shuffled stream, of signals averaged before the mapper."""
    return _retrieval("retrieval-mindeye", says, evaluation, averaged_before, _BEFORE, stream_batches)


def measure_mindeye2(evaluation: Evaluation, says: str) -> Measured:
    """Score retrieval in random batches, of outputs averaged after the mapper."""
    return _retrieval("retrieval-mindeye2", says, evaluation, averaged_after, _AFTER, random_batches)


def _retrieval(
    name: str,
    says: str,
    evaluation: Evaluation,
    average: Callable[[Evaluation, Sequence[IntArray]], FloatArray],
    words: str,
    draw: Callable[[int, int, int, int], list[IntArray]],
) -> Measured:
    pictures, groups = groups_by_picture(evaluation.truth)
    n = len(pictures)
    if n < 2:
        raise UsageError(f"{name} needs trials of at least two pictures; these show one.")
    k, own = min(_BATCH, n), np.arange(n)
    embeddings = average(evaluation, groups)
    fits = fits_of(evaluation, embeddings, pictures)
    numbers, how = [], ""
    for way, table in zip(_WAYS, (fits, fits.T), strict=True):
        right = k_way(table, own, k)
        low, high, how = picture_interval(right, pictures, seed=evaluation.seed)
        numbers.append(Number(f"{way}, {k}-way, {words}", float(right.mean()), low, high, 1 / k, n))
    drawn = found_in_batches(fits, draw(n, k, _N_DRAWS if k < n else 1, evaluation.seed))
    if k < n:
        for way, shares in zip(_WAYS, drawn, strict=True):
            value, low, high = (float(end) for end in mean_interval(shares))
            drawn_name = f"{way}, {k}-way, {words}, mean of {_N_DRAWS} draws"
            numbers.append(Number(drawn_name, value, low, high, 1 / k, _N_DRAWS))
        how = f"{how}; of draws Student's t over these, which tells how much they scatter and not how few pictures"
    numbers.append(_two_way(evaluation, embeddings, fits, pictures, words))
    counts = [len(group) for group in groups]
    return Measured(
        name,
        says,
        k,
        f"all of a picture, {words.removeprefix('repeats ')}: {min(counts)} to {max(counts)}",
        1 / k,
        n,
        how,
        tuple(numbers),
        notes=_notes(evaluation, n, k),
        details={
            "pictures": n,
            "draws": {way: shares.tolist() for way, shares in zip(_WAYS, drawn, strict=True)},
        },
    )


def _two_way(
    evaluation: Evaluation, embeddings: FloatArray, fits: FloatArray, pictures: IntArray, words: str
) -> Number:
    """Return two-way identification among the pictures shown."""
    rule, table = "by log-evidence", fits
    if not gives_likelihoods(evaluation.bundle):
        rule = "by correlation"
        said = whole_embeddings(evaluation, embeddings)
        table = correlations(said, evaluation.bundle.gallery[pictures])
    beaten = two_way(table, np.arange(len(pictures)))
    low, high, _ = picture_interval(beaten, pictures, seed=evaluation.seed)
    return Number(f"two-way {rule}, {words}", float(beaten.mean()), low, high, 0.5, len(beaten))


def _notes(evaluation: Evaluation, n: int, k: int) -> tuple[str, ...]:
    notes = [
        f"among the {n} pictures shown, {k} at a time; what has no draws in its name is exact over all draws"
    ]
    if k < _BATCH:
        notes.append(f"papers have {_BATCH} at a time: with {n} pictures the task is an easier one of {k}")
    if gives_likelihoods(evaluation.bundle):
        notes.append("the decoder gives log-likelihoods: beliefs are compared, not cosines")
    return tuple(notes)


def measure_mind_reader(evaluation: Evaluation, says: str) -> Measured:
    """Count how many single trials of each batch are right, both ways."""
    truth = evaluation.truth
    n = len(truth)
    if len(np.unique(truth)) < 2:
        raise UsageError("retrieval-mind-reader needs trials of at least two pictures; these show one.")
    size = min(_BATCH, n)
    # In the order shown, as the public code goes through the pictures that it tests on.
    batches = [np.arange(start, start + size) for start in range(0, n - size + 1, size)]
    fits = fits_of(evaluation, evaluation.decoded.embeddings)
    *found, chances = batch_counts(fits, truth, batches)
    shown, chance = truth[np.concatenate(batches)], float(chances.mean())
    numbers, counts, how = [], {}, ""
    for way, right in zip(_WAYS, found, strict=True):
        low, high, how = picture_interval(right.ravel(), shown, seed=evaluation.seed)
        name = f"{way}, share of a batch of {size}, single trials"
        numbers.append(Number(name, float(right.mean()), low, high, chance, right.size))
        counts[way] = [float(count) for count in right.sum(axis=1)]
    told = ", ".join(f"{np.mean(each):.1f} {way} (best batch {max(each):g})" for way, each in counts.items())
    few = () if size == _BATCH else (f"papers have batches of {_BATCH}; there are {n} trials",)
    return Measured(
        "retrieval-mind-reader",
        says,
        size,
        SINGLE,
        chance,
        shown.size,
        how,
        tuple(numbers),
        notes=(
            f"right of {size}, mean over {len(batches)} batches: {told}; chance {size * chance:.2f}",
            "the best of several batches is no held-out score",
            *([f"{left} trials fill no batch and are passed over"] if (left := n - shown.size) else []),
            *few,
        ),
        details={"batch": size, "counts": counts},
    )
