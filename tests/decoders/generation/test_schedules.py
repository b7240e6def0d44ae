"""Schedules: what they are by their papers, and the same numbers as diffusers' own schedulers."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
)

from decode_stream.decoders.generation.denoisers import denoiser
from decode_stream.decoders.generation.samplers import (
    ancestral,
    consistency,
    euler,
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
    scaled_linear_betas,
)

# Their schedulers of sigmas ask NumPy for a copy of a tensor.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STABLE = VariancePreserving(scaled_linear_betas())
SETTINGS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
KINDS = {"noise": "epsilon", "v": "v_prediction", "clean": "sample"}


def network(x: Any, step: float) -> Any:
    """Return what some network might: not linear, and another at each step."""
    return torch.tanh(0.7 * x + 0.001 * step) - 0.1


def start() -> Any:
    return torch.randn((2, 4, 3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ours(step: Any, kind: Any, steps: list[float], x: Any, schedule: VariancePreserving = STABLE) -> Any:
    denoise = denoiser(lambda x, t, r: network(x, round(schedule.step(t))), schedule, kind)
    return sample(step, denoise, schedule, (*(schedule.time(k) for k in steps), 0.0), x)


def theirs(scheduler: Any, x: Any, **how: Any) -> Any:
    x = x * scheduler.init_noise_sigma
    for step in scheduler.timesteps:
        said = network(scheduler.scale_model_input(x, step), round(float(step)))
        x = scheduler.step(said, step, x, **how, return_dict=False)[0]
    return x


@pytest.mark.parametrize(
    ("betas", "settings"),
    [
        (linear_betas(), {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
        (scaled_linear_betas(), SETTINGS),
        (cosine_betas(), {"beta_schedule": "squaredcos_cap_v2"}),
    ],
    ids=["linear", "scaled linear", "cosine"],
)
def test_tables_of_betas_are_those_of_diffusers(betas: Any, settings: Any) -> None:
    schedule = VariancePreserving(betas)
    signal = DDIMScheduler(**settings).alphas_cumprod.double().numpy()
    at = [schedule.time(k) for k in range(1000)]
    # Theirs are products in single precision.
    assert np.allclose([schedule.alpha(t) ** 2 for t in at], signal, rtol=2e-4, atol=1e-9)
    assert np.allclose([schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2 for t in at], 1)
    assert (schedule.alpha(0), schedule.sigma(0)) == (1, 0)
    assert np.allclose([schedule.step(t) for t in at], range(1000))
    dense = [schedule.sigma(t) for t in np.linspace(0, 1, 3001)]
    assert (np.diff(dense) > 0).all()


def test_the_time_of_a_noise_is_where_the_noise_is() -> None:
    for schedule in (STABLE, VariancePreserving(cosine_betas())):
        for t in (0.0, 1e-4, 0.0377, 0.5, 0.987, 1.0):
            assert schedule.time_of_noise(schedule.sigma(t) ** 2) == pytest.approx(t, abs=1e-6)
        assert schedule.time_of_noise(1.0) == 1.0
    assert STABLE.time_of_noise(0.9999) == 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_steps", [1, 4, 50])
def test_euler_is_ddim_and_euler_of_diffusers(kind: str, n_steps: int) -> None:
    steps = [1000 * (n_steps - k) // n_steps - 1 for k in range(n_steps)]
    got = ours(euler, kind, steps, start())
    assert np.allclose([STABLE.time(k) for k in steps], uniform_times(n_steps)[:-1], atol=1e-9)
    ddim = DDIMScheduler(
        **SETTINGS, prediction_type=KINDS[kind], timestep_spacing="trailing", clip_sample=False
    )
    ddim.set_timesteps(n_steps)
    assert torch.allclose(got, theirs(ddim, start()), atol=2e-3, rtol=1e-3)
    other = EulerDiscreteScheduler(**SETTINGS, prediction_type=KINDS[kind], timestep_spacing="trailing")
    other.set_timesteps(n_steps)
    # It begins with noise of the right size, DDIM with unit variance; and its x is ours over alpha.
    x = start() * STABLE.sigma(1)
    assert torch.allclose(
        ours(euler, kind, steps, x),
        theirs_over_alpha(other, x / STABLE.alpha(1)),
        atol=3e-3,
        rtol=3e-3,
    )


def theirs_over_alpha(scheduler: Any, x: Any) -> Any:
    for step in scheduler.timesteps:
        said = network(scheduler.scale_model_input(x, step), round(float(step)))
        x = scheduler.step(said, step, x, return_dict=False)[0]
    return x


def test_a_straight_flow_is_that_of_diffusers() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
    x = start()
    for step in scheduler.timesteps:
        x = scheduler.step(network(x, float(step)), step, x, return_dict=False)[0]
    flow = FlowSchedule()
    denoise = denoiser(lambda x, t, r: network(x, 1000 * t), flow, "velocity")
    assert torch.allclose(sample(euler, denoise, flow, uniform_times(4), start()), x, atol=1e-5)


def test_karras_times_are_those_of_diffusers() -> None:
    scheduler = EulerDiscreteScheduler(**SETTINGS, use_karras_sigmas=True)
    scheduler.set_timesteps(7)
    sigmas = scheduler.sigmas.numpy()
    schedule = VarianceExploding(float(sigmas[0]))
    times = karras_times(7, float(sigmas[-2] / sigmas[0]))
    assert np.allclose([schedule.sigma(t) for t in times], sigmas, rtol=1e-5)
    assert karras_times(1) == (1.0, 0.0)


class Noises:
    """Gives a scheduler the noise that ours is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
        self.given: list[Any] = []
        monkeypatch.setattr(f"diffusers.schedulers.{module}.randn_tensor", self.draw)

    def draw(self, shape: Any, **_: Any) -> Any:
        self.given.append(torch.randn(shape, dtype=torch.float64))
        return self.given[-1]


