"""Recordings become the windows that a live session would have cut."""

import numpy as np
import pytest

from decode_stream.decoders.epochs import TrialSet, cut_trials, overlap, sharing
from decode_stream.decoders.scaling import robust_scale
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.filters import CausalChain, ChainSpec
from decode_stream.stream.parts import split
from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, Gap
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

CHANNELS = (Channel("Oz", "eeg", "uV"), Channel("Pz", "eeg", "uV"))
STIMULI = {"1": 0, "2": 1}
DECODER_HZ = 200.0
SCHEDULE = WindowSchedule(exact_sfreq(DECODER_HZ))


def chain(**more: object) -> ChainSpec:
    return ChainSpec(("Pz", "Oz"), ("uV", "uV"), DECODER_HZ, **more)


def recording(
    n_samples: int = 4000,
    markers: tuple[tuple[int, str], ...] = (),
    *,
    sfreq_hz: float = DECODER_HZ,
    gaps: tuple[Gap, ...] = (),
    seed: int = 0,
) -> ArrayRecording:
    data = 10 * np.random.default_rng(seed).standard_normal((n_samples, 2))
    return ArrayRecording(data, CHANNELS, sfreq_hz, markers, gaps=gaps, name=f"run-{seed}")


def cut(*recordings: ArrayRecording, spec: ChainSpec | None = None, **window: object) -> TrialSet:
    return cut_trials(recordings, spec or chain(), WindowSpec(**window), SCHEDULE, 4, STIMULI)


@pytest.mark.parametrize("decimation", [1, 2, 5])
@pytest.mark.parametrize("filtered", [False, True])
def test_windows_are_slices_of_the_filtered_signal_at_the_nearest_sample(
    decimation: int, filtered: bool
) -> None:
    sfreq_hz = DECODER_HZ * decimation
    onsets = [1200 * decimation + 241 * i for i in range(9)]  # on every phase of the decimation
    assert {onset % decimation for onset in onsets} == set(range(decimation))
    markers = tuple((onset, "12"[i % 2]) for i, onset in enumerate(onsets))
    run = recording(4000 * decimation, markers, sfreq_hz=sfreq_hz)
    spec = chain(highpass_hz=1.0, lowpass_hz=30.0) if filtered else chain()
    trials = cut(run, spec=spec)
    signal = CausalChain(spec, CHANNELS, sfreq_hz).process(run.data, 0)
    assert trials.windows.shape == (9, 4, 2, 20)
    assert trials.windows.dtype == np.float32
    for i, onset in enumerate(onsets):
        nearest = int(np.floor(onset / decimation + 0.5))
        for k in range(4):
            start = nearest + 5 * k
            assert np.array_equal(trials.windows[i, k], signal[start : start + 20].T)
    assert trials.labels.tolist() == [0, 1] * 4 + [0]
    assert not trials.left_out


def test_baseline_and_clamp_are_those_of_the_window_spec() -> None:
    run = recording(markers=((1000, "1"),))
    trials = cut(run, baseline_s=(-0.1, 0.0), clamp=12.0)
    signal = run.data[:, ::-1].astype(np.float32)
    level = signal[980:1000].mean(axis=0, dtype=np.float64).astype(np.float32)
    expected = np.clip(signal[1005:1025] - level, -12, 12).T
    assert trials.windows[0, 1] == pytest.approx(expected, abs=1e-6)


