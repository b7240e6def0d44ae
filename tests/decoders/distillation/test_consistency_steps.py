"""The numbers of latent consistency are those of diffusers' own schedulers."""

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler

from decode_stream.decoders.distillation.consistency_steps import consistency_schedule, pseudo_huber
from decode_stream.stream.errors import UsageError
from tests.decoders.generation.tiny_pipelines import TABLE

LCM: Any = LCMScheduler
DDIM: Any = DDIMScheduler


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_step_between_two_times_is_that_of_ddim(prediction: str) -> None:
    schedule = consistency_schedule(LCM(**TABLE, prediction_type=prediction))
    ddim = DDIM(**TABLE, prediction_type=prediction, clip_sample=False, set_alpha_to_one=False)
    ddim.set_timesteps(50)  # as far apart
    torch.manual_seed(0)
    latents, output = torch.randn(50, 4, 3, 2), torch.randn(50, 4, 3, 2)
    time, before = schedule.times, schedule.before(schedule.times)
    clean, noise = schedule.clean(output, latents, time), schedule.noise_in(output, latents, time)
    stepped = schedule.noisy(clean, noise, before)
    assert (time[0], time[-1], schedule.skip) == (19, 999, 20)
    assert before[:2].tolist() == [0, 19]
    for row in range(50):
        expected = ddim.step(output[row : row + 1], int(time[row]), latents[row : row + 1])
        torch.testing.assert_close(stepped[row : row + 1], expected.prev_sample, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_what_a_student_says_is_what_diffusers_draws_of_it(prediction: str) -> None:
    lcm = LCM(**TABLE, prediction_type=prediction)
    schedule = consistency_schedule(lcm)
    torch.manual_seed(0)
    latents, output = torch.randn(4, 4, 3, 2), torch.randn(4, 4, 3, 2)
    lcm.set_timesteps(4)
    assert set(lcm.timesteps.tolist()) <= set(schedule.times.tolist())
    for row, time in enumerate(lcm.timesteps):
        said = schedule.bounded(schedule.clean(output, latents, time.expand(4)), latents, time.expand(4))
        drawn = lcm.step(output[row], time, latents[row]).denoised
        torch.testing.assert_close(said[row], drawn, rtol=1e-4, atol=1e-4)


def test_scalings_at_the_boundary_are_those_of_the_scheduler() -> None:
    lcm = LCM(**TABLE)
    schedule = consistency_schedule(lcm)
    time = torch.tensor([0, 1, 19, 999])
    zeros, ones = torch.zeros(4, 1), torch.ones(4, 1)
    for row, (skip, out) in enumerate(map(lcm.get_scalings_for_boundary_condition_discrete, time.tolist())):
        assert schedule.bounded(zeros, ones, time)[row] == pytest.approx(skip, rel=1e-6)
        assert schedule.bounded(ones, zeros, time)[row] == pytest.approx(out, rel=1e-6)
    # At time 0 a student says what it is given, whatever its network does.
    assert torch.equal(schedule.bounded(7 * ones, ones, time)[0], ones[0])


def test_noise_is_added_as_the_scheduler_does() -> None:
    lcm = LCM(**TABLE)
    torch.manual_seed(0)
    clean, noise, time = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), torch.tensor([0, 19, 999])
    torch.testing.assert_close(
        consistency_schedule(lcm).noisy(clean, noise, time), lcm.add_noise(clean, noise, time)
    )


def test_the_loss_is_nearly_the_absolute_error() -> None:
    given, wanted = torch.tensor([3.0, -1.0]), torch.tensor([1.0, -1.0])
    assert pseudo_huber(given, wanted, 1e-3) == pytest.approx(1.0, abs=1e-3)
    assert pseudo_huber(wanted, wanted, 1e-3) == 0


def test_a_scheduler_that_cannot_be_distilled_is_refused() -> None:
    with pytest.raises(UsageError, match="predicts 'flow_prediction'; what can be distilled: epsilon"):
        consistency_schedule(LCM(**TABLE, prediction_type="flow_prediction"))
    with pytest.raises(UsageError, match="has 40 times; a student is trained between 50"):
        consistency_schedule(LCM(**TABLE, num_train_timesteps=40))
