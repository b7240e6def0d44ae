"""Protocols that ask which picture, or which concept, was seen."""

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoded import similarity_rows, unit_rows
from decode_stream.decoders.gallery_projector import same_projector
from decode_stream.decoders.scoring.identification import (
    concept_centres,
    correlations,
    drawn_k_way,
    k_way,
    nth_showing,
    retrieval,
    two_way,
)
from decode_stream.decoders.scoring.intervals import picture_interval
from decode_stream.decoders.scoring.measured import Measured, Number
from decode_stream.decoders.scoring.scores import Scores, hits
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .evaluation import Evaluation, concept_of
from .showings import gives_likelihoods

__all__ = [
    "SINGLE",
    "check_centres",
    "measure_concept",
    "measure_exact",
    "measure_identification",
    "measure_k_way",
    "scored",
]

#: How many showings a decision rests on, in words.
SINGLE = "1, as the recording gives its trials"

_KS = (2, 4, 10, 50, 100, 200, 300)
_SEEDS = (0, 1, 2, 3, 4)
_LIKELIHOODS = (
    "the decoder gives log-likelihoods: they are compared, since its embedding, in units of the noise, correlates with "
    "no picture's features"
)


def scored(name: str, values: FloatArray, chance: float, scores: Scores) -> Number:
    """Return a mean over trials with the interval that all scores of single trials have."""
    low, high = scores.interval(values)
    return Number(name, float(values.mean()), low, high, chance, len(values))


def measure_exact(evaluation: Evaluation, says: str) -> Measured:
    """Score each trial's pick out of the whole gallery."""
    scores, k = evaluation.scores, evaluation.scores.n_entries
    numbers = [scored(f"top-1 of {k}", scores.hits(), 1 / k, scores)]
    if k > 5:
        numbers.append(scored(f"top-5 of {k}", scores.hits(5), 5 / k, scores))
    return Measured("exact", says, k, SINGLE, 1 / k, scores.n, scores.interval_name, tuple(numbers))


def measure_k_way(evaluation: Evaluation, says: str) -> Measured:
    """Score each trial's pick out of k, for the k that papers use and the gallery has."""
    scores, truth = evaluation.scores, evaluation.truth
    evidence, n_entries = scores.log_evidence(), scores.n_entries
    ks = sorted({*(k for k in _KS if k < n_entries), n_entries})
    numbers, drawn = [], {}
    for k in ks:
        numbers.append(scored(f"top-1 of {k}", k_way(evidence, truth, k), 1 / k, scores))
        if k > 5:
            numbers.append(scored(f"top-5 of {k}", k_way(evidence, truth, k, 5), 5 / k, scores))
        by_seed = drawn_k_way(evidence, truth, k, _SEEDS).mean(axis=1)
        drawn[str(k)] = {"seeds": list(_SEEDS), "top1": [float(value) for value in by_seed]}
    return Measured(
        "k-way",
        says,
        n_entries,
        SINGLE,
        1 / n_entries,
        scores.n,
        scores.interval_name,
        tuple(numbers),
        notes=(
            "exact over all draws of others; single draws of fixed seeds lie beside it in the JSON (drawn)",
        ),
        details={"drawn": drawn},
    )


