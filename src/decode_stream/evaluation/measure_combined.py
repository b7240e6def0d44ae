"""The protocol that lets several decoders say together which picture was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.scoring.measured import Measured, Number
from decode_stream.decoders.scoring.paired import paired_difference
from decode_stream.decoders.scoring.scores import Scores, hits
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .evaluation import Evaluation, p_text
from .measure_pictures import SINGLE, scored
from .showings import fits_of, gives_likelihoods

__all__ = ["check_galleries", "measure_combined"]

_MOST_NAMED = 5
#: No run lasts so long.
_FAR_S = 1e7


def measure_combined(evaluation: Evaluation, says: str) -> Measured:
    """Score what several decoders say of the same trials, each alone and put together."""
    every = [evaluation, *evaluation.others]
    names = _names(every)
    orders = [check_galleries(evaluation.bundle, other.bundle, other.bundle.manifest.name) for other in every]
    places = _common_trials(every, names, orders)
    scores = _scores_of(evaluation, places[0])
    truth, k = scores.truth(), scores.n_entries
    parts = list(zip(every, places, orders, strict=True))
    evidence = np.array([one.scores.log_evidence()[at][:, order] for one, at, order in parts])
    right = {f"summed log-evidence of {len(every)}": hits(evidence.sum(axis=0), truth)}
    notes = [
        "log-evidence is summed as if the decoders erred independently: its picks count, not how sure it is"
    ]
    if all(one.bundle.norm == "unit" and not gives_likelihoods(one.bundle) for one in every):
        cosines = [fits_of(one, one.decoded.embeddings[at], order) for one, at, order in parts]
        right[f"mean cosine of {len(every)}"] = hits(np.mean(cosines, axis=0), truth)
    else:
        notes.append("not every decoder is compared by the cosine, so that no cosines are averaged")
    alone = {f"{name} alone": hits(each, truth) for name, each in zip(names, evidence, strict=True)}
    numbers = [
        scored(f"top-1 of {k}, {name}", values, 1 / k, scores) for name, values in (right | alone).items()
    ]
    gained, told, how = _gains(right, alone, scores, evaluation.seed)
    return Measured(
        "combined",
        says,
        k,
        SINGLE,
        1 / k,
        scores.n,
        f"{scores.interval_name}; of differences {how}",
        (*numbers, *gained),
        notes=(*notes, *told, *_caveats(every, names, scores.n)),
    )


def _gains(
    together: Mapping[str, FloatArray], alone: Mapping[str, FloatArray], scores: Scores, seed: int
) -> tuple[list[Number], list[str], str]:
    """Return how much better all together are than each alone, with a note each, and how the intervals were made."""
    runs = np.array([trial.run for trial in scores.trials])
    pictures = scores.truth() if scores.pictures else None
    numbers, notes, how = list[Number](), list[str](), dict[str, None]()
    for (what, ours), (name, theirs) in product(together.items(), alone.items()):
        gain = paired_difference(ours, theirs, runs, pictures, seed=seed)
        words = f"{what}, minus {name}"
        numbers.append(Number(words, gain.value, gain.low, gain.high, 0.0, len(ours)))
        notes.append(
            f"{words}: better on {gain.better} trials, worse on {gain.worse}; exact McNemar p {p_text(gain.p)}"
        )
        how[gain.interval] = None
    return numbers, notes, " or ".join(how)


def check_galleries(bundle: Bundle, other: Bundle, name: str) -> IntArray:
    """Return where the entries of a bundle's gallery stand in that of another, which is called `name`.

    Raises
    ------
    UsageError
        If one names an entry that the other lacks.
    """
    wanted, there = bundle.manifest.gallery, other.manifest.gallery
    index = {entry: i for i, entry in enumerate(there)}
    lacking = [entry for entry in wanted if entry not in index]
    beyond = sorted(index.keys() - set(wanted))
    if lacking or beyond:
        told = [f"{what}: {_some(names)}" for what, names in (("lacks", lacking), ("adds", beyond)) if names]
        raise UsageError(
            f"--with {name} chooses among {len(there)} entries, and {bundle.manifest.name!r} among "
            f"{len(wanted)}; it {'; it '.join(told)}. Decoders are combined over one gallery: make that of one of them "
            "anew with decode-stream gallery, of the pictures of the other."
        )
    return np.array([index[entry] for entry in wanted], np.int64)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")


def _names(every: Sequence[Evaluation]) -> list[str]:
    """Return what the decoders are called, numbered where a name comes again."""
    names = [one.bundle.manifest.name for one in every]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    ]


def _common_trials(
    every: Sequence[Evaluation], names: Sequence[str], orders: Sequence[IntArray]
) -> list[IntArray]:
    """Return the trials that all decoders scored, as places in each's own; a row a decoder.

    Raises
    ------
    UsageError
        If there is none, or decoders take one trial's marker for different entries.
    """
    first = every[0]
    matched = [_same_trials(first, other) for other in every]
    kept = np.flatnonzero((np.array(matched) >= 0).all(axis=0))
    if not len(kept):
        raise UsageError(f"No trial was scored by all of {', '.join(names)}: see what each scores alone.")
    places = [row[kept] for row in matched]
    for other, name, order, at in zip(every, names, orders, places, strict=True):
        wrong = np.flatnonzero(order[first.truth[kept]] != other.truth[at])
        if len(wrong):
            shown = first.bundle.manifest.gallery[first.truth[kept[wrong[0]]]]
            taken = other.bundle.manifest.gallery[other.truth[at[wrong[0]]]]
            raise UsageError(
                f"{name} takes for {taken!r} what {names[0]} takes for {shown!r}, in {len(wrong)} of {len(kept)} "
                "trials: their markers name different pictures. Give both galleries the same names and numbers."
            )
    return places


def _same_trials(one: Evaluation, other: Evaluation) -> IntArray:
    """Return for each trial of an evaluation the place of that of the same onset in another, -1 where there is none."""
    mine, there = _onsets_s(one), _onsets_s(other)
    order = np.argsort(there, kind="stable")
    ordered = there[order]
    near = np.searchsorted((ordered[1:] + ordered[:-1]) / 2, mine)
    # An onset stands on the nearest sample of each decoder's own rate.
    apart_s = sum(0.5 / float(each.bundle.manifest.schedule.sfreq_hz) for each in (one, other))
    return np.where(np.abs(ordered[near] - mine) < apart_s, order[near], -1)


def _onsets_s(evaluation: Evaluation) -> npt.NDArray[np.float64]:
    """Return the onsets of all trials on one line of time, on which runs lie far apart."""
    rate = float(evaluation.bundle.manifest.schedule.sfreq_hz)
    return np.array([trial.run * _FAR_S + trial.onset / rate for trial in evaluation.scores.trials])


def _scores_of(evaluation: Evaluation, places: IntArray) -> Scores:
    trials = [evaluation.scores.trials[i] for i in places]
    return replace(evaluation.scores, trials=trials)


def _caveats(every: Sequence[Evaluation], names: Sequence[str], n: int) -> list[str]:
    told = [
        f"{name}: {one.scores.caveat}" for name, one in zip(names, every, strict=True) if one.scores.caveat
    ]
    told += [
        f"{one.scores.n - n} trials that {name} scored were not scored by all, and are left out"
        for name, one in zip(names, every, strict=True)
        if one.scores.n > n
    ]
    return told
