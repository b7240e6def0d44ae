from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler
from torch import Tensor, nn

from decode_stream.decoders.distillation.conditioning import Conditioning, UnetArguments
from decode_stream.decoders.distillation.consistency_drawing import student_latents, teacher_latents
from decode_stream.decoders.distillation.consistency_settings import ConsistencySettings, TrainingRows
from decode_stream.decoders.distillation.consistency_steps import consistency_schedule
from decode_stream.decoders.distillation.latent_consistency import distil, predicted
from decode_stream.decoders.distillation.students import (
    GUIDANCE_DIM,
    LowRankStudent,
    Student,
    WholeStudent,
    follow,
)
from decode_stream.decoders.training.checkpoint import CHECKPOINT_FILE
from decode_stream.decoders.training.history import FitHistory
from decode_stream.stream.errors import DecodeStreamError, UsageError
from tests.decoders.generation.tiny_pipelines import TABLE, WIDTH, unet

pytestmark = pytest.mark.usefixtures("one_thread")

LCM: Any = LCMScheduler
DDIM: Any = DDIMScheduler
SETTINGS = ConsistencySettings(n_steps=4, batch_size=2, save_every=2, learning_rate=1e-3, guidance=(2, 4))
SPREAD = 0.5


def tokens(embeddings: Tensor) -> UnetArguments:
    return {"encoder_hidden_states": embeddings.reshape(len(embeddings), -1, WIDTH)}


def guided(scales: Tensor) -> UnetArguments:
    return {"timestep_cond": scales[:, None].expand(-1, GUIDANCE_DIM)}


CONDITION = Conditioning((0, WIDTH), tokens, tokens, lambda n: tokens(torch.zeros(n, WIDTH)), guided)


def rows(side: int = 8) -> TrainingRows:
    random = np.random.default_rng(0)
    shape = (6, 4, side, side)
    return TrainingRows(
        random.standard_normal(shape, np.float32), random.standard_normal((6, WIDTH), np.float32)
    )


def student(method: str) -> LowRankStudent | WholeStudent:
    torch.manual_seed(3)
    if method == "lora":
        return LowRankStudent(unet(), torch.float32, rank=2)
    return WholeStudent(unet(), torch.float32, takes_guidance=True)


def made(one: Student, checkpoint: Path | None = None, **more: Any) -> FitHistory:
    settings = replace(SETTINGS, **{k: more.pop(k) for k in list(more) if hasattr(SETTINGS, k)})
    return distil(
        one, consistency_schedule(LCM(**TABLE)), CONDITION, rows(), settings, checkpoint=checkpoint, **more
    )