def test_consistency_is_lcm_of_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    noises = Noises(monkeypatch, "scheduling_lcm")
    scheduler = LCMScheduler(**SETTINGS, clip_sample=False)
    scheduler.set_timesteps(timesteps=[999, 749, 499, 249])
    expected = theirs(scheduler, start())
    got = ours(consistency(iter(noises.given)), "noise", [999, 749, 499, 249], start())
    assert len(noises.given) == 3
    assert torch.allclose(got, expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("gamma", [1.0, 0.3])
def test_consistency_along_the_way_is_tcd_of_diffusers(gamma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    noises = Noises(monkeypatch, "scheduling_tcd")
    scheduler = TCDScheduler(**SETTINGS, clip_sample=False)
    scheduler.set_timesteps(timesteps=[999, 759, 499, 259])
    # Its last step ends at step 0 of the table, ours at the picture before it.
    scheduler.final_alpha_cumprod = torch.tensor(1.0)
    expected = theirs(scheduler, start(), eta=gamma)
    got = ours(consistency(iter(noises.given), gamma), "noise", [999, 759, 499, 259], start())
    # It counts (1 - gamma) r in whole steps of the table, of which the first is not quite the picture.
    assert float((got - expected).abs().mean()) < 0.015 * float(expected.abs().mean())


def test_ancestral_is_that_of_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    noises = Noises(monkeypatch, "scheduling_euler_ancestral_discrete")
    scheduler = EulerAncestralDiscreteScheduler(**SETTINGS, timestep_spacing="trailing")
    scheduler.set_timesteps(4)
    x = start() * STABLE.sigma(1)
    expected = theirs_over_alpha(scheduler, x / STABLE.alpha(1))
    # The last noise is drawn there too, and weighs nothing.
    got = ours(ancestral(iter(noises.given[:3])), "noise", [999, 749, 499, 249], x)
    assert torch.allclose(got, expected, rtol=3e-3, atol=3e-3)


def test_impossible_schedules_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        VariancePreserving(())
    with pytest.raises(ValueError, match="between 0 and 1"):
        VariancePreserving((0.1, 1.0))
    with pytest.raises(ValueError, match="at least 2"):
        linear_betas(1)
    with pytest.raises(ValueError, match="above 0"):
        VarianceExploding(0.0)
