"""The demo that ships: small, honest, and clearly above chance."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring import wilson
from decode_stream.demo import DEMOS, demo_bundles, demo_files
from decode_stream.make_demos import demo_gallery
from decode_stream.replay_data.open import open_recording
from decode_stream.replay_data.simulate import simulate_demo
from decode_stream.stream.errors import UsageError


def test_the_demo_is_small_and_loads() -> None:
    bundle_path, recording_path = demo_files("eeg")
    assert bundle_path.stat().st_size + recording_path.stat().st_size < 2_000_000
    bundle, gallery = load_bundle(bundle_path), demo_gallery()
    assert bundle.manifest.gallery == gallery.names
    assert np.allclose(bundle.gallery, gallery.embeddings, atol=1e-6)
    assert set(bundle.thumbnails) == set(gallery.names)


def test_the_decoder_has_not_seen_what_it_is_shown() -> None:
    bundle_path, recording_path = demo_files("eeg")
    shown = open_recording(recording_path)
    training = load_bundle(bundle_path).manifest.training
    gallery = demo_gallery()
    n_seen = len(training.recordings)
    runs = simulate_demo(gallery.embeddings, gallery.names, n_runs=n_seen + 1, seed=training.seed)
    assert training.recordings == tuple(run.name for run in runs[:n_seen])
    is_shown = [run.markers == shown.markers for run in runs]
    assert is_shown == [False] * n_seen + [True]
    signal = shown.read(0, shown.n_samples)
    assert np.abs(signal - runs[n_seen].data).max() < 0.12e-6


def test_the_demo_is_decoded_clearly_above_chance() -> None:
    bundle_path, recording_path = demo_files("eeg")
    bundle = load_bundle(bundle_path)
    recording = open_recording(recording_path)
    decoder = decode_recording(bundle, Encoder(bundle), recording, bundle.manifest.stimuli())
    scores = decoder.scores
    assert scores.n_entries == 10
    assert scores.n > 70
    assert scores.n + decoder.withheld + len(decoder.cutter.trials.open) == len(recording.markers)
    low, _ = wilson(scores.hits().sum(), scores.n)
    assert low > 0.3
    # What was promised of runs held out is about what an unseen run gives.
    promised = bundle.manifest.training.scores["top1"]
    assert abs(scores.hits().mean() - promised) < 0.2


def test_a_demo_that_is_not_installed_is_told_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decode_stream.demo._folder", lambda: tmp_path)
    with pytest.raises(UsageError, match="eeg.bundle.zip and demo_eeg.fif are not in .* pip install"):
        demo_files("eeg")
    for name in DEMOS["eeg"]:
        (tmp_path / name).touch()
    (tmp_path / DEMOS["meg"].bundle).touch()
    assert demo_files("eeg") == (tmp_path / "eeg.bundle.zip", tmp_path / "demo_eeg.fif")
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
