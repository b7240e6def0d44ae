"""A student that leads where the teacher's ways lead has nothing to learn, and any other has."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from decode_stream.decoders.distillation.flow_student import (
    StudentSettings,
    consistency_loss,
    guided_teacher,
    leading,
    pairs_loss,
    way,
)
from decode_stream.decoders.distillation.flow_training import Batch
from decode_stream.decoders.generation.samplers import flow_map, sample, uniform_times
from decode_stream.decoders.generation.schedules import FlowSchedule

#: Every number of a picture by itself: of this mean, plus what is seen, and of this standard deviation.
MEAN, STD = 0.2, 0.1
SETTINGS = StudentSettings(guidance=1.0, n_way_steps=4)


def batch(n: int = 48, shift: float = 0.0) -> Batch:
    rng = torch.Generator().manual_seed(0)
    pictures = MEAN + shift + STD * torch.randn((n, 3, 4, 4), generator=rng)
    told = (torch.full((n, 1), shift), torch.zeros(n, 1, 1, 3), torch.zeros(n, 2))
    nothing = (torch.zeros(1, 1), torch.zeros(1, 1, 1, 3), torch.ones(1, 2))
    return Batch(pictures, told, nothing, None, rng)


def _share(t: Tensor) -> Tensor:
    """Return how much of a deviation at t the clean picture has."""
    return (1 - t) * STD**2 / ((1 - t) ** 2 * STD**2 + t**2)


def _wide(t: Tensor) -> Tensor:
    return t[:, None, None, None]


def teacher_of(x: Tensor, t: Tensor, r: Tensor, semantic: Tensor, *_: Tensor) -> Tensor:
    """Return the mean of the pictures that x may have come from: what a perfect teacher tells."""
    mean, at = MEAN + _wide(semantic[:, 0]), _wide(t)
    clean: Tensor = mean + _share(at) * (x - (1 - at) * mean)
    return clean


def student_of(n_steps: int) -> Callable[..., Tensor]:
    """Return the flow map of a perfect teacher that goes n steps from 1 to 0, exactly."""
    times = torch.tensor(uniform_times(n_steps))
    kept = torch.ones(n_steps + 1)  # what is left of a deviation at time 1
    for k, (t, r) in enumerate(pairwise(times)):
        kept[k + 1] = kept[k] * ((1 - r) * _share(t) + r / t * (1 - (1 - t) * _share(t)))

    def student(x: Tensor, t: Tensor, r: Tensor, semantic: Tensor, *_: Tensor) -> Tensor:
        mean = MEAN + _wide(semantic[:, 0])
        from_, to = (((1 - time) * n_steps).round().long() for time in (t, r))
        x_r = (1 - _wide(r)) * mean + _wide(kept[to] / kept[from_]) * (x - (1 - _wide(t)) * mean)
        # A step of no length leads nowhere; it is asked for where the end is reached already.
        return leading(x, x_r, t, torch.where(t > r, r, t - 1))

    return student


def call(network: Any, loss: Any, given: Batch) -> float:
    return float(loss(network, given))


TEACHER: Any = teacher_of
STUDENT: Any = student_of(SETTINGS.n_way_steps)


def test_the_step_and_what_leads_along_it_undo_each_other() -> None:
    torch.manual_seed(0)
    x_t, clean = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    for t, r in ((1.0, 0.0), (1.0, 0.75), (0.5, 0.25), (0.25, 0.0)):
        x_r = flow_map(lambda x, t, r: clean, FlowSchedule(), x_t, t, r)
        at, to = torch.full((6,), t), torch.full((6,), r)
        torch.testing.assert_close(leading(x_t, x_r, at, to), clean, atol=1e-5, rtol=1e-5)


def test_the_way_is_that_of_the_sampler() -> None:
    given = batch()
    points = way(TEACHER, given, SETTINGS)
    times = uniform_times(SETTINGS.n_way_steps)
    assert len(points) == len(times)

    def denoiser(x: Tensor, t: float, r: float) -> Tensor:
        at = torch.full((len(x),), t)
        return teacher_of(x, at, at, *given.condition)

    drawn = sample(flow_map, denoiser, FlowSchedule(), times, points[0])
    torch.testing.assert_close(points[-1], drawn)


@pytest.mark.parametrize("shift", [0.0, -0.4])
def test_who_leads_where_the_teacher_does_has_nothing_to_learn(shift: float) -> None:
    given = batch(shift=shift)
    pairs, itself = pairs_loss(TEACHER, SETTINGS), consistency_loss(TEACHER, STUDENT, SETTINGS)
    for _ in range(4):  # other times each
        assert call(STUDENT, pairs, given) < 1e-6
        assert call(STUDENT, itself, given) < 1e-6


def test_who_leads_elsewhere_has() -> None:
    given, least = batch(), 1e-4
    pairs, itself = pairs_loss(TEACHER, SETTINGS), consistency_loss(TEACHER, STUDENT, SETTINGS)
    # A teacher that is taken for a student says at once what is only true of the next step.
    assert call(TEACHER, pairs, given) > least
    assert call(TEACHER, itself, given) > least

    def shifted(*told: Tensor) -> Tensor:
        return student_of(SETTINGS.n_way_steps)(*told) + 0.5

    width = SETTINGS.huber_width
    expected = (0.5**2 + width**2) ** 0.5 - width
    assert call(shifted, pairs, given) == pytest.approx(expected, rel=1e-3)
    assert call(shifted, itself, given) == pytest.approx(expected, rel=1e-3)


def test_a_way_of_many_steps_is_the_flow() -> None:
    settings = StudentSettings(guidance=1.0, n_way_steps=200)
    points = way(TEACHER, batch(), settings)
    # Of Gaussian pictures a deviation shrinks as the spread does (Song et al. 2021, equation 13).
    torch.testing.assert_close(points[-1], MEAN + STD * points[0], atol=0.02, rtol=0)


def test_guidance_leads_away_from_who_knows_nothing() -> None:
    given, asked = batch(shift=0.3), list[int]()

    def teacher(x: Tensor, *told: Tensor) -> Tensor:
        asked.append(len(x))
        return teacher_of(x, *told)

    network: Any = teacher
    n = len(given.pictures)
    x, t = given.noise(), torch.ones(n)
    plain = guided_teacher(network, x, t, given, 1.0)
    led = guided_teacher(network, x, t, given, 1.5)
    assert asked == [n, 2 * n]
    # At time 1 a teacher says the mean: 0.3 above that of nothing.
    torch.testing.assert_close(plain, torch.full_like(plain, MEAN + 0.3))
    torch.testing.assert_close(led, torch.full_like(led, MEAN + 0.45))


def test_no_gradient_reaches_the_teacher_or_the_average() -> None:
    given = batch(8)
    factors = {name: torch.ones((), requires_grad=True) for name in ("teacher", "average", "student")}

    def scaled(name: str, network: Callable[..., Tensor]) -> Any:
        return lambda *told: factors[name] * network(*told)

    exact = student_of(SETTINGS.n_way_steps)
    for loss in (
        pairs_loss(scaled("teacher", teacher_of), SETTINGS),
        consistency_loss(scaled("teacher", teacher_of), scaled("average", exact), SETTINGS),
    ):
        loss(scaled("student", lambda *told: exact(*told) + 1), given).backward()
    assert factors["teacher"].grad is None
    assert factors["average"].grad is None
    assert factors["student"].grad