def test_what_is_left_out_is_counted_by_its_reason() -> None:
    markers = (
        (0, "1"),  # without filters the first sample is as good as any
        (600, "1"),
        (800, "7"),
        (1000, "2"),
        (1000, "2"),
        (1400, "1"),  # a NaN 10 samples after it
        (1700, "2"),  # an artefact
        (2000, "1"),  # a gap within it
        (2500, "2"),
        (3970, "1"),  # some of its windows end in time
        (3990, "2"),  # none does
        (4005, "1"),  # never came
    )
    run = recording(markers=markers, gaps=(Gap(2010, 30, "loss", 0.0),))
    run.data[1410, 1] = np.nan
    run.data[1710, 0] = 500.0
    trials = cut(run, reject_peak=100.0)
    assert trials.labels.tolist() == [0, 0, 1, 1]
    assert trials.left_out == {
        "label without stimulus": 1,
        "marked twice": 1,
        "not finite": 1,
        "artefact": 1,
        "gap": 1,
        "cut off by the end": 3,
    }
    # Behind the gap a marker stays on its sample.
    assert np.array_equal(trials.windows[3, 0], run.data[2500:2520, ::-1].T.astype(np.float32))


@pytest.mark.parametrize("onset", [0, 8])
def test_a_recording_that_was_cut_into_trials_gives_back_its_trials(onset: int) -> None:
    epoch = Epoch(onset + 36, onset, in_order=False)
    data = np.random.default_rng(0).standard_normal((6 * epoch.n_times, 2))
    table = StimulusTable(np.arange(6) * epoch.n_times + onset, np.array([1, 2, 1, 1, 2, 2]))
    gaps = epoch_gaps(6, epoch, DECODER_HZ)
    run = ArrayRecording(data, CHANNELS, DECODER_HZ, gaps=gaps, stimuli=table, epoch=epoch)
    trials = cut(run)
    assert trials.labels.tolist() == [0, 1, 0, 0, 1, 1]
    assert not trials.left_out
    for i in range(6):
        for k in range(4):
            start = i * epoch.n_times + onset + 5 * k
            assert np.array_equal(trials.windows[i, k], data[start : start + 20, ::-1].T.astype(np.float32))
    center, scale = robust_scale([run], chain())
    assert center == pytest.approx((0, 0), abs=0.2)
    assert scale == pytest.approx((1, 1), abs=0.2)


def test_windows_lie_in_a_file_not_in_memory() -> None:
    assert isinstance(cut(recording(markers=((1000, "1"),))).windows, np.memmap)


def test_a_trial_whose_baseline_begins_before_the_recording_is_told() -> None:
    trials = cut(recording(markers=((10, "1"), (1000, "2"))), baseline_s=(-0.1, 0.0))
    assert trials.labels.tolist() == [1]
    assert trials.left_out == {"before the recording": 1}


def test_one_nan_costs_no_neighbour_its_trial() -> None:
    markers = tuple((400 + 40 * i, "1") for i in range(60))
    run = recording(markers=markers)
    run.data[1220] = np.nan
    trials = cut(run)
    # A trial rests on 35 samples, so one holds the bad one; all others stay.
    assert len(trials.labels) == 59
    assert trials.left_out == {"not finite": 1}


def test_runs_are_told_apart() -> None:
    trials = cut(recording(markers=((600, "1"), (900, "2"))), recording(markers=((700, "2"),), seed=1))
    assert trials.runs.tolist() == [0, 0, 1]
    second = trials.where(trials.runs == 1)
    assert second.labels.tolist() == [1]
    assert np.array_equal(second.windows, trials.windows[2:])


