"""An encoder that is slower than windows come: only the newest of each growing trial is decoded."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoder import Decoder, decode_recording
from decode_stream.decoders.epochs import stream_info
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring.scores import hits
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.cutter import WindowCutter
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Channel, Chunk, Marker
from decode_stream.stream.window_chain import WindowSpec
from tests.decoders.bundles import small_bundle

CHANNELS = (Channel("Oz", "eeg", "uV"), Channel("Pz", "eeg", "uV"))
N_TIMES, N_LATENCIES, HOP = 100, 17, 5  # half a second at 200 Hz, from 100 ms on, every 25 ms
N_SAMPLES = 6_000


class SlowEncoder(Encoder):
    """An encoder that takes the time of so many samples for each window, on a clock of its own."""

    samples_a_window = 0
    samples_taken = 0

    def encode(self, windows: np.ndarray, latencies_s: np.ndarray) -> np.ndarray:
        self.samples_taken += self.samples_a_window * len(windows)
        return super().encode(windows, latencies_s)


@dataclass
class Live:
    """What a session without real time did; ages count in samples, from the end of a window to its belief."""

    decoder: Decoder
    ages: list[int]
    calls: list[int]


def recording(soa: int) -> ArrayRecording:
    """Return noise with a stimulus every `soa` samples; a later stretch is too loud."""
    data = np.random.default_rng(0).standard_normal((N_SAMPLES, 2))
    data[2500:2504, 1] = 100.0
    onsets = range(300, N_SAMPLES - 2 * N_TIMES, soa)
    return ArrayRecording(data, CHANNELS, 200.0, tuple((at, "12"[i % 2]) for i, at in enumerate(onsets)))


def bundle() -> Bundle:
    """Return a decoder of growing trials at 200 Hz that weighs every sample at random."""
    weights = np.random.default_rng(1).standard_normal((2 * N_TIMES, 2)) / 10
    window = WindowSpec(baseline_s=(-0.1, 0.0), reject_peak=20.0)
    plain = small_bundle(chain=ChainSpec(("Pz", "Oz"), ("uV", "uV"), 200.0), window=window, weights=weights)
    manifest = replace(
        plain.manifest,
        length_s=0.5,
        first_s=0.1,
        n_latencies=N_LATENCIES,
        calibration=Calibration((1.0,) * N_LATENCIES, 0.0, growing=True),
    )
    return replace(plain, manifest=manifest)


def live(run: ArrayRecording, samples_a_window: int, *, supersede: bool) -> Live:
    """Decode as a session does: while the encoder works, samples pile up."""
    of = bundle()
    manifest, encoder = of.manifest, SlowEncoder(of)
    encoder.samples_a_window, encoder.samples_taken = samples_a_window, 0
    ingest = Ingest(stream_info(run), manifest.chain, hold_s=120.0)
    trials = Trials(manifest.schedule, N_LATENCIES, manifest.stimuli())
    cutter = WindowCutter(ingest, manifest.schedule, manifest.window, trials)
    decoder = Decoder(of, encoder, cutter, supersede=supersede)
    for at, label in run.markers:
        trials.add(Marker(float(at), label, 0.0))
    ages, calls, at = [], [], 0
    while at < N_SAMPLES:
        stop = min(N_SAMPLES, at + max(1, encoder.samples_taken))
        encoder.samples_taken = 0
        ingest.take([Chunk(at, run.data[at:stop], 0.0)])
        at = stop
        trials.place(int, ingest.ring.stop)
        if decoder.step() and decoder.batch is not None:
            ages.append(ingest.ring.stop + encoder.samples_taken - decoder.batch.oldest_stop)
            calls.append(encoder.samples_taken)
    return Live(decoder, ages, calls)


@pytest.mark.parametrize(("soa", "samples_a_window"), [(130, 8), (130, 60), (41, 12)])
def test_a_slow_encoder_decides_every_trial_in_time_and_tells_what_it_passed_over(
    soa: int, samples_a_window: int
) -> None:
    run = recording(soa)
    slow = live(run, samples_a_window, supersede=True)
    offline = decode_recording(bundle(), Encoder(bundle()), run, bundle().manifest.stimuli())
    decoder, windows = slow.decoder, slow.decoder.windows
    n_trials = len(run.markers)
    # A window waits for the call before its own, and no longer.
    assert max(slow.ages) <= 2 * max(slow.calls) + HOP
    assert max(slow.calls[len(slow.calls) // 2 :]) <= max(slow.calls[: len(slow.calls) // 2])
    assert decoder.scores.n + decoder.withheld == n_trials
    assert decoder.scores.n == offline.scores.n < n_trials
    assert sum(windows.values()) == N_LATENCIES * n_trials
    assert offline.windows["superseded"] == 0 < windows["superseded"]
    passed_over = 0
    for ours, theirs in zip(decoder.scores.trials, offline.scores.trials, strict=True):
        assert ours.onset == theirs.onset
        assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=1e-5)
        decoded = np.isfinite(ours.right_by_latency)
        assert decoded[-1]
        assert np.array_equal(ours.right_by_latency[decoded], theirs.right_by_latency[decoded])
        passed_over += int((~decoded).sum())
    # Windows took the place of others, and each stimulus came again: what was right is what the evidence says now.
    for scores in (decoder.scores, offline.scores):
        assert np.array_equal(scores.hits(), hits(scores.log_evidence(), scores.truth()))
    # The others are those of the trials that were withheld.
    assert 0 <= windows["superseded"] - passed_over <= N_LATENCIES * decoder.withheld
    assert decoder.scores.by_latency()[-1] == offline.scores.by_latency()[-1]


def test_who_decodes_every_window_falls_ever_further_behind() -> None:
    slow = live(recording(130), 16, supersede=False)
    half = len(slow.ages) // 2
    assert slow.decoder.windows["superseded"] == 0
    assert max(slow.ages[half:]) > 1.5 * max(slow.ages[:half]) > N_TIMES


def test_an_encoder_that_keeps_up_decodes_every_window() -> None:
    quick = live(recording(130), HOP - 1, supersede=True)
    assert quick.decoder.windows["superseded"] == 0
    assert max(quick.ages) <= 2 * HOP
