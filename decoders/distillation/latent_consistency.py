"""Latent consistency distillation: a diffusion pipeline of many steps becomes a student of one to four.

S. Luo et al., Latent consistency models, 2023 (arXiv 2310.04378), and LCM-LoRA, 2023 (arXiv 2311.05556), after Y. Song
et al., Consistency models, ICML 2023. At two neighbouring times of the teacher's way the student shall say the same
clean latent; the teacher's step between them is one of DDIM, with its guidance baked in.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from decode_stream.decoders.training.checkpoint import (
    Identity,
    load_checkpoint,
    module_digest,
    save_checkpoint,
)
from decode_stream.decoders.training.history import FitHistory
from decode_stream.decoders.training.run import TrainingRun, out_of_memory_told, rate_schedule
from decode_stream.stream.errors import DecodeStreamError

from .conditioning import Conditioning, UnetArguments
from .consistency_settings import ConsistencySettings, TrainingRows
from .consistency_steps import ConsistencySchedule, pseudo_huber
from .students import Student, follow

__all__ = ["consistency_loss", "distil", "predicted"]

_OUT_OF_MEMORY = (
    "Try again with --batch-size {smaller} --accumulate {more}, which comes to the same; with --save-memory; with "
    "--method lora; or with a smaller --side-px."
)


class Told(Protocol):
    """Is told of a step: how many are done, of how many, and its loss."""

    def __call__(self, done: int, of: int, loss: float) -> None:
        """Take note of it."""
        ...


def predicted(unet: Any, latents: Tensor, time: Tensor, arguments: UnetArguments) -> Tensor:
    """Return the output of a U-Net, float32; without the variance that some give besides."""
    output: Tensor = unet(latents, time, **arguments, return_dict=False)[0]
    return output[:, : latents.shape[1]].float()


def consistency_loss(
    student: Student,
    schedule: ConsistencySchedule,
    condition: Conditioning,
    latents: Tensor,
    embeddings: Tensor,
    settings: ConsistencySettings,
) -> Tensor:
    """Return how far apart the student is at the two ends of a step of the teacher (LCM, equations 12 to 15).

    Parameters
    ----------
    latents : Tensor of shape (n, channels, height, width)
        Clean.
    embeddings : Tensor of shape (n, dimension)

    Returns
    -------
    Tensor
        With the gradient of the student that learns; times, noise and guidance are drawn by torch's own generator.
    """
    n, device = len(latents), latents.device
    time = schedule.times[torch.randint(len(schedule.times), (n,)).to(device)]
    noisy = schedule.noisy(latents, torch.randn(latents.shape).to(device), time)
    low, high = settings.guidance
    scales = low + (high - low) * torch.rand(n).to(device)
    with torch.no_grad():
        given = told = condition.given(embeddings)
        if student.takes_guidance and condition.guided is not None:
            told = {**given, **condition.guided(scales)}
        with student.teacher() as teacher:
            output = _guided(teacher, condition, noisy, time, given, scales, high)
        before = schedule.before(time)
        clean, noise = schedule.clean(output, noisy, time), schedule.noise_in(output, noisy, time)
        nearer = schedule.noisy(clean, noise, before)  # a step of DDIM
        with student.average() as average:
            wanted = _consistent(average, schedule, nearer, before, told)
    return pseudo_huber(
        _consistent(student.learner, schedule, noisy, time, told), wanted, settings.huber_width
    )


def _guided(
    teacher: Any,
    condition: Conditioning,
    noisy: Tensor,
    time: Tensor,
    given: UnetArguments,
    scales: Tensor,
    most: float,
) -> Tensor:
    """Return the teacher's output with guidance (Ho and Salimans 2022)."""
    output = predicted(teacher, noisy, time, given)
    if most <= 1:
        return output
    if condition.nothing is None:
        raise ValueError("Guidance needs the unconditional prediction.")
    without = predicted(teacher, noisy, time, condition.nothing(len(noisy)))
    # Clean latents and noise are linear in the output, so guiding it guides both.
    return without + scales.reshape(-1, 1, 1, 1) * (output - without)


def _consistent(
    unet: Any, schedule: ConsistencySchedule, latents: Tensor, time: Tensor, arguments: UnetArguments
) -> Tensor:
    clean = schedule.clean(predicted(unet, latents, time, arguments), latents, time)
    return schedule.bounded(clean, latents, time)


