"""Encoders of whole trials, live on windows that grow, several trials at once."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.epochs import cut_trials, grown
from decode_stream.decoders.evidence import Calibration, similarity
from decode_stream.decoders.runtime import UNKNOWN_LATENCY, Encoder
from decode_stream.export.onnx import export_encoder
from decode_stream.replay_data.open import open_recording
from decode_stream.sessions.session_summary import session_summary
from decode_stream.sessions.terminal import progress_line
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.window_chain import WindowSpec
from tests.app.test_session import make, run
from tests.decoders.bundles import small_bundle

pytestmark = pytest.mark.lsl

N_TIMES, N_LATENCIES = 64, 17  # half a second at 128 Hz, from 100 ms on


class SmallWhole(nn.Module):
    """A network over whole trials that also reads how much of one has happened."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv1d(2, 4, 9)
        self.readout = nn.Linear(4 * (N_TIMES - 8), 2)

    def forward(self, window: Tensor, latency_s: Tensor) -> Tensor:
        features = torch.tanh(self.convolution(window)).flatten(1)
        embedding = self.readout(features) * (1.0 + latency_s[:, None])
        return torch.where(latency_s[:, None] < 0, torch.zeros_like(embedding), embedding)


def write_rapid(path: Path, n_samples: int = 2048) -> Path:
    """Write a recording at 256 Hz in which a picture comes every 199 ms, and one stretch is too loud."""
    rng = np.random.default_rng(0)
    data = 10 * rng.standard_normal((n_samples, 2))
    data[1500:1504, 1] = 1e4
    marks = np.zeros(n_samples, dtype=int)
    for onset in range(300, n_samples - 20, 51):
        marks[onset] = rng.integers(1, 3)
        data[onset + 30 : onset + 80, 0] += 8 * (2 * marks[onset] - 3)
    rows = np.column_stack([50 + np.arange(n_samples) / 256, data, marks])
    np.savetxt(
        path,
        rows,
        fmt=["%.6f", "%.3f", "%.3f", "%d"],
        delimiter=",",
        header="timestamps,Oz,Pz,Marker0",
        comments="",
    )
    return path


def growing_bundle(module: nn.Module, folder: Path) -> Bundle:
    """Return the bundle of a network of whole trials, saved and loaded again."""
    chain = ChainSpec(("Pz", "Oz"), ("uV", "uV"), 128.0, highpass_hz=1.0, lowpass_hz=30.0, scale=(10.0, 10.0))
    window = WindowSpec(baseline_s=(-0.1, 0.0), clamp=3.0, reject_peak=30.0)
    plain = small_bundle(chain=chain, window=window)
    windows = np.random.default_rng(0).standard_normal((6, 2, N_TIMES)).astype(np.float32)
    encoder = export_encoder(
        module, windows, np.array([0.1, 0.125, 0.3, 0.5, UNKNOWN_LATENCY, 0.2], np.float32)
    )
    calibration = Calibration((1.0,) * N_LATENCIES, 0.0, growing=True)
    manifest = replace(
        plain.manifest, length_s=0.5, first_s=0.1, n_latencies=N_LATENCIES, calibration=calibration
    )
    save_bundle(Bundle(manifest, encoder.graph, plain.gallery, plain.thumbnails), folder / "whole.bundle")
    return load_bundle(folder / "whole.bundle")


def test_a_whole_trial_is_decoded_live_while_it_grows_as_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    encode = Encoder.encode

    def slow_live(self: Encoder, *given: np.ndarray) -> np.ndarray:
        # Windows come every 8 ms at three times the speed.
        time.sleep(0.03 * (threading.current_thread().name == "decoding"))
        return encode(self, *given)

    monkeypatch.setattr(Encoder, "encode", slow_live)
    path, module = write_rapid(tmp_path / "rapid.csv"), SmallWhole()
    bundle = growing_bundle(module, tmp_path)
    manifest = bundle.manifest
    session = run(make(SessionConfig(modality="eeg", replay=path, speed=3.0), bundle))
    live = session.pipeline.decoder
    assert live is not None
    offline = decode_recording(bundle, Encoder(bundle), open_recording(path), manifest.stimuli())
    trials = cut_trials(
        [open_recording(path)],
        manifest.chain,
        manifest.window,
        manifest.schedule,
        N_LATENCIES,
        manifest.stimuli(),
    )
    latencies = np.array([manifest.schedule.latency_s(k) for k in range(N_LATENCIES)], np.float32)
    assert latencies[[0, -1]] == pytest.approx([0.1, 0.5])
    with torch.inference_mode():
        whole = module(
            torch.tensor(np.array(trials.windows[:, 0])), torch.full((len(trials.labels),), 0.5)
        ).numpy()
    assert live.scores.n == offline.scores.n == len(trials.labels) > 15
    assert live.scores.overlapping
    n_withheld = trials.left_out["artefact"] + trials.left_out["settling"]
    assert live.withheld == offline.withheld == n_withheld > trials.left_out["settling"]
    expected = similarity(whole, bundle.gallery, "none")
    for ours, theirs, row in zip(live.scores.trials, offline.scores.trials, expected, strict=True):
        assert (ours.onset, ours.stimulus) == (theirs.onset, theirs.stimulus)
        assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=1e-5)
        # What was trained on is what is decoded; the last window says all that those before it said.
        assert ours.log_evidence == pytest.approx(row, abs=1e-4)
    seventh = torch.tensor(grown(trials.windows, manifest.schedule, 7))
    with torch.inference_mode():
        early = module(seventh, torch.full((len(seventh),), float(latencies[7]))).numpy()
    right = np.argmax(early, axis=1) == trials.labels
    assert [trial.right_by_latency[7] for trial in offline.scores.trials] == right.tolist()
    by_latency = np.array([trial.right_by_latency for trial in live.scores.trials])
    decoded = np.isfinite(by_latency)
    whole_curves = np.array([trial.right_by_latency for trial in offline.scores.trials])
    assert np.array_equal(by_latency[decoded], whole_curves[decoded])
    assert decoded[:, -1].all()
    assert live.windows["superseded"] >= (~decoded).sum() > 0
    assert offline.windows["superseded"] == 0

    # No window runs freely, and all that is shown is of trials.
    summary = session_summary(session, 0)
    assert [summary["windows"][name] for name in ("due", "decoded", "withheld", "skipped")] == [0, 0, 0, 0]
    assert summary["windows"]["locked"] == live.windows
    assert summary["accuracy"]["n"] == live.scores.n
    assert len(summary["accuracy"]["top1_by_latency"]) == N_LATENCIES
    assert summary["latency_ms"]["decode"]["p50"] > 0
    snapshot = session.snapshot()
    n_windows = sum(live.windows.values())
    assert (snapshot.progress.windows_due, snapshot.progress.windows_decoded) == (
        n_windows,
        live.windows["decoded"],
    )
    assert snapshot.progress.windows_withheld == live.windows["withheld"] > 0
    assert snapshot.progress.windows_superseded == live.windows["superseded"]
    assert f"superseded {live.windows['superseded']}" in progress_line(snapshot)
    assert snapshot.matches_of.endswith("up to 500 ms after onset")
    assert snapshot.accuracy.latency_s == pytest.approx(latencies, abs=0.5 / 128)
    assert f"{live.windows['decoded']} of {n_windows} windows decoded" in progress_line(snapshot)
