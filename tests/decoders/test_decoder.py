"""The decoder on recordings in memory: what is scored, what is withheld, and what a belief speaks of."""

from dataclasses import replace

import numpy as np
import pytest

from decode_stream.decoders import epochs
from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoder import Decoder, decode_recording
from decode_stream.decoders.epochs import play_into, stream_info
from decode_stream.decoders.runtime import UNKNOWN_LATENCY, Encoder
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.cutter import WindowCutter
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Channel, Gap, Marker
from decode_stream.stream.window_chain import WindowSpec
from tests.decoders.bundles import small_bundle

FS = 200.0
CHANNELS = (Channel("Oz", "eeg", "uV"), Channel("Pz", "eeg", "uV"))


def recording(
    onsets: list[int],
    *,
    n_samples: int = 6000,
    spread: float = 1.0,
    gaps: tuple[Gap, ...] = (),
    seed: int = 0,
) -> ArrayRecording:
    """Return noise in which a face lifts Oz and a house lowers it for 100 ms after onset."""
    rng = np.random.default_rng(seed)
    data = spread * rng.standard_normal((n_samples, 2))
    markers = []
    for onset in onsets:
        code = int(rng.integers(1, 3))
        markers.append((onset, str(code)))
        data[onset : onset + 20, 0] += 5.0 * (2 * code - 3)
    return ArrayRecording(data, CHANNELS, FS, tuple(markers), gaps=gaps)


def decode(bundle: Bundle, run: ArrayRecording, number: int = 0) -> Decoder:
    return decode_recording(bundle, Encoder(bundle), run, bundle.manifest.stimuli(), number)


def in_hand(bundle: Bundle, run: ArrayRecording) -> tuple[Decoder, Ingest, Trials]:
    manifest = bundle.manifest
    ingest = Ingest(stream_info(run), manifest.chain)
    trials = Trials(manifest.schedule, manifest.n_latencies, manifest.stimuli())
    cutter = WindowCutter(ingest, manifest.schedule, manifest.window, trials)
    return Decoder(bundle, Encoder(bundle), cutter), ingest, trials


def test_rapid_presentation_serves_every_trial() -> None:
    onsets = list(range(300, 5700, 40))  # every 200 ms, each for 1 s: five are open at once
    run = recording(onsets)
    decoder = decode(small_bundle(n_latencies=37), run, 3)
    scores = decoder.scores
    assert [trial.onset for trial in scores.trials] == onsets
    assert decoder.windows == {"decoded": 37 * len(onsets), "withheld": 0, "superseded": 0}
    assert decoder.withheld == 0
    assert scores.overlapping
    assert {trial.run for trial in scores.trials} == {3}
    for trial, onset in zip(scores.trials, onsets, strict=True):
        means = [run.data[onset + 5 * k : onset + 5 * k + 20, 0].mean() for k in range(37)]
        assert trial.log_evidence == pytest.approx([-sum(means), sum(means)], abs=1e-3)
        assert trial.right_by_latency[0] == 1.0


@pytest.mark.parametrize(
    ("soa", "baseline_s", "overlapping"),
    [(39, None, True), (40, None, False), (59, (-0.1, 0.0), True), (60, (-0.1, 0.0), False)],
)
def test_overlap_is_told_exactly_where_trials_share_samples(
    soa: int, baseline_s: tuple[float, float] | None, overlapping: bool
) -> None:
    # Five windows of 20 samples, 5 apart, end 40 samples after onset.
    bundle = small_bundle(window=WindowSpec(baseline_s=baseline_s))
    decoder = decode(bundle, recording([300 + soa * i for i in range(12)]))
    assert decoder.scores.n == 12
    assert decoder.scores.overlapping is overlapping


def test_scores_know_categories_from_pictures() -> None:
    bundle, run = small_bundle(), recording([300])
    space = replace(bundle.manifest.space, model="CLIP")
    shown = replace(bundle, manifest=replace(bundle.manifest, space=space))
    assert [in_hand(one, run)[0].scores.pictures for one in (bundle, shown)] == [False, True]


def test_a_late_marker_is_no_overlap_with_what_came_after_it() -> None:
    decoder, ingest, trials = in_hand(small_bundle(), recording([300, 900]))
    run = recording([300, 900], n_samples=1600)
    late, early = Marker(300.0, "1", 0.0), Marker(900.0, "1", 0.0)
    trials.add(early)
    for _ in play_into(ingest, run):
        trials.place(lambda time: int(time), ingest.ring.stop)
        decoder.step(free_running=False)
    trials.add(late)
    trials.place(lambda time: int(time), ingest.ring.stop)
    decoder.step(free_running=False)
    assert [trial.onset for trial in decoder.scores.trials] == [900, 300]
    assert not decoder.scores.overlapping


def test_a_trial_between_the_scored_ones_that_was_withheld_is_no_overlap() -> None:
    run = recording([300, 330, 360])
    run.data[345, 0] = np.nan
    decoder = decode(small_bundle(), run)
    assert [trial.onset for trial in decoder.scores.trials] == [300, 360]
    assert decoder.withheld == 1
    assert not decoder.scores.overlapping


ONSETS = list(range(300, 5800, 50))  # every 250 ms, 10 samples from the end of one to the next


