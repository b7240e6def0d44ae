"""Stage 2 of MindDiffuser: against gradients worked out by hand, and what must hold of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from decode_stream.decoders.generation.guidance import Structure
from decode_stream.decoders.generation.refinement import RefineSettings, painter, refine
from decode_stream.decoders.generation.samplers import euler, uniform_times
from decode_stream.decoders.generation.schedules import FlowSchedule
from decode_stream.stream.errors import GeneratorError

SIDE, CELLS = 8, 4
WEIGHT = torch.randn(3 * SIDE * SIDE, 5, generator=torch.Generator().manual_seed(0)) / 5


def denoiser_of(semantic: Tensor) -> Callable[[Tensor, float, float], Tensor]:
    """Return an exact denoiser of pictures around a mean that is linear in the condition."""
    mean = (semantic @ WEIGHT.T).reshape(-1, 3, SIDE, SIDE)

    def denoise(x: Tensor, t: float, r: float) -> Tensor:
        gain = (1 - t) * 0.25 / ((1 - t) ** 2 * 0.25 + t**2)
        return mean + gain * (x - (1 - t) * mean)

    return denoise


def decode(clean: Tensor) -> Tensor:
    return (clean + 1) / 2


def pooled(pictures: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(pictures, SIDE // CELLS).flatten(1)


def given(n: int = 3) -> tuple[Tensor, Tensor, Tensor, Structure]:
    """Return start, condition, noise and structure of n pictures."""
    rng = np.random.default_rng(0)
    start, noise = (torch.tensor(rng.standard_normal((n, 3, SIDE, SIDE), dtype=np.float32)) for _ in range(2))
    mask = np.arange(3 * CELLS**2) % 4 == 0
    wanted = rng.random((n, 3 * CELLS**2), np.float32)
    semantic = torch.tensor(rng.standard_normal((n, 5), dtype=np.float32))
    return 0.5 * start, semantic, noise, Structure(pooled, wanted, mask)


def paint_with(noise: Tensor, strength: float = 0.74, n_steps: int = 5) -> Callable[[Any, Any], Any]:
    return painter(denoiser_of, FlowSchedule(), euler, noise, decode, uniform_times(n_steps, strength))


def test_pictures_are_led_to_the_decoded_structure_by_start_and_condition() -> None:
    start, semantic, noise, structure = given()
    told = list[tuple[int, float]]()
    settings = RefineSettings(iterations=40, learning_rate=0.05)
    found = refine(paint_with(noise), start, semantic, structure, settings, lambda *told_: told.append(told_))
    assert found.structure_loss.shape == found.cosine.shape == (41, 3)
    assert (found.structure_loss[-1] < 0.4 * found.structure_loss[0]).all()
    assert (found.cosine[0] > 0.999).all()
    assert [iteration for iteration, _ in told] == list(range(41))
    assert found.first.shape == found.pictures.shape == (3, SIDE, SIDE, 3)
    as_drawn = torch.tensor(found.pictures / 255).permute(0, 3, 1, 2).float()
    assert (
        structure.loss(as_drawn).numpy()
        < structure.loss(torch.tensor(found.first / 255).permute(0, 3, 1, 2).float()).numpy()
    ).all()


def test_the_gradient_goes_through_every_step_of_the_sampler() -> None:
    start, semantic, noise, structure = given(1)
    settings = RefineSettings(iterations=1, learning_rate=0.01, semantic_weight=0.0)
    moved, seen = list[Tensor](), list[Tensor]()
    inner = paint_with(noise, n_steps=3)

    def watched(start: Tensor, semantic: Tensor) -> Any:
        moved.append(start.detach().clone())
        seen.append(semantic.detach().clone())
        return inner(start, semantic)

    refine(watched, start, semantic, structure, settings)

    def loss(start: Tensor, semantic: Tensor) -> Tensor:
        # The sampler written out: three steps of x_r = (1 - r) c + r / t (x - (1 - t) c).
        x, network = (1 - 0.74) * start + 0.74 * noise, denoiser_of(semantic)
        for t, r in ((0.74, 0.74 * 2 / 3), (0.74 * 2 / 3, 0.74 / 3), (0.74 / 3, 0.0)):
            clean = network(x, t, t)
            x = (1 - r) * clean + r / t * (x - (1 - t) * clean)
        return structure.loss(decode(x)).sum()

    parts = (start.clone().requires_grad_(), semantic.clone().requires_grad_())
    slopes = torch.autograd.grad(loss(*parts), parts)
    # The first step of Adam is as long as the learning rate, against the sign of the slope.
    for slope, (before, after) in zip(slopes, (moved, seen), strict=True):
        told = slope.abs() > 1e-6
        torch.testing.assert_close((after - before)[told], -0.01 * slope.sign()[told], rtol=1e-3, atol=1e-6)


def test_pictures_of_a_batch_do_not_touch_each_other() -> None:
    start, semantic, noise, structure = given()
    settings = RefineSettings(iterations=6)
    together = refine(paint_with(noise, n_steps=3), start, semantic, structure, settings)
    for i in range(3):
        alone = Structure(pooled, structure.wanted[i : i + 1], structure.mask)
        by_itself = refine(
            paint_with(noise[i : i + 1], n_steps=3), start[i : i + 1], semantic[i : i + 1], alone, settings
        )
        assert np.abs(by_itself.pictures.astype(int) - together.pictures[i : i + 1]).max() <= 1


def test_the_regulariser_holds_the_condition() -> None:
    start, semantic, noise, structure = given()
    ends = []
    for weight in (0.0, 0.1, 100.0):
        settings = RefineSettings(iterations=30, learning_rate=0.05, semantic_weight=weight)
        found = refine(paint_with(noise, n_steps=3), start, semantic, structure, settings)
        ends.append(found.cosine[-1].mean())
    assert ends[0] <= ends[1] < ends[2]
    assert ends[2] > 0.995


def test_a_weak_start_is_kept_and_a_strong_one_forgotten() -> None:
    start, semantic, noise, _ = given()
    drawn = {strength: paint_with(noise, strength)(start, semantic) for strength in (0.05, 0.74, 1.0)}
    off = {strength: (decode(start) - picture).abs().mean().item() for strength, picture in drawn.items()}
    assert off[0.05] < 0.05 < off[0.74]
    torch.testing.assert_close(paint_with(noise, 1.0)(-start, semantic), drawn[1.0])


def test_what_is_not_finite_ends_it_with_a_message() -> None:
    start, semantic, noise, structure = given()

    def broken(start: Tensor, semantic: Tensor) -> Any:
        drawn = paint_with(noise, n_steps=2)(start, semantic)
        drawn[1] = torch.nan
        return drawn

    with pytest.raises(
        GeneratorError, match="After 0 iterations the loss of 1 of 3 pictures is not a finite"
    ):
        refine(broken, start, semantic, structure, RefineSettings(iterations=2))
    with pytest.raises(ValueError, match="2 starts, 3 conditions and 3 structures"):
        refine(paint_with(noise), start[:2], semantic, structure, RefineSettings())


@pytest.mark.parametrize(
    "wrong", [{"iterations": 0}, {"learning_rate": 0.0}, {"semantic_weight": -1.0}, {"decay": 0.0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="got"):
        RefineSettings(**wrong)


def test_steps_of_the_condition_are_in_its_own_unit() -> None:
    start, semantic, noise, structure = given()
    small = 0.01 * semantic

    def paint_small(start: Tensor, semantic: Tensor) -> Any:
        return paint_with(noise, n_steps=3)(start, 100 * semantic)

    settings = RefineSettings(iterations=8)
    expected = refine(paint_with(noise, n_steps=3), start, semantic, structure, settings)
    found = refine(paint_small, start, small, structure, settings, unit=0.01)
    np.testing.assert_allclose(found.structure_loss, expected.structure_loss, rtol=1e-3)
    np.testing.assert_allclose(found.cosine, expected.cosine, atol=1e-4)
