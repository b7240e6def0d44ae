"""Every schedule with every prediction by every sampler: where the exact solution leads, at the order of the method."""

from typing import Any

import numpy as np
import pytest
import torch

from decode_stream.decoders.generation.denoisers import PREDICTIONS, clean_picture, denoiser, guided
from decode_stream.decoders.generation.samplers import (
    ancestral,
    consistency,
    euler,
    flow_map,
    heun,
    karras_times,
    sample,
    uniform_times,
)
from decode_stream.decoders.generation.schedules import (
    FlowSchedule,
    VarianceExploding,
    VariancePreserving,
    cosine_betas,
    linear_betas,
    noised,
    scaled_linear_betas,
)

from .gaussian_pictures import MEAN, SHAPE, VARIANCE, network, posterior_mean, spread, way, where_it_leads

SCHEDULES: dict[str, Any] = {
    "flow": FlowSchedule(),
    "linear": VariancePreserving(linear_betas()),
    "scaled linear": VariancePreserving(scaled_linear_betas()),
    "cosine": VariancePreserving(cosine_betas()),
    "exploding": VarianceExploding(20.0),
}
#: Noise alone says nothing to what predicts noise: the flow begins a little before.
FIRST, LAST = 0.97, 0.2
ORDERS = {euler: 1, heun: 2}


