"""Drawn beliefs are as far from the truth as they say, and those of a decoder are those that a session comes to."""

from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.distillation.beliefs import (
    BeliefDraws,
    Channel,
    bundle_channel,
    decoder_channel,
    plain_channels,
)
from decode_stream.decoders.generation.condition import LayoutMap, PictureModel
from decode_stream.decoders.generation.embedding_belief import Posteriors
from decode_stream.decoders.generation.picture_evidence import PictureEvidence
from tests.decoders.generation.picture_bundle import picture_bundle

from .small_flows import N_LAYOUT, embeddings, picture_model

EEG_DEMO = Path(__file__).parents[3] / "replay_data" / "demo-bundles" / "eeg.bundle.zip"


def channels() -> dict[str, Channel]:
    model = picture_model()
    everything, seen, layout = plain_channels(model)
    one_number = np.zeros((model.dimension, model.dimension))
    one_number[0, 0] = 1
    return {
        "everything": everything,
        "seen": seen,
        "layout": layout,
        "one number": decoder_channel(model, one_number),
    }


@pytest.mark.parametrize("name", channels())
def test_beliefs_are_off_by_what_they_leave_open(name: str) -> None:
    model, n = picture_model(), 4000
    true = embeddings(n, np.random.default_rng(1))
    belief = BeliefDraws(model, [channels()[name]], known_share=0).draw(true, np.random.default_rng(2))
    off = (true - belief.mean).astype(np.float64)
    start, stop = model.semantic
    weight = model.layout.weight.astype(np.float64)
    for part, (left, before) in enumerate(
        [
            ((off[:, start:stop] ** 2).sum(axis=1), np.trace(model.covariance[start:stop, start:stop])),
            (((off @ weight.T) ** 2).sum(axis=1), np.einsum("ij,jk,ik->", weight, model.covariance, weight)),
        ]
    ):
        said = belief.open_share[:, part]
        assert left.mean() / before == pytest.approx(said.mean(), abs=0.04)
        # Of the beliefs that say they know more, too.
        knowing = said < np.median(said)
        if knowing.any():
            assert left[knowing].mean() / before == pytest.approx(said[knowing].mean(), abs=0.05)
    # What is left has nothing to do with what is believed, or the belief could be bettered.
    believed = belief.mean - model.mean
    assert np.abs(believed.T @ off / n).max() < 0.12


def test_the_mean_is_that_of_the_posterior() -> None:
    model = picture_model()
    root = np.random.default_rng(4).standard_normal((model.dimension, 3))
    channel = decoder_channel(model, root @ root.T)
    covariance = model.covariance.astype(np.float64)
    posterior = np.linalg.inv(np.linalg.inv(covariance) + 2.0 * root @ root.T)
    left = covariance - (channel.axes * channel.settled(2.0)) @ channel.axes.T
    np.testing.assert_allclose(left, posterior, atol=1e-6)
    open_share = 1 - channel.shares @ channel.settled(2.0)
    np.testing.assert_allclose(open_share, model.open_shares(posterior), atol=1e-6)


def test_what_is_certain_is_known_as_it_is() -> None:
    model, n = picture_model(), 2000
    true = embeddings(n, np.random.default_rng(1))
    belief = BeliefDraws(model, plain_channels(model)).draw(true, np.random.default_rng(2))
    known = ~belief.open_share.any(axis=1)
    assert known.mean() == pytest.approx(0.6, abs=0.04)
    assert np.array_equal(belief.mean[known], true[known])
    assert not np.isclose(belief.mean[~known], true[~known]).all(axis=1).any()


@pytest.mark.parametrize("name", ["everything", "seen", "layout"])
def test_beliefs_run_from_next_to_nothing_to_nearly_all(name: str) -> None:
    model = picture_model()
    true = embeddings(2000, np.random.default_rng(1))
    belief = BeliefDraws(model, [channels()[name]], known_share=0).draw(true, np.random.default_rng(2))
    part = 1 if name == "layout" else 0
    assert belief.open_share[:, part].max() > 0.95
    assert belief.open_share[:, part].min() < 0.05


def test_one_kind_of_numbers_alone_is_told_by_one_channel() -> None:
    model = picture_model()
    whole = PictureModel(
        model.mean,
        model.covariance,
        (0, model.dimension),
        LayoutMap(np.zeros((3, model.dimension), np.float32), np.full(3, 0.5, np.float32), 1, 1),
    )
    assert len(plain_channels(whole)) == 1
    draws = BeliefDraws(whole, plain_channels(whole), known_share=0)
    belief = draws.draw(embeddings(50, np.random.default_rng(1)), np.random.default_rng(2))
    # No layout is told: it stays open.
    assert (belief.open_share[:, 1] == 1).all()


def test_a_bundle_tells_what_a_session_reads_from_it() -> None:
    bundle = picture_bundle()
    dimension = bundle.manifest.space.dimension
    rng = np.random.default_rng(0)
    mixed = np.eye(dimension) + 0.05 * rng.standard_normal((dimension, dimension))
    weight = np.zeros((12, dimension), np.float32)
    weight[:, : 3 * N_LAYOUT] = rng.standard_normal((12, 3 * N_LAYOUT))
    pictures = PictureModel(
        np.zeros(dimension, np.float32),
        (0.02 * mixed @ mixed.T).astype(np.float32),
        (64, dimension),
        LayoutMap(weight, np.full(12, 0.5, np.float32), 2, 2),
    )
    channel = bundle_channel(bundle, pictures)
    session = Posteriors(bundle, pictures)
    assert bundle.projector is not None
    n_outputs = len(bundle.projector.bias)
    for strength in (0.5, 40.0):
        told = session(PictureEvidence(np.zeros(n_outputs), strength))
        np.testing.assert_allclose(channel.settled(strength), told.settled, rtol=1e-6)
        np.testing.assert_allclose(1 - channel.shares @ channel.settled(strength), told.open_share, atol=1e-5)
    true = (channel.readout @ (channel.axes @ np.ones(n_outputs))).round(9)
    np.testing.assert_allclose(true, 1)  # the readout finds what the axes laid


def test_the_eeg_demo_tells_of_pictures() -> None:
    bundle = load_bundle(EEG_DEMO)
    dimension = bundle.manifest.space.dimension
    rng = np.random.default_rng(0)
    weight = np.zeros((12, dimension), np.float32)
    weight[:, :64] = rng.standard_normal((12, 64)) / 20
    pictures = PictureModel(
        np.zeros(dimension, np.float32),
        np.diag(rng.uniform(0.001, 0.01, dimension)).astype(np.float32),
        (64, dimension),
        LayoutMap(weight, np.full(12, 0.5, np.float32), 2, 2),
    )
    channel = bundle_channel(bundle, pictures)
    assert (channel.precision >= 0).all()
    assert np.isfinite(channel.precision).all()
    # It says more of some directions than of others, and leaves some of what is seen open at any strength.
    assert channel.precision.max() > 3 * np.median(channel.precision)
    assert (channel.shares.sum(axis=1) <= 1 + 1e-6).all()
    true = rng.multivariate_normal(pictures.mean, pictures.covariance, 500, method="cholesky").astype(
        np.float32
    )
    belief = BeliefDraws(pictures, [channel], known_share=0).draw(true, rng)
    left = ((true - belief.mean)[:, 64:] ** 2).sum(axis=1).mean() / np.trace(pictures.covariance[64:, 64:])
    assert left == pytest.approx(float(belief.open_share[:, 0].mean()), abs=0.05)
