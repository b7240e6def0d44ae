"""What views are given to draw."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from decode_stream.decoders.decoder import Belief
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.scores import Scores, TrialScore
from decode_stream.gui.snapshot import Stimulus
from decode_stream.sessions.picture import (
    AccuracyTrace,
    best_matches,
    progress,
    shown_now,
    signal_view,
    trial_name,
)
from decode_stream.sessions.pipeline import Pipeline
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.types import Channel, Chunk, StreamInfo, Trial
from decode_stream.stream.windows import WindowSchedule, exact_sfreq


def decoder_with(hits: np.ndarray, *, overlapping: bool = False, n_entries: int = 4) -> Any:
    """Return what of a decoder a picture looks at, after trials that were right (1) or wrong (0)."""
    scores = Scores(n_entries, overlapping)
    decoder = SimpleNamespace(
        scores=scores,
        manifest=SimpleNamespace(n_latencies=3, gallery=tuple("abcdefg"[:n_entries])),
        cutter=SimpleNamespace(schedule=WindowSchedule(exact_sfreq(200.0))),
        trial_belief=None,
        free_belief=None,
        decided_belief=None,
    )
    for hit in hits:
        add(decoder, bool(hit))
    return decoder


def add(decoder: Any, hit: bool) -> None:
    n, k = decoder.scores.n, decoder.scores.n_entries
    evidence = np.zeros(k)
    evidence[0 if hit else 1] = 1.0
    decoder.scores.add(TrialScore(n, 40 * n, 0, evidence, np.array([hit, 0.0, np.nan])))


def some_hits(n: int, p: float = 0.4) -> np.ndarray:
    return (np.random.default_rng(0).random(n) < p).astype(float)


# Accuracy


def test_without_trials_there_is_no_trace() -> None:
    trace = AccuracyTrace()
    assert trace.of(None).n == 0
    empty = trace.of(decoder_with(np.empty(0)))
    assert (empty.n, len(empty.top1), empty.chance) == (0, 0, 0.0)


@pytest.mark.parametrize("n", [1, 2, 299, 300, 301, 4321])
def test_the_trace_is_thinned_and_keeps_both_ends(n: int) -> None:
    hits = some_hits(n)
    accuracy = AccuracyTrace().of(decoder_with(hits))
    assert accuracy.n == n
    assert len(accuracy.trials) == min(n, 300)
    assert (accuracy.trials[0], accuracy.trials[-1]) == (1, n)
    assert (np.diff(accuracy.trials) > 0).all()
    running = np.cumsum(hits) / np.arange(1, n + 1)
    assert accuracy.top1 == pytest.approx(running[accuracy.trials - 1])
    assert (accuracy.k, accuracy.chance) == (4, 0.25)


def test_the_band_of_separate_trials_is_wilsons() -> None:
    hits = some_hits(500)
    decoder = decoder_with(hits)
    accuracy = AccuracyTrace().of(decoder)
    low, high = wilson(np.cumsum(hits)[accuracy.trials - 1], accuracy.trials)
    assert accuracy.low == pytest.approx(low)
    assert accuracy.high == pytest.approx(high)
    assert accuracy.interval == "Wilson, pointwise"
    assert (accuracy.low[-1], accuracy.high[-1]) == pytest.approx(decoder.scores.interval(hits))


@pytest.mark.parametrize("repeats", [1, 10])
def test_the_band_of_overlapping_trials_is_that_of_the_score_and_never_narrower(repeats: int) -> None:
    hits = np.repeat(some_hits(400 // repeats), repeats)
    decoder = decoder_with(hits, overlapping=True)
    accuracy = AccuracyTrace().of(decoder)
    low, high = wilson(np.cumsum(hits)[accuracy.trials - 1], accuracy.trials)
    width, plain = accuracy.high - accuracy.low, high - low
    assert (width >= plain - 1e-12).all()
    assert ((accuracy.low <= accuracy.top1 + 1e-12) & (accuracy.top1 <= accuracy.high + 1e-12)).all()
    assert (accuracy.low[-1], accuracy.high[-1]) == pytest.approx(decoder.scores.interval(hits))
    assert "bootstrap" in accuracy.interval
    if repeats == 10:  # ten times the same: the interval is two to three times as wide
        assert 1.8 < width[-1] / plain[-1] < 4.0


def test_the_trace_is_worked_out_anew_only_for_new_trials() -> None:
    decoder = decoder_with(some_hits(10))
    trace = AccuracyTrace()
    first = trace.of(decoder)
    assert trace.of(decoder) is first
    add(decoder, True)
    assert trace.of(decoder).n == 11
    assert trace.of(None).n == 11  # the stream is gone; what was reached stays


def test_the_curve_over_latency_stands_beside_the_trace() -> None:
    accuracy = AccuracyTrace().of(decoder_with(np.array([1.0, 1.0, 0.0, 1.0])))
    assert accuracy.latency_s == pytest.approx([0.1, 0.125, 0.15])
    assert accuracy.top1_by_latency == pytest.approx([0.75, 0.0, np.nan], nan_ok=True)
    assert accuracy.auc is None


# Matches


def believes(decoder: Any, *, trial_stop: int | None, free_stop: int | None) -> Any:
    p = np.array([0.1, 0.4, 0.15, 0.05, 0.25, 0.03, 0.02])
    trial = Trial(4, 100, 2, "2", 0.0)
    if trial_stop is not None:
        decoder.trial_belief = Belief(p, trial_stop, trial, (trial_stop - 100) / 200.0)
    if free_stop is not None:
        decoder.free_belief = Belief(p[::-1], free_stop, None, 0.0)
    return decoder


def test_the_best_five_matches_come_in_order() -> None:
    decoder = believes(decoder_with(np.empty(0), n_entries=7), trial_stop=130, free_stop=None)
    matches, of, truth = best_matches(decoder)
    assert [match.name for match in matches] == ["b", "e", "c", "a", "d"]
    assert matches[0].probability == 0.4
    assert of == "trial 5, up to 150 ms after onset"
    assert truth == "c"


def test_a_free_running_match_says_so_and_claims_no_truth() -> None:
    decoder = believes(decoder_with(np.empty(0), n_entries=7), trial_stop=None, free_stop=130)
    matches, of, truth = best_matches(decoder)
    assert matches[0].name == "f"
    assert of == "free-running, latency unknown"
    assert truth == ""


@pytest.mark.parametrize(("later", "locked"), [(0, True), (199, True), (200, False), (5000, False)])
def test_a_trial_is_shown_for_a_second_after_its_last_window(later: int, locked: bool) -> None:
    decoder = decoder_with(np.empty(0), n_entries=7)
    _, of, _ = best_matches(believes(decoder, trial_stop=130, free_stop=130 + later))
    assert of.startswith("trial") is locked


def test_before_the_first_window_there_is_no_match() -> None:
    assert best_matches(None) == ((), "", "")
    assert best_matches(decoder_with(np.empty(0))) == ((), "", "")
    assert progress(None, 0).received == 0


def test_where_trials_overlap_the_matches_stay_with_the_last_one_decided() -> None:
    decoder = believes(
        decoder_with(np.empty(0), n_entries=7, overlapping=True), trial_stop=140, free_stop=None
    )
    decided = Belief(np.eye(7)[3], 130, Trial(3, 60, 3, "3", 0.0), 0.35)
    assert best_matches(decoder)[1].startswith("trial 5")  # none is decided yet
    decoder.decided_belief = decided
    matches, of, truth = best_matches(decoder)
    assert (matches[0].name, of, truth) == ("d", "trial 4, up to 350 ms after onset", "d")
    decoder.scores.overlapping = False
    assert best_matches(decoder)[1].startswith("trial 5")


# Stimulus


GALLERY: Any = SimpleNamespace(manifest=SimpleNamespace(gallery=("face", "house")))


def test_a_trial_is_called_as_in_the_gallery_or_as_its_marker_says() -> None:
    known, unknown = Trial(0, 100, 1, "2", 5.0), Trial(1, 200, -1, "77", 6.0)
    assert (trial_name(known, GALLERY), trial_name(unknown, GALLERY)) == ("house", "77")
    assert trial_name(known, None) == "2"


@pytest.mark.parametrize(
    ("modality", "age_s", "speed", "is_shown"),
    [
        ("eeg", 0.0, 1.0, True),
        ("eeg", 0.9, 1.0, True),
        ("eeg", 1.1, 1.0, False),
        ("meg", 0.3, 4.0, False),
        (None, 0.9, 1.0, True),
        ("fmri", 2.9, 1.0, True),
        ("fmri", 3.1, 1.0, False),
    ],
)
def test_a_stimulus_goes_after_a_while(modality: Any, age_s: float, speed: float, is_shown: bool) -> None:
    now = shown_now(Trial(0, 100, 1, "2", 50.0), GALLERY, 50.0 + age_s, speed, modality)
    assert now == (Stimulus("house", True) if is_shown else None)


def test_a_stimulus_that_the_gallery_lacks_is_not_known() -> None:
    assert shown_now(Trial(0, 9, -1, "77", 1.0), GALLERY, 1.5, 1.0, "eeg") == Stimulus("77", False)
    assert shown_now(Trial(0, 9, -1, "77", 1.0), None, 1.5, 1.0, "eeg") == Stimulus("77", False)


# Signal


def pipeline(spec: ChainSpec, n_samples: int) -> Pipeline:
    channels = (Channel("Oz", "eeg", "uV"), Channel("Pz", "eeg", "uV"))
    ingest = Ingest(StreamInfo("s", "EEG", "", "", channels, 200.0), spec)
    data = np.stack([np.arange(n_samples), -np.arange(n_samples)], axis=1).astype(np.float32)
    ingest.take([Chunk(0, data, 0.0)] if n_samples else [])
    return Pipeline(ingest, SimpleNamespace(), None)  # type: ignore[arg-type]


def test_the_newest_seconds_are_a_copy_with_the_onsets_within() -> None:
    way = pipeline(ChainSpec(("Oz", "Pz"), ("uV", "uV"), 200.0), 1000)
    view = signal_view(way, 0.5, ((899, "old"), (900, "1"), (950, "2")))
    assert view is not None
    assert (view.stop, view.data.shape, view.unit, view.names) == (1000, (100, 2), "uV", ("Oz", "Pz"))
    assert view.data[:, 0].tolist() == list(range(900, 1000))
    assert view.onsets == ((900, "1"), (950, "2"))
    way.ingest.take([Chunk(1000, np.full((2000, 2), 7, np.float32), 0.0)])
    assert view.data[0, 0] == 900
    assert view.data.flags.writeable


def test_more_seconds_than_there_are_give_what_there_is() -> None:
    view = signal_view(pipeline(ChainSpec(("Oz", "Pz"), ("uV", "uV"), 200.0), 50), 5.0, ())
    assert view is not None
    assert len(view.data) == 50
    assert signal_view(pipeline(ChainSpec(("Oz", "Pz"), ("uV", "uV"), 200.0), 0), 5.0, ()) is None


def test_units_and_names_are_those_of_what_is_drawn() -> None:
    mixed = signal_view(pipeline(ChainSpec(("Oz", "Pz"), ("uV", "V"), 200.0), 50), 1.0, ())
    assert mixed is not None
    assert mixed.unit == ""
    spec = ChainSpec(("Oz", "Pz"), ("uV", "uV"), 200.0, spatial=((0.5, 0.5),), scale=(2.0,))
    virtual = signal_view(pipeline(spec, 50), 1.0, ())
    assert virtual is not None
    assert (virtual.unit, virtual.names) == ("scaled", ("component 1",))
