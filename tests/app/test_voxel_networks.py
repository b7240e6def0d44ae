"""Networks of voxels from betas to a bundle: what they are made for, what they begin with, and other people."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from decode_stream.config import Model, TrainConfig
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.encoders.mind_eye import MindEye, MindEyeConfig
from decode_stream.decoders.encoders.mind_eye2 import MindEye2, MindEye2Config
from decode_stream.decoders.encoders.mind_reader import MindReaderConfig
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions, Start
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, Recipe, category_gallery
from decode_stream.decoders.targets.captions import CaptionEmbeddings
from decode_stream.decoders.training.history import EpochReport
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.errors import UsageError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import Channel
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training import fit_whole_trial, network_size, whole_trial_models
from decode_stream.training.model_checks import check_network
from decode_stream.training.models import fitter
from decode_stream.training.network_state import state_of
from decode_stream.training.start import check_early, read_start, start_channels, start_for
from decode_stream.training.train import train_bundle
from decode_stream.training.whole_trial_models import PUBLISHED, whole_trial_network
from tests.app.simulated_people import N_VOXELS, People, write_people

NETWORKS: tuple[Model, ...] = ("mind-reader", "mindeye", "mindeye2")
N_PICTURES = 12

pytestmark = pytest.mark.usefixtures("one_thread", "small_networks")


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for config, sizes in (
        (MindReaderConfig, {"width": 8, "n_blocks": 1, "hidden": 16}),
        (MindEyeConfig, {"width": 64, "n_blocks": 1, "projector_width": 16}),
        (MindEye2Config, {"width": 48, "n_blocks": 1}),
    ):
        monkeypatch.setattr(whole_trial_models, config.__name__, partial(config, **sizes))


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def recipe(*shape: int, n_voxels: int = 20, structure_dim: int = 0) -> Recipe:
    """Return the recipe of betas, of pictures whose embeddings have a shape; without one, of two categories."""
    dimension = int(np.prod(shape))
    rng = np.random.default_rng(0)
    gallery = category_gallery([], {"1": "face", "2": "house"})
    if shape:
        space = EmbeddingSpace("pictures", "all", dimension, shape=shape if len(shape) > 1 else ())
        names = tuple(f"picture {i}" for i in range(N_PICTURES))
        structure = rng.standard_normal((N_PICTURES, structure_dim)).astype(np.float32)
        gallery = Gallery(
            names,
            10 * rng.standard_normal((N_PICTURES, dimension)).astype(np.float32),
            space,
            {},
            {},
            structure=structure if structure_dim else None,
            structure_space=EmbeddingSpace("places", "all", structure_dim) if structure_dim else None,
        )
    channels = tuple(Channel(f"{i},0,0", "voxel", "%") for i in range(n_voxels))
    chain = ChainSpec(tuple(channel.name for channel in channels), ("%",) * n_voxels, 0.25)
    return Recipe("fmri", channels, chain, WindowSpec(), WindowSchedule(Fraction(1, 4), 4, 4), 1, gallery)


def trials(how: Recipe, n_repeats: int = 3) -> TrialSet:
    """Return trials of one beta that tells of its picture."""
    rng = np.random.default_rng(1)
    labels = np.tile(np.arange(len(how.gallery.names)), n_repeats)
    tuning = rng.standard_normal((how.gallery.space.dimension, how.chain.n_out)) / 10
    answers = how.gallery.embeddings[labels] @ tuning + 0.1 * rng.standard_normal(
        (len(labels), how.chain.n_out)
    )
    return TrialSet(answers[:, None, :, None].astype(np.float32), labels, np.zeros_like(labels))


@pytest.mark.parametrize(("shape", "n_tokens"), [((3, 4), 3), ((12,), 1), ((3, 2, 2), 1)])
def test_tokens_are_those_of_the_target(shape: tuple[int, ...], n_tokens: int) -> None:
    for model in ("mindeye", "mindeye2"):
        module = whole_trial_network(model, recipe(*shape, structure_dim=5), Start(), 0)
        assert isinstance(module, MindEye | MindEye2)
        assert (module.config.n_tokens, module.config.token_dim) == (n_tokens, 12 // n_tokens)
        assert module(torch.zeros(2, 20, 1)).shape == (2, 17)


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("shape", [(3, 4), ()], ids=["tokens", "categories"])
def test_each_learns_to_tell_pictures_and_is_exported(model: Model, shape: tuple[int, ...]) -> None:
    how = recipe(*shape, structure_dim=2 if shape else 0)
    own = trials(how, 4 if shape else 12)
    # Of an embedding's trials MindEye takes a fourth in every epoch.
    n_epochs = (120 if model == "mindeye" else 25) if shape else 12
    options = FitOptions(n_epochs=n_epochs, batch_size=6, learning_rate=5e-3)
    trained = fitter(model)(own, how, options)
    given = trained.embed(own.windows, True)[:, 0]
    gallery = how.gallery.embeddings / np.linalg.norm(how.gallery.embeddings, axis=1, keepdims=True)
    right = np.argmax(given @ gallery.T, axis=1) == own.labels
    assert right.mean() > (0.5 if shape else 0.9)
    assert not trained.embed(own.windows, False).any(), "of a window without an onset nothing is known"
    if shape and model != "mindeye2":  # of which there are bundles below
        assert trained.export(own.windows[:4]), "which compares it with torch"


def test_mind_reader_learns_embeddings_of_unit_length() -> None:
    how = recipe(3, 4)
    own = trials(how)
    trained = fitter("mind-reader")(own, how, FitOptions(n_epochs=30, batch_size=12, learning_rate=5e-3))
    lengths = np.linalg.norm(trained.embed(own.windows, True)[:, 0], axis=1)
    assert np.linalg.norm(how.gallery.embeddings, axis=1).min() > 15
    assert lengths.max() < 2


@pytest.mark.parametrize(("shape", "n_seen"), [((3, 4), N_PICTURES), ((), 6)])
def test_an_epoch_of_mind_eye_shows_each_picture_once_but_all_trials_of_categories(
    shape: tuple[int, ...], n_seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    forward = MindEye.forward

    def watched(self: MindEye, epoch: torch.Tensor, subject: torch.Tensor | None = None) -> torch.Tensor:
        if self.training:
            seen.extend(epoch)
        return forward(self, epoch, subject)

    monkeypatch.setattr(MindEye, "forward", watched)
    how = recipe(*shape)
    # From the third epoch on nothing is mixed.
    fitter("mindeye")(
        trials(how), how, FitOptions(n_epochs=6, batch_size=4, loss="soft-clip" if shape else None)
    )
    assert len(seen) == 6 * n_seen
    shown = {tuple(voxels[:, 0].tolist()) for voxels in seen}
    assert n_seen < len(shown) <= 3 * n_seen if shape else len(shown) == n_seen, "each time another repeat"


@pytest.mark.parametrize("model", ["mindeye", "mindeye2"])
def test_biases_do_not_decay_but_those_of_a_persons_own_layer_do(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    decays: dict[int, float] = {}
    begun: list[torch.nn.Module] = []

    class Watched(torch.optim.AdamW):
        def __init__(self, groups: list[dict], **settings: object) -> None:
            super().__init__(groups, **settings)  # type: ignore[arg-type]
            decays.update(
                {id(p): group["weight_decay"] for group in self.param_groups for p in group["params"]}
            )

    def made(*args: object, **more: object) -> torch.nn.Module:
        begun.append(whole_trial_network(*args, **more))  # type: ignore[arg-type]
        return begun[-1]

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    monkeypatch.setattr(fit_whole_trial, "whole_trial_network", made)
    how = recipe(3, 4)
    fitter(model)(trials(how), how, FitOptions(n_epochs=1))
    assert len(decays) == len(list(begun[0].parameters()))
    for name, parameter in begun[0].named_parameters():
        assert decays[id(parameter)] == (0.0 if name.endswith(".bias") else 0.01), name


class Stopped(Exception):
    """A training that is stopped from outside."""


def stop_after(n: int) -> Callable[[EpochReport], None]:
    def progress(report: EpochReport) -> None:
        if report.epoch == n:
            raise Stopped

    return progress


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    how = recipe(3, 4)
    pool = how.gallery.embeddings.repeat(2, axis=0)
    captions = CaptionEmbeddings(pool, 2 * np.arange(N_PICTURES + 1))
    how = replace(how, gallery=replace(how.gallery, captions=captions))
    own, options = trials(how), FitOptions(n_epochs=6, batch_size=5, folder=tmp_path)
    expected = fitter("mindeye")(own, how, replace(options, folder=None)).weights
    with pytest.raises(Stopped):
        fitter("mindeye")(own, how, replace(options, progress=stop_after(3)))
    got = fitter("mindeye")(own, how, options).weights
    assert expected is not None
    assert got is not None
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_every_caption_of_a_picture_is_learnt_from() -> None:
    how = recipe(4)
    rng = np.random.default_rng(3)
    pool = rng.standard_normal((2 * N_PICTURES, 4)).astype(np.float32)
    captions = CaptionEmbeddings(pool, 2 * np.arange(N_PICTURES + 1))
    how = replace(how, gallery=replace(how.gallery, captions=captions, embeddings=captions.mean()))
    own = trials(how)
    options = FitOptions(n_epochs=80, batch_size=12, learning_rate=3e-3, loss="mse-cosine")
    given = fitter("mindeye")(own, how, options).embed(own.windows, True)[:, 0]
    unit = given / np.linalg.norm(given, axis=1, keepdims=True)
    each = (pool / np.linalg.norm(pool, axis=1, keepdims=True)).reshape(N_PICTURES, 2, 4)
    near = np.einsum("nd,nkd->nk", unit, each[own.labels])
    middle = each.mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    assert np.einsum("nd,nd->n", unit, middle[own.labels]).mean() > near.mean(axis=0).max()


def test_a_network_that_is_too_large_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_size, "free_bytes", lambda: 10**6)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    how = recipe(3, 4, n_voxels=3000)
    told = r"--model mindeye has 0\.2 million parameters from 3000 voxels to 12 numbers, and takes 0\.004 GB"
    with pytest.raises(UsageError, match=rf"{told} to train; this machine has 0\.001 GB free\. .*--mask"):
        check_network("mindeye", how, FitOptions())
    monkeypatch.setattr(network_size, "free_bytes", lambda: None)
    assert check_network("mindeye", how, FitOptions()) is None


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return write_people(tmp_path_factory.mktemp("nsd"))


def train(people: People, paths: list[Path], out: Path, **more: object) -> Bundle:
    settings = {"epochs": 4, "learning_rate": 3e-3, "target": people.target} | more
    config = TrainConfig(modality="fmri", out=out, **settings)  # type: ignore[arg-type]
    assert train_bundle(paths, config) == 0
    return load_bundle(out, weights=True)


@pytest.fixture(scope="module")
def first(people: People, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of the first person."""
    out = tmp_path_factory.mktemp("first") / "1.bundle"
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        train(people, people.betas[1], out, model="mindeye2", epochs=25)
    return out


