"""fMRI from training to a live session: volumes and betas take the same way as EEG."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from decode_stream.config import EvaluateConfig, Model, SessionConfig, TrainConfig
from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.encoders.mind_eye2 import MindEye2Config
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery
from decode_stream.decoders.runtime import Encoder
from decode_stream.evaluation.evaluate import evaluate_bundle
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.player import Player
from decode_stream.replay_data.player_config import PlayerConfig
from decode_stream.replay_data.simulation.simulate_fmri import FmriSubject, fmri_subject
from decode_stream.replay_data.simulation.simulated_volumes import (
    SimulatedVolumes,
    simulate_betas,
)
from decode_stream.replay_data.stored import store
from decode_stream.sessions.session import Session
from decode_stream.sessions.session_summary import session_summary
from decode_stream.sessions.source import Source
from decode_stream.stream.errors import UsageError
from decode_stream.stream.lsl import LslInlet, StreamQuery, resolve_stream
from decode_stream.stream.recording import Epoch, Recording
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel
from decode_stream.training import whole_trial_models
from decode_stream.training.train import train, train_bundle

TR_S = 4 / 3
NAMES = ("cat", "house", "plane", "tree", "shoe", "face")
N_VOXELS = 250


@pytest.fixture(scope="module")
def subject() -> FmriSubject:
    """Return somebody who is easy to decode, so that a run of a minute tells."""
    made = fmri_subject(embeddings(), 3, grid=(14, 16, 14), n_voxels=N_VOXELS, seed=1)
    return replace(made, tuning=20 * made.tuning)


def embeddings() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(NAMES), 8))


def gallery() -> Gallery:
    space = EmbeddingSpace("drawn", "at random", 8, "unit")
    return Gallery(NAMES, embeddings().astype(np.float32), space, {}, {})


def order(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(len(NAMES)) for _ in range(n // len(NAMES) + 1)])[:n]


def volumes(subject: FmriSubject, number: int, n_trials: int = 24) -> SimulatedVolumes:
    which = order(n_trials, number)
    onset = 3 + 3 * np.arange(n_trials)
    return SimulatedVolumes(
        subject,
        embeddings()[which],
        StimulusTable(onset, which),
        3 * n_trials + 9,
        TR_S,
        (1, number),
        name=f"run-{number}",
        labels=tuple((int(at), NAMES[i]) for at, i in zip(onset, which, strict=True)),
    )


def betas(subject: FmriSubject, number: int, n_trials: int = 24) -> ArrayRecording:
    which = order(n_trials, number)
    made = simulate_betas(subject, embeddings()[which], (1, number))
    return ArrayRecording(
        made,
        tuple(replace(channel, unit="%") for channel in subject.channels),
        0.25,
        markers=tuple((i, NAMES[k]) for i, k in enumerate(which)),
        name=f"session-{number}",
        stimuli=StimulusTable(np.arange(n_trials), which),
        epoch=Epoch(1, 0, in_order=True),
    )


def files(recordings: list[Recording], folder: Path) -> list[Path]:
    paths = [folder / f"{recording.name}.recording" for recording in recordings]
    for recording, path in zip(recordings, paths, strict=True):
        store(recording, path)
    return paths


def trained(recordings: list[Recording], path: Path, model: Model = "ridge", **more: object) -> Bundle:
    bundle, _ = train(recordings, name="small", modality="fmri", model=model, gallery=gallery(), **more)  # type: ignore[arg-type]
    return save_bundle(bundle, path)


def play_live(path: Path, bundle: Bundle | None, **more: object) -> Session:
    config = SessionConfig(modality="fmri", replay=path, **more)  # type: ignore[arg-type]
    session = Session(config, Source(config, path), bundle, lambda info: watch_chain(info, config.modality))
    session.start()
    try:
        assert session.wait(60)
    finally:
        session.stop()
        session.join()
    return session


def evaluated(path: Path, bundle_path: Path, folder: Path) -> dict:
    out = folder / "scores.json"
    assert evaluate_bundle([path], EvaluateConfig(bundle=bundle_path, json=out)) == 0
    return dict(json.loads(out.read_text()))


def check_live_is_offline(path: Path, bundle_path: Path, folder: Path, n_trials: int) -> Session:
    offline = evaluated(path, bundle_path, folder)
    live = play_live(path, load_bundle(bundle_path), speed=100.0)
    summary = session_summary(live, 0)
    expected = np.array([row["log_evidence"] for row in offline["per_trial"]])
    got = np.array([row["log_evidence"] for row in summary["per_trial"]])
    assert got.shape == expected.shape == (n_trials, len(NAMES))
    assert np.abs(got - expected).max() < 1e-5
    assert np.abs(expected).max() > 0.1
    assert offline["accuracy"]["top1"] > 2 / len(NAMES)
    assert summary["samples"]["lost"] == summary["gaps"] == 0
    assert {event.kind for event in live.events} <= {"connected", "note", "provider"}
    return live


def test_volumes_are_decoded_live_as_offline(subject: FmriSubject, tmp_path: Path) -> None:
    runs = [volumes(subject, number) for number in range(4)]
    bundle = trained(runs[1:], tmp_path / "v.bundle")
    manifest = bundle.manifest
    assert (manifest.schedule.n_times, manifest.schedule.stop(0), manifest.n_latencies) == (3, 6, 1)
    assert manifest.lag_s == pytest.approx(4.0)
    # A last trial whose window goes on behind the end would be left out; here the run is long enough.
    live = check_live_is_offline(*files(runs[:1], tmp_path), tmp_path / "v.bundle", tmp_path, 24)
    assert live.pipeline is not None
    snapshot = live.snapshot()
    assert "250 ch every 1.333 s" in snapshot.source
    assert snapshot.matches_of.endswith("up to 8.0 s after onset")
    assert snapshot.truth in NAMES
    view = live.signal(20.0)
    assert view is not None
    assert view.data.shape == (15, N_VOXELS)


def test_the_first_trial_is_decided_within_its_lag(subject: FmriSubject, tmp_path: Path) -> None:
    runs = [volumes(subject, number, 12) for number in range(3)]
    bundle = trained(runs[1:], tmp_path / "v.bundle")
    # It begins with the second volume, before which only one tells the level.
    early = replace(
        runs[0],
        stimuli=StimulusTable(np.array([1])),
        shown=runs[0].shown[:1],
        labels=((1, NAMES[0]),),
        n_samples=7,
    )
    decoder = decode_recording(bundle, Encoder(bundle), early, bundle.manifest.stimuli())
    (trial,) = decoder.scores.trials
    assert (trial.onset, decoder.cutter.ingest.ring.stop) == (1, 7)


@pytest.mark.parametrize("model", ["ridge", "mindeye2"])
def test_betas_are_decoded_live_as_offline(
    model: Model, subject: FmriSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_trial_models, "MindEye2Config", partial(MindEye2Config, width=64, n_blocks=1))
    sessions: list[Recording] = [betas(subject, number) for number in range(4)]
    steps = {} if model == "ridge" else {"options": FitOptions(n_epochs=20, learning_rate=3e-3)}
    bundle = trained(sessions[1:], tmp_path / "b.bundle", model, **steps)
    assert (bundle.manifest.schedule.n_times, bundle.manifest.lag_s) == (1, 0.0)
    assert bundle.manifest.chain.running_mean_s is None
    check_live_is_offline(*files(sessions[:1], tmp_path), tmp_path / "b.bundle", tmp_path, 24)


def test_a_stream_of_volumes_does_not_stall_between_them(subject: FmriSubject, tmp_path: Path) -> None:
    (path,) = files([volumes(subject, 0)], tmp_path)
    live = play_live(path, None, duration_s=5.0)
    assert live.pipeline is not None
    assert "stalled" not in {event.kind for event in live.events}
    # Without a bundle there is a window a volume, and the mean of the earlier ones is taken off.
    assert live.pipeline.cutter.due >= 3
    view = live.signal(5.0)
    assert view is not None
    assert np.abs(np.nanmedian(view.data)) < 0.05 * subject.level.mean()


def test_the_command_trains_on_blocks(
    subject: FmriSubject, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    paths = files([volumes(subject, number) for number in range(2)], tmp_path)
    config = TrainConfig(modality="fmri", lag_s=5.0, width_s=8.0, out=tmp_path / "c.bundle")
    assert train_bundle(paths, config) == 0
    # The window of the last trial of each run ends behind it.
    assert "ridge, 46 trials of 2 runs" in capsys.readouterr().out
    schedule = load_bundle(tmp_path / "c.bundle").manifest.schedule
    assert (schedule.n_times, schedule.stop(0)) == (6, 10)


def test_a_lag_or_a_width_that_makes_no_sense_is_refused(subject: FmriSubject, tmp_path: Path) -> None:
    runs = [volumes(subject, number, 12) for number in range(2)]
    for wrong in ({"lag_s": -1.0}, {"width_s": 0.0}, {"width_s": 1e4}, {"lag_s": float("nan")}):
        with pytest.raises(UsageError, match="--lag-s is"):
            trained(runs, tmp_path / "w.bundle", **wrong)


def test_betas_have_no_lag(subject: FmriSubject, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="session-0 holds betas, one a trial"):
        trained([betas(subject, number) for number in range(2)], tmp_path / "l.bundle", lag_s=4.0)


def test_a_mask_belongs_to_a_replay() -> None:
    with pytest.raises(UsageError, match="--mask belongs to --replay"):
        SessionConfig(modality="fmri", mask="nsdgeneral")


@pytest.mark.lsl
def test_as_many_voxels_as_nsd_has_are_described_in_a_stream() -> None:
    n = 15_724
    channels = tuple(
        Channel(f"{i % 81},{i // 81 % 104},{i // 8424}", "voxel", "%", (1e-3 * (i % 81), 0.02, 0.03))
        for i in range(n)
    )
    recording = ArrayRecording(np.zeros((2, n), np.float32), channels, 0.75)
    player = Player(recording, PlayerConfig(source_id=f"test-{uuid4().hex}"))
    inlet = LslInlet(resolve_stream(StreamQuery(type="FMRI", source_id=player.source_id), 10))
    assert inlet.info.channels[:3] == channels[:3]
    assert [channel.name for channel in inlet.info.channels] == [channel.name for channel in channels]
    spec = watch_chain(inlet.info, "fmri")
    assert (len(spec.channels), spec.units[0], spec.sfreq_hz) == (n, "%", 0.75)
    inlet.close()


@pytest.mark.real
def test_real_volumes_are_decoded_live_as_offline(real_data: Path, tmp_path: Path) -> None:
    runs = [
        real_data / f"fmri_haxby2001/sub001/BOLD/task001_run00{n}/bold_1slice.nii.gz" for n in range(1, 10)
    ]
    bundle_path = tmp_path / "haxby.bundle"
    config = TrainConfig(modality="fmri", mask="all", lag_s=5.0, width_s=22.5, out=bundle_path)
    assert train_bundle(runs[:6], config) == 0
    out = tmp_path / "scores.json"
    assert evaluate_bundle(runs[6:], EvaluateConfig(bundle=bundle_path, mask="all", json=out)) == 0
    offline = json.loads(out.read_text())
    assert offline["accuracy"]["n"] == 24
    assert offline["accuracy"]["top1"] > 0.25
    live = session_summary(play_live(runs[6], load_bundle(bundle_path), speed=100.0, mask="all"), 0)
    expected = np.array([row["log_evidence"] for row in offline["per_trial"][:8]])
    got = np.array([row["log_evidence"] for row in live["per_trial"]])
    assert np.abs(got - expected).max() < 1e-5