def noise(n: int = 4, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((n, *SHAPE))


def between(n_steps: int) -> tuple[float, ...]:
    return tuple(np.linspace(FIRST, LAST, n_steps + 1).tolist())


def as_torch(x: Any) -> Any:
    return torch.tensor(x)


@pytest.mark.parametrize("library", [np.asarray, as_torch], ids=["numpy", "torch"])
@pytest.mark.parametrize("step", [euler, heun], ids=["euler", "heun"])
@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_error_shrinks_at_the_order_of_the_sampler(name: str, kind: Any, step: Any, library: Any) -> None:
    schedule = SCHEDULES[name]
    start = noised(schedule, 0 * noise(), noise(), FIRST)
    exact = where_it_leads(schedule, start, FIRST, LAST)
    errors = []
    for n_steps in (32, 64):
        denoise = denoiser(network(schedule, kind), schedule, kind)
        reached = sample(step, denoise, schedule, between(n_steps), library(start))
        assert isinstance(reached, type(library(start)))
        errors.append(np.abs(np.asarray(reached) - exact).max())
    order = np.log2(errors[0] / errors[1])
    assert errors[1] < {euler: 0.1, heun: 0.01}[step] * np.abs(start).max()
    assert ORDERS[step] - 0.3 < order < ORDERS[step] + 0.6


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_flow_map_and_consistency_are_exact_in_one_step_and_in_three(name: str) -> None:
    schedule = SCHEDULES[name]
    start = schedule.sigma(1) * noise()
    exact = where_it_leads(schedule, start, 1.0, 0.0)

    def exact_map(x: Any, t: float, r: float) -> Any:
        return way(schedule, x, t, r)

    for times in (uniform_times(1), uniform_times(3), karras_times(4, 0.01)):
        assert np.allclose(sample(flow_map, exact_map, schedule, times, start), exact)
    assert np.allclose(sample(consistency(iter(())), exact_map, schedule, (1.0, 0.0), start), exact)
    assert np.allclose(
        sample(consistency(iter(()), 0.0), exact_map, schedule, uniform_times(3), start), exact
    )
    # A shortcut of a network that knows only where it is would be Euler's step, and err.
    plain = denoiser(network(schedule, "v"), schedule, "v")
    if name != "flow":
        assert not np.allclose(sample(flow_map, plain, schedule, (1.0, 0.5, 0.0), start), exact, atol=1e-3)


@pytest.mark.parametrize("gamma", [1.0, 0.4])
@pytest.mark.parametrize("name", SCHEDULES)
def test_new_noise_keeps_the_distribution_of_pictures(name: str, gamma: float) -> None:
    schedule = SCHEDULES[name]
    n = 4000
    start = schedule.alpha(1) * MEAN + spread(schedule, 1.0) * noise(n)
    fresh = iter([noise(n, 1), noise(n, 2)])
    drawn = sample(
        consistency(fresh, gamma), lambda x, t, r: way(schedule, x, t, r), schedule, uniform_times(3), start
    )
    # Five standard errors.
    assert (np.abs(drawn.mean(0) - MEAN) < 5 * np.sqrt(VARIANCE / n)).all()
    assert (np.abs(drawn.var(0) / VARIANCE - 1) < 5 * np.sqrt(2 / n)).all()
    assert next(fresh, None) is None
    same = sample(flow_map, lambda x, t, r: way(schedule, x, t, r), schedule, uniform_times(3), start)
    assert np.abs(drawn - same).max() > 0.1


@pytest.mark.parametrize("name", SCHEDULES)
def test_ancestral_steps_draw_from_the_distribution(name: str) -> None:
    schedule = SCHEDULES[name]
    n, n_steps = 1500, 150
    times = karras_times(n_steps, 1e-3) if name == "exploding" else uniform_times(n_steps, 0.999)
    start = schedule.alpha(times[0]) * MEAN + spread(schedule, times[0]) * noise(n)
    random = np.random.default_rng(3)
    fresh = (random.standard_normal(start.shape) for _ in range(n_steps - 1))
    denoise = denoiser(network(schedule, "noise"), schedule, "noise")
    drawn = sample(ancestral(fresh), denoise, schedule, times, start)
    assert (np.abs(drawn.mean(0) - MEAN) < 5 * np.sqrt(VARIANCE / n) + 0.02).all()
    # A finite number of steps leaves it a little narrow.
    assert (np.abs(drawn.var(0) / VARIANCE - 1) < 5 * np.sqrt(2 / n) + 0.1).all()
    assert next(fresh, None) is None


@pytest.mark.parametrize("name", SCHEDULES)
def test_heun_beats_euler_with_as_many_questions(name: str) -> None:
    schedule = SCHEDULES[name]
    start = noised(schedule, 0 * noise(), noise(), FIRST)
    exact = where_it_leads(schedule, start, FIRST, LAST)
    denoise = denoiser(network(schedule, "velocity"), schedule, "velocity")
    errors = [
        np.abs(sample(step, denoise, schedule, between(n), start) - exact).max()
        for step, n in ((euler, 16), (heun, 8))
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_to_the_very_end_come_near_the_picture(name: str) -> None:
    schedule = SCHEDULES[name]
    start = noised(schedule, 0 * noise(), noise(), 0.999)
    exact = where_it_leads(schedule, start, 0.999, 0.0)
    denoise = denoiser(network(schedule, "noise"), schedule, "noise")
    for step in (euler, heun):
        few, many = (
            np.abs(sample(step, denoise, schedule, uniform_times(n, 0.999), start) - exact).max()
            for n in (16, 256)
        )
        assert many < few / 4


def test_guidance_goes_beyond_the_condition_in_every_prediction() -> None:
    schedule = SCHEDULES["linear"]
    x = noise()
    for kind in PREDICTIONS:
        with_condition, without = np.full_like(x, 0.3), np.full_like(x, -0.1)
        denoisers = [
            denoiser(lambda x, t, r, said=said: said, schedule, kind)  # type: ignore[misc]
            for said in (with_condition, without)
        ]
        clean = guided(*denoisers, 2.5)(x, 0.6, 0.6)
        assert np.allclose(clean, clean_picture(-0.1 + 2.5 * 0.4 + 0 * x, x, schedule, 0.6, kind))

    def never(x: Any, t: float, r: float) -> Any:
        raise AssertionError

    assert guided(denoisers[0], never, 1) is denoisers[0]


def test_single_precision_stays_single() -> None:
    for schedule in SCHEDULES.values():
        for step in (
            euler,
            heun,
            flow_map,
            consistency(iter([noise().astype(np.float32)])),
            ancestral(iter([noise().astype(np.float32)])),
        ):
            x = sample(
                step,
                lambda x, t, r, s=schedule: posterior_mean(s, x, t).astype(np.float32),
                schedule,
                (0.9, 0.5, 0.0),
                noise().astype(np.float32),
            )
            assert x.dtype == np.float32


def test_what_is_impossible_is_refused() -> None:
    flow, x = FlowSchedule(), noise()
    with pytest.raises(ValueError, match="only noise"):
        clean_picture(x, x, flow, 1.0, "noise")
    with pytest.raises(ValueError, match="predicts one of"):
        denoiser(lambda x, t, r: x, flow, "epsilon")  # type: ignore[arg-type]
    for times in ((1.0,), (0.0, 1.0), (1.0, 1.0, 0.0), (1.0, -0.5)):
        with pytest.raises(ValueError, match="earlier time"):
            sample(euler, lambda x, t, r: x, flow, times, x)
    with pytest.raises(ValueError, match="gamma"):
        consistency(iter(()), 1.5)
    for times_of in (uniform_times, karras_times):
        with pytest.raises(ValueError, match="at least one step"):
            times_of(0)
