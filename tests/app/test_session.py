"""Sessions over real LSL streams on this machine."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.decoders.decoder import decode_recording
from decode_stream.decoders.runtime import Encoder
from decode_stream.replay_data.open import open_recording
from decode_stream.sessions.session import Session
from decode_stream.sessions.session_summary import session_summary
from decode_stream.sessions.source import Source
from decode_stream.stream.errors import SessionError, StreamError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.lsl import StreamLost, lsl_now, open_marker_outlet
from decode_stream.stream.types import Channel, StreamInfo
from decode_stream.stream.window_chain import WindowSpec
from tests.decoders.bundles import small_bundle, weighing

pytestmark = pytest.mark.lsl


def write_csv(path: Path, n_samples: int = 2048, seed: int = 0) -> Path:
    """Write a recording of noise with a face/house difference in Oz, at 256 Hz, markers off the hop grid."""
    rng = np.random.default_rng(seed)
    data = 10 * rng.standard_normal((n_samples, 3))
    marks = np.zeros(n_samples, dtype=int)
    for onset in range(200, n_samples - 170, 151):
        marks[onset] = rng.integers(1, 3)
        data[onset + 30 : onset + 100, 0] += 8 * (2 * marks[onset] - 3)
    rows = np.column_stack([50 + np.arange(n_samples) / 256, data, marks])
    header = "timestamps,Oz,Pz,Cz,Marker0"
    np.savetxt(
        path, rows, fmt=["%.6f", "%.3f", "%.3f", "%.3f", "%d"], delimiter=",", header=header, comments=""
    )
    return path


def filtered_bundle() -> Bundle:
    chain = ChainSpec(("Pz", "Oz"), ("uV", "uV"), 128.0, highpass_hz=1.0, lowpass_hz=30.0, scale=(10.0, 10.0))
    weights = np.zeros((2 * 13, 2), np.float32)
    weights[13:, 0], weights[13:, 1] = -1 / 13, 1 / 13
    return small_bundle(chain=chain, window=WindowSpec(clamp=5.0), weights=weights, n_latencies=9)


def make(config: SessionConfig, bundle: Bundle | None = None) -> Session:
    return Session(
        config, Source(config, config.replay), bundle, lambda info: watch_chain(info, config.modality)
    )


def run(session: Session, timeout_s: float = 60.0) -> Session:
    session.start()
    try:
        assert session.wait(timeout_s)
    finally:
        session.stop()
        session.join()
    return session


def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def kinds(session: Session) -> list[str]:
    return [event.kind for event in session.events]


def test_live_scores_are_the_offline_ones(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "run.csv")
    bundle = weighing(filtered_bundle())
    config = SessionConfig(modality="eeg", replay=path, speed=4.0)
    live = run(make(config, bundle))
    offline = decode_recording(bundle, Encoder(bundle), open_recording(path), bundle.manifest.stimuli())
    assert live.pipeline.decoder is not None
    assert live.pipeline.decoder.scores.n == offline.scores.n > 5
    for ours, theirs in zip(live.pipeline.decoder.scores.trials, offline.scores.trials, strict=True):
        assert (ours.onset, ours.stimulus) == (theirs.onset, theirs.stimulus)
        assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=1e-5)
        assert ours.repeated_log_loss == pytest.approx(theirs.repeated_log_loss, abs=1e-5)
    assert max(trial.showing for trial in offline.scores.trials) > 2
    summary = session_summary(live, 0)
    assert summary["samples"] == {
        "received": 2048,
        "lost": 0,
        "duplicate": 0,
        "reordered": 0,
        "non_finite": 0,
    }
    assert summary["stream"]["sfreq_hz"] == 256.0
    assert summary["duration_s"] == 8.0
    windows = summary["windows"]
    assert windows["due"] == 317
    assert windows["decoded"] + windows["withheld"] + windows["skipped"] == windows["due"]
    assert windows["skipped"] == 0
    assert summary["trials"]["seen"] == summary["trials"]["scored"] + summary["trials"]["withheld"]
    assert summary["accuracy"]["n"] == live.pipeline.decoder.scores.n
    assert summary["latency_ms"]["decode"]["p50"] > 0
    assert live.snapshot().state == "ended"
    assert live.snapshot().accuracy.n == live.pipeline.decoder.scores.n
    assert live.signal(1.0) is not None


def test_a_session_tells_what_is_shown_while_it_is_shown(tmp_path: Path) -> None:
    config = SessionConfig(modality="eeg", replay=write_csv(tmp_path / "run.csv"), speed=3.0)
    session = make(config, filtered_bundle())
    shown: list[str] = []
    session.start()
    try:
        assert session.snapshot().stimulus is None
        while not session.wait(0.01):
            now = session.snapshot()
            if now.stimulus is not None and (not shown or shown[-1] != now.stimulus.name):
                assert now.stimulus.known
                shown.append(now.stimulus.name)
    finally:
        session.stop()
        session.join()
    assert {"house", "face"} == set(shown)
    last = session.snapshot()
    assert (last.stimulus, last.sfreq_hz, last.modality, last.has_pictures) == (None, 256.0, "eeg", True)
    view = session.signal(10.0)
    assert view is not None
    assert {name for _, name in view.onsets} == {"house", "face"}
    assert (session.picture("face"), session.picture("house"), session.picture("chair")) == (
        b"\x89PNG",
        None,
        None,
    )
    startup = session.startup.summary_s()
    assert startup["window_up"] is None
    assert startup["connected"] <= startup["first_sample"] < startup["first_trial_decoded"]  # type: ignore[operator]


def test_real_eeg_is_decoded_live_as_offline(real_data: Path) -> None:
    path = real_data / "eeg_faces_houses" / "run-01.csv"
    chain = ChainSpec(
        ("TP10", "TP9", "AF7", "AF8"), ("uV",) * 4, 128.0, highpass_hz=1.0, lowpass_hz=30.0, scale=(7.0,) * 4
    )
    weights = np.random.default_rng(0).standard_normal((52, 2)).astype(np.float32) / 10
    bundle = small_bundle(chain=chain, window=WindowSpec(clamp=5.0), weights=weights, n_latencies=21)
    live = run(make(SessionConfig(modality="eeg", replay=path, speed=12.0), bundle))
    offline = decode_recording(bundle, Encoder(bundle), open_recording(path), bundle.manifest.stimuli())
    assert live.pipeline.decoder is not None
    assert live.pipeline.decoder.scores.n == offline.scores.n > 180
    difference = live.pipeline.decoder.scores.log_evidence() - offline.scores.log_evidence()
    assert np.abs(difference).max() < 1e-5
    assert live.pipeline.ingest is not None
    assert live.pipeline.ingest.continuity.lost == 0


def counting_bundle() -> Bundle:
    return small_bundle(("c0", "c1"), 256.0)


def ramp_orders(**more: object) -> dict[str, object]:
    return {
        "n_samples": 512,
        "n_channels": 2,
        "markers": [[100, "1"], [300, "2"]],
        "config": {"source_id": f"test-{uuid4().hex}", "loop": True},
        **more,
    }


def test_an_outlet_that_dies_and_returns_is_an_event(ramp) -> None:
    orders = ramp_orders()
    child = ramp(**orders)
    session = make(SessionConfig(modality="eeg", source_id=child.source_id), counting_bundle())
    session.start()
    try:
        until(lambda: session.pipeline is not None and session.pipeline.decoder.free_decoded > 40)
        child.process.kill()
        killed_s = time.monotonic()
        until(lambda: "lost" in kinds(session))
        assert time.monotonic() - killed_s < 1.0
        assert session.snapshot().state == "lost"
        ramp(**orders)
        until(lambda: "reconnected" in kinds(session))
        # Asked now: flags go with the samples that they speak of, ten seconds later.
        until(lambda: any(flag.reason == "gap" for flag in session.pipeline.ingest.flags))
        decoded = session.pipeline.decoder.free_decoded
        until(
            lambda: (
                session.pipeline.decoder.free_decoded > decoded + 40
                and session.snapshot().state == "decoding"
            )
        )
        # The ramp loops: trials of later turns are decoded and not scored.
        repeated = session.pipeline.decoder.repeated
        until(lambda: session.pipeline.decoder.repeated > repeated)
    finally:
        session.stop()
        session.join()
    assert [k for k in kinds(session) if k in ("lost", "reconnected", "gap")] == [
        "lost",
        "reconnected",
        "gap",
    ]
    assert session.pipeline.cutter.withheld > 0


def test_an_outlet_that_returns_with_other_channels_ends_the_session(ramp) -> None:
    orders = ramp_orders()
    child = ramp(**orders)
    session = make(SessionConfig(modality="eeg", source_id=child.source_id), counting_bundle())
    session.start()
    until(lambda: session.snapshot().state == "decoding")
    child.process.kill()
    until(lambda: "lost" in kinds(session))
    ramp(**(orders | {"n_channels": 3}))
    assert session.wait(15)
    with pytest.raises(SessionError, match="came back different: 2 ch.*3 ch.*differ: c2"):
        session.join()
    assert session_summary(session, 1)["error"].startswith("'ramp' came back different")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be paused on this system")
def test_a_stall_is_told_and_its_end_too(ramp) -> None:
    child = ramp(**ramp_orders())
    session = make(SessionConfig(modality="eeg", source_id=child.source_id), counting_bundle())
    session.start()
    try:
        until(lambda: session.snapshot().state == "decoding")
        os.kill(child.process.pid, signal.SIGSTOP)
        until(lambda: session.snapshot().state == "stalled")
        os.kill(child.process.pid, signal.SIGCONT)
        until(lambda: "resumed" in kinds(session) and session.snapshot().state == "decoding")
    finally:
        session.stop()
        session.join()
    assert session.pipeline.ingest.continuity.lost == 0


class Returning(Source):
    """A stream of one sample whose outlet is then gone for longer than a stall takes, and silent when it is back."""

    n_pulls = 0

    def connect(self, stop: threading.Event) -> StreamInfo:
        self.info = StreamInfo("back", "EEG", "", "", (Channel("c0"), Channel("c1")), 256.0)
        return self.info

    def pull(self, n_samples: int, timeout_s: float) -> tuple[np.ndarray, np.ndarray, float]:
        self.n_pulls += 1
        time.sleep(0.01)
        if self.n_pulls == 2:
            raise StreamLost("gone")
        n = int(self.n_pulls == 1)
        return np.zeros((n, 2)), np.full(n, lsl_now()), lsl_now()

    def reconnect(self, stop: threading.Event) -> bool:
        time.sleep(0.7)
        return True


def test_the_silence_before_a_reconnection_is_no_stall_after_it() -> None:
    config = SessionConfig(modality="eeg")
    source = Returning(config, None)
    session = Session(config, source, None, lambda info: watch_chain(info, "eeg"))
    session.start()
    try:
        until(lambda: source.n_pulls > 8)
        assert kinds(session)[-2:] == ["lost", "reconnected"]
        until(lambda: "stalled" in kinds(session))
    finally:
        session.stop()
        session.join()


def test_without_a_bundle_the_signal_is_windowed_and_shown(ramp) -> None:
    child = ramp(**ramp_orders())
    session = make(SessionConfig(modality="eeg", source_id=child.source_id, duration_s=5.0))
    run(session)
    assert session.pipeline.decoder is None
    assert session.pipeline.cutter.due >= 190
    assert session.snapshot().progress.trials_seen >= 2
    assert session_summary(session, 0)["accuracy"] is None


def test_a_marker_stream_that_goes_and_comes_back_is_told(ramp) -> None:
    name = f"test-{uuid4().hex}"
    child = ramp(**ramp_orders(markers=[]))
    config = SessionConfig(source_id=child.source_id, markers=name)
    outlet = open_marker_outlet(name, name)
    session = make(config, counting_bundle())
    session.start()
    try:
        until(lambda: session.snapshot().state == "decoding")
        outlet.push_sample(["1"], lsl_now() + 1e9)
        until(lambda: "refused" in kinds(session))
        del outlet
        until(lambda: "markers lost" in kinds(session))
        outlet = open_marker_outlet(name, name)
        until(lambda: "markers back" in kinds(session))
        outlet.push_sample(["2"], lsl_now())
        until(lambda: session.pipeline.cutter.trials.seen == 1)
    finally:
        session.stop()
        session.join()


def test_the_trials_of_a_loop_count_once(ramp) -> None:
    child = ramp(**ramp_orders())
    session = make(SessionConfig(source_id=child.source_id), counting_bundle())
    session.start()
    try:
        until(lambda: session.pipeline is not None and session.pipeline.decoder.repeated >= 2)
    finally:
        session.stop()
        session.join()
    assert session.pipeline.decoder.scores.n <= 2
    assert kinds(session).count("loop") == 1


def test_a_marker_offset_counts_in_recording_time(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "run.csv", 1024)
    plain, moved = (
        run(make(SessionConfig(replay=path, speed=4.0, marker_offset_ms=offset_ms), filtered_bundle()))
        for offset_ms in (0.0, 100.0)
    )
    onsets = [[trial.onset for trial in s.pipeline.decoder.scores.trials] for s in (plain, moved)]
    assert len(onsets[0]) > 1
    # 100 ms are 25.6 samples of the stream, and 12.8 of the decoder.
    assert all(12 <= b - a <= 14 for a, b in zip(*onsets, strict=True))


def test_a_stream_that_is_not_there_fails_clearly() -> None:
    session = make(SessionConfig(source_id=f"test-{uuid4().hex}", wait_s=0.2), counting_bundle())
    session.start()
    assert session.wait(10)
    with pytest.raises(StreamError, match=r"No stream answered to source_id .* within 0\.2 s"):
        session.join()


def test_missing_channels_end_the_session_before_it_begins(ramp) -> None:
    child = ramp(**ramp_orders())
    session = make(SessionConfig(source_id=child.source_id), small_bundle(("c0", "Oz"), 256.0))
    session.start()
    assert session.wait(10)
    with pytest.raises(StreamError, match="lacks 1 of the decoder's 2 channels: Oz"):
        session.join()


def test_an_error_in_a_thread_ends_the_session_with_that_error(ramp, monkeypatch: pytest.MonkeyPatch) -> None:
    child = ramp(**ramp_orders())
    session = make(SessionConfig(source_id=child.source_id), counting_bundle())

    def broken(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("decode_stream.decoders.runtime.Encoder.encode", broken)
    session.start()
    assert session.wait(10)
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        session.join()


def test_stopping_while_searching_is_quick() -> None:
    session = make(SessionConfig(source_id=f"test-{uuid4().hex}", wait_s=60.0))
    session.start()
    until(lambda: session.snapshot().state == "searching")
    threading.Timer(0.2, session.stop).start()
    began = time.monotonic()
    assert session.wait(5)
    session.join()
    assert time.monotonic() - began < 3
