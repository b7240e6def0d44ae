"""Flow matching compares velocities, batches hang on their number alone, and a training goes on to the same numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decode_stream.decoders.distillation.flow_training import (
    FlowSettings,
    flow_loss,
    learn,
    learning_state,
    painted_parts_loss,
)
from decode_stream.decoders.training.checkpoint import module_digest
from decode_stream.stream.errors import DecodeStreamError, UsageError

from .small_flows import batches, small_network

CPU = torch.device("cpu")
FEW = FlowSettings(n_steps=5, batch_size=3, save_every=2)


@pytest.mark.parametrize("noise_share", [1.0, 0.0])
def test_velocities_are_compared(noise_share: float) -> None:
    batch, times = batches().batch(0, 64, CPU), list[torch.Tensor]()

    def off(x: torch.Tensor, t: torch.Tensor, r: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        assert torch.equal(t, r)
        times.append(t)
        return batch.pictures + 0.2

    network: Any = off
    loss = float(flow_loss(FlowSettings(noise_share=noise_share))(network, batch))
    (t,) = times
    assert ((t == 1).all()) if noise_share else ((t > 0) & (t < 1)).all()
    assert loss == pytest.approx(float((0.2 / t.clamp(min=0.4)).square().mean()), rel=1e-4)


def test_what_the_network_sees_is_on_the_straight_way() -> None:
    batch = batches().batch(0, 200, CPU)

    def noise_of(x: torch.Tensor, t: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        at = t[:, None, None, None]
        noise = (x - (1 - at) * batch.pictures) / at
        assert noise.mean() == pytest.approx(0, abs=0.02)
        assert noise.std() == pytest.approx(1, abs=0.02)
        return batch.pictures

    network: Any = noise_of
    assert float(flow_loss(FlowSettings())(network, batch)) == 0


def test_a_batch_hangs_on_its_number_alone() -> None:
    source = batches(seed=4)
    first, other = source.batch(7, 3, CPU), source.batch(8, 3, CPU)
    again = batches(seed=4).batch(7, 3, CPU)
    assert torch.equal(first.pictures, again.pictures)
    assert all(torch.equal(one, two) for one, two in zip(first.condition, again.condition, strict=True))
    assert torch.equal(first.noise(), again.noise())
    assert not torch.equal(first.condition[0], other.condition[0])
    assert not torch.equal(first.noise(), other.noise())
    assert float(first.pictures.min()) == pytest.approx(90 / 127.5 - 1)
    assert float(first.pictures.max()) == 1
    assert (first.nothing[2] == 1).all()
    assert not first.nothing[0].any()


def trained(folder: Path | None = None, stop_after: int | None = None, settings: FlowSettings = FEW) -> str:
    """Return the digest of learner and average after a training, in the folder if it was stopped."""
    torch.set_num_threads(1)
    learning = learning_state(small_network())

    def progress(step: int, of: int, loss: float) -> None:
        assert of == settings.n_steps
        assert np.isfinite(loss)
        if step == stop_after:
            raise KeyboardInterrupt

    learn(learning, flow_loss(settings), batches(), settings, checkpoint=folder, progress=progress)
    assert not learning.average.training
    return module_digest(learning.state)


def test_a_training_that_was_stopped_comes_to_the_same_numbers(tmp_path: Path) -> None:
    whole = trained()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop_after=3)  # one step behind the first checkpoint
    assert trained(tmp_path) == whole
    assert trained(tmp_path, stop_after=0) == whole  # nothing is left to do
    with pytest.raises(UsageError, match="belongs to another training"):
        trained(tmp_path, settings=replace(FEW, learning_rate=1e-4))


def test_the_average_follows_what_learns() -> None:
    learning = learning_state(small_network())
    began = [value.clone() for value in learning.average.parameters()]
    learn(learning, painted_parts_loss, batches(), replace(FEW, n_steps=1))
    moved = 0.0
    for before, average, learnt in zip(
        began, learning.average.parameters(), learning.learner.parameters(), strict=True
    ):
        torch.testing.assert_close(average, before + (1 - 2 / 11) * (learnt - before))
        moved += float((average - before).abs().sum())
    assert moved > 0


def test_squares_are_learnt() -> None:
    learning = learning_state(small_network(stirred=False))
    losses = list[float]()
    settings = FlowSettings(n_steps=60, batch_size=16, learning_rate=6e-3)

    def progress(step: int, of: int, loss: float) -> None:
        losses.append(loss)

    learn(learning, painted_parts_loss, batches(), settings, progress=progress)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_loss_that_is_no_number_ends_it() -> None:
    learning = learning_state(small_network())
    with pytest.raises(DecodeStreamError, match="nan"):
        learn(learning, lambda network, _: network.out.bias.sum() * torch.nan, batches(), FEW)
