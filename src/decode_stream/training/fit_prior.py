"""Fits the prior of a bundle for `train`, on top of a mapper that was fitted without some concepts; needs torch."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from decode_stream.decoders.encoders.diffusion_prior import DiffusionPrior, FewStepPrior, PriorConfig
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.hold_out import Fitted
from decode_stream.decoders.manifest import EmbeddingSpace, PriorTraining
from decode_stream.decoders.prior import Prior
from decode_stream.decoders.prior_pairs import decoded_whole, out_of_fold, picture_folds
from decode_stream.decoders.prior_part import N_SAMPLES, PriorPart
from decode_stream.decoders.recipe import Fit
from decode_stream.decoders.scoring.likeness import likeness, mean_likeness
from decode_stream.decoders.training.prior_fit import distil_prior, fit_prior
from decode_stream.decoders.training.prior_sampling import sample
from decode_stream.decoders.training.prior_settings import Pairs, PriorSettings
from decode_stream.export.prior import export_prior
from decode_stream.stream.errors import RecordingError, UsageError

__all__ = ["SETTINGS", "fit_bundle_prior", "prior_config"]

#: How teacher and student are trained.
SETTINGS = PriorSettings()
#: One of so many parts of the concepts chooses the epoch.
_CHOOSING = 10
#: Numbers that a token may have; of a wider one the network would have billions of weights.
_WIDEST_TOKEN = 4096


def fit_bundle_prior(
    fitted: Fitted, fit: Fit, options: FitOptions, *, n_steps: int, n_folds: int
) -> tuple[PriorPart, PriorTraining]:
    """Fit a prior on decoded embeddings of the training trials, distil it, and score it on what was held out.

    What it learns from is decoded as `out_of_fold` says. A tenth of the concepts chooses the epochs of teacher and
    student. Both are scored on the trials that were held out from all of it, decoded by the bundle's own mapper.

    Parameters
    ----------
    fitted : Fitted
        With concepts held out.
    fit : callable
        What fitted it.
    options : FitOptions
        With which it did.
    n_steps : int
        Of the student: 1 or 2.
    n_folds : int
        Parts of the concepts, each decoded by a mapper that saw the others.

    Returns
    -------
    PriorPart
    PriorTraining

    Raises
    ------
    DecodeStreamError
        If there are too few concepts, or a training fails.
    """
    learnt, validation = fitted.learnt, fitted.validation
    if learnt is None or validation is None:
        raise ValueError("A prior is fitted on top of a mapper that was fitted without some concepts.")
    folds = picture_folds(learnt, n_folds, options.seed)
    choosing = picture_folds(learnt, _CHOOSING, options.seed + 1) == 0
    recipe = replace(fitted.recipe, gallery=learnt)
    pairs = out_of_fold(fitted.trials, recipe, fit, options, validation, folds)
    chosen_by = choosing[pairs.labels]
    if not 0 < chosen_by.sum() < len(chosen_by):
        raise RecordingError(
            f"{len(chosen_by)} trials are too few to train a prior on and to choose its epoch by. Give more "
            "recordings, or leave out --prior."
        )
    few, teacher, agreement = _fit(pairs, chosen_by, learnt.space, options, n_steps)
    held = Pairs(
        decoded_whole(fitted.trained, validation.trials.windows, np.arange(len(validation.trials.labels))),
        validation.trials.labels,
        validation.embeddings,
    )
    model = export_prior(few.to("cpu"), held.decoded)
    part = PriorPart(
        model, n_steps, teacher.center.cpu().numpy().copy(), teacher.condition_center.cpu().numpy().copy()
    )
    scores = _scores(part, teacher.to("cpu"), held) | {"agreement": agreement}
    return part, PriorTraining(n_steps, int((~chosen_by).sum()), _sentence(n_folds, held), scores)


def prior_config(space: EmbeddingSpace) -> PriorConfig:
    """Return the sizes of the prior of an embedding space.

    Raises
    ------
    UsageError
        If its embeddings are neither a row of some thousand numbers nor a grid of tokens.
    """
    if len(space.shape) == 2:
        n_tokens, token_dim = space.shape
    elif len(space.shape) > 2:
        raise UsageError(
            f"--prior draws pooled embeddings or grids of tokens, and those of {space.model} {space.layer} are of "
            f"shape {space.shape}. Give another --target, or leave out --prior."
        )
    else:
        n_tokens, token_dim = 1, space.dimension
    if token_dim > _WIDEST_TOKEN:
        raise UsageError(
            f"--prior draws embeddings of at most {_WIDEST_TOKEN} numbers, or tokens of as many, and those of "
            f"{space.model} {space.layer} have {token_dim}. Give another --target, or leave out --prior."
        )
    return PriorConfig(token_dim, n_tokens)


def _fit(
    pairs: Pairs,
    chosen_by: npt.NDArray[np.bool_],
    space: EmbeddingSpace,
    options: FitOptions,
    n_steps: int,
) -> tuple[FewStepPrior, DiffusionPrior, float]:
    """Return the student, the teacher, and how far they agree."""
    training, valid = pairs.where(~chosen_by), pairs.where(chosen_by)
    teacher = DiffusionPrior(prior_config(space), options.seed)
    teacher.to("cuda" if torch.cuda.is_available() else "cpu")
    options.report("fitting the prior")
    fit_prior(
        teacher,
        training,
        valid,
        settings=SETTINGS,
        seed=options.seed,
        checkpoint=options.of("prior").folder,
        progress=options.progress,
    )
    options.report(f"distilling the prior into {n_steps} step{'s' if n_steps > 1 else ''}")
    few, agreement = distil_prior(
        teacher,
        training,
        valid,
        n_steps,
        settings=SETTINGS,
        seed=options.seed,
        checkpoint=options.of("prior-student").folder,
        progress=options.progress,
    )
    return few, teacher.eval(), agreement


def _scores(part: PriorPart, teacher: DiffusionPrior, held: Pairs) -> dict[str, float]:
    """Return what mapper, teacher and the exported student reach on held-out trials."""
    n = len(held.labels)
    drawn = Prior(part).samples(held.decoded, range(n), N_SAMPLES)
    repeated = torch.tensor(np.repeat(held.decoded, N_SAMPLES, axis=0))
    noise = torch.randn(repeated.shape, generator=torch.Generator().manual_seed(0))
    taught = sample(teacher, repeated, noise).numpy().reshape(drawn.shape)
    pictures, center = held.embeddings - part.center, part.center
    found = {
        "mapper": likeness(held.decoded - part.decoded_center, held.labels, pictures),
        "teacher": mean_likeness(taught - center, held.labels, pictures),
        "single": mean_likeness(drawn - center, held.labels, pictures),
        "mean": likeness(drawn.mean(axis=1) - center, held.labels, pictures),
    }
    named = {
        f"{who}_{what}": value for who, scores in found.items() for what, value in scores.means().items()
    }
    return {"n": float(n), "n_pictures": float(len(np.unique(held.labels))), **named}


def _sentence(n_folds: int, held: Pairs) -> str:
    """Return what a prior was trained on and how its scores were obtained."""
    return (
        f"trained on single trials decoded by mappers that were fitted without their concept, {n_folds} parts in turn; "
        f"scored on trials of {len(held.embeddings)} pictures of held-out concepts, of which the mapper's own choices "
        f"may know; {N_SAMPLES} samples a trial"
    )
