"""The training that a diffusion prior and its student have in common."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from decode_stream.decoders.encoders.diffusion_prior import DiffusionPrior

from .batches import batches
from .checkpoint import Identity, load_checkpoint, module_digest, save_checkpoint
from .history import FitHistory, Progress
from .prior_settings import PriorSettings
from .run import TrainingRun, out_of_memory_told, rate_schedule

__all__ = ["BatchLoss", "train_prior"]

_DIVERGED = (
    "This is the training of --prior, whose learning rate is its own: give more recordings, or leave it out."
)
_OUT_OF_MEMORY = (
    "This is the training of --prior, which has batches of its own: take a machine with more memory or a --target of "
    "fewer numbers, or leave out --prior."
)
#: Takes the rows of a batch and returns its loss.
BatchLoss: TypeAlias = Callable[[Tensor], Tensor]


def train_prior(
    prior: DiffusionPrior,
    n_rows: int,
    begin_epoch: Callable[[], BatchLoss],
    validated: Callable[[DiffusionPrior], float],
    settings: PriorSettings,
    seed: int,
    checkpoint: Path | None,
    trained_on: Identity,
    progress: Progress | None,
    *,
    enough: float = 0.0,
) -> FitHistory:
    """Train a prior and give it the moving average of its weights, at the epoch with the lowest validation loss.

    Where no epoch is better than the beginning, as with few trials, it stays as it began; the kept epoch is then 0.

    Parameters
    ----------
    prior : DiffusionPrior
    n_rows : int
        Of an epoch.
    begin_epoch : callable
        Returns what takes the rows of a batch and returns its loss.
    validated : callable
        Takes a prior and returns its validation loss.
    settings : PriorSettings
    seed : int
    checkpoint : Path or None
        Folder of this training alone.
    trained_on : mapping
        What a training that goes on from the checkpoint must agree in, beside settings, sizes and weights.
    progress : callable or None
        Is told of every epoch.
    enough : float
        The training is done when the validation loss is no more than this.

    Returns
    -------
    FitHistory

    Raises
    ------
    DecodeStreamError
        As `fit_prior` does.
    """
    device = prior.center.device
    owner = {
        "settings": asdict(settings),
        "config": asdict(prior.config),
        "seed": seed,
        "weights at the beginning": module_digest(prior),
        **trained_on,
    }
    begun = {name: value.clone() for name, value in prior.state_dict().items()}
    with torch.no_grad():
        begun_loss = validated(prior.eval())
    average = AveragedModel(prior, avg_fn=_moving(settings.average))
    averaged = average.module
    assert isinstance(averaged, DiffusionPrior)
    both = nn.ModuleDict({"prior": prior, "average": average})
    optimizer = torch.optim.AdamW(
        prior.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    n_batches = -(-n_rows // settings.batch_size)
    schedule = rate_schedule(optimizer, settings.schedule, settings.n_epochs, n_batches)
    n_epochs = settings.n_epochs
    run = TrainingRun(
        both, nn.Module(), optimizer, schedule, n_epochs=n_epochs, keep_best=True, remedy=_DIVERGED
    )
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), out_of_memory_told(settings.batch_size, _OUT_OF_MEMORY):
        torch.manual_seed(seed)
        if checkpoint is not None:
            load_checkpoint(checkpoint, run, owner)
        best = min((begun_loss, *(r.valid_loss for r in run.reports if r.valid_loss is not None)))
        while run.epoch <= settings.n_epochs and run.stale_epochs() < settings.patience and best > enough:
            both.train()
            loss_of, total = begin_epoch(), 0.0
            for rows in batches(torch.randperm(n_rows).numpy(), settings.batch_size):
                loss = loss_of(torch.from_numpy(rows).to(device))
                run.step(loss)
                average.update_parameters(prior)
                total += float(loss.detach()) * len(rows)
            both.eval()
            with torch.no_grad():
                valid_loss = validated(averaged)
            report, best = run.end_epoch(total / n_rows, valid_loss=valid_loss), min(best, valid_loss)
            if checkpoint is not None:
                save_checkpoint(checkpoint, run, owner)
            if progress is not None:
                progress(report)
        history = run.finish()
    if best >= begun_loss:
        prior.load_state_dict(begun)
        return replace(history, kept_epoch=0)
    prior.load_state_dict(averaged.state_dict())
    return history


def _moving(most: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Return what keeps a moving average; the first steps, of which there are few, hardly count."""

    def moved(average: Tensor, value: Tensor, n_steps: Tensor | int) -> Tensor:
        n = float(n_steps)
        return average.lerp(value, 1 - min(most, (1 + n) / (10 + n)))

    return moved
