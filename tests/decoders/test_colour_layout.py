import numpy as np
import pytest
import torch

from decode_stream.decoders.targets.colour_layout import (
    cielab,
    colour_layout_target,
    differentiable_layout,
)


@pytest.mark.parametrize(
    ("light", "lab"),
    [  # published values of the colours of sRGB under D65
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_colours_are_those_of_cielab(light: tuple[int, ...], lab: tuple[float, ...]) -> None:
    np.testing.assert_allclose(cielab(np.array(light, float)), lab, atol=0.02)


def test_each_cell_is_the_mean_of_its_light() -> None:
    target = colour_layout_target("colour-layout:2x2")
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30] = 255
    picture[20:, 30:, 0] = 255
    picture[20:, :30][::2] = 255  # stripes of black and white: half of the light, L* = 76.07
    (embedding,) = target.encode([picture])
    cells = embedding.reshape(2, 2, 3) * 100 + [50, 0, 0]
    np.testing.assert_allclose(cells[0], [[100, 0, 0], [0, 0, 0]], atol=0.02)
    np.testing.assert_allclose(cells[1], [[76.07, 0, 0], [53.24, 80.09, 67.20]], atol=0.02)
    assert (target.space.shape, target.space.dimension) == ((2, 2, 3), 12)
    assert colour_layout_target("colour-layout").space.layer == "CIELAB, 8 x 8"
    assert target.encode([]).shape == (0, 12)


def test_torch_makes_the_same_layout_with_a_gradient() -> None:
    pictures = np.random.default_rng(0).integers(256, size=(3, 32, 32, 3), dtype=np.uint8)
    pictures[0, :16] = 4  # where CIELAB and sRGB are straight
    expected = colour_layout_target("colour-layout:4x4").encode(list(pictures))
    given = torch.from_numpy(pictures / np.float32(255)).permute(0, 3, 1, 2).requires_grad_()
    found = differentiable_layout(4)(given)
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-4)
    beyond = (1.2 * given - 0.1).detach().requires_grad_()
    differentiable_layout(4)(beyond).square().sum().backward()
    assert beyond.grad is not None
    assert torch.isfinite(beyond.grad).all()
    assert (beyond.grad != 0).float().mean() > 0.9
