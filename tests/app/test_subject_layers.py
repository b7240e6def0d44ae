"""Networks with a layer or a token of each person: learnt from several, then tuned to one who is new."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from decode_stream.config import Model
from decode_stream.decoders.encoders.atm import Atm, AtmConfig
from decode_stream.decoders.encoders.public_weights import load_public_weights
from decode_stream.decoders.encoders.spatial_attention import SpatialAttentionConfig
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions, Start
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.stream.errors import UsageError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import Channel
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training import whole_trial_models
from decode_stream.training.model_checks import check_network
from decode_stream.training.models import fitter
from decode_stream.training.whole_trial_models import whole_trial_network
from tests.decoders import public_states

PLACES = {
    "Oz": (0.0, -0.1, 0.0),
    "O1": (-0.03, -0.09, 0.01),
    "O2": (0.03, -0.09, 0.01),
    "Pz": (0.0, -0.05, 0.08),
}
N_PEOPLE, N_PICTURES, N_REPEATS = 3, 12, 2
#: What holds the people's layers, and how many rows of it are nobody's.
LAYERS = {
    "atm-s": ("subjects", 0),
    "spatial-attention": ("subject_layers", 0),
    "channel-attention": ("subjects", 1),
}
#: Where the layer of one person alone lies.
ALONE = {"atm-s": "shared_subject", "spatial-attention": "subject_layers", "channel-attention": "subjects"}


pytestmark = pytest.mark.usefixtures("one_thread")


def recipe(model: Model, *, sfreq_hz: int = 80, dimension: int = 4) -> Recipe:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((N_PICTURES, dimension)).astype(np.float32)
    names = tuple(f"picture {i}" for i in range(N_PICTURES))
    gallery = Gallery(names, embeddings, EmbeddingSpace("pictures", "all", dimension), {}, {})
    if model == "channel-attention":
        schedule, n_latencies = WindowSchedule(Fraction(sfreq_hz)), 5
    else:
        schedule, n_latencies = (
            WindowSchedule(Fraction(sfreq_hz), Fraction(1), Fraction(1, 40), first_s=Fraction(1)),
            1,
        )
    channels = tuple(Channel(name, "eeg", "uV", place) for name, place in PLACES.items())
    chain = ChainSpec(tuple(PLACES), ("uV",) * len(PLACES), float(sfreq_hz))
    return Recipe("eeg", channels, chain, WindowSpec(), schedule, n_latencies, gallery)


def trials(how: Recipe, people: int = N_PEOPLE) -> TrialSet:
    rng = np.random.default_rng(1)
    n = people * N_PICTURES * N_REPEATS
    labels, whose = np.arange(n) % N_PICTURES, np.arange(n) // (N_PICTURES * N_REPEATS)
    shape = (how.n_latencies, how.chain.n_out, how.schedule.n_times)
    tuning = rng.standard_normal((people, how.gallery.space.dimension, *shape))
    windows = np.einsum("nd,ndlct->nlct", how.gallery.embeddings[labels], tuning[whose])
    windows += rng.standard_normal(windows.shape)
    return TrialSet(windows.astype(np.float32), labels, whose, people=whose if people > 1 else None)


@pytest.mark.parametrize("model", LAYERS)
def test_each_has_a_layer_and_somebody_new_begins_at_their_mean(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"n_virtual": 12, "fourier_dim": 32, "hidden_dim": 12, "feature_dim": 24, "head_dim": 8}
    monkeypatch.setattr(
        whole_trial_models, "SpatialAttentionConfig", partial(SpatialAttentionConfig, **sizes)
    )
    how = recipe(model)
    once = FitOptions(n_epochs=2, batch_size=24, learning_rate=1e-3)
    learnt = fitter(model)(trials(how), how, once).weights
    assert learnt is not None
    name, n_nobody = LAYERS[model]
    layers = learnt[name][: len(learnt[name]) - n_nobody]
    assert len(layers) == N_PEOPLE
    for i in range(N_PEOPLE):
        for k in range(i):
            assert np.abs(layers[i] - layers[k]).max() > 0.1

    # At a rate of next to nothing, what is tuned stays where it began.
    quiet = FitOptions(start=Start(learnt), n_epochs=1, batch_size=24, learning_rate=1e-12)
    own = trials(how, 1)
    tuned = fitter(model)(own, how, quiet)
    assert tuned.weights is not None
    begun = tuned.weights[ALONE[model]]
    assert len(begun) == 1 + n_nobody, "the others' layers stay behind"
    np.testing.assert_allclose(begun[0], layers.mean(axis=0), atol=1e-6)
    loud = FitOptions(start=Start(learnt), n_epochs=2, batch_size=12, learning_rate=1e-2)
    moved = fitter(model)(own, how, loud).weights
    assert moved is not None
    assert np.abs(moved[ALONE[model]][0] - begun[0]).max() > 1e-6, "and goes on from there"

    if model != "channel-attention":
        return  # graphs of whole trials are compared where they are exported, and in tests/export
    session = ort.InferenceSession(tuned.export(own.windows[:3]).graph, providers=["CPUExecutionProvider"])
    feed = {"window": own.windows[:, 0], "latency_s": np.zeros(len(own.labels), np.float32)}
    expected = tuned.embed(own.windows, True)[:, 0]
    (got,) = session.run(["embedding"], feed)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def public_atm(folder: Path) -> tuple[Path, Recipe]:
    """Return a file of weights as public code saves them, and the recipe of the trials that they are for."""
    path = folder / "40.pth"
    state = public_states.filled(public_states.atm())
    torch.save(state, path)
    how = recipe("atm-s", sfreq_hz=250, dimension=1024)
    names = tuple(f"E{i}" for i in range(63))
    channels = tuple(Channel(name, "eeg", "uV") for name in names)
    chain = ChainSpec(names, ("uV",) * 63, 250.0)
    return path, Recipe("eeg", channels, chain, how.window, how.schedule, 1, how.gallery)


@pytest.mark.parametrize(("person", "number"), [("sub-02", 2), ("10", 10), ("", 10)])
def test_public_weights_take_the_token_of_the_person_they_know(
    tmp_path: Path, person: str, number: int
) -> None:
    path, how = public_atm(tmp_path)
    module = whole_trial_network("atm-s", how, Start(public=(path,), person=person), 0).eval()
    published = Atm(AtmConfig()).eval()
    load_public_weights(published, path)
    epochs = public_states.epochs(3)
    with torch.inference_mode():
        expected = published(epochs, torch.full((3,), number))
        torch.testing.assert_close(module(epochs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("person", ["sub-11", "sub-00", "somebody"])
def test_whom_public_weights_do_not_know_is_told_at_once(tmp_path: Path, person: str) -> None:
    path, how = public_atm(tmp_path)
    options = FitOptions(start=Start(public=(path,), person=person))
    with pytest.raises(
        UsageError, match=rf"--subject is '{person}', who is unknown .* subjects 1 to 10\. Leave"
    ):
        check_network("atm-s", how, options)
