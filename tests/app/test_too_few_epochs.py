"""Trainings of fewer epochs than what is asked of them needs."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from decode_stream.config import Model
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.decoders.training.loss_spec import LOSSES, make_loss
from decode_stream.decoders.training.run import rate_schedule
from decode_stream.decoders.training.schedules import STEP_EPOCHS
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import Channel
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.model_checks import check_network

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ("Oz", "O1", "O2", "Pz")
STEP = "--schedule step leaves the learning rate as it is: it lowers it after every 10 epochs, and this training has {}"
MIX = "--loss bimixco mixes no trials: it mixes in the first 33 % of the epochs, and this training has {}"
CONTRAST = (
    "--loss mse-cosine-contrast contrasts from the beginning: it does without in the first 50 % of the epochs, and "
    "this training has 1"
)


def recipe(model: Model, *, categories: bool = False) -> Recipe:
    """Return a recipe of two pictures or categories, with the windows that a model takes."""
    first_s = None if model == "channel-attention" else Fraction(1)
    space = EmbeddingSpace("categories", "", 2, "none") if categories else EmbeddingSpace("x", "y", 2)
    gallery = Gallery(("a", "b"), np.eye(2, dtype=np.float32), space, {}, {})
    channels = tuple(Channel(name, "eeg", "V") for name in NAMES)
    schedule = WindowSchedule(Fraction(128), Fraction(1), Fraction(1, 40), first_s=first_s)
    chain = ChainSpec(NAMES, ("V",) * len(NAMES), 128.0)
    return Recipe("eeg", channels, chain, WindowSpec(), schedule, 1, gallery)


def said(model: Model, *, categories: bool = False, **asked: object) -> list[str]:
    """Return what is said before such a training begins."""
    lines = list[str]()
    options = FitOptions(report=lines.append, **asked)  # type: ignore[arg-type]
    check_network(model, recipe(model, categories=categories), options)
    return lines


@pytest.mark.parametrize("model", ["channel-attention", "eegnet"])
def test_a_rate_that_has_no_time_to_fall_is_told(model: Model) -> None:
    for n_epochs in (1, STEP_EPOCHS):
        assert said(model, schedule="step", n_epochs=n_epochs) == [STEP.format(n_epochs)]
        assert said(model, schedule="step", n_epochs=n_epochs, categories=True) == [STEP.format(n_epochs)]
    assert said(model, schedule="step", n_epochs=STEP_EPOCHS + 1) == []
    # Both learn for longer where nobody asks for less.
    assert said(model, schedule="step") == []
    for schedule in (None, "constant", "cosine", "one-cycle"):
        assert said(model, schedule=schedule, n_epochs=1) == []


@pytest.mark.parametrize("model", ["channel-attention", "eegnet"])
def test_trials_that_are_never_mixed_are_told(model: Model) -> None:
    assert said(model, loss="bimixco", n_epochs=3) == [MIX.format(3)]
    assert said(model, loss="bimixco", schedule="step", n_epochs=1) == [STEP.format(1), MIX.format(1)]
    assert said(model, loss="bimixco", n_epochs=4) == []
    for loss in set(LOSSES) - {"bimixco", "mse-cosine-contrast"}:
        assert said(model, loss=loss, n_epochs=1) == []


@pytest.mark.parametrize("model", ["channel-attention", "eegnet"])
def test_a_regression_that_never_comes_before_its_contrast_is_told(model: Model) -> None:
    assert said(model, loss="mse-cosine-contrast", n_epochs=1) == [CONTRAST]
    assert said(model, loss="mse-cosine-contrast", n_epochs=2) == []


def test_what_is_told_is_so() -> None:
    rates = []
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = rate_schedule(optimizer, "step", n_epochs=STEP_EPOCHS + 1, n_steps=1)
    for _ in range(STEP_EPOCHS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == [1.0] * STEP_EPOCHS + [0.8]
    loss = make_loss(LOSSES["bimixco"])
    for n_epochs, n_mixed in ((3, 0), (4, 1)):
        mixed = []
        for epoch in range(1, n_epochs + 1):
            loss.begin_epoch(epoch, n_epochs)
            mixed.append(loss.mixes)
        assert sum(mixed) == n_mixed
    loss = make_loss(LOSSES["mse-cosine-contrast"])
    for n_epochs, n_plain in ((1, 0), (2, 1), (3, 1)):
        contrasts = []
        for epoch in range(1, n_epochs + 1):
            loss.begin_epoch(epoch, n_epochs)
            contrasts.append(loss.contrasts)
        assert contrasts.count(False) == n_plain
