"""The demos that ship: small, honest, and clearly above chance."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.generation.embedded import load_embedded
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.picture_likeness import pixel_correlation
from decode_stream.demos.demo import DEMOS, demo_bundles, demo_files, demo_generator
from decode_stream.demos.make_demos import demo_gallery, demo_scenes, simulate_runs, training_scenes
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.pictures.picture_space import scene_embedding
from decode_stream.replay_data.pictures.scenes import compose, draw_scenes
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import Modality

from .recordings import pieces_of

MODALITIES: tuple[Modality, ...] = ("eeg", "meg", "fmri")


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_demo_is_small_and_loads(modality: Modality) -> None:
    bundle_path, recording_path = demo_files(modality)
    assert bundle_path.stat().st_size < 4_000_000
    assert recording_path.stat().st_size < 200_000
    bundle, gallery = load_bundle(bundle_path), demo_gallery()
    assert bundle.manifest.modality == modality
    assert bundle.manifest.gallery == gallery.names
    compared = gallery.embeddings
    if bundle.projector is not None:
        compared = bundle.projector.project(compared)
    assert np.allclose(bundle.gallery, compared, atol=1e-5)
    assert set(bundle.thumbnails) == set(gallery.names)
    inspection = inspect(recording_path)
    assert inspection.sound
    assert any("times as large as those of people" in finding.text for finding in inspection.findings)


@pytest.mark.parametrize("modality", ["eeg", "meg"])
def test_the_decoder_has_not_seen_what_it_is_shown(modality: Modality) -> None:
    bundle_path, recording_path = demo_files(modality)
    shown = open_recording(recording_path)
    training = load_bundle(bundle_path).manifest.training
    (played,) = simulate_runs(modality, demo_gallery(), 1)
    assert played.name not in training.recordings
    assert played.markers == shown.markers
    np.testing.assert_allclose(shown.read(0, 500), played.read(0, 500), rtol=1e-4, atol=1e-3)
    # Other pictures of the same objects were learnt from, none of the gallery's.
    learnt = training_scenes(modality)
    assert training.n_trials <= len(learnt)
    assert not set(learnt) & set(demo_scenes())
    assert any("times as large as those of people" in note for note in shown.notes)


@pytest.mark.parametrize(("modality", "minutes"), [("eeg", 4.0), ("meg", 2.5), ("fmri", 5.0)])
def test_a_demo_is_decoded_clearly_above_chance(modality: Modality, minutes: float) -> None:
    bundle_path, recording_path = demo_files(modality)
    bundle = load_bundle(bundle_path)
    whole = open_recording(recording_path)
    stop = min(whole.n_samples, round(60 * minutes * whole.sfreq_hz))
    recording = pieces_of(whole, [(0, stop)])
    decoder = decode_recording(bundle, Encoder(bundle), recording, bundle.manifest.stimuli())
    scores = decoder.scores
    assert scores.n_entries == 20
    assert scores.n > 60
    assert scores.n + decoder.withheld + len(decoder.cutter.trials.open) == len(recording.markers)
    low, _ = wilson(scores.hits().sum(), scores.n)
    assert low > 3 / 20


def test_a_demo_that_is_not_installed_is_told_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decode_stream.demos.demo._folder", lambda: tmp_path)
    with pytest.raises(UsageError, match=r"eeg.bundle.zip and eeg.simulation.json are not in .* pip install"):
        demo_files("eeg")
    for name in DEMOS["eeg"]:
        (tmp_path / name).touch()
    (tmp_path / DEMOS["meg"].bundle).touch()
    assert demo_files("eeg") == (tmp_path / "eeg.bundle.zip", tmp_path / "eeg.simulation.json")
    assert list(demo_bundles()) == ["eeg"]
    with pytest.raises(UsageError, match=r"demo of meg .*: meg.simulation.json is not in") as refused:
        demo_files("meg")
    assert "decode-stream --demo --modality eeg" in str(refused.value)


def test_what_plays_a_demo_starts_without_what_takes_seconds_to_load() -> None:
    code = (
        "import sys, decode_stream.replay_data.player_process, decode_stream.replay_data.open\n"
        "import decode_stream.replay_data.player, decode_stream.stream.lsl\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "pylsl"} <= set(loaded.stdout.split())
    assert not {"scipy", "mne", "h5py", "nibabel", "onnxruntime", "PySide6"} & set(loaded.stdout.split())


def test_the_generator_that_ships_draws_what_it_is_told() -> None:
    path = demo_generator()
    assert path is not None
    assert path.stat().st_size < 12_000_000
    generator = load_embedded(path)
    scenes = draw_scenes(12, 99)
    seen = [compose(scene, generator.side_px) for scene in scenes]
    embeddings = np.stack([scene_embedding(scene) for scene in scenes])
    condition = generator.pictures.condition(generator.pictures.known(embeddings))
    drawn = generator.draw(condition, generator.noise(0, 1).repeat(12, axis=0), 1)
    assert pixel_correlation(list(drawn), seen, side_px=64).mean() > 0.85
    nearest = generator.nearest_pictures()
    assert nearest is not None
    assert len(nearest) >= 500
