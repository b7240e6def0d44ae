"""Betas from volumes, from training to a live session: decided once, live as offline, then refined and final."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decode_stream.config import EvaluateConfig, SessionConfig, TrainConfig
from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.manifest import Manifest
from decode_stream.evaluation.evaluate import evaluate_bundle
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.simulation.simulate_fmri import FmriSubject
from decode_stream.replay_data.stored import store
from decode_stream.sessions.beta_pipeline import beta_cutter
from decode_stream.sessions.live import result_lines, run_live
from decode_stream.sessions.session_summary import session_summary
from decode_stream.sessions.source import Source
from decode_stream.stream.errors import RecordingError, StreamError, UsageError
from decode_stream.stream.fmri.beta_recording import beta_recording
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.types import MOTION, Channel, StreamInfo
from decode_stream.training.train import train_bundle
from tests.app.test_fmri_session import NAMES, TR_S, betas, play_live, subject, trained, volumes

__all__ = ["subject"]  # a fixture, used here as there

N_TRIALS = 24
GLM: dict[str, Any] = {
    "hrf": "glover",
    "stimulus_s": 3.0,
    "decide_s": 8.0,
    "noise": "ols",
    "nuisance_penalty": 0.0,
}


def moving(subject: FmriSubject, number: int) -> ArrayRecording:
    """Return a run whose head moves, with its motion estimates; the third volume from the end is not finite."""
    made = volumes(subject, number)
    rng = np.random.default_rng(number)
    motion = 0.1 * rng.standard_normal((made.n_samples, 6)).cumsum(axis=0)
    values = made.read(0, made.n_samples) + 3.0 * motion @ rng.standard_normal((6, subject.n_voxels))
    values[-3, 5] = np.nan
    channels = (
        *made.channels,
        *(Channel(name, "misc", "mm" if "trans" in name else "rad") for name in MOTION),
    )
    return ArrayRecording(
        np.hstack([values, motion]).astype(np.float32),
        channels,
        made.sfreq_hz,
        markers=made.labels,
        name=f"moving-{number}",
        stimuli=made.stimuli,
    )


@pytest.fixture(scope="module")
def runs(subject: FmriSubject, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    paths = [folder / f"moving-{number}.recording" for number in range(4)]
    for number, path in enumerate(paths):
        store(moving(subject, number), path)
    return paths


@pytest.fixture(scope="module")
def bundle(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "glm.bundle"
    assert train_bundle(runs[1:], TrainConfig(modality="fmri", out=path, **GLM)) == 0
    return path


def evaluated(path: Path, bundle_path: Path, folder: Path, **more: Any) -> dict[str, Any]:
    out = folder / "scores.json"
    assert evaluate_bundle([path], EvaluateConfig(bundle=bundle_path, json=out, **more)) == 0
    return dict(json.loads(out.read_text()))


def rows(summary: dict[str, Any]) -> np.ndarray:
    return np.array([row["log_evidence"] for row in summary["per_trial"]])


def test_a_bundle_keeps_how_its_betas_were_made(bundle: Path) -> None:
    manifest = load_bundle(bundle).manifest
    assert manifest.glm == GlmSpec(**GLM, confounds=MOTION, planned_volumes=81)
    assert manifest.of_betas
    assert len(manifest.chain.channels) == 250
    assert manifest.chain.sfreq_hz == pytest.approx(1 / TR_S)
    assert len(manifest.training.fingerprints) == 3


@pytest.mark.lsl
def test_betas_are_decided_live_as_offline_then_refined_and_final(
    runs: list[Path], bundle: Path, tmp_path: Path
) -> None:
    offline = evaluated(runs[0], bundle, tmp_path)
    live = play_live(runs[0], load_bundle(bundle), speed=40.0)
    summary = session_summary(live, 0)
    expected, got = rows(offline), rows(summary)
    # The first trials come before volumes tell their betas from motion and drift.
    n_withheld = summary["betas"]["withheld"].get("too few volumes", 0)
    assert 0 < n_withheld < 6
    assert got.shape == expected.shape == (N_TRIALS - n_withheld, len(NAMES))
    assert np.abs(got - expected).max() < 1e-6
    assert np.abs(expected).max() > 0.1
    # Responses overlap, so the interval knows that trials are not independent, live as offline.
    for key in ("interval", "top1_interval"):
        assert summary["accuracy"][key] == offline["accuracy"][key]
    assert "block bootstrap" in summary["accuracy"]["interval"]
    assert offline["accuracy"]["top1"] > 2 / len(NAMES)
    told = summary["betas"]
    assert (told["volumes"], told["lost"], told["planned_volumes"]) == (81, 1, 81)
    assert told["final"]["accuracy"]["n"] == N_TRIALS
    assert told["final"]["accuracy"]["top1"] > 2 / len(NAMES)
    assert told["refined"]["accuracy"]["n"] == N_TRIALS
    assert not np.array_equal(rows(told["final"])[n_withheld:], got)
    decided, refined, final = result_lines(live)
    assert decided.startswith(f"{N_TRIALS - n_withheld} trials, top-1 ")
    assert decided.endswith(f"; {n_withheld} more withheld")
    assert refined.startswith(f"refined, while the response went on: {N_TRIALS} trials")
    assert final.startswith(f"final, with the whole run: {N_TRIALS} trials")
    kinds = {event.kind for event in live.events}
    assert kinds - {"provider"} == {"connected", "note", "withheld"}
    notes = " ".join(event.text for event in live.events)
    assert "confounds trans_x" in notes
    assert "frozen" in notes
    assert "drifts, confounds and other trials" in notes


@pytest.mark.lsl
def test_a_bundle_of_published_betas_decodes_volumes_by_running_statistics(
    subject: FmriSubject, tmp_path: Path
) -> None:
    bundle = trained([betas(subject, number) for number in range(1, 5)], tmp_path / "b.bundle")
    run = volumes(subject, 9)
    path = tmp_path / "run.recording"
    store(run, path)
    with pytest.raises(UsageError, match="run-9 holds volumes, and 'small' decodes betas.*--hrf glover"):
        evaluated(path, tmp_path / "b.bundle", tmp_path)
    assert evaluated(path, tmp_path / "b.bundle", tmp_path, **GLM)["accuracy"]["n"] > N_TRIALS / 2
    live = play_live(path, bundle, speed=40.0, statistics="running", warm_up=6, **GLM)
    summary = session_summary(live, 0)
    told = summary["betas"]
    assert told["withheld"]["warm-up"] == 5
    assert told["final"]["accuracy"]["n"] == N_TRIALS
    assert told["final"]["accuracy"]["top1"] > 2 / len(NAMES)
    assert "(running)" in told["statistics"]
    # As real-time MindEye standardises: by the betas so far, this one among them.
    spec = replace(GlmSpec(**GLM), planned_volumes=run.n_samples)
    made = beta_recording(run, spec).values
    n = len(made)
    z = (made[n - 1] - made.mean(axis=0)) / made.std(axis=0, ddof=1)
    assert live.encoder is not None
    embedding = live.encoder.encode(
        np.clip(z, -5, 5)[None, :, None].astype(np.float32), np.zeros(1, np.float32)
    )
    similarity = (embedding / np.linalg.norm(embedding)) @ (
        bundle.gallery / np.linalg.norm(bundle.gallery, axis=1, keepdims=True)
    ).T
    expected = bundle.manifest.calibration.log_evidence(similarity)
    np.testing.assert_allclose(rows(summary)[-1], expected, rtol=1e-3, atol=1e-4)


def stream(**more: Any) -> StreamInfo:
    channels = tuple(Channel(f"{i},0,0", "voxel") for i in range(250))
    return replace(StreamInfo("scanner", "FMRI", "", "", channels, 1 / TR_S), **more)


def test_streams_that_do_not_fit_the_model_are_refused(bundle: Path, subject: FmriSubject) -> None:
    manifest = load_bundle(bundle).manifest
    spec, config = manifest.glm, SessionConfig(modality="fmri")
    assert spec is not None

    def built(spec: GlmSpec = spec, manifest: Manifest = manifest, **more: Any) -> Any:
        return beta_cutter(stream(**more), config, manifest, spec, manifest.stimuli())

    with pytest.raises(StreamError, match="a volume every 2 s, and the betas of 'glm' .* every 1.333 s"):
        built(sfreq_hz=0.5)
    with pytest.raises(StreamError, match=r"lacks 6 confounds.* trans_x.*--watch"):
        built(channels=subject.channels)
    with pytest.raises(StreamError, match="lacks 250 of the decoder's"):
        built(spec=replace(spec, confounds=()))
    with pytest.raises(UsageError, match="leave out --loop"):
        built(loop_samples=81)
    with pytest.raises(UsageError, match="--run-volumes N"):
        built(spec=replace(spec, planned_volumes=0, confounds=()), channels=subject.channels)


def test_flags_that_the_bundle_contradicts_are_refused(
    bundle: Path, runs: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--decide-s is 6.0, and the betas that 'glm' .* with 8.0"):
        evaluated(runs[0], bundle, tmp_path, decide_s=6.0)
    with pytest.raises(UsageError, match="--confounds is none, and the betas"):
        evaluated(runs[0], bundle, tmp_path, confounds="none")
    assert evaluated(runs[0], bundle, tmp_path, hrf="glover", confounds="motion")["accuracy"]["n"] > 0
    config = SessionConfig(modality="fmri", replay=runs[0], noise="ar1")
    with pytest.raises(UsageError, match="--noise is ar1"):
        run_live(config, bundle, Source(config, runs[0]))


def test_a_bundle_of_volumes_makes_no_betas(subject: FmriSubject, tmp_path: Path) -> None:
    trained([volumes(subject, number, 12) for number in (1, 2)], tmp_path / "v.bundle")
    store(volumes(subject, 0, 12), tmp_path / "r.recording")
    with pytest.raises(UsageError, match="--hrf makes betas, and 'small' decodes means of volumes"):
        evaluated(tmp_path / "r.recording", tmp_path / "v.bundle", tmp_path, hrf="glover")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"decide_s": 6.0}, "--decide-s belongs to --hrf"),
        ({"confounds": "motion"}, "--confounds belongs to --hrf"),
        ({"hrf": "spm", "confounds": "motion"}, "lacks 6 confounds of the model: trans_x"),
        ({"hrf": "spm", "confounds": "csf"}, "lacks 1 confounds of the model: csf"),
        ({"hrf": "spm", "onset_channel": "trigger"}, "--onset-channel"),
    ],
)
def test_trainings_that_cannot_make_betas_are_refused(
    wrong: dict[str, Any], message: str, subject: FmriSubject, tmp_path: Path
) -> None:
    store(volumes(subject, 0, 12), tmp_path / "r.recording")
    config = TrainConfig(modality="fmri", out=tmp_path / "o.bundle", **wrong)
    with pytest.raises((UsageError, RecordingError), match=message):
        train_bundle([tmp_path / "r.recording"], config)


def test_each_voxel_may_have_a_response_of_its_own(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "l.bundle"
    assert train_bundle(runs[1:3], TrainConfig(modality="fmri", out=out, **(GLM | {"hrf": "library"}))) == 0
    glm = load_bundle(out).manifest.glm
    assert glm is not None
    assert len(glm.hrf_of_voxel) == 250
    assert len(set(glm.hrf_of_voxel)) > 1
    assert "response was chosen on all recordings" in load_bundle(out).manifest.training.protocol
    assert evaluated(runs[0], out, tmp_path)["accuracy"]["n"] > N_TRIALS / 2
    with pytest.raises(UsageError, match="not --channels"):
        TrainConfig(modality="fmri", hrf="library", channels="0,0,0", out=out)
    with pytest.raises(UsageError, match="trials to be tested on are among them"):
        TrainConfig(modality="fmri", hrf="library", nsd_split="mindeye", out=out)


@pytest.mark.lsl
def test_onsets_between_volumes_and_durations_are_live_as_offline(
    subject: FmriSubject, tmp_path: Path
) -> None:
    paths = [tmp_path / f"between-{number}.recording" for number in range(3)]
    rng = np.random.default_rng(0)
    for number, path in enumerate(paths):
        run = moving(subject, number)
        n = len(run.stimuli)
        timed = replace(run.stimuli, fraction=rng.uniform(-0.5, 0.5, n), duration_s=rng.uniform(0.5, 4.0, n))
        store(replace(run, stimuli=timed), path)
    flags = GLM | {"stimulus_s": None}
    assert train_bundle(paths[1:], TrainConfig(modality="fmri", out=tmp_path / "b.bundle", **flags)) == 0
    bundle = load_bundle(tmp_path / "b.bundle")
    assert bundle.manifest.glm is not None
    assert bundle.manifest.glm.own_durations
    offline = evaluated(paths[0], tmp_path / "b.bundle", tmp_path)
    live = play_live(paths[0], bundle, speed=20.0)
    expected, got = rows(offline), rows(session_summary(live, 0))
    assert got.shape == expected.shape
    assert len(got) > N_TRIALS / 2
    assert np.abs(got - expected).max() < 1e-6
    with pytest.raises(UsageError, match="--stimulus-s is 3.0, and .* with the duration of each stimulus"):
        evaluated(paths[0], tmp_path / "b.bundle", tmp_path, stimulus_s=3.0)


@pytest.mark.lsl
def test_a_run_that_goes_on_beyond_its_plan_is_said(bundle: Path, runs: list[Path]) -> None:
    live = play_live(runs[0], load_bundle(bundle), speed=100.0, run_volumes=60)
    assert "longer" in {event.kind for event in live.events}
    assert session_summary(live, 0)["betas"]["planned_volumes"] == 60


def test_flags_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "o.bundle"
    with pytest.raises(UsageError, match="--decide-s is more than 0"):
        TrainConfig(modality="fmri", hrf="glover", decide_s=0.0, out=out)
    with pytest.raises(UsageError, match="--hrf makes betas from volumes, which eeg has none of"):
        TrainConfig(modality="eeg", hrf="glover", out=out)
    with pytest.raises(UsageError, match="--lag-s and --width-s read volumes as they are"):
        TrainConfig(modality="fmri", hrf="glover", lag_s=4.0, out=out)
    with pytest.raises(UsageError, match="--warm-up is 5; it belongs to --statistics running"):
        SessionConfig(modality="fmri", warm_up=5)
    with pytest.raises(UsageError, match="--run-volumes is 0"):
        SessionConfig(modality="fmri", run_volumes=0)
    assert TrainConfig(modality="fmri", hrf="glover", high_pass_s=0.0, out=out).glm_spec().high_pass_s is None
