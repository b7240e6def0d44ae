"""What the network of the embedded generator keeps to, whatever it has learnt."""

import pytest
import torch
from torch.nn import functional

from decode_stream.decoders.distillation.flow_training import (
    Batch,
    FlowSettings,
    flow_loss,
    painted_parts_loss,
)
from decode_stream.decoders.distillation.flow_unet import FlowUnet, FlowUnetConfig

from .small_flows import CONFIG, batches, small_network


def given() -> Batch:
    torch.set_num_threads(1)
    return batches().batch(0, 3, torch.device("cpu"))


def test_noise_of_single_pixels_is_never_drawn() -> None:
    network, batch = small_network(), given()
    t = torch.tensor([1.0, 0.5, 0.2])
    fine = batch.noise()
    means = functional.avg_pool2d(fine, CONFIG.patch)
    fine = fine - functional.interpolate(means, scale_factor=float(CONFIG.patch), mode="nearest")
    with torch.no_grad():
        one = network(batch.pictures, t, t, *batch.condition)
        noisy = network(batch.pictures + fine, t, t, *batch.condition)
        coarse = network(batch.pictures + 0.1, t, t, *batch.condition)
    torch.testing.assert_close(noisy, one, atol=1e-4, rtol=0)
    assert (coarse - one).abs().mean() > 1e-3


def test_pictures_do_not_mix() -> None:
    network, batch = small_network(), given()
    t = torch.tensor([1.0, 0.5, 0.2])
    x = batch.noise()
    with torch.no_grad():
        together = network(x, t, t / 2, *batch.condition)
        alone = network(x[1:2], t[1:2], t[1:2] / 2, *(part[1:2] for part in batch.condition))
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changed", ["x", "t", "r", "semantic", "layout", "open_share"])
def test_all_that_it_is_told_counts(changed: str) -> None:
    network, batch = small_network(), given()
    semantic, layout, open_share = batch.condition
    told = {
        "x": batch.noise(),
        "t": torch.full((3,), 0.8),
        "r": torch.full((3,), 0.4),
        "semantic": semantic,
        "layout": layout,
        "open_share": open_share,
    }
    with torch.no_grad():
        as_told, other = network(**told), network(**{**told, changed: told[changed] + 0.1})
    assert (as_told - other).abs().max() > 1e-4


def test_every_weight_learns() -> None:
    network, batch = small_network(), given()
    flow_loss(FlowSettings(noise_share=0.5))(network, batch).backward()
    still = [
        name
        for name, value in network.named_parameters()
        if not (value.grad is not None and value.grad.any())
    ]
    # A bias that a softmax over places takes away.
    assert still in ([], ["parts.cell.bias"])


def test_parts_learn_without_the_rest() -> None:
    network, batch = small_network(), given()
    painted_parts_loss(network, batch).backward()
    learning = {
        name.partition(".")[0] for name, value in network.named_parameters() if value.grad is not None
    }
    assert learning == {"parts"}


def test_a_network_that_begins_paints_its_parts() -> None:
    network, batch = small_network(stirred=False), given()
    with torch.no_grad():
        network.out.bias.zero_()
        clean = network(batch.noise(), torch.ones(3), torch.ones(3), *batch.condition)
        under = network.parts(*network.told(*batch.condition))
    torch.testing.assert_close(clean, under)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"widths": (12,)}, "multiples of 8"),
        ({"side_px": 20}, "no multiple of 8"),
        ({"n_tokens": 0}, "1 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FlowUnet(FlowUnetConfig(4, **sizes))  # type: ignore[arg-type]
