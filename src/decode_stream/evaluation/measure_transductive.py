"""Numbers that use the whole test set: made only when asked for, and labelled."""

import numpy as np

from decode_stream.decoders.decoded import similarity_rows, unit_rows
from decode_stream.decoders.scoring.identification import k_way
from decode_stream.decoders.scoring.measured import Measured
from decode_stream.decoders.scoring.transductive import assigned, standardised
from decode_stream.stream.errors import UsageError

from .evaluation import Evaluation
from .measure_pictures import SINGLE, scored
from .showings import gives_likelihoods

__all__ = ["measure_assigned", "measure_standardised"]


def measure_standardised(evaluation: Evaluation, says: str) -> Measured:
    """Score picks after each dimension of the predictions was z-scored over the test set."""
    bundle, scores = evaluation.bundle, evaluation.scores
    if gives_likelihoods(bundle):
        raise UsageError(
            f"standardise z-scores decoded embeddings, and those of {bundle.manifest.name!r} are terms of a "
            "log-likelihood, each in a unit of its own. Leave it out."
        )
    told = standardised(evaluation.decoded.trial_embeddings(), unit_rows(bundle.gallery, bundle.norm))
    fits = similarity_rows(told, bundle.gallery, bundle.norm)
    k = scores.n_entries
    numbers = [scored(f"top-1 of {k}", k_way(fits, evaluation.truth, k), 1 / k, scores)]
    if k > 5:
        numbers.append(scored(f"top-5 of {k}", k_way(fits, evaluation.truth, k, 5), 5 / k, scores))
    return Measured(
        "standardise",
        says,
        k,
        SINGLE,
        1 / k,
        scores.n,
        scores.interval_name,
        tuple(numbers),
        transductive="mean and spread of all predictions of the test set",
    )


def measure_assigned(evaluation: Evaluation, says: str) -> Measured:
    """Score picks when no picture may be picked twice."""
    scores, k = evaluation.scores, evaluation.scores.n_entries
    right = assigned(scores.log_evidence(), evaluation.truth)
    counts = np.bincount(evaluation.truth, minlength=k)
    return Measured(
        "assign",
        says,
        k,
        SINGLE,
        1 / k,
        scores.n,
        scores.interval_name,
        (scored(f"top-1 of {k}", right, 1 / k, scores),),
        notes=(f"pictures were shown {counts.min()} to {counts.max()} times",),
        transductive="all trials of the test set are decided together, each picture once",
    )
