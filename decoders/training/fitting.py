"""Fit an encoder on the windows of whole trials."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from decode_stream.decoders.encoders.channel_attention import ChannelAttention
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .batches import TrialArray
from .checkpoint import Identity, array_digest, load_checkpoint, module_digest, save_checkpoint
from .history import FitHistory, Progress
from .loss_spec import LossSpec
from .losses import TrialLoss
from .run import TrainingRun, out_of_memory_told, rate_schedule
from .schedules import Schedule
from .window_batch import WindowBatch, batch_losses
from .window_losses import PairedTrialLoss

__all__ = ["FitSettings", "embed_trials", "fit"]


@dataclass(frozen=True)
class FitSettings:
    """How an encoder is fitted; the defaults were chosen on single-subject EEG of a few hundred trials.

    Attributes
    ----------
    n_epochs, batch_size : int
        Passes over the trials, and trials a step.
    learning_rate : float
        The highest.
    schedule : Schedule
        How it changes, see `decode_stream.decoders.training.run.rate_schedule`.
    loss : LossSpec or None
        Of embeddings, see `PairedTrialLoss`; None for that of the evidence, `TrialLoss`.
    weight_decay : float
        Decoupled decay of the attention path.
    prior_std : float
        Standard deviation of the Gaussian prior on the linear path's weights: small is smooth and cautious.
    unknown_rate : float
        Fraction of windows whose latency is hidden, so that free-running windows can be decoded.
    attend_every : int
        Of so many windows of a trial, one takes the attention path in an epoch. Windows of 100 ms every 25 ms overlap
        by three quarters, so that the others would say little more, in three times the time.
    window_weight : float
        Weight of the single windows' loss beside the whole trial's.
    keep_best : bool
        Keep the weights of the epoch with the lowest validation loss instead of the last.
    """

    n_epochs: int = 30
    batch_size: int = 96
    learning_rate: float = 3e-3
    schedule: Schedule = "one-cycle"
    loss: LossSpec | None = None
    weight_decay: float = 1.0
    prior_std: float = 0.02
    unknown_rate: float = 0.15
    attend_every: int = 3
    window_weight: float = 0.3
    keep_best: bool = False

    def __post_init__(self) -> None:
        # Of batches of two, one could hold a single trial, which has nothing to be told from.
        if self.batch_size < 3:
            raise UsageError(f"batch_size is 3 or more; got {self.batch_size}. Give a larger --batch-size.")


def embed_trials(
    module: ChannelAttention, windows: TrialArray, *, known: bool = True, batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """Return the embeddings of every window of trials.

    Parameters
    ----------
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
    known : bool
        Whether the encoder is told the latencies, or decodes as in a free-running session.

    Returns
    -------
    array of shape (n_trials, n_latencies, embedding_dim), float32
    """
    device = module.cosines.device
    was_training = module.training
    module.eval()
    parts = [np.empty((0, windows.shape[1], module.config.embedding_dim), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(windows), batch_size):
            batch = torch.tensor(windows[start : start + batch_size], dtype=torch.float32, device=device)
            hidden = torch.full(batch.shape[:2], not known, device=device)
            parts.append(module.of_trials(batch, hidden).cpu().numpy())
    module.train(was_training)
    return np.concatenate(parts)


def fit(
    module: ChannelAttention,
    windows: TrialArray,
    labels: IntArray,
    gallery: FloatArray,
    *,
    norm: str = "none",
    structure: FloatArray | None = None,
    valid: tuple[TrialArray, IntArray] | None = None,
    subjects: IntArray | None = None,
    seed: int = 0,
    settings: FitSettings | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> FitHistory:
    """Fit an encoder in place, so that the evidence of a trial's windows adds up to the right gallery entry.

    The loss is contrastive, on the similarities summed over each trial's windows as they are in a session,
    and to a smaller part on single windows. A gallery of up to 256 entries is contrasted as a whole; of a
    larger one, the entries of the batch (symmetric InfoNCE).

    Parameters
    ----------
    module : ChannelAttention
        On the device where it is to be trained.
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
        Indexed batch by batch, so a memory-mapped array or a strided view will do.
    labels : array of shape (n_trials,), int64
        Gallery entry of each trial.
    gallery : array of shape (n_entries, embedding_dim), float32
    norm : {"unit", "none"}
        Rule of similarity, as in the bundle.
    structure : array of shape (n_entries, structure_dim), float32, optional
        What a second head is to give of each entry: the last dimensions of the embedding, regressed from every window.
    valid : tuple of (windows, labels), optional
        Trials of a run left out; their loss is recorded, and chooses the epoch if `settings.keep_best`.
    subjects : array of shape (n_trials,), int64, optional
        Whose trial each is, and whose token to use where there are tokens. One trial in ten trains the token of an
        unknown subject instead.
    seed : int
        Seed of the order of trials, the hidden latencies and dropout.
    checkpoint : Path, optional
        Folder of this training alone, as in `fit_whole_trials`.
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
        If there are no trials, or shapes and labels do not fit the encoder and the gallery.
    """
    settings = settings or FitSettings()
    _check(module, windows, labels, gallery, structure)
    device = module.cosines.device
    entries = torch.tensor(gallery, dtype=torch.float32, device=device)
    criterion: TrialLoss | PairedTrialLoss = (
        TrialLoss(entries, norm, windows.shape[1])
        if settings.loss is None
        else PairedTrialLoss(settings.loss, entries)
    ).to(device)
    layouts = None if structure is None else torch.tensor(structure, dtype=torch.float32, device=device)
    n_steps = math.ceil(len(windows) / settings.batch_size)
    optimizer, schedule = _optimizer(module, criterion, settings, n_steps)
    run = TrainingRun(
        module,
        criterion,
        optimizer,
        schedule,
        n_epochs=settings.n_epochs,
        keep_best=settings.keep_best,
        generator=None if settings.loss is None else np.random.default_rng(seed),
    )
    owner: Identity | None = None
    if checkpoint is not None:
        owner = {
            "settings": asdict(settings),
            "norm": norm,
            "seed": seed,
            "module": type(module).__name__,
            "weights at the beginning": module_digest(module),
            "trials": array_digest(windows, labels, subjects),
            "gallery": array_digest(gallery, structure),
            "validation trials": None if valid is None else array_digest(*valid),
        }
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), out_of_memory_told(settings.batch_size):
        torch.manual_seed(seed)
        if checkpoint is not None and owner is not None:
            load_checkpoint(checkpoint, run, owner)
        while run.epoch <= settings.n_epochs:
            module.train()
            criterion.train()
            if isinstance(criterion, PairedTrialLoss):
                criterion.begin_epoch(run.epoch, settings.n_epochs)
                run.first_loss = None if criterion.begins else run.first_loss
            order = np.asarray(torch.randperm(len(windows)))
            total = 0.0
            for index in (order[i::n_steps] for i in range(n_steps)):
                batch = WindowBatch.take(
                    windows,
                    labels,
                    subjects,
                    index,
                    module,
                    settings.unknown_rate,
                    settings.attend_every,
                )
                trial_loss, window_loss = batch_losses(module, criterion, batch, layouts, run.generator)
                prior = module.linear.weight.square().sum() / (2 * settings.prior_std**2 * len(windows))
                run.step(trial_loss + settings.window_weight * window_loss + prior)
                total += float(trial_loss.detach()) * len(index)
            valid_loss = None if valid is None else _validate(module, criterion, *valid)
            report = run.end_epoch(total / len(windows), valid_loss=valid_loss)
            if checkpoint is not None and owner is not None:
                save_checkpoint(checkpoint, run, owner)
            if progress is not None:
                progress(report)
    return run.finish()


def _check(
    module: ChannelAttention,
    windows: TrialArray,
    labels: IntArray,
    gallery: FloatArray,
    structure: FloatArray | None,
) -> None:
    config = module.config
    expected = (len(labels), config.n_latencies, config.n_channels, config.n_times)
    if windows.shape != expected or not len(labels):
        raise ValueError(f"Trials must have windows of shape {expected}; got {windows.shape}.")
    dimension = config.embedding_dim - (0 if structure is None else structure.shape[1])
    if gallery.shape != (len(gallery), dimension):
        raise ValueError(f"Gallery entries have {dimension} dimensions; got {gallery.shape}.")
    if structure is not None and len(structure) != len(gallery):
        raise ValueError(f"{len(gallery)} entries need a structure each; got {len(structure)}.")
    if labels.min() < 0 or labels.max() >= len(gallery):
        raise ValueError(f"Labels are rows of the gallery, 0 to {len(gallery) - 1}.")


def _optimizer(
    module: ChannelAttention, criterion: TrialLoss | PairedTrialLoss, settings: FitSettings, n_steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    # The linear path has its own prior; decay would count it twice.
    free = [*module.linear.parameters(), *criterion.parameters()]
    rest = [p for name, p in module.named_parameters() if not name.startswith("linear.")]
    groups = [{"params": free, "weight_decay": 0.0}, {"params": rest, "weight_decay": settings.weight_decay}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))
    return optimizer, rate_schedule(optimizer, settings.schedule, settings.n_epochs, n_steps)


def _validate(
    module: ChannelAttention,
    criterion: TrialLoss | PairedTrialLoss,
    windows: TrialArray,
    labels: IntArray,
) -> float:
    """Return the mean loss of trials, latencies known."""
    device = module.cosines.device
    criterion.eval()
    embeddings = torch.tensor(embed_trials(module, windows), device=device)
    with torch.inference_mode():
        semantic = embeddings[..., : criterion.gallery.shape[1]]
        return float(criterion.held_out(semantic, torch.tensor(labels, dtype=torch.int64, device=device)))
