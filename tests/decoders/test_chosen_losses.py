"""The losses and schedules that a user may choose, for encoders of whole trials and of windows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from decode_stream.config import Loss, Schedule
from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.decoders.training import run
from decode_stream.decoders.training.embedding_losses import mse_cosine
from decode_stream.decoders.training.fitting import FitSettings, embed_trials, fit
from decode_stream.decoders.training.history import EpochReport, FitHistory
from decode_stream.decoders.training.loss_spec import LOSSES, make_loss
from decode_stream.decoders.training.run import rate_schedule
from decode_stream.decoders.training.whole_trial_settings import WholeTrialSettings
from decode_stream.decoders.training.whole_trials import fit_whole_trials

from .test_whole_trials import Linear, assert_same, held_out, simulate, targets

N_EPOCHS = 4
Progress = Callable[[EpochReport], None]


pytestmark = pytest.mark.usefixtures("one_thread")


def whole_trials(
    loss: str, schedule: run.Schedule, folder: Path | None, progress: Progress | None = None
) -> tuple[nn.Module, FitHistory]:
    epochs, labels = simulate(60, last=40, noise=0.5)
    module = Linear(dropout=0.2)
    settings = WholeTrialSettings(N_EPOCHS, 20, 1e-2, schedule=schedule, step_epochs=2, loss=LOSSES[loss])
    history = fit_whole_trials(
        module, epochs, labels, targets(), settings=settings, valid=held_out(), checkpoint=folder, progress=progress
    )  # fmt: skip
    return module, history


def windows(
    loss: str, schedule: run.Schedule, folder: Path | None, progress: Progress | None = None
) -> tuple[nn.Module, FitHistory]:
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((20, 6), dtype=np.float32)
    labels = np.arange(60) % 20
    shown = np.einsum("nd,dlct->nlct", gallery[labels], rng.standard_normal((6, 3, 4, 8)))
    trials = (shown + rng.standard_normal(shown.shape)).astype(np.float32)
    module = ChannelAttention(ChannelAttentionConfig(4, 8, 6, n_latencies=3))
    settings = FitSettings(N_EPOCHS, 20, 1e-2, schedule, LOSSES[loss])
    history = fit(
        module, trials[:40], labels[:40], gallery, norm="unit", settings=settings, checkpoint=folder,
        valid=(trials[40:], labels[40:]), progress=progress,
    )  # fmt: skip
    return module, history


CASES = [(loss, "constant") for loss in LOSSES] + [("info-nce", name) for name in get_args(run.Schedule)[1:]]


def test_the_command_line_names_them_all() -> None:
    assert get_args(Loss) == tuple(LOSSES)
    assert get_args(Schedule) == get_args(run.Schedule)


@pytest.mark.parametrize("train", [whole_trials, windows])
@pytest.mark.parametrize(("loss", "schedule"), CASES)
def test_each_trains_and_goes_on_to_the_bit(
    tmp_path: Path, train: Callable[..., tuple[nn.Module, FitHistory]], loss: str, schedule: run.Schedule
) -> None:
    whole, history = train(loss, schedule, None, None)
    assert len(history.reports) == N_EPOCHS
    assert np.isfinite(history.train_loss).all()
    assert np.isfinite(history.valid_loss).all()

    def stop(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(loss, schedule, tmp_path, stop)
    torch.manual_seed(99)
    resumed, resumed_history = train(loss, schedule, tmp_path, None)
    assert_same(whole, resumed)
    assert resumed_history == history


@pytest.mark.parametrize("train", [whole_trials, windows])
def test_losses_and_schedules_lead_elsewhere(train: Callable[..., tuple[nn.Module, FitHistory]]) -> None:
    # Steps of ten epochs, as an encoder of windows has them, come too late for four.
    cases = [case for case in CASES if train is whole_trials or case[1] != "step"]
    ends = {case: train(*case, None)[0].state_dict() for case in cases}
    name = "linear.weight" if train is windows else "subjects"
    values = [state[name] for state in ends.values()]
    for i, one in enumerate(values):
        assert not any(torch.equal(one, other) for other in values[:i])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [1.0] * 8),
        ("step", [1.0] * 4 + [0.8] * 4),
        ("cosine", [(1 + np.cos(np.pi * k / 8)) / 2 for k in range(8)]),
    ],
)
def test_the_rate_follows_its_schedule(name: run.Schedule, expected: list[float]) -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=1.0)
    schedule = rate_schedule(optimizer, name, n_epochs=4, n_steps=2, step_epochs=2)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates, expected, atol=1e-12)


@pytest.mark.parametrize("divisor", [1e3, 1e4])
def test_one_cycle_ends_at_a_share_of_where_it_began(divisor: float) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = rate_schedule(optimizer, "one-cycle", n_epochs=5, n_steps=2, final_divisor=divisor)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose([rates[0], max(rates), rates[-1]], [1 / 25, 1.0, 1 / 25 / divisor])


def test_contrastive_fine_tuning_begins_half_way() -> None:
    rng = torch.Generator().manual_seed(0)
    predicted, target = (torch.randn(5, 3, generator=rng) for _ in range(2))
    loss = make_loss(LOSSES["mse-cosine-contrast"])
    begins = []
    for epoch in range(1, 7):
        loss.begin_epoch(epoch, 6)
        begins.append(loss.begins)
        plain = torch.equal(loss(predicted, target), mse_cosine(predicted, target, 0.6))
        assert plain is (epoch <= 3)
    assert begins == [False, False, False, True, False, False]
    loss.eval()
    after = loss(predicted, target)
    loss.begin_epoch(1, 6)
    assert torch.equal(loss(predicted, target), after), "in validation, epochs compare"


def test_soft_clip_is_what_bimixco_ends_in() -> None:
    loss = make_loss(LOSSES["soft-clip"])
    temperatures = []
    for epoch in (1, 10):
        loss.begin_epoch(epoch, 10)
        assert not loss.mixes
        temperatures.append(round(loss.soft_temperature, 6))
    assert temperatures == [0.004, 0.0075]


def test_a_second_head_learns_the_structure_beside_the_embedding() -> None:
    rng = np.random.default_rng(0)
    gallery, layouts = (rng.standard_normal((20, n), dtype=np.float32) for n in (6, 3))
    labels = np.arange(200) % 20
    tuning = rng.standard_normal((9, 3, 4, 8))
    shown = np.einsum("nd,dlct->nlct", np.concatenate([gallery, layouts], axis=1)[labels], tuning)
    trials = (shown + 0.5 * rng.standard_normal(shown.shape)).astype(np.float32)
    module = ChannelAttention(ChannelAttentionConfig(4, 8, 9, n_latencies=3))
    settings = FitSettings(20, 40, 1e-2, prior_std=1.0)
    fit(
        module, trials[:150], labels[:150], gallery, norm="unit", structure=layouts, settings=settings
    )  # fmt: skip
    found = embed_trials(module, trials[150:])[..., 6:].mean(axis=1)
    for k in range(3):
        assert np.corrcoef(found[:, k], layouts[labels[150:], k])[0, 1] > 0.5
    with pytest.raises(ValueError, match="20 entries need a structure each; got 19"):
        fit(module, trials, labels, gallery, norm="unit", structure=layouts[:19])
    with pytest.raises(ValueError, match="Gallery entries have 9 dimensions"):
        fit(module, trials, labels, gallery, norm="unit", settings=replace(settings, n_epochs=1))