def measure_identification(evaluation: Evaluation, says: str) -> Measured:
    """Score two-way identification, and retrieval both ways, of single trials and of means over repeats."""
    decoded, truth = evaluation.decoded, evaluation.truth
    predicted = decoded.trial_embeddings()
    pictures = np.unique(truth)
    if len(pictures) < 2:
        raise UsageError("identification needs trials of at least two pictures; these show one.")
    bundle = evaluation.bundle
    mean = np.array([predicted[truth == picture].mean(axis=0) for picture in pictures])
    numbers, how = [], ""
    kinds: list[tuple[str, FloatArray, IntArray]] = [("single trial", predicted, truth)]
    counts = np.bincount(truth)[pictures]
    if counts.max() > 1:
        kinds.append(("mean of all repeats", mean, pictures))
    likelihoods = gives_likelihoods(bundle)
    rule = "by log-evidence" if likelihoods else "by correlation"
    for words, embeddings, shown in kinds:
        fits = _beliefs(bundle, embeddings) if likelihoods else correlations(embeddings, bundle.gallery)
        beaten = two_way(fits, shown)
        low, high, how = picture_interval(beaten, shown, seed=evaluation.seed)
        numbers.append(Number(f"two-way {rule}, {words}", float(beaten.mean()), low, high, 0.5, len(beaten)))
    for words, embeddings, shown in kinds:
        fits = (
            _beliefs(bundle, embeddings)
            if likelihoods
            else similarity_rows(embeddings, bundle.gallery, bundle.norm)
        )
        numbers += _retrieved(words, fits, shown, evaluation.seed)
    repeats = f"1, and all: {counts.min()} to {counts.max()}" if counts.max() > 1 else SINGLE
    return Measured(
        "identification",
        says,
        evaluation.scores.n_entries,
        repeats,
        0.5,
        len(truth),
        how,
        tuple(numbers),
        notes=(
            "retrieval is among the pictures shown, every r-th showing a set of its own; repeats are averaged after "
            "the mapper, each of unit length where the space's are",
            *([_LIKELIHOODS] if likelihoods else []),
        ),
    )


def _beliefs(bundle: Bundle, embeddings: FloatArray) -> FloatArray:
    """Return the logarithm of the belief in each entry, which of several trials tells who fits a picture best."""
    logs: FloatArray = log_softmax(similarity_rows(embeddings, bundle.gallery, bundle.norm), axis=1)
    return logs


def _retrieved(words: str, fits: FloatArray, shown: IntArray, seed: int) -> list[Number]:
    """Return retrieval from brain to picture and back, within sets in which each picture comes once."""
    number = nth_showing(shown)
    every = len(np.unique(shown))
    both: list[list[FloatArray]] = [[], []]
    of = []
    for which in np.unique(number):
        own = np.flatnonzero(number == which)
        if len(own) == every:  # in smaller sets chance would be another
            for found, values in zip(both, retrieval(fits[np.ix_(own, shown[own])]), strict=True):
                found.append(values)
            of.append(shown[own])
    numbers = []
    for way, found in zip(("brain to picture", "picture to brain"), both, strict=True):
        values, pictures = np.concatenate(found), np.concatenate(of)
        low, high, _ = picture_interval(values, pictures, seed=seed)
        name = f"{way}, {every}-way, {words}"
        numbers.append(Number(name, float(values.mean()), low, high, 1 / every, len(values)))
    return numbers


def measure_concept(evaluation: Evaluation, says: str) -> Measured:
    """Score each trial's pick of a concept, by centres of other pictures than the one shown."""
    scores, truth = evaluation.scores, evaluation.truth
    bundle = evaluation.bundle
    concepts = [concept_of(name) for name in bundle.manifest.gallery]
    names = sorted(set(concepts))
    of_picture = np.array([names.index(concept) for concept in concepts])
    predicted = evaluation.decoded.trial_embeddings()
    if len(names) < 2:
        raise UsageError(
            f"concept needs at least two concepts; the gallery's pictures all show {names[0]!r}."
        )
    ways = [("plain centres, as published", False), ("unit centres", True)]
    if gives_likelihoods(bundle):
        ways = [("log-evidence of the mean picture", False)]
    numbers = []
    fits: FloatArray
    for words, unit in ways:
        if evaluation.centres is not None:
            centres = _other_centres(evaluation.centres, bundle, names, unit=unit)
            fits = predicted @ centres.T
        else:
            fits = _without_own(predicted, truth, bundle, of_picture, unit)
        for top in (1, 5) if len(names) > 5 else (1,):
            right = hits(fits, of_picture[truth], top)
            numbers.append(scored(f"top-{top} of {len(names)}, {words}", right, top / len(names), scores))
    source = (
        evaluation.centres.manifest.name if evaluation.centres else "the gallery, the picture shown left out"
    )
    return Measured(
        "concept",
        says,
        len(names),
        SINGLE,
        1 / len(names),
        scores.n,
        scores.interval_name,
        tuple(numbers),
        notes=(f"centres from {source}",),
    )


