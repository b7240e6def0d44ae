"""The protocol that compares a mapper's embeddings with what the bundle's prior draws from them."""

import numpy as np

from decode_stream.decoders.prior import Prior
from decode_stream.decoders.prior_part import N_SAMPLES
from decode_stream.decoders.scoring.intervals import LEAST_PICTURES, bootstrap_interval, picture_means
from decode_stream.decoders.scoring.likeness import Likeness, likeness, mean_likeness
from decode_stream.decoders.scoring.measured import Measured, Number
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .evaluation import Evaluation
from .measure_pictures import SINGLE

__all__ = ["measure_prior"]

_MOST_TRIALS = 2000


def measure_prior(evaluation: Evaluation, says: str) -> Measured:
    """Score the mapper alone, the mean of a trial's samples, and single ones."""
    bundle = evaluation.bundle
    if (part := bundle.prior) is None:
        raise UsageError(
            f"{bundle.manifest.name!r} has no prior to measure. Train one with: decode-stream train ... --target NAME "
            "--prior"
        )
    which, notes = evaluation.some(_MOST_TRIALS)
    truth = evaluation.truth[which]
    if len(np.unique(truth)) < LEAST_PICTURES:
        raise UsageError(
            f"prior needs trials of {LEAST_PICTURES} pictures at least, over which its intervals are; these show "
            f"{len(np.unique(truth))}."
        )
    decoded = np.asarray(evaluation.decoded.embeddings[which, -1], np.float32)
    seeds = [evaluation.seed + int(place) for place in which]
    prior = Prior(part, evaluation.encoder.provider_name)
    drawn = prior.samples(decoded, seeds, N_SAMPLES) - part.center
    pictures = bundle.gallery - part.center
    found = {
        "mapper alone": likeness(decoded - part.decoded_center, truth, pictures),
        f"mean of {N_SAMPLES} samples": likeness(drawn.mean(axis=1), truth, pictures),
        "single samples": mean_likeness(drawn, truth, pictures),
    }
    k = len(pictures)
    asked = (("cosine", "cosine", 0.0), ("two_way", "two-way", 0.5), ("found", f"top-1 of {k}", 1 / k))
    numbers = tuple(
        _number(f"{words}, {who}", getattr(scores, name), truth, chance, evaluation.seed)
        for name, words, chance in asked
        for who, scores in found.items()
    )
    return Measured(
        "prior",
        says,
        k,
        SINGLE,
        0.0,
        len(truth),
        "bootstrap over pictures",
        numbers,
        notes=(
            *notes,
            *([prior.lost] if prior.lost else []),
            _told(
                "spread over trials, that of the pictures being 1", "spread", found, truth, evaluation.seed
            ),
            _told(
                "distance to the nearest picture, that between pictures being 1",
                "nearest",
                found,
                truth,
                evaluation.seed,
            ),
            f"samples in {part.n_steps} step{'s' if part.n_steps > 1 else ''}; cosines are without what all pictures "
            "of the training share; retrieval in a session keeps the mapper's own embedding",
        ),
        details={"n_samples": N_SAMPLES, "means": {who: scores.means() for who, scores in found.items()}},
    )


def _number(name: str, values: FloatArray, pictures: IntArray, chance: float, seed: int) -> Number:
    low, high = bootstrap_interval(picture_means(values, pictures, seed=seed))
    return Number(name, float(values.mean()), low, high, chance, len(values))


def _told(words: str, name: str, found: dict[str, Likeness], pictures: IntArray, seed: int) -> str:
    """Return a score that knows no chance, in words."""
    parts = []
    for who, scores in found.items():
        number = _number(who, getattr(scores, name), pictures, np.nan, seed)
        parts.append(f"{who} {number.value:.3f} (95 % {number.low:.3f} to {number.high:.3f})")
    return f"{words}: {', '.join(parts)}"
