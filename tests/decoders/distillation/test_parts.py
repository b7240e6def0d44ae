"""Parts lie where it is told, later ones on top, and are learnt from where their kinds and places are known."""

from math import atanh, log

import pytest
import torch

from decode_stream.decoders.distillation.parts import FoundParts, Parts, PartsConfig, TrueParts, parts_loss

GREY = 0.5
NOBODY_TELLS = -1


def painted(n_parts: int, colours: list[float]) -> Parts:
    """Return parts of which each kind looks like a full square of one colour."""
    torch.manual_seed(0)
    config = PartsConfig(n_parts, n_kinds=len(colours), part_px=8, width=4, place_width=8)
    parts = Parts(config, 3, 64, (8, 8))
    with torch.no_grad():
        parts.ground[-1].weight.zero_()
        parts.ground[-1].bias.zero_()
        for kind, colour in enumerate(colours):
            look = parts.looks[kind].view(4, 8, 8)
            look[:3], look[3] = atanh(colour) / 10, 3.0
    return parts


def drawn(parts: Parts, kinds: list[int], places: list[tuple[float, float, float]]) -> torch.Tensor:
    """Return a picture of parts at x, y and side."""
    seen, colours = torch.zeros(1, 3), torch.full((1, 3, 8, 8), GREY)
    where = torch.tensor([[(x, y, log(side)) for x, y, side in places]])
    with torch.no_grad():
        picture: torch.Tensor = parts.paint(
            parts.find(seen, colours), colours, TrueParts(torch.tensor([kinds]), where)
        )[0]
    return picture


def test_a_square_lands_at_its_pixels() -> None:
    picture = drawn(painted(1, [-0.9]), [0], [(0.25, -0.125, 0.25)])
    # 16 pixels a side around column 40 and row 28; half a pixel of its own frame, it fades into the ground.
    around = torch.zeros(64, 64, dtype=torch.bool)
    around[19:37, 31:49] = True
    inner = torch.zeros_like(around)
    inner[21:35, 33:47] = True
    torch.testing.assert_close(picture[:, ~around], torch.full((3, 64 * 64 - 18 * 18), GREY))
    torch.testing.assert_close(picture[:, inner], torch.full((3, 14 * 14), -0.9), atol=1e-4, rtol=0)


def test_later_parts_lie_on_top() -> None:
    picture = drawn(painted(2, [-0.9, 0.9]), [0, 1], [(0.0, 0.0, 0.5), (0.25, 0.0, 0.25)])
    assert picture[0, 32, 24] == pytest.approx(-0.9, abs=1e-3)
    assert picture[0, 32, 40] == pytest.approx(0.9, abs=1e-3)


def test_what_nobody_tells_is_painted_as_it_is_found() -> None:
    parts = painted(1, [-0.9, 0.9])
    with torch.no_grad():
        parts.kind.weight.zero_()
        parts.kind.bias.copy_(torch.tensor([30.0, 0.0]))
        parts.cell.weight.zero_()
        parts.size.weight.zero_()
        parts.size.bias.zero_()
        seen, colours = torch.zeros(1, 3), torch.full((1, 3, 8, 8), GREY)
        found = parts.find(seen, colours)
        untold = TrueParts(torch.tensor([[NOBODY_TELLS]]), torch.full((1, 1, 3), torch.nan))
        torch.testing.assert_close(parts.paint(found, colours, untold), parts(seen, colours))
        # All cells are alike: it lies in the middle, as large as one of which nothing is known.
        torch.testing.assert_close(found.places, torch.tensor([[[0.0, 0.0, -0.6]]]))
        assert parts(seen, colours)[0, 0, 32, 32] == pytest.approx(-0.9, abs=1e-3)


def found(kinds: torch.Tensor, cells: torch.Tensor, places: torch.Tensor) -> FoundParts:
    return FoundParts(kinds, cells, places, torch.zeros(0))


def test_the_loss_is_least_where_kinds_and_places_are_as_likely_as_they_are_true() -> None:
    parts = painted(2, [0.0, 0.0, 0.0])
    true = TrueParts(torch.tensor([[1, 2]]), torch.tensor([[[0.0, -0.125, log(0.5)], [torch.nan] * 3]]))
    # The centre lies between columns 3 and 4, in the middle of row 3.
    cells = torch.full((1, 2, 8, 8), -50.0)
    cells[0, 0, 3, 3:5] = 0.0
    kinds = torch.full((1, 2, 3), -50.0)
    kinds[0, 0, 1] = kinds[0, 1, 2] = 0.0
    places = true.places.nan_to_num(9.0)
    best = parts_loss(parts, found(kinds, cells.flatten(2), places), true).item()
    assert best == pytest.approx(0.2 * log(2), rel=1e-4)
    for worse in (
        found(kinds.flip(2), cells.flatten(2), places),
        found(kinds, cells.roll(1, dims=2).flatten(2), places),
        found(kinds, cells.flatten(2), places + 0.1),
    ):
        assert float(parts_loss(parts, worse, true)) > best + 0.01


def test_what_nobody_tells_costs_nothing() -> None:
    parts = painted(2, [0.0, 0.0])
    seen, colours = torch.randn(3, 3), torch.rand(3, 3, 8, 8)
    untold = TrueParts(torch.full((3, 2), NOBODY_TELLS), torch.full((3, 2, 3), torch.nan))
    with torch.no_grad():
        assert float(parts_loss(parts, parts.find(seen, colours), untold)) == 0


def test_kinds_and_places_are_learnt_through_what_was_painted() -> None:
    parts = painted(1, [-0.9, 0.9])
    seen, colours = torch.zeros(1, 3), torch.full((1, 3, 8, 8), GREY)
    wanted = drawn(parts, [0], [(0.4, 0.0, 0.5)])
    (parts(seen, colours) - wanted).abs().mean().backward()
    assert parts.kind.bias.grad is not None
    assert parts.cell.weight.grad is not None
    assert parts.kind.bias.grad[0] < 0 < parts.kind.bias.grad[1]
    assert parts.cell.weight.grad.any()


def test_parts_have_a_size() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        PartsConfig(n_parts=0)
