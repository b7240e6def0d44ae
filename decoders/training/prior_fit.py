"""Fit a diffusion prior on pairs of decoded and pictures' embeddings, and distil it into one or two steps."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from decode_stream.decoders.encoders.diffusion_prior import DiffusionPrior, FewStepPrior

from .checkpoint import array_digest
from .history import FitHistory, Progress
from .prior_loop import BatchLoss, train_prior
from .prior_sampling import N_STEPS, at_once, clean_from
from .prior_settings import Pairs, PriorSettings
from .prior_start import fit_linear_gaussian

__all__ = ["distil_prior", "fit_prior"]

#: Times and noises that each validation pair is predicted from, the same in every epoch.
_VALID_DRAWS = 4
#: Of few pairs there are more, so that chance chooses less.
_VALID_ROWS = 1024
#: Conditions that the teacher leads in an epoch at most: a way takes it many steps.
_MOST_WAYS = 2048

#: Of the spread of the teacher's samples of one trial: a student with less error than that is done.
_ENOUGH = 1e-3


def fit_prior(
    prior: DiffusionPrior,
    pairs: Pairs,
    valid: Pairs,
    *,
    settings: PriorSettings | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> FitHistory:
    """Fit a prior: it learns to clean noisy embeddings of pictures, told what was decoded (Ho et al. 2020; MindEye).

    The loss is the squared error of the clean embedding, at times drawn evenly.

    Parameters
    ----------
    prior : DiffusionPrior
        On the device where it is to be trained. It gets the moving average of its weights.
    pairs, valid : Pairs
        To train on, and of other pictures to choose the epoch by.
    seed : int
        Of noise, times and order.
    checkpoint : Path, optional
        Folder of this training alone, from which one that was stopped goes on.
    progress : callable, optional
        Is told of every epoch.

    Returns
    -------
    FitHistory

    Raises
    ------
    UsageError
        If a checkpoint is damaged or of another training.
    DecodeStreamError
        If the loss diverges, memory runs out, or the checkpoint cannot be written.
    ValueError
        If the pairs are not of the prior's dimension.
    """
    device = prior.center.device
    decoded, embeddings = _shown(pairs, prior, device)
    prior.set_scaling(decoded, embeddings)
    condition, clean = prior.condition(decoded), prior.standardised(embeddings)
    held_decoded, held_embeddings = _shown(valid, prior, device)
    held_condition, held_clean = prior.condition(held_decoded), prior.standardised(held_embeddings)
    if prior.config.has_linear:
        given = (condition, clean, held_condition, held_clean)
        start = fit_linear_gaussian(*(rows.cpu().numpy() for rows in given))
        prior.set_linear(*(torch.from_numpy(part) for part in (start.weight, start.basis, start.variances)))
    held_noise, held_times = _valid_draws(prior, len(valid.labels))
    n_times, drop = prior.config.n_timesteps, prior.config.condition_drop

    def noisy(rows: Tensor, time: Tensor, noise: Tensor) -> Tensor:
        return prior.signal[time, None] * rows + prior.noise[time, None] * noise

    def loss(rows: Tensor) -> Tensor:
        time = torch.randint(n_times, (len(rows),)).to(device)
        noise, hidden = torch.randn(len(rows), clean.shape[1]), torch.rand(len(rows)) < drop
        given = noisy(clean[rows], time, noise.to(device))
        return mse_loss(prior(given, time, condition[rows], hidden.to(device)), clean[rows])

    def validated(average: DiffusionPrior) -> float:
        errors = [
            float(mse_loss(average(noisy(held_clean, time, noise), time, held_condition), held_clean))
            for time, noise in zip(held_times, held_noise, strict=True)
        ]
        return float(np.mean(errors))

    return train_prior(
        prior,
        len(pairs.labels),
        lambda: loss,
        validated,
        settings or PriorSettings(),
        seed,
        checkpoint,
        {"trained on": _digest(pairs), "validated on": _digest(valid)},
        progress,
    )


def distil_prior(
    teacher: DiffusionPrior,
    pairs: Pairs,
    valid: Pairs,
    n_steps: int,
    *,
    settings: PriorSettings | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> tuple[FewStepPrior, float]:
    """Distil a prior into one that gives in one or two steps the samples that it gives in many.

    The student learns by regression where the way of the teacher ends that begins at a noise (Luhman and Luhman 2021,
    arXiv 2101.02388), at the time of each of its steps, which makes it a consistency function there (Song et al. 2023).
    The teacher's ways are drawn anew in every epoch. No picture is looked at.

    Parameters
    ----------
    teacher : DiffusionPrior
        Fitted; left as it is.
    pairs, valid : Pairs
        Whose decoded embeddings are the conditions; of `valid` the epoch is chosen by.
    n_steps : int
        1 or 2.

    Returns
    -------
    FewStepPrior
    float
        Share of the variance of the teacher's samples of one held-out trial that the student gives from the same noise;
        of two steps the lesser share.

    Raises
    ------
    DecodeStreamError
        As `fit_prior` does.
    ValueError
        If there are other than 1 or 2 steps.
    """
    device = teacher.center.device
    student = deepcopy(teacher)
    student.distilled = True
    few = FewStepPrior(student, n_steps)
    teacher.eval()
    condition = teacher.condition(_shown(pairs, teacher, device)[0])
    held_condition = teacher.condition(_shown(valid, teacher, device)[0])
    held_generator = torch.Generator().manual_seed(0)
    held = [_ways(teacher, held_condition, few.times, held_generator) for _ in range(_VALID_DRAWS)]

    n_ways = min(len(condition), _MOST_WAYS)

    def new_ways() -> BatchLoss:
        given = condition[torch.randperm(len(condition))[:n_ways].to(device)]
        ways = _ways(teacher, given, few.times)

        def loss(rows: Tensor) -> Tensor:
            errors = [
                mse_loss(_jump(student, begin[rows], at, given[rows]), end[rows]) for at, begin, end in ways
            ]
            return torch.stack(errors).mean()

        return loss

    def errors(average: DiffusionPrior) -> list[float]:
        return [
            float(
                np.mean(
                    [float(mse_loss(_jump(average, w[k][1], w[k][0], held_condition), w[k][2])) for w in held]
                )
            )
            for k in range(n_steps)
        ]

    spreads = [float(torch.stack([w[k][2] for w in held]).var(dim=0).mean()) for k in range(n_steps)]
    train_prior(
        student,
        n_ways,
        new_ways,
        lambda average: float(np.mean(errors(average))),
        settings or PriorSettings(),
        seed,
        checkpoint,
        {"steps": n_steps, "trained on": _digest(pairs), "validated on": _digest(valid)},
        progress,
        enough=_ENOUGH * float(np.mean(spreads)),
    )
    with torch.no_grad():
        told = [
            1 - error / max(spread, 1e-12) for error, spread in zip(errors(student), spreads, strict=True)
        ]
    return few.eval(), min(told)


def _ways(
    teacher: DiffusionPrior,
    condition: Tensor,
    times: tuple[int, ...],
    generator: torch.Generator | None = None,
) -> list[tuple[int, Tensor, Tensor]]:
    """Return a way of the teacher for each condition and step: the time, where it begins and where it ends."""
    ways, end = list[tuple[int, Tensor, Tensor]](), torch.zeros_like(condition)
    with torch.no_grad():
        for at in times:
            begin = torch.randn(condition.shape, generator=generator).to(condition.device)
            if ways:
                begin = teacher.signal[at] * end + teacher.noise[at] * begin
            n = at_once(teacher)
            parts = zip(torch.split(begin, n), torch.split(condition, n), strict=True)
            end = torch.cat([clean_from(teacher, some, at, given, n_steps=N_STEPS) for some, given in parts])
            ways.append((at, begin, end))
    return ways


def _jump(prior: DiffusionPrior, begin: Tensor, time: int, condition: Tensor) -> Tensor:
    clean: Tensor = prior(begin, torch.full((len(begin),), time, device=begin.device), condition)
    return clean


def _shown(pairs: Pairs, prior: DiffusionPrior, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return decoded embeddings and those of the pictures shown, a row each trial."""
    if pairs.embeddings.shape[1] != prior.config.dimension:
        raise ValueError(
            f"The prior is of {prior.config.dimension} numbers; got {pairs.embeddings.shape[1]}."
        )
    decoded = torch.tensor(pairs.decoded, dtype=torch.float32, device=device)
    return decoded, torch.tensor(pairs.embeddings[pairs.labels], dtype=torch.float32, device=device)


def _valid_draws(prior: DiffusionPrior, n: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return noises and times for validation pairs, the same whenever they are drawn; every time comes as often."""
    generator, device = torch.Generator().manual_seed(0), prior.center.device
    n_draws = max(_VALID_DRAWS, -(-_VALID_ROWS // n))
    order = torch.randperm(n * n_draws, generator=generator)
    times = (order * prior.config.n_timesteps // len(order)).reshape(n_draws, n)
    noises = [torch.randn(n, prior.config.dimension, generator=generator) for _ in range(n_draws)]
    return [noise.to(device) for noise in noises], [time.to(device) for time in times]


def _digest(pairs: Pairs) -> str:
    return array_digest(pairs.decoded, pairs.labels, pairs.embeddings)