def test_a_person_with_other_voxels_begins_where_another_ended(
    people: People, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    known = load_bundle(first, weights=True)
    assert known.weights["people"].shape == (1, 48, N_VOXELS[1])
    capsys.readouterr()
    begun = train(people, people.betas[2], tmp_path / "2.bundle", init_from=(first,))
    told = " ".join(capsys.readouterr().err.split())
    assert (
        "the 90 voxels are not the 120 of the bundle given to --init-from: the layer that takes them begins"
        in told
    )
    alone = train(people, people.betas[2], tmp_path / "3.bundle", model="mindeye2")
    assert begun.weights["people"].shape == alone.weights["people"].shape == (1, 48, N_VOXELS[2])
    assert begun.manifest.chain.n_out == N_VOXELS[2]
    assert begun.manifest.training.subjects == ("subj02",)
    assert "bundle 1" in begun.manifest.training.learnt_first[0]
    # As much goes further where all but the person's own layer is there already.
    losses = [bundle.manifest.training.scores["log_loss"] for bundle in (begun, alone)]
    assert losses[0] < losses[1]


def test_other_people_are_learnt_from_first_with_voxels_of_their_own(
    people: People, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = [*people.betas[1], *people.betas[2]]
    bundle = train(people, given, tmp_path / "b.bundle", model="mindeye2", subject="subj02", epochs=1)
    told = capsys.readouterr().err
    assert "reading subj01" in told
    assert "fitting on another person first" in told
    assert bundle.weights["people"].shape == (1, 48, N_VOXELS[2])
    assert "of subj01" in bundle.manifest.training.learnt_first[0]


def test_the_layer_of_the_same_voxels_of_the_same_person_is_kept_and_goes_on_at_a_lower_rate() -> None:
    how = recipe(3, 4)
    weights = state_of(whole_trial_network("mindeye2", how, Start(), 7))
    same = how.chain.channels
    for channels, person, kept in (
        (same, True, True),
        (same, False, False),
        (("9,9,9",), True, False),
        (None, False, False),
    ):
        start = Start(weights, channels=channels, same_person=person)
        begun = state_of(whole_trial_network("mindeye2", how, start, 0))
        for name, value in begun.items():
            assert np.array_equal(value, weights[name]) is (kept or not name.startswith("people")), name
        assert PUBLISHED["mindeye2"].rate_share(how, start) == (0.1 if kept else 1.0)
        assert PUBLISHED["mindeye"].rate_share(how, start) == 0.1
        told = list[str]()
        check_network("mindeye2", how, FitOptions(start=start, report=told.append))
        assert any("the same person" in line for line in told) == (channels == same and not kept)
        assert any("begins at random" in line for line in told) == (channels is not None and not kept)


def test_whose_a_bundle_is_decides_whose_layer_goes_on(first: Path) -> None:
    start, begun = read_start((first,), None)
    assert begun is not None
    assert begun.training.subjects == ("subj01",)
    assert start_for(start, begun, "subj01").same_person
    assert not start_for(start, begun, "subj02").same_person
    unknown = replace(begun, training=replace(begun.training, subjects=()))
    for manifest, subject in ((unknown, ""), (unknown, "subj01"), (begun, ""), (None, "subj01")):
        assert not start_for(start, manifest, subject).same_person


@pytest.mark.parametrize("model", ["mind-reader", "mindeye"])
def test_networks_that_take_the_same_voxels_of_everybody_refuse_other_people(
    people: People, tmp_path: Path, model: Model
) -> None:
    given = [*people.betas[1], *people.betas[2]]
    # The voxels of the second person are among those of the first.
    for subject, n, more in (("subj01", 120, ""), ("subj02", 90, ", and others")):
        told = rf"betas_session01.hdf5 has 90 of the {n} voxels of betas_session01.hdf5{more}: .*--model {model} takes"
        with pytest.raises(UsageError, match=told):
            train(people, given, tmp_path / "b.bundle", model=model, subject=subject)


def test_a_bundle_of_another_person_is_refused_by_networks_without_layers_of_people(
    people: People, first: Path
) -> None:
    begun = load_bundle(first).manifest
    gallery = Gallery((), np.empty((0, begun.space.dimension), np.float32), begun.space, {}, {})
    with pytest.raises(
        UsageError, match=r"90 of the 120 voxels of the bundle given to --init-from: .*mindeye2 has"
    ):
        check_early(
            "subj02",
            [open_recording(path) for path in people.betas[2]],
            [""] * len(people.betas[2]),
            gallery,
            config=TrainConfig(modality="fmri", out=Path("x")),
            model="mindeye",
            channels=start_channels(begun, None, "mindeye"),
            start=Start(),
            begun=begun,
            n_given=len(people.betas[2]),
        )
