"""Parts lie where it is told, later ones on top, and are learnt from where their places are known."""

from math import atanh, log

import pytest
import torch

from decode_stream.decoders.distillation.parts import Parts, PartsConfig, parts_loss

GREY = 0.5


def painted(n_parts: int, places: list[tuple[float, float, float]], colours: list[float]) -> Parts:
    """Return parts that paint a full square of one colour each, at x, y and side, whatever is seen."""
    torch.manual_seed(0)
    parts = Parts(PartsConfig(n_parts, part_px=8, width=4, place_width=8), 3, 64, (8, 8))
    with torch.no_grad():
        for layer in (parts.paint, parts.heat, parts.shift, parts.ground[-1]):
            layer.weight.zero_()
            layer.bias.zero_()
        # All places weigh alike, so that a part lies in the middle but for its shift, 0.3 at most.
        shifts = [(atanh(x / 0.3), atanh(y / 0.3), log(side) + 0.6) for x, y, side in places]
        parts.shift.bias.copy_(torch.tensor(shifts).flatten())
        # Every part is painted from what is known of it alone; the first number tells them apart.
        last = parts.known[2]
        last.weight.zero_()
        last.bias.copy_(
            torch.tensor([[30.0 * (at == part) for at in range(4)] for part in range(n_parts)]).flatten()
        )
        for part, colour in enumerate(colours):
            levels = parts.paint.weight[:, part].view(4, 8, 8)
            levels[:3], levels[3] = atanh(colour) / 30, 1.0
    return parts


def drawn(parts: Parts) -> tuple[torch.Tensor, torch.Tensor]:
    seen, colours = torch.zeros(2, 3), torch.full((2, 3, 8, 8), GREY)
    with torch.no_grad():
        pictures, places = parts(seen, colours)
    return pictures, places


def test_a_square_lands_at_its_pixels() -> None:
    pictures, places = drawn(painted(1, [(0.25, -0.125, 0.25)], [-0.9]))
    torch.testing.assert_close(places[0, 0], torch.tensor([0.25, -0.125, log(0.25)]))
    # 16 pixels a side around column 40 and row 28; half a pixel of its own frame, it fades into the ground.
    around = torch.zeros(64, 64, dtype=torch.bool)
    around[19:37, 31:49] = True
    inner = torch.zeros_like(around)
    inner[21:35, 33:47] = True
    for picture in pictures:
        torch.testing.assert_close(picture[:, ~around], torch.full((3, 64 * 64 - 18 * 18), GREY))
        torch.testing.assert_close(picture[:, inner], torch.full((3, 14 * 14), -0.9), atol=1e-4, rtol=0)


def test_later_parts_lie_on_top() -> None:
    pictures, _ = drawn(painted(2, [(0.0, 0.0, 0.5), (0.25, 0.0, 0.25)], [-0.9, 0.9]))
    assert pictures[0, 0, 32, 24] == pytest.approx(-0.9, abs=1e-3)
    assert pictures[0, 0, 32, 40] == pytest.approx(0.9, abs=1e-3)


def test_the_loss_counts_places_that_are_known_of_pictures_that_are() -> None:
    pictures, given = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.25)
    true = torch.zeros(2, 2, 3)
    true[:, 1] = torch.nan
    places = true.nan_to_num() + torch.tensor([0.5, 9.0])[None, :, None]  # nobody tells of the second
    nothing_off = parts_loss(pictures, places, pictures, true, torch.zeros(2))
    assert float(nothing_off) == 0
    colours = float(parts_loss(given, true.nan_to_num(), pictures, true, torch.ones(2)))
    assert colours == pytest.approx(0.25)
    sure, half = (
        float(parts_loss(pictures, places, pictures, true, torch.tensor(one)))
        for one in ([1.0, 1.0], [1.0, 0.0])
    )
    assert sure == pytest.approx(2 * half)
    assert half > 0
    # Where nobody tells anything, colours alone are learnt from.
    untold = parts_loss(given, places, pictures, torch.full_like(true, torch.nan), torch.ones(2))
    assert float(untold) == pytest.approx(0.25)


def test_places_are_learnt_through_what_was_painted() -> None:
    parts = painted(1, [(0.2, 0.0, 0.5)], [-0.9])
    seen, colours = torch.zeros(1, 3), torch.full((1, 3, 8, 8), GREY)
    with torch.no_grad():
        wanted, _ = painted(1, [(0.1, 0.0, 0.5)], [-0.9])(seen, colours)
    pictures, places = parts(seen, colours)
    parts_loss(pictures, places, wanted, torch.full_like(places, torch.nan), torch.ones(1)).backward()
    assert parts.shift.bias.grad is not None
    x, y, _ = parts.shift.bias.grad
    assert x > 100 * y.abs()  # it goes back, to the left


def test_parts_have_a_size() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        PartsConfig(n_parts=0)
