"""Guidance on the clean picture: a layout in closed form, and any features along their gradient."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from decode_stream.decoders.generation.guidance import (
    LayoutLift,
    Structure,
    feature_guided,
    layout_guided,
)
from decode_stream.decoders.generation.samplers import euler, sample, uniform_times
from decode_stream.decoders.generation.schedules import FlowSchedule

Array = npt.NDArray[np.float32]
SIDE, CELLS = 16, 4


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def layout_of(pictures: Array, cells: int = CELLS) -> Array:
    n, colours, side, _ = pictures.shape
    wide = side // cells
    means: Array = pictures.reshape(n, colours, cells, wide, cells, wide).mean(axis=(3, 5))
    return means


def towards(mean: Array) -> object:
    """Return the exact denoiser of pictures around a mean with a spread of a tenth."""

    def denoise(x: Array, t: float, r: float) -> Array:
        alpha, variance = 1 - t, 0.01
        gain = alpha * variance / (alpha**2 * variance + t**2)
        return mean + np.float32(gain) * (x - np.float32(alpha) * mean)

    return denoise


def test_a_layout_is_raised_smoothly_to_a_picture_that_has_it() -> None:
    lift = LayoutLift.of(SIDE, CELLS)
    np.testing.assert_allclose(lift.seen @ lift.raised, np.eye(CELLS), atol=1e-6)
    pictures, wanted = numbers(0, 2, 3, SIDE, SIDE), numbers(1, 2, 3, CELLS, CELLS)
    ones = np.ones_like(wanted)
    led = pictures + lift.correction(pictures, wanted, ones)
    np.testing.assert_allclose(layout_of(led), wanted, atol=1e-5)
    half = pictures + lift.correction(pictures, wanted, 0.5 * ones)
    np.testing.assert_allclose(layout_of(half), (layout_of(pictures) + wanted) / 2, atol=1e-5)
    first = np.zeros_like(wanted)
    first[:, :, 0, 0] = 1
    only = layout_of(pictures + lift.correction(pictures, wanted, first))
    np.testing.assert_allclose(only[:, :, 0, 0], wanted[:, :, 0, 0], atol=1e-5)
    np.testing.assert_allclose(only[:, :, 1:], layout_of(pictures)[:, :, 1:], atol=1e-5)
    # In blocks a step would be as large as the difference of two cells.
    edge = np.zeros((1, 3, CELLS, CELLS), np.float32)
    edge[:, :, :, CELLS // 2 :] = 1
    smooth = lift.correction(np.zeros((1, 3, SIDE, SIDE), np.float32), edge, np.ones_like(edge))
    assert np.abs(np.diff(smooth, axis=3)).max() < 0.6
    with pytest.raises(ValueError, match="5 cells a side do not divide 16"):
        LayoutLift.of(16, 5)


def test_a_guided_sampler_ends_with_the_layout_and_the_rest_of_the_picture() -> None:
    lift, wanted = LayoutLift.of(SIDE, CELLS), 0.3 * numbers(1, 2, 3, CELLS, CELLS)
    mean, noise = 0.5 * numbers(2, 2, 3, SIDE, SIDE), numbers(3, 2, 3, SIDE, SIDE)
    plain = towards(mean)
    drawn = {}
    for weight in (0.0, 0.5, 1.0):
        guided = layout_guided(plain, lift, wanted, np.full_like(wanted, weight))  # type: ignore[arg-type]
        drawn[weight] = sample(euler, guided, FlowSchedule(), uniform_times(4), noise)
    alone = sample(euler, plain, FlowSchedule(), uniform_times(4), noise)  # type: ignore[arg-type]
    np.testing.assert_array_equal(drawn[0.0], alone)
    np.testing.assert_allclose(layout_of(drawn[1.0]), wanted, atol=1e-5)
    off = {weight: np.abs(layout_of(picture) - wanted).mean() for weight, picture in drawn.items()}
    assert off[1.0] < off[0.5] < off[0.0]
    fine = [
        picture - layout_of(picture).repeat(4, axis=2).repeat(4, axis=3) for picture in (alone, drawn[1.0])
    ]
    assert np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1] > 0.9


def test_numpy_and_torch_are_guided_alike() -> None:
    lift, wanted = LayoutLift.of(SIDE, CELLS), numbers(1, 2, 3, CELLS, CELLS)
    pictures = numbers(0, 2, 3, SIDE, SIDE)
    in_torch = LayoutLift(torch.tensor(lift.seen), torch.tensor(lift.raised))
    one = lift.correction(pictures, wanted, np.ones_like(wanted))
    other = in_torch.correction(torch.tensor(pictures), torch.tensor(wanted), torch.ones(2, 3, CELLS, CELLS))
    np.testing.assert_allclose(other.numpy(), one, atol=1e-5)


def pooled(pictures: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(pictures, SIDE // CELLS).flatten(1)


def structure(seed: int, n: int = 2, share: float = 0.25) -> Structure:
    wanted = np.random.default_rng(seed).random((n, 3 * CELLS**2), np.float32)
    mask = np.zeros(3 * CELLS**2, np.bool_)
    mask[: round(share * len(mask))] = True
    return Structure(pooled, wanted, mask)


def shown(clean: Tensor) -> Tensor:
    return (clean + 1) / 2


def test_features_lead_a_network_that_has_no_gradient() -> None:
    aim = structure(0)
    mean, noise = 0.5 * numbers(2, 2, 3, SIDE, SIDE), numbers(3, 2, 3, SIDE, SIDE)
    plain = towards(mean)
    losses = []
    for rate in (None, 1.0, 2.0):
        denoiser = plain if rate is None else feature_guided(plain, aim, shown, rate)  # type: ignore[arg-type]
        drawn = sample(euler, denoiser, FlowSchedule(), uniform_times(4), noise)  # type: ignore[arg-type]
        assert isinstance(drawn, np.ndarray)
        losses.append(aim.loss(shown(torch.tensor(drawn))).mean().item())
    # One number that is linear in the picture is reached by a rate of 2, and half the way by 1.
    assert losses[2] < losses[1] < 0.5 * losses[0]
    one = Structure(lambda pictures: pooled(pictures)[:, :1], aim.wanted[:, :1], np.ones(1, np.bool_))
    clean = feature_guided(lambda x, t, r: x, one, shown, 2.0)(mean, 0.0, 0.0)
    assert one.loss(shown(torch.tensor(clean))).max() < 1e-8
    half = feature_guided(lambda x, t, r: x, one, shown, 1.0)(torch.tensor(mean), 0.0, 0.0)
    np.testing.assert_allclose(one.loss(shown(half)), one.loss(shown(torch.tensor(mean))) / 4, rtol=1e-3)
    with pytest.raises(ValueError, match="rate is above 0"):
        feature_guided(lambda x, t, r: x, one, shown, 0.0)


def test_only_what_is_decoded_well_counts() -> None:
    aim = structure(0)
    pictures = torch.rand(2, 3, SIDE, SIDE)
    other = Structure(pooled, np.where(aim.mask, aim.wanted, 9.0).astype(np.float32), aim.mask)
    torch.testing.assert_close(aim.loss(pictures), other.loss(pictures))
    by_hand = ((pooled(pictures).numpy() - aim.wanted)[:, aim.mask] ** 2).mean(axis=1)
    by_hand /= (aim.wanted[:, aim.mask] ** 2).mean(axis=1)
    np.testing.assert_allclose(aim.loss(pictures).numpy(), by_hand, rtol=1e-5)
    with pytest.raises(ValueError, match="one number at least"):
        Structure(pooled, aim.wanted, np.zeros(3 * CELLS**2, np.bool_))
    with pytest.raises(ValueError, match="not finite"):
        Structure(pooled, np.full_like(aim.wanted, np.nan), aim.mask)
