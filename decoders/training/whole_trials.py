"""Fit an encoder of whole trials on the embeddings of the pictures that were seen."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from decode_stream.decoders.calibration import calibrated_loss
from decode_stream.decoders.scoring.scores import hits
from decode_stream.stream.types import IntArray

from .augmentations import augment, truncate
from .batches import TrialArray, batches, plan_rows, read_rows, row_trials
from .checkpoint import load_checkpoint, save_checkpoint
from .embedding_losses import Mixture, draw_mixture
from .history import FitHistory, Progress
from .losses import similarities
from .objective import Objective, on_device
from .run import TrainingRun, out_of_memory_told, rate_schedule
from .whole_trial_data import TrainingTrials, ValidationTrials, check_trials, check_validation, identity
from .whole_trial_settings import WholeTrialSettings

__all__ = ["Trainable", "fit_whole_trials"]

#: Which parameters are trained, by name or by what names begin with.
Trainable: TypeAlias = Callable[[str], bool] | Sequence[str]


def fit_whole_trials(
    module: nn.Module,
    epochs: TrialArray,
    labels: IntArray,
    targets: TrialArray,
    *,
    subjects: IntArray | None = None,
    people: IntArray | None = None,
    choices: IntArray | None = None,
    text_targets: TrialArray | None = None,
    settings: WholeTrialSettings | None = None,
    valid: ValidationTrials | None = None,
    trainable: Trainable | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> FitHistory:
    """Fit a module so that a trial's embedding is that of its picture.

    Parameters
    ----------
    module : Module
        On the device where it is to be trained. ``forward(epoch, subject)`` returns embeddings. Where it has
        ``heads(epoch, subject)``, that gives ``clip-mse`` a head for either part; where it has
        ``project_targets(embeddings)``, that leads the targets into the space where they are compared.
    epochs : array-like of shape (n_trials, n_channels, n_times), float32
        Read a batch at a time, so a memory-mapped array will do.
    labels : array of shape (n_trials,), int64
        Row of `targets` of each trial's picture.
    targets : array-like of shape (n_pictures, dimension), float32
        With a structural head, its targets are the last columns. Trained against as they are: a loss says which side
        it normalises.
    subjects : array of shape (n_trials,), int64, optional
        Passed to the module.
    people : array of shape (n_trials,), int64, optional
        Whose trial each is, where the module is not to know: trials of two people are neither averaged nor mixed. By
        default `subjects` tell.
    choices : array of shape (n_pictures + 1,), int64, optional
        Where a picture has several targets, such as captions: picture i has the rows [choices[i], choices[i + 1]) of
        `targets`, of which every step draws one, and labels are pictures instead of rows.
    text_targets : array-like of shape (n_pictures, dimension), optional
        What a loss with a `text_weight` is for.
    settings : WholeTrialSettings, optional
    valid : ValidationTrials, optional
        Choose the epoch; without them the last is kept.
    trainable : callable or sequence of str, optional
        Parameters to train, by name or by what their names begin with; the rest stay as they are, and so do the
        statistics of their batch norms. By default all.
    checkpoint : Path, optional
        Folder of this training alone. It is written after every epoch, and a training that finds it there goes on from
        it: on the CPU to the same weights, to the bit.
    progress : callable, optional
        Is told of every epoch.

    Returns
    -------
    FitHistory
        The module has the weights of its `kept_epoch`.

    Raises
    ------
    UsageError
        If there are too few trials, validation without trials, or a checkpoint that is damaged or of another training.
    DecodeStreamError
        If the loss diverges, memory runs out, or the checkpoint cannot be written.
    ValueError
        If shapes and labels do not fit together.
    """
    settings = settings or WholeTrialSettings()
    data = TrainingTrials(epochs, labels, targets, subjects, text_targets, people, choices)
    check_trials(data, settings)
    check_validation(valid, len(targets), settings)
    device = next(module.parameters()).device
    with _frozen(module, trainable) as frozen, out_of_memory_told(settings.batch_size):
        owner = None if checkpoint is None else identity(module, data, settings, valid)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(settings.seed)
            fit = _Fit(
                module, data, settings, frozen, keep_best=settings.keep == "best" and valid is not None
            )
            if checkpoint is not None and owner is not None:
                load_checkpoint(checkpoint, fit.run, owner)
            while not fit.over():
                train_loss = fit.train_epoch()
                validated = {} if valid is None else fit.validate(valid)
                report = fit.run.end_epoch(train_loss, **validated)
                if checkpoint is not None and owner is not None:
                    save_checkpoint(checkpoint, fit.run, owner)
                if progress is not None:
                    progress(report)
    return fit.run.finish()


class _Fit:
    """A training under way: an epoch at a time, over the training trials and over those of validation."""

    def __init__(
        self,
        module: nn.Module,
        data: TrainingTrials,
        settings: WholeTrialSettings,
        frozen: Sequence[nn.Module],
        *,
        keep_best: bool,
    ) -> None:
        self.module, self.data, self.settings, self.frozen = module, data, settings, frozen
        self.device = next(module.parameters()).device
        self.generator = np.random.default_rng(settings.seed)
        self.objective = Objective(settings, data.targets, data.text_targets, self.device)
        n_rows = len(self._rows(None))
        optimizer, schedule = _optimizer(module, self.objective, settings, -(-n_rows // settings.batch_size))
        in_float16 = self.objective.dtype is torch.float16
        self.run = TrainingRun(
            module,
            self.objective,
            optimizer,
            schedule,
            n_epochs=settings.n_epochs,
            keep_best=keep_best,
            generator=self.generator,
            scaler=torch.amp.GradScaler(self.device.type) if in_float16 else None,
        )

    def over(self) -> bool:
        """Return whether all epochs are done, or the validation loss has stopped falling."""
        patience = self.settings.patience
        stale = patience is not None and self.run.stale_epochs() >= patience
        return stale or self.run.epoch > self.settings.n_epochs

    def train_epoch(self) -> float:
        """Go through all trials once; returns the mean loss."""
        data, settings = self.data, self.settings
        self.module.train()
        for part in self.frozen:
            part.eval()
        self.objective.train()
        if self.objective.begin_epoch(self.run.epoch, settings.n_epochs):
            self.run.first_loss = None
        rows = self._rows(self.generator)
        total = 0.0
        for batch in batches(rows, settings.batch_size):
            trials = row_trials(batch)
            epochs, mixture = self._drawn(on_device(read_rows(data.epochs, batch), self.device), trials)
            subject = None if data.subjects is None else on_device(data.subjects[trials], self.device)
            embeddings = self.objective.embed(self.module, epochs, subject)
            loss = self.objective(self.module, embeddings, self._targets_of(trials), mixture)
            self.run.step(loss)
            total += float(loss.detach()) * len(batch)
        return total / len(rows)

    def _rows(self, generator: np.random.Generator | None) -> IntArray:
        """Return the rows of an epoch, see `plan_rows`."""
        data, settings = self.data, self.settings
        one = settings.one_repeat
        return plan_rows(data.labels, data.whose, settings.average_repeats, generator, one_repeat=one)

    def _targets_of(self, trials: IntArray) -> IntArray:
        """Return the row of the targets of each trial; of pictures with several, one drawn for all their trials."""
        labels, choices = self.data.labels[trials], self.data.choices
        if choices is None:
            return labels
        pictures, places = np.unique(labels, return_inverse=True)
        drawn: IntArray = self.generator.integers(choices[pictures], choices[pictures + 1])[places]
        return drawn

    def _drawn(self, epochs: Tensor, trials: IntArray) -> tuple[Tensor, Mixture | None]:
        """Augment, mix and truncate trials: what has not happened yet is in no mixture either."""
        settings, mixture = self.settings, None
        epochs = augment(epochs, settings.augmentations, self.generator, trials=trials, seed=settings.seed)
        if self.objective.mixes:
            whose = np.zeros_like(trials) if self.data.whose is None else self.data.whose[trials]
            mixture = draw_mixture(whose, self.generator).to(self.device)
            epochs = mixture.of(epochs)
        if settings.truncate is not None:
            epochs = truncate(epochs, settings.truncate, self.generator)
        return epochs, mixture

    def validate(self, valid: ValidationTrials) -> dict[str, float]:
        """Return what is measured on validation trials, as `EpochReport` names it."""
        self.module.eval()
        self.objective.eval()
        rows = plan_rows(valid.labels, valid.subjects, valid.average_repeats, None)
        # The same in every epoch, so that epochs compare; in an order where no batch holds the repeats of few pictures.
        generator = np.random.default_rng(0)
        rows = generator.permutation(rows)
        pictures, truth = np.unique(valid.labels[row_trials(rows)], return_inverse=True)
        parts = []
        with torch.inference_mode():
            for batch in batches(rows, self.settings.batch_size):
                trials = row_trials(batch)
                subject = None if valid.subjects is None else on_device(valid.subjects[trials], self.device)
                epochs = on_device(read_rows(valid.epochs, batch), self.device)
                if self.settings.truncate is not None:
                    epochs = truncate(epochs, self.settings.truncate, generator)
                embeddings = self.objective.embed(self.module, epochs, subject)
                parts.append(self.objective.semantic_part(embeddings[0]))
            gallery = self.objective.semantic_targets(self.module, pictures)
            ranked = similarities(torch.cat(parts), gallery, self.settings.norm).cpu().numpy()
        return {
            "valid_loss": calibrated_loss(ranked, truth),
            "valid_top1": float(hits(ranked, truth).mean()),
            "valid_top5": float(hits(ranked, truth, 5).mean()),
            "n_pictures": len(pictures),
        }


def _optimizer(
    module: nn.Module, objective: Objective, settings: WholeTrialSettings, n_steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    # The bias of a person's own layer decays as all of its ridge does: it is called people_bias.
    biases = [] if settings.biases_decay else [p for name, p in named if name.endswith(".bias")]
    still = {id(p) for p in biases}
    # Decay would pull a temperature towards a value that nobody chose.
    kept = biases + [p for p in objective.parameters() if p.requires_grad]
    groups = [{"params": [p for _, p in named if id(p) not in still]}]
    if kept:
        groups.append({"params": kept, "weight_decay": 0.0})  # type: ignore[dict-item]
    rate, rise = settings.learning_rate, settings.rise
    if settings.rise_epochs is not None:
        rise = min(rise, settings.rise_epochs / settings.n_epochs)
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=settings.betas, weight_decay=settings.weight_decay)
    schedule = rate_schedule(
        optimizer,
        settings.schedule,
        settings.n_epochs,
        n_steps,
        rise=rise,
        final_divisor=settings.final_divisor,
        step_epochs=settings.step_epochs,
        step_factor=settings.step_factor,
    )
    return optimizer, schedule


@contextmanager
def _frozen(module: nn.Module, trainable: Trainable | None) -> Iterator[list[nn.Module]]:
    """Freeze what is not to be trained for a while; gives the batch norms whose statistics must not move."""
    names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    if trainable is None:
        chosen = set(names)
    elif callable(trainable):
        chosen = {name for name in names if trainable(name)}
    else:
        chosen = {name for name in names if name.startswith(tuple(trainable))}
    if not chosen:
        raise ValueError(f"None of the parameters is chosen to be trained; there are {', '.join(names)}.")
    parameters = dict(module.named_parameters())
    rest = [parameters[name] for name in names if name not in chosen]
    for parameter in rest:
        parameter.requires_grad_(False)
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    try:
        yield [part for part in norms if rest and not any(p.requires_grad for p in part.parameters())]
    finally:
        for parameter in rest:
            parameter.requires_grad_()