def test_a_trial_with_a_gap_is_withheld_and_its_neighbours_are_not() -> None:
    at = ONSETS[40] + 7
    gap = Gap(at, 11, "loss", 0.0)
    decoder = decode(small_bundle(), recording(ONSETS, gaps=(gap,)))
    scored = [trial.onset for trial in decoder.scores.trials]
    assert decoder.withheld == 1
    # Behind the gap, samples are counted with those that were lost.
    assert scored == [onset + 11 * (onset > at) for onset in ONSETS if onset != ONSETS[40]]
    assert decoder.windows["withheld"] > 0
    assert sum(decoder.windows.values()) == 5 * len(ONSETS)


def test_a_trial_with_a_nan_is_withheld_and_its_neighbours_are_not() -> None:
    run = recording(ONSETS)
    run.data[ONSETS[40] + 39, 0] = np.nan
    decoder = decode(small_bundle(), run)
    assert [trial.onset for trial in decoder.scores.trials] == [o for o in ONSETS if o != ONSETS[40]]
    assert decoder.withheld == 1
    assert decoder.windows["withheld"] == 1  # only the last window holds the sample


def test_a_channel_that_is_not_decoded_from_may_hold_nan() -> None:
    run = recording(ONSETS)
    run.data[:, 1] = np.nan
    decoder = decode(small_bundle(("Oz",)), run)
    assert decoder.scores.n == len(ONSETS)


def test_a_trial_with_an_artefact_is_withheld_and_its_neighbours_are_not() -> None:
    run = recording(ONSETS)
    run.data[ONSETS[40] + 12, 1] = -101.0
    decoder = decode(small_bundle(window=WindowSpec(reject_peak=100.0)), run)
    assert [trial.onset for trial in decoder.scores.trials] == [o for o in ONSETS if o != ONSETS[40]]
    assert (decoder.withheld, decoder.windows["withheld"]) == (1, 3)


@pytest.mark.parametrize("block_s", [0.013, 0.1, 0.77])
@pytest.mark.parametrize("troubled", [False, True])
def test_evidence_does_not_depend_on_the_blocks(
    monkeypatch: pytest.MonkeyPatch, block_s: float, troubled: bool
) -> None:
    chain = ChainSpec(("Pz", "Oz"), ("uV", "uV"), 100.0, highpass_hz=1.0, lowpass_hz=30.0)
    bundle = small_bundle(chain=chain, window=WindowSpec(reject_peak=8.0), n_latencies=9)
    gaps = (Gap(3333, 5, "loss", 0.0),) if troubled else ()
    run = recording(list(range(400, 5800, 61)), gaps=gaps)
    if troubled:
        run.data[[1001, 1002, 2000, 4567]] = np.nan
    whole = decode(bundle, run)
    monkeypatch.setattr(epochs, "BLOCK_S", block_s)
    blocks = decode(bundle, run)
    assert [t.onset for t in blocks.scores.trials] == [t.onset for t in whole.scores.trials]
    assert blocks.scores.log_evidence() == pytest.approx(whole.scores.log_evidence(), abs=1e-5)
    assert blocks.windows == whole.windows
    assert blocks.withheld == whole.withheld
    assert (blocks.withheld > 0) >= troubled
    assert whole.scores.n > 30


def test_beliefs_say_what_they_speak_of() -> None:
    run = recording([300], n_samples=400)
    decoder, ingest, trials = in_hand(small_bundle(), run)
    list(play_into(ingest, recording([], n_samples=300)))
    decoder.step()
    free = decoder.free_belief
    assert free is not None
    assert (free.trial, free.end_s, free.stop) == (None, 0.0, 300)
    assert free.probability.sum() == pytest.approx(1.0)
    assert decoder.trial_belief is None
    assert decoder.free_decoded == len(range(20, 301, 5))

    trials.add(Marker(280.0, "2", 0.0))
    trials.place(lambda time: int(time), ingest.ring.stop)
    decoder.step()
    locked = decoder.trial_belief
    assert locked is not None
    assert locked.trial is not None
    assert (locked.trial.onset, locked.trial.stimulus) == (280, 1)
    assert (locked.stop, locked.end_s) == (300, 0.1)
    assert decoder.free_belief is free
    assert not decoder.step()


@pytest.mark.parametrize("n", [0, 1, 64, 65, 200])
def test_whatever_has_piled_up_is_encoded_window_by_window(n: int) -> None:
    encoder = Encoder(small_bundle())
    windows = np.random.default_rng(0).standard_normal((n, 2, 20)).astype(np.float32)
    embeddings = encoder.encode(windows, np.zeros(n, np.float32))
    means = windows[:, 0].mean(axis=1)
    assert embeddings.shape == (n, 2)
    assert embeddings == pytest.approx(np.stack([-means, means], axis=1), abs=1e-6)


def test_the_encoder_is_told_the_latency_of_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    encode = Encoder.encode

    def listen(self: Encoder, windows: np.ndarray, latencies_s: np.ndarray) -> np.ndarray:
        told.extend(latencies_s.tolist())
        return encode(self, windows, latencies_s)

    run = recording([300], n_samples=345)
    decoder, ingest, trials = in_hand(small_bundle(), run)
    monkeypatch.setattr(Encoder, "encode", listen)
    for _ in play_into(ingest, run, trials):
        decoder.step()
    locked = [latency_s for latency_s in told if latency_s != UNKNOWN_LATENCY]
    assert locked == pytest.approx([0.0, 0.025, 0.05, 0.075, 0.1])
    assert len(told) - len(locked) == decoder.free_decoded > 0
