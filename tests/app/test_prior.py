"""A prior from `train` to `evaluate`: what it learns from, where it is kept, and what is refused."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from decode_stream.cli import main
from decode_stream.config import EvaluateConfig, TrainConfig
from decode_stream.decoders import hold_out
from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.encoders.diffusion_prior import PriorConfig
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions, Validation
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.prior import Prior
from decode_stream.decoders.prior_pairs import out_of_fold, picture_folds
from decode_stream.decoders.recipe import Gallery, Recipe, Trained
from decode_stream.decoders.training.prior_settings import PriorSettings
from decode_stream.evaluation.evaluate import evaluate_bundle
from decode_stream.inspect_bundle import inspect_bundle
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.simulation.simulate_fmri import fmri_subject
from decode_stream.replay_data.simulation.simulated_volumes import simulate_betas
from decode_stream.replay_data.stored import store
from decode_stream.stream.errors import BundleError, RecordingError, UsageError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.training import fit_prior
from decode_stream.training.model_checks import check_config
from decode_stream.training.train import train

N_PICTURES, N_TEST, DIM = 120, 20, 6
EMBEDDINGS = (2 + np.random.default_rng(0).standard_normal((N_PICTURES, DIM))).astype(np.float32)
NAMES = tuple(f"picture{i}" for i in range(N_PICTURES))
SPACE = EmbeddingSpace("drawn", "at random", DIM)


def gallery(first: int, last: int) -> Gallery:
    return Gallery(NAMES[first:last], EMBEDDINGS[first:last], SPACE, {}, {})


def session(number: int) -> ArrayRecording:
    """Return betas of a person whose answers are large, each picture shown twice."""
    person = fmri_subject(EMBEDDINGS, 3, grid=(14, 16, 14), n_voxels=80, seed=1)
    person = replace(person, tuning=8 * person.tuning)
    which = np.random.default_rng(number).permutation(np.repeat(np.arange(N_PICTURES), 2))
    return ArrayRecording(
        simulate_betas(person, EMBEDDINGS[which], (1, number)),
        tuple(replace(channel, unit="%") for channel in person.channels),
        0.25,
        markers=tuple((i, NAMES[k]) for i, k in enumerate(which)),
        name=f"session-{number}",
        stimuli=StimulusTable(np.arange(len(which)), which),
        epoch=Epoch(1, 0, in_order=True),
    )


def make_small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fit_prior, "SETTINGS", PriorSettings(n_epochs=1, learning_rate=1e-4))
    patch.setattr(fit_prior, "prior_config", lambda space: PriorConfig(space.dimension, depth=1))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        made, _ = train(
            [session(1), session(2)],
            name="small",
            modality="fmri",
            model="ridge",
            gallery=gallery(N_TEST, N_PICTURES),
            protocol="concepts",
            prior_steps=1,
            options=FitOptions(1),
        )
    return made


@pytest.mark.usefixtures("one_thread")
def test_a_prior_travels_in_the_bundle_and_is_told_of(bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "a.bundle")
    loaded = load_bundle(tmp_path / "a.bundle")
    assert loaded.prior is not None
    assert bundle.prior is not None
    assert loaded.manifest.prior == bundle.manifest.prior
    decoded = np.zeros((1, DIM), np.float32)
    assert np.array_equal(
        Prior(loaded.prior).samples(decoded, [0]), Prior(bundle.prior).samples(decoded, [0])
    )
    told = dict(inspect_bundle(tmp_path / "a.bundle").facts)["prior"]
    assert told.startswith("a sample in 1 step")
    assert "agreement" in told
    scores = loaded.manifest.prior.scores  # type: ignore[union-attr]
    # What a mapper gives is drawn towards the mean; samples vary as pictures do.
    assert scores["mapper_spread"] < 0.8 < scores["single_spread"] < 1.3
    assert scores["agreement"] > 0.9
    assert scores["mean_cosine"] > scores["single_cosine"] > 0.2
    (tmp_path / "a.bundle" / "prior.onnx").unlink()
    with pytest.raises(BundleError, match="prior.onnx"):
        load_bundle(tmp_path / "a.bundle")


@pytest.mark.usefixtures("one_thread")
def test_from_files_to_a_bundle_that_is_inspected_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_small(monkeypatch)
    # Of so few pictures a twentieth is too few to score.
    monkeypatch.setattr(hold_out, "_SHARE", 0.1)
    target = {"embeddings": EMBEDDINGS, "ids": np.arange(N_PICTURES)}
    save_file(target, tmp_path / "e.safetensors")
    paths = [tmp_path / f"{number}.recording" for number in (1, 2, 3)]
    for number, path in enumerate(paths, 1):
        store(session(number), path)
    out = tmp_path / "a.bundle"
    asked = f"--modality fmri --model ridge --target file:{tmp_path / 'e.safetensors'} --prior"
    command = ["decode-stream", "train", *map(str, paths[:2]), *asked.split(), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    said = " ".join(capsys.readouterr().out.split())
    loaded = load_bundle(out)
    assert loaded.prior is not None
    assert loaded.manifest.prior is not None
    assert loaded.manifest.prior.n_steps == 1
    assert f"prior: {loaded.manifest.prior}" in said
    assert not out.with_name("a.bundle.training").exists()
    assert dict(inspect_bundle(out).facts)["prior"].startswith("a sample in 1 step")
    config = EvaluateConfig(bundle=out, protocol="prior", json=tmp_path / "scores.json")
    assert evaluate_bundle(paths[2:], config) == 0
    measured = json.loads((tmp_path / "scores.json").read_text())["protocols"]["prior"]
    assert measured["n"] == 2 * len(loaded.manifest.gallery)
    assert "NOT HELD OUT" not in capsys.readouterr().out


def test_a_bundle_without_the_prior_that_it_tells_of_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="prior"):
        replace(bundle, prior=None)
    assert bundle.prior is not None
    with pytest.raises(BundleError, match="prior"):
        replace(
            bundle,
            prior=replace(
                bundle.prior, center=np.zeros(9, np.float32), decoded_center=np.zeros(9, np.float32)
            ),
        )


def test_evaluate_compares_the_mapper_with_what_the_prior_draws(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = "CUDA failed; the bundle's prior goes on on the CPU"
    monkeypatch.setattr(Prior, "lost", lost)
    test = gallery(0, N_TEST)
    manifest = replace(bundle.manifest, gallery=test.names, labels={})
    save_bundle(replace(bundle, manifest=manifest, gallery=test.embeddings), tmp_path / "test.bundle")
    store(session(3), tmp_path / "new.recording")
    config = EvaluateConfig(bundle=tmp_path / "test.bundle", protocol="prior", json=tmp_path / "scores.json")
    assert evaluate_bundle([tmp_path / "new.recording"], config) == 0
    measured = json.loads((tmp_path / "scores.json").read_text())["protocols"]["prior"]
    numbers = {number["name"]: number for number in measured["numbers"]}
    assert lost in measured["notes"]
    assert measured["n"] == 2 * N_TEST
    for number in numbers.values():
        assert number["low"] <= number["value"] <= number["high"]
    assert numbers["cosine, mapper alone"]["value"] > 0.3
    assert numbers["two-way, mean of 16 samples"]["low"] > 0.6
    means = measured["details"]["means"]
    assert means["mapper alone"]["spread"] < 0.8 < means["single samples"]["spread"] < 1.4


def test_evaluate_says_where_there_is_no_prior(bundle: Bundle, tmp_path: Path) -> None:
    plain = replace(bundle, manifest=replace(bundle.manifest, prior=None), prior=None)
    save_bundle(plain, tmp_path / "plain.bundle")
    store(session(3), tmp_path / "new.recording")
    with pytest.raises(UsageError, match="has no prior"):
        evaluate_bundle(
            [tmp_path / "new.recording"], EvaluateConfig(bundle=tmp_path / "plain.bundle", protocol="prior")
        )


def test_no_trial_is_decoded_by_a_mapper_that_saw_its_concept() -> None:
    concepts = tuple(f"concept{i // 3}" for i in range(60))
    shown = replace(gallery(0, 60), concepts=concepts)
    labels = np.tile(np.arange(60), 2)
    windows = labels[:, None, None, None].astype(np.float32)
    trials = TrialSet(windows, labels, np.zeros(120, np.int64))
    folds = picture_folds(shown, 4, seed=0)
    assert all(len(set(folds[i : i + 3])) == 1 for i in range(0, 60, 3))
    assert np.bincount(folds).min() >= 12

    def fit(own: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
        known = {recipe.gallery.names[label] for label in own.labels}
        assert options.valid is valid
        assert known == {NAMES[int(value)] for value in own.windows[:, 0, 0, 0]}

        def embed(some: np.ndarray, is_known: bool) -> np.ndarray:
            assert is_known
            assert not {NAMES[int(value)] for value in some[:, 0, 0, 0]} & known
            return np.repeat(some[:, :, 0], DIM, axis=2)

        return Trained(embed, lambda windows: OnnxModel(b""))

    valid = Validation(trials, shown.embeddings)
    recipe = Recipe("fmri", (), None, None, None, 1, shown)  # type: ignore[arg-type]
    pairs = out_of_fold(trials, recipe, fit, FitOptions(), valid, folds)
    assert np.array_equal(pairs.decoded[:, 0], labels)
    assert np.array_equal(pairs.labels, labels)
    with pytest.raises(RecordingError, match="10 at least"):
        picture_folds(gallery(0, 9), 3, seed=0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": None}, "belongs to --target"),
        ({"protocol": "runs"}, "held out"),
        ({"prior_steps": 3}, "1 or 2"),
        ({"prior": False, "prior_steps": 1}, "belongs to --prior"),
        ({"model": "neurobridge"}, "leave out --prior"),
        ({"model": "encoding"}, "Models of eeg that do: linear, nice"),
    ],
)
def test_what_has_no_prior_is_refused(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    settings = {
        "modality": "eeg",
        "target": "objects",
        "prior": True,
        "model": "linear",
        "out": tmp_path / "a.bundle",
    } | changes

    def asked() -> None:
        config = TrainConfig(**settings)  # type: ignore[arg-type]
        check_config(config.model, config)  # type: ignore[arg-type]

    with pytest.raises(UsageError, match=says):
        asked()


@pytest.mark.parametrize(
    "space", [EmbeddingSpace("vae", "latents", 64, shape=(4, 4, 4)), EmbeddingSpace("wide", "row", 9000)]
)
def test_embeddings_that_are_no_rows_or_tokens_have_no_prior(space: EmbeddingSpace) -> None:
    with pytest.raises(UsageError, match="leave out --prior"):
        fit_prior.prior_config(space)
    grid = fit_prior.prior_config(EmbeddingSpace("clip", "tokens", 40, shape=(5, 8)))
    assert (grid.n_tokens, grid.token_dim) == (5, 8)
