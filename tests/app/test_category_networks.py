"""The published encoders of whole trials where markers are categories."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from decode_stream.config import Model
from decode_stream.decoders.encoders.whole_trial import KnowsPeople
from decode_stream.decoders.fit_options import Start
from decode_stream.decoders.recipe import Recipe, category_gallery
from decode_stream.stream.errors import UsageError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import Channel
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.whole_trial_models import PUBLISHED, whole_trial_network

NAMES = ("Oz", "O1", "O2", "Pz")
#: Encoders with a layer or a token of each person, and those of which no public weights are known.
OF_PEOPLE = {"atm-s", "spatial-attention", "mindeye2"}
UNPUBLISHED = {"eegnet", "spatial-attention", "mind-reader", "mindeye", "mindeye2"}


def recipe() -> Recipe:
    """Return a recipe of three categories."""
    gallery = category_gallery([], {"1": "face", "2": "house", "3": "tool"})
    channels = tuple(Channel(name, "eeg", "uV") for name in NAMES)
    chain = ChainSpec(NAMES, ("uV",) * len(NAMES), 100.0)
    schedule = WindowSchedule(Fraction(100), Fraction(1), Fraction(1, 40), first_s=Fraction(1))
    return Recipe("eeg", channels, chain, WindowSpec(), schedule, 1, gallery)


@pytest.mark.parametrize("model", PUBLISHED)
def test_each_gives_one_number_a_category_that_tells_trials_apart(model: Model) -> None:
    module = whole_trial_network(model, recipe(), Start(), 0, n_people=2).eval()
    trials = torch.tensor(np.random.default_rng(0).standard_normal((6, len(NAMES), 100)), dtype=torch.float32)
    with torch.inference_mode():
        scores = module(trials, torch.tensor([0, 1, 0, 1, 0, 1]))
    assert scores.shape == (6, 3)
    assert (scores.std(dim=0) > 0).all()
    # Only a network that knows people is told whose trials they are.
    assert isinstance(module, KnowsPeople) is (model in OF_PEOPLE)


@pytest.mark.parametrize("model", PUBLISHED)
def test_public_weights_are_refused_for_what_they_are(model: Model) -> None:
    start = Start(public=(Path("x.pth"),))
    words = "There are no public weights of" if model in UNPUBLISHED else "are for embeddings of pictures"
    with pytest.raises(UsageError, match=words):
        whole_trial_network(model, recipe(), start, 0)


def test_where_no_target_would_help_none_is_asked_for() -> None:
    with pytest.raises(UsageError) as refused:
        whole_trial_network("spatial-attention", recipe(), Start(public=(Path("x.pth"),)), 0)
    assert "--target" not in str(refused.value)
    pictures = replace(recipe().gallery.space, model="pictures")
    how = replace(recipe(), gallery=replace(recipe().gallery, space=pictures))
    with pytest.raises(UsageError, match="There are no public weights of SpatialAttention"):
        whole_trial_network("spatial-attention", how, Start(public=(Path("x.pth"),)), 0)
