"""Training from end to end on short simulated runs."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.cross_fit import HeldOut, cross_fit
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.design import design
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.evidence import similarity
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.recipe import Gallery, Recipe, Trained, category_gallery, cut, scaled
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scaling import robust_scale
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.training.selection import choose_prior
from decode_stream.demos.make_demos import demo_gallery
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import DecodeStreamError, UsageError
from decode_stream.training import fit_channel_attention
from decode_stream.training.models import fitter
from decode_stream.training.train import train

from .simulated_runs import simulated_runs

Runs = list[ArrayRecording]


@pytest.fixture(scope="module")
def categories() -> tuple[Runs, Gallery]:
    """Return three runs in which two kinds of pictures are easy to tell apart, and their gallery."""
    kinds = np.array([[1.0, -1.0], [-1.0, 1.0]])
    runs = simulated_runs(kinds, ["house", "face"], n_runs=3, n_trials=16, n_channels=4, seed=1)
    return runs, category_gallery(runs, None)


@pytest.fixture(scope="module")
def pictures() -> tuple[Runs, Gallery]:
    """Return three runs of twenty pictures, and their gallery of embeddings."""
    gallery = demo_gallery()
    runs = simulated_runs(gallery.embeddings, gallery.names, n_runs=3, n_trials=40, n_channels=6, seed=1)
    return runs, gallery


def trained(data: tuple[Runs, Gallery], model: str) -> tuple[Bundle, HeldOut]:
    runs, gallery = data
    return train(runs, name="short", modality="eeg", model=model, gallery=gallery, options=FitOptions(3))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lda(categories: tuple[Runs, Gallery]) -> tuple[Bundle, HeldOut]:
    return trained(categories, "lda")


@pytest.fixture(scope="module")
def attention(pictures: tuple[Runs, Gallery]) -> tuple[Bundle, HeldOut]:
    return trained(pictures, "channel-attention")


def above_chance(bundle: Bundle, held_out: HeldOut) -> bool:
    scores = held_out.scores
    assert held_out.numbers() == bundle.manifest.training.scores
    low, _ = wilson(scores.hits().sum(), scores.n)
    return bool(low > 1.5 / scores.n_entries)


def check(bundle: Bundle, held_out: HeldOut, data: tuple[Runs, Gallery], folder: Path) -> None:
    """Assert that a bundle decodes above chance, loads as it was, and runs live what it was trained on."""
    runs, gallery = data
    assert above_chance(bundle, held_out)
    assert sorted(set(held_out.runs.tolist())) == [0, 1, 2]
    save_bundle(bundle, folder / "a.bundle.zip")
    loaded = load_bundle(folder / "a.bundle.zip")
    manifest = loaded.manifest
    assert manifest.gallery == gallery.names
    assert manifest.training.recordings == tuple(run.name for run in runs)
    recipe = scaled(design(runs, "eeg", None, gallery), runs)
    assert (manifest.chain, manifest.window) == (recipe.chain, recipe.window)
    assert manifest.schedule == recipe.schedule
    # The live way over a recording gives what the encoder makes of the training windows.
    encoder = Encoder(loaded)
    live = decode_recording(loaded, encoder, runs[1], manifest.stimuli())
    trials = cut(recipe, runs)
    trials = trials.where(trials.runs == 1)
    assert live.scores.truth().tolist() == trials.labels.tolist()
    latencies = np.array([recipe.schedule.latency_s(k) for k in range(recipe.n_latencies)], np.float32)
    for score, windows in zip(live.scores.trials, trials.windows, strict=True):
        fits = similarity(encoder.encode(windows, latencies), loaded.gallery, manifest.space.norm)
        assert score.log_evidence == pytest.approx(np.array(manifest.calibration.weights) @ fits, abs=1e-4)


def test_lda_is_trained_and_runs_live(
    categories: tuple[Runs, Gallery], lda: tuple[Bundle, HeldOut], tmp_path: Path
) -> None:
    check(*lda, categories, tmp_path)


def test_channel_attention_is_trained_on_categories_and_runs_live(
    categories: tuple[Runs, Gallery], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two widths are enough for a choice; each is tried without every run in turn.
    two = partial(choose_prior, candidates=(0.02, 0.1))
    monkeypatch.setattr(fit_channel_attention, "choose_prior", two)
    bundle, held_out = trained(categories, "channel-attention")
    check(bundle, held_out, categories, tmp_path)


def test_channel_attention_is_trained_on_pictures_and_runs_live(
    pictures: tuple[Runs, Gallery], attention: tuple[Bundle, HeldOut], tmp_path: Path
) -> None:
    check(*attention, pictures, tmp_path)


def test_the_same_seed_gives_the_same_lda(
    categories: tuple[Runs, Gallery], lda: tuple[Bundle, HeldOut], tmp_path: Path
) -> None:
    first = save_bundle(lda[0], tmp_path / "first.zip")
    again = save_bundle(trained(categories, "lda")[0], tmp_path / "again.zip")
    assert first.sha256 == again.sha256
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_the_same_seed_gives_the_same_channel_attention(
    pictures: tuple[Runs, Gallery], attention: tuple[Bundle, HeldOut]
) -> None:
    runs, gallery = pictures
    recipe = scaled(design(runs, "eeg", None, gallery), runs)
    trials = cut(recipe, runs)
    again = fitter("channel-attention")(trials, recipe, FitOptions(3))
    assert again.export(trials.windows[:4]).graph == attention[0].encoder


def test_nothing_of_the_held_out_run_reaches_its_fold(categories: tuple[Runs, Gallery]) -> None:
    runs, gallery = categories

    def folds(recordings: Runs) -> list[tuple[object, bytes]]:
        seen = []

        def fit(trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
            seen.append((recipe.chain, trials.windows.tobytes()))
            return Trained(lambda windows, known: np.zeros((*windows.shape[:2], 2)), lambda windows: b"")

        cross_fit(design(recordings, "eeg", None, gallery), recordings, fit, FitOptions())
        return seen

    before = folds(runs)
    for changed in range(3):
        others = list(runs)
        others[changed] = replace(runs[changed], data=3.0 * runs[changed].data + 1e-5)
        after = folds(others)
        assert [a == b for a, b in zip(before, after, strict=True)] == [run == changed for run in range(3)]


def test_a_held_out_run_is_scaled_by_the_others(categories: tuple[Runs, Gallery]) -> None:
    runs, gallery = categories
    recipe = design(runs, "eeg", None, gallery)
    fold = scaled(recipe, runs[1:])
    assert (fold.chain.center, fold.chain.scale) == robust_scale(runs[1:], recipe.chain)
    assert fold.chain.scale != scaled(recipe, runs).chain.scale


def test_trials_that_overlap_get_no_wilson_interval(categories: tuple[Runs, Gallery]) -> None:
    runs, gallery = categories
    kinds = np.array([[1.0, -1.0], [-1.0, 1.0]])
    fast = simulated_runs(kinds, gallery.names, n_runs=2, n_trials=50, n_channels=3, soa_s=0.2, seed=2)
    _, held_out = trained((fast, gallery), "lda")
    assert held_out.scores.overlapping
    assert not trained((runs, gallery), "lda")[1].overlapping


def test_lda_refuses_a_gallery_of_embeddings(pictures: tuple[Runs, Gallery]) -> None:
    with pytest.raises(UsageError, match="--model channel-attention"):
        trained(pictures, "lda")


def test_trials_that_are_left_out_are_told_where_concepts_are_held_out(
    pictures: tuple[Runs, Gallery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decode_stream.decoders.hold_out._LEAST_TRIALS", 4)
    runs, gallery = pictures
    data = runs[2].data.copy()
    data[runs[2].markers[20][0] + 30] = np.nan
    told: list[str] = []
    runs = [*runs[:2], replace(runs[2], data=data)]
    train(
        runs,
        name="short",
        modality="eeg",
        model="linear",
        gallery=gallery,
        protocol="concepts",
        options=FitOptions(report=told.append),
    )
    (line,) = (text for text in told if "trials fitted" in text)
    assert re.fullmatch(r"\d+ trials fitted; left out: .*\b\d+ not finite\b.*", line)


def test_runs_of_different_rates_are_refused(categories: tuple[Runs, Gallery]) -> None:
    runs, gallery = categories
    other = replace(runs[1], sfreq_hz=256.0)
    with pytest.raises(DecodeStreamError, match=r"run-01 runs at 250 Hz and run-02 at 256 Hz"):
        trained(([runs[0], other], gallery), "lda")