def test_the_parts_of_a_recording_are_filtered_as_one() -> None:
    markers = tuple((900 + 241 * i, "12"[i % 2]) for i in range(12))
    run = recording(4000, markers, gaps=(Gap(1500, 300, "loss", 0.0),))
    spec = chain(highpass_hz=1.0)
    whole, parts = (
        cut_trials([run], spec, WindowSpec(), SCHEDULE, 4, STIMULI, parts=of) for of in (None, split(run, 3))
    )
    assert np.array_equal(whole.windows, parts.windows)
    assert not whole.runs.any()
    # Behind the gap the filters settle anew, which costs the trials there; not where parts meet.
    n_left = len(parts.runs)
    assert whole.left_out == parts.left_out
    assert sum(whole.left_out.values()) == 12 - n_left
    numbers = [i // 4 for i, (at, _) in enumerate(markers) if at + 300 * (at >= 1500) in set(parts.onsets)]
    assert len(numbers) == n_left > 8
    assert parts.runs.tolist() == numbers


def test_trials_that_share_samples_with_others_are_told() -> None:
    onsets, others = np.array([0, 10, 20, 30, 40]), np.array([39, 21])
    assert sharing(onsets, others, 2).tolist() == [False, False, True, False, True]
    assert sharing(onsets, others, 10).tolist() == [False, False, True, True, True]
    assert sharing(onsets, others, 12).tolist() == [False, True, True, True, True]
    assert not sharing(onsets, others[:0], 100).any()


@pytest.mark.parametrize(
    ("soa", "baseline_s", "shared"),
    [(34, None, True), (35, None, False), (50, (-0.1, 0.0), True), (55, (-0.1, 0.0), False)],
)
def test_trials_that_share_a_sample_overlap(
    soa: int, baseline_s: tuple[float, float] | None, shared: bool
) -> None:
    # Four windows of 20 samples, 5 apart, end 35 samples after onset.
    trials = cut(recording(markers=((600, "1"), (600 + soa, "2"))), baseline_s=baseline_s)
    assert trials.overlapping is shared
    assert overlap([0, 10, 19], 10)
    assert not overlap([0, 10, 20], 10)


def test_trials_of_different_runs_never_overlap() -> None:
    trials = cut(recording(markers=((600, "1"),)), recording(markers=((610, "2"),), seed=1))
    assert not trials.overlapping


def test_markers_that_name_nothing_are_told() -> None:
    with pytest.raises(RecordingError, match=r"No marker of run-0 .* wanted 1, 2; found 7, 9\..*--events"):
        cut(recording(markers=((600, "9"), (700, "7"))))
    with pytest.raises(RecordingError, match="found none at all"):
        cut(recording())


@pytest.mark.parametrize("decimation", [1, 5])
def test_robust_scale_is_the_quantiles_of_the_sound_samples(decimation: int) -> None:
    sfreq_hz = DECODER_HZ * decimation
    spec = chain(lowpass_hz=30.0)
    runs = [recording(3000 * decimation, sfreq_hz=sfreq_hz, seed=seed) for seed in (0, 1)]
    for run in runs:
        run.data[:, 0] *= 1000.0
    runs[1].data[500 * decimation + 1] = np.inf
    center, scale = robust_scale(runs, spec)
    sound = []
    for run in runs:
        causal = CausalChain(spec, CHANNELS, sfreq_hz)
        signal = causal.process(run.data, 0)
        keep = np.ones(len(signal), bool)
        settle = max(1, -(-causal.settle_samples // decimation))
        keep[:settle] = False
        if run is runs[1]:
            # The bad sample is input sample 500 * decimation + 1; its echo lasts as long as the filters settle.
            last = -(-(500 * decimation + 2) // decimation)
            keep[501 : last + settle] = False
        sound.append(signal[keep])
    low, middle, high = np.quantile(np.concatenate(sound).astype(np.float64), [0.25, 0.5, 0.75], axis=0)
    assert center == pytest.approx(middle)
    assert scale == pytest.approx((high - low) / 1.349)
    assert scale[1] > 100 * scale[0]


def test_missing_samples_do_not_count_in_the_scale() -> None:
    run = recording(gaps=(Gap(2000, 500, "loss", 0.0),))
    center, scale = robust_scale([run], chain())
    assert np.isfinite([*center, *scale]).all()
    assert scale == pytest.approx((10.0, 10.0), rel=0.05)


def test_a_flat_channel_gets_the_scale_one() -> None:
    run = recording()
    run.data[:, 1] = 3.0
    center, scale = robust_scale([run], chain())
    assert (center[0], scale[0]) == (3.0, 1.0)


def test_recordings_without_a_sound_sample_are_refused() -> None:
    with pytest.raises(
        RecordingError, match=r"run-0: every sample .* takes \d\.\d s\. Give longer recordings"
    ):
        robust_scale([recording(20)], chain(highpass_hz=1.0))
