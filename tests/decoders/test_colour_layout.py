import numpy as np
import pytest

from decode_stream.decoders.targets.colour_layout import cielab, colour_layout_target


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