def check_centres(other: Bundle, bundle: Bundle) -> None:
    """Refuse a gallery of other pictures whose embeddings are not where a decoder's are compared.

    Raises
    ------
    UsageError
        If it is of another space, or another projector has mapped it.
    """
    if other.manifest.space != bundle.manifest.space:
        raise UsageError(
            f"--centres {other.manifest.name!r} holds embeddings of {other.manifest.space.model!r}, layer "
            f"{other.manifest.space.layer!r}, and the decoder gives those of {bundle.manifest.space.model!r}, layer "
            f"{bundle.manifest.space.layer!r}. Make it with decode-stream gallery, the same --target and bundle."
        )
    if not same_projector(other.projector, bundle.projector):
        raise UsageError(
            f"--centres {other.manifest.name!r} holds embeddings that another bundle's projector has mapped, or none, "
            "and centres must lie where the decoder compares. Make it with decode-stream gallery, the same --target "
            "and bundle."
        )


def _other_centres(other: Bundle, bundle: Bundle, names: Sequence[str], *, unit: bool) -> FloatArray:
    """Return centres from another gallery, of its pictures that are not among those to be found."""
    check_centres(other, bundle)
    candidates = set(bundle.manifest.gallery)
    kept = [
        (i, names.index(concept))
        for i, name in enumerate(other.manifest.gallery)
        if name not in candidates and (concept := concept_of(name)) in names
    ]
    found = {concept for _, concept in kept}
    if lacking := [name for number, name in enumerate(names) if number not in found]:
        raise UsageError(
            f"--centres {other.manifest.name!r} holds no other picture of {len(lacking)} of {len(names)} concepts: "
            f"{', '.join(lacking[:10])}{', ...' if len(lacking) > 10 else ''}. Make it from a folder with a folder for "
            "each concept, with decode-stream gallery."
        )
    rows = unit_rows(other.gallery, bundle.norm)[[i for i, _ in kept]]
    return _centres(bundle, rows, np.array([concept for _, concept in kept]), len(names), unit)


def _centres(bundle: Bundle, rows: FloatArray, concepts: IntArray, n_concepts: int, unit: bool) -> FloatArray:
    """Return concept centres as entries of a bundle's gallery."""
    centres = concept_centres(rows, concepts, n_concepts, unit=unit)
    if gives_likelihoods(bundle):
        # As the projector makes an entry of the mean picture: the last number is of the mean, not a mean.
        centres[:, -1] = -0.5 * (centres[:, :-1] ** 2).sum(axis=1)
    return centres


def _without_own(
    predicted: FloatArray, truth: IntArray, bundle: Bundle, of_picture: IntArray, unit: bool
) -> FloatArray:
    """Return the fits with centres of the gallery itself, in which the picture that was shown does not count."""
    n_concepts = int(of_picture.max()) + 1
    if (few := np.bincount(of_picture)[of_picture[truth]]).min() < 2:
        raise UsageError(
            f"concept matches with the mean of OTHER pictures of a concept, and {int((few < 2).sum())} of {len(truth)} "
            "trials show the only one of theirs in the gallery. Give others with --centres BUNDLE, made from a folder "
            "with a folder for each concept: decode-stream gallery IMAGES --target NAME --bundle PATH"
        )
    features = unit_rows(bundle.gallery, bundle.norm)
    fits = predicted @ _centres(bundle, features, of_picture, n_concepts, unit).T
    for picture in np.unique(truth):
        concept = of_picture[picture]
        others = np.flatnonzero((of_picture == concept) & (np.arange(len(features)) != picture))
        centre = _centres(bundle, features[others], np.zeros(len(others), np.int64), 1, unit)[0]
        own = truth == picture
        fits[own, concept] = predicted[own] @ centre
    return fits