def distil(
    student: Student,
    schedule: ConsistencySchedule,
    condition: Conditioning,
    rows: TrainingRows,
    settings: ConsistencySettings,
    *,
    seed: int = 0,
    precision: torch.dtype = torch.float32,
    checkpoint: Path | None = None,
    trained_on: Identity | None = None,
    progress: Told | None = None,
    saved: Callable[[int], None] = lambda n_steps: None,
) -> FitHistory:
    """Train a student; what is to be kept of it is its moving average.

    Parameters
    ----------
    student : Student
    schedule : ConsistencySchedule
        On the student's device.
    condition : Conditioning
    rows : TrainingRows
    settings : ConsistencySettings
    seed : int
        Of order, noise, times and guidance.
    precision : torch.dtype
        In which the networks compute; what learns stays in float32.
    checkpoint : Path, optional
        Folder of this training alone, from which one that was stopped goes on to the same numbers.
    trained_on : mapping, optional
        What a training that goes on must agree in, beside settings and seed.
    progress : callable, optional
        Is told of every step.
    saved : callable, optional
        Is told after every checkpoint how many steps are done, as to draw samples. What it draws at random changes
        nothing here.

    Returns
    -------
    FitHistory
        A report for the steps between two checkpoints.

    Raises
    ------
    UsageError
        If a checkpoint is damaged or of another training.
    DecodeStreamError
        If the loss is no number, memory runs out, or the checkpoint cannot be written.
    """
    run = _begun(student, settings, precision)
    owner = {
        "settings": asdict(settings),
        "seed": seed,
        "precision": str(precision),
        "state at the beginning": module_digest(student.state),
        **(trained_on or {}),
    }
    device = run.device
    remedy = _OUT_OF_MEMORY.format(smaller=max(1, settings.batch_size // 2), more=2 * settings.accumulate)
    with _random(seed, device), out_of_memory_told(settings.batch_size, remedy):
        if checkpoint is not None:
            load_checkpoint(checkpoint, run, owner)
        while (done := len(run.reports) * settings.save_every) < settings.n_steps:
            losses = list[float]()
            for step in range(done + 1, min(done + settings.save_every, settings.n_steps) + 1):
                parts = _parts(student, schedule, condition, rows, settings, precision, device)
                losses.append(_step(run, parts, settings, step))
                follow(student.state, settings.average)
                if progress is not None:
                    progress(step, settings.n_steps, losses[-1])
            run.end_epoch(float(np.mean(losses)))
            if checkpoint is not None:
                save_checkpoint(checkpoint, run, owner)
            with _random(seed, device):
                saved(done + len(losses))
    return run.finish()


def _begun(student: Student, settings: ConsistencySettings, precision: torch.dtype) -> TrainingRun:
    learnt = [value for value in student.state.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(learnt, settings.learning_rate)
    n_rounds = -(-settings.n_steps // settings.save_every)
    schedule = rate_schedule(optimizer, "constant", n_rounds, settings.save_every)
    scaler = torch.amp.GradScaler(learnt[0].device.type) if precision == torch.float16 else None
    return TrainingRun(
        student.state, torch.nn.Module(), optimizer, schedule, n_epochs=n_rounds, scaler=scaler
    )


@contextmanager
def _random(seed: int, device: torch.device) -> Iterator[None]:
    """Begin random numbers at a seed within the block, and leave them after it as they were before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _parts(
    student: Student,
    schedule: ConsistencySchedule,
    condition: Conditioning,
    rows: TrainingRows,
    settings: ConsistencySettings,
    precision: torch.dtype,
    device: torch.device,
) -> Iterator[Tensor]:
    """Yield the loss of each part of a step, to be followed before the next is computed."""
    for _ in range(settings.accumulate):
        latents, embeddings = rows.drawn(settings.batch_size, device)
        mixed = nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)
        with mixed:
            loss = consistency_loss(student, schedule, condition, latents, embeddings, settings)
        yield loss / settings.accumulate


def _step(run: TrainingRun, parts: Iterator[Tensor], settings: ConsistencySettings, step: int) -> float:
    """Follow the gradient of the parts of a step, and return the loss."""
    total = 0.0
    run.optimizer.zero_grad()
    for part in parts:
        total += float(part.detach())
        if not math.isfinite(total):
            raise DecodeStreamError(_no_number(total, step, settings))
        run.backward(part)
    run.first_loss = total if run.first_loss is None else run.first_loss
    run.learning_rate = float(run.optimizer.param_groups[0]["lr"])
    run.advance(settings.most_norm)
    return total


def _no_number(loss: float, step: int, settings: ConsistencySettings) -> str:
    if step == 1:
        return (
            f"The loss is {loss:g} in step 1, before anything was learnt: the pipeline itself gives no numbers. Try "
            "--precision float32, and see that the pipeline draws pictures."
        )
    return (
        f"The loss is {loss:g} in step {step} of {settings.n_steps}, at a learning rate of "
        f"{settings.learning_rate:g}. Try again with --learning-rate {settings.learning_rate / 10:.1g}, or with "
        "--precision float32."
    )