class Numbers(nn.Module):
    """Knows the clean numbers of each condition up to a Gaussian: a teacher whose way is known."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = consistency_schedule(LCM(**TABLE, prediction_type="sample"))
        self.learnt = nn.Sequential(nn.Linear(WIDTH + 5, 32), nn.SiLU(), nn.Linear(32, 4))
        nn.init.zeros_(self.learnt[2].weight)
        nn.init.zeros_(self.learnt[2].bias)

    def forward(
        self, latents: Tensor, time: Tensor, encoder_hidden_states: Tensor, return_dict: bool
    ) -> tuple[Tensor]:
        flat, embedding = latents.flatten(1), encoder_hidden_states.flatten(1)
        time = time.expand(len(latents))
        signal, noise = self.schedule.signal[time, None], self.schedule.noise[time, None]
        mean = embedding[:, :4]
        gain = signal * SPREAD**2 / (signal**2 * SPREAD**2 + noise**2)
        clean = mean + gain * (flat - signal * mean)
        beside = self.learnt(torch.cat([embedding, flat, time[:, None] / 1000], dim=1))
        return ((clean + beside).reshape(latents.shape),)


class Learner:
    """A student of few numbers."""

    takes_guidance = False

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.learner = Numbers()
        self._teacher, self._average = (deepcopy(self.learner).requires_grad_(False) for _ in range(2))
        self.state = nn.ModuleDict({"learner": self.learner, "average": self._average})

    def teacher(self) -> AbstractContextManager[Any]:
        return nullcontext(self._teacher)

    def average(self) -> AbstractContextManager[Any]:
        return nullcontext(self._average)


def test_one_step_of_the_student_comes_near_many_of_the_teacher() -> None:
    scheduler = LCM(**TABLE, prediction_type="sample")
    many = DDIM(**TABLE, prediction_type="sample", clip_sample=False, set_alpha_to_one=False)
    random = np.random.default_rng(0)
    embeddings = random.standard_normal((256, WIDTH), np.float32)
    clean = embeddings[:, :4] + SPREAD * random.standard_normal((256, 4), np.float32)
    taught = TrainingRows(clean.reshape(256, 4, 1, 1), embeddings)
    one = Learner()
    torch.manual_seed(1)
    told, noise = torch.randn(256, WIDTH), torch.randn(256, 4, 1, 1)
    with one.teacher() as teacher:
        wanted = teacher_latents(teacher, many, CONDITION, told, noise, 50, 1.0)

    def error() -> float:
        with one.average() as average:
            drawn = student_latents(average, scheduler, CONDITION, told, noise, 1)
        return float((drawn - wanted).square().mean().sqrt())

    before = error()
    settings = replace(
        SETTINGS, n_steps=600, batch_size=64, save_every=100, learning_rate=3e-3, guidance=(1, 1)
    )
    history = distil(one, consistency_schedule(scheduler), CONDITION, taught, settings)
    # Untrained, one step gives the mean of the pictures; the teacher's many give pictures that differ by their noise.
    assert before == pytest.approx(SPREAD, rel=0.15)
    assert error() < 0.7 * before
    assert len(history.reports) == 6


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_a_unet_loses_falls_and_its_teacher_stays(method: str) -> None:
    one = student(method)
    with one.teacher() as teacher:
        before = {name: value.clone() for name, value in teacher.state_dict().items() if "lora" not in name}
    # The same rows, times and noise at every update: what is learnt is seen, not what is drawn.
    losses = list[float]()

    def tell(done: int, of: int, loss: float) -> None:
        losses.append(loss)

    for _ in range(5):
        made(one, n_steps=1, save_every=1, learning_rate=5e-3, average=0.0, progress=tell)
    assert losses[-1] < 0.9 * losses[0]
    with one.teacher() as teacher:
        after = teacher.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        latents = torch.randn(1, 4, 8, 8)
        arguments = (latents, torch.tensor([500]), tokens(torch.zeros(1, WIDTH)))
        base = predicted(unet().eval(), *arguments)
        torch.testing.assert_close(predicted(teacher, *arguments), base)
    assert not torch.allclose(predicted(one.learner, *arguments), base, atol=1e-5)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(tmp_path: Path, method: str) -> None:
    def stop(done: int, of: int, loss: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole = student(method)
    history = made(whole, accumulate=2, saved=lambda done: torch.manual_seed(done))
    with pytest.raises(KeyboardInterrupt):
        made(student(method), tmp_path, accumulate=2, progress=stop)
    torch.manual_seed(7)  # what was drawn elsewhere in between changes nothing
    resumed = student(method)
    assert made(resumed, tmp_path, accumulate=2) == history
    expected, found = whole.state.state_dict(), resumed.state.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    with pytest.raises(UsageError, match="learning_rate is 0.001 and not 0.002"):
        made(student(method), tmp_path, accumulate=2, learning_rate=2e-3)


def test_accumulated_batches_are_one_step() -> None:
    steps = list[int]()
    made(student("lora"), accumulate=3, n_steps=2, progress=lambda done, of, loss: steps.append(done))
    assert steps == [1, 2]


def test_the_average_follows_what_is_learnt() -> None:
    one = student("lora")
    learnt, averaged = one.state["learner"][0], one.state["average"][0]
    before = averaged.detach().clone()
    with torch.no_grad():
        learnt += 1
    follow(one.state, 0.9)
    torch.testing.assert_close(averaged, before + 0.1)
    with one.average():
        torch.testing.assert_close(learnt, before + 0.1)
    torch.testing.assert_close(learnt, before + 1)


def test_a_student_of_all_numbers_is_told_the_guidance() -> None:
    one = student("full")
    made(one)
    arguments = (torch.randn(1, 4, 8, 8), torch.tensor([500]))
    told = [
        predicted(one.learner, *arguments, {**tokens(torch.zeros(1, WIDTH)), **guided(torch.tensor([scale]))})
        for scale in (2.0, 4.0)
    ]
    assert not torch.allclose(*told, atol=1e-6)
    assert one.learner.config.time_cond_proj_dim == GUIDANCE_DIM


def test_a_loss_that_is_no_number_ends_it_with_what_to_change() -> None:
    one = student("lora")

    def spoil(done: int, of: int, loss: float) -> None:
        with torch.no_grad():
            one.state["learner"][0].fill_(torch.nan)

    with pytest.raises(DecodeStreamError, match=r"nan in step 2 of 4.*--learning-rate 0.0001"):
        made(one, progress=spoil)
    with torch.no_grad():
        next(one.learner.parameters()).fill_(torch.nan)
    with pytest.raises(DecodeStreamError, match="nan in step 1, before anything was learnt"):
        made(one)


def test_mixed_precision_keeps_what_learns_in_float32() -> None:
    half = LowRankStudent(unet(), torch.bfloat16, rank=2)
    made(half, precision=torch.bfloat16)
    assert {value.dtype for value in half.state.parameters()} == {torch.float32}
    assert half.learner.conv_in.weight.dtype == torch.bfloat16
