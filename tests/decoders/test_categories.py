"""Encoders of embeddings as decoders of categories."""

import numpy as np
import pytest
import torch

from decode_stream.decoders.encoders.atm import Atm, AtmConfig
from decode_stream.decoders.encoders.categories import Categories, PeoplesCategories
from decode_stream.decoders.encoders.projection import Projection, ProjectionConfig
from decode_stream.decoders.encoders.whole_trial import embed_whole
from decode_stream.decoders.training.loss_spec import LossSpec
from decode_stream.decoders.training.whole_trial_settings import WholeTrialSettings
from decode_stream.decoders.training.whole_trials import fit_whole_trials

N_CHANNELS, N_TIMES, WIDTH = 3, 20, 16


def two_kinds(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return trials, and which of two categories each is of: one answers in the first channel, the other less."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    trials = rng.standard_normal((n, N_CHANNELS, N_TIMES)).astype(np.float32)
    trials[:, 0, 8:14] += 0.6 * (2 * labels[:, None] - 1)
    return trials, labels


def test_a_network_that_ends_with_a_layer_norm_learns_two_categories() -> None:
    trials, labels = two_kinds(400, 0)
    encoder = Projection(ProjectionConfig(N_CHANNELS, N_TIMES, WIDTH))
    module = Categories(encoder, WIDTH, 2)
    settings = WholeTrialSettings(
        15, 64, 3e-3, loss=LossSpec(temperature=1.0, normalise="none"), norm="none", keep="last"
    )
    fit_whole_trials(module, trials, labels, np.eye(2, dtype=np.float32), settings=settings)
    unseen, truth = two_kinds(300, 1)
    said = embed_whole(module, unseen)
    assert said.shape == (300, 2)
    assert (said.argmax(axis=1) == truth).mean() > 0.8
    # Sure to different degrees, where a layer norm over two numbers would give a sign.
    assert len(np.unique(np.round(said[:, 1] - said[:, 0], 3))) > 200


def test_somebody_new_begins_at_the_mean_of_the_people_known() -> None:
    size = (N_CHANNELS, 80, WIDTH)
    known, new = (PeoplesCategories(Atm(AtmConfig(*size, n_subjects=n), n), WIDTH, 2) for n in (2, 0))
    weights = new.for_new_people(known.state_dict())
    new.load_state_dict(weights)
    torch.testing.assert_close(new.scores.weight, known.scores.weight)
    people = {name for name in weights if weights[name].shape != known.state_dict()[name].shape}
    assert people
    assert all(name.startswith("encoder.") for name in people)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_gives_the_same_layer_whatever_was_drawn_before(seed: int) -> None:
    encoder = Projection(ProjectionConfig(N_CHANNELS, N_TIMES, WIDTH))
    first = Categories(encoder, WIDTH, 2, seed)
    torch.rand(3)
    torch.testing.assert_close(first.scores.weight, Categories(encoder, WIDTH, 2, seed).scores.weight)
