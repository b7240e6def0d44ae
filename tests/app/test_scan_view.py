"""What views are told of a run of fMRI while it is decoded."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.epochs import stream_info
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.trial_news import TrialNews
from decode_stream.demos.demo import demo_files
from decode_stream.gui.scan import ScanView
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.open import open_recording
from decode_stream.sessions.pipeline import Pipeline, build_pipeline
from decode_stream.sessions.scan_view import RegionMeans, ScanWatch, planned_volumes
from decode_stream.sessions.trial_track import N_TRIALS, TrialTrack
from decode_stream.stream.types import Channel, Chunk, Gap, Marker, StreamInfo, Trial

GALLERY = ("cat", "house", "tree")
TR_S = 4 / 3


def trial(number: int, stimulus: int = 0, onset: int | None = None) -> Trial:
    return Trial(number, 3 * number if onset is None else onset, stimulus, "label", 0.0)


def track() -> TrialTrack:
    return TrialTrack(GALLERY, 1 / TR_S, rises_after=3)


def belief(best: int, probability: float = 0.8) -> np.ndarray:
    p = np.full(3, (1 - probability) / 2)
    p[best] = probability
    return p


def states(followed: TrialTrack) -> list[str]:
    return [line.state for line in followed.lines]


def test_a_trial_is_seen_rises_is_decided_refined_and_final() -> None:
    followed, one = track(), trial(0, stimulus=1)
    followed.see(one, "house")
    told = []
    for stop, news in (
        (1, None),
        (3, None),
        (4, None),
        (6, TrialNews(one, "decided", belief(2))),
        (7, TrialNews(one, "refined", belief(1))),
        (99, TrialNews(one, "final", belief(1, 0.9))),
    ):
        followed.hear([news] if news else [])
        followed.settle(stop, [0] if stop < 6 else [])
        told.append((followed.lines[0].state, followed.lines[0].best, followed.lines[0].right))
    assert told == [
        ("seen", "", None),
        ("seen", "", None),
        ("rising", "", None),
        ("decided", "tree", False),
        ("refined", "house", True),
        ("final", "house", True),
    ]
    assert followed.lines[0].probability == pytest.approx(0.9)
    assert followed.compared == (("decided", 0.0, 1), ("final", 1.0, 1))


def test_the_same_trials_are_compared() -> None:
    followed = track()
    for k in range(4):
        followed.see(trial(k), "cat")
        followed.hear([TrialNews(trial(k), "decided", belief(k % 2))])
    followed.hear([TrialNews(trial(1), "refined", belief(0)), TrialNews(trial(2), "final", belief(0))])
    # Trials 1 and 2, of which one was right at first.
    assert followed.compared == (("decided", 0.5, 2), ("refined", 1.0, 2))


def test_a_trial_that_is_withheld_stays_so_and_says_why() -> None:
    followed = track()
    for k in range(3):
        followed.see(trial(k), "cat")
    followed.see(trial(3, stimulus=-1), "zebra")
    followed.hear([TrialNews(trial(0), "withheld", None, "gap")])
    followed.hear([TrialNews(trial(0), "decided", belief(0))])
    followed.hear([TrialNews(trial(1), "withheld", None, "the scanner sneezed")])
    # The third is closed without a word: its windows are no longer held.
    followed.settle(12, [])
    assert states(followed) == ["withheld"] * 4
    assert [line.reason for line in followed.lines] == [
        "volumes of its response are lost",
        "the scanner sneezed",
        "its marker came when its volumes were no longer held",
        "not in the gallery",
    ]
    assert followed.compared == ()


def test_a_trial_withheld_at_its_moment_is_refined_and_final_but_not_compared() -> None:
    followed = track()
    followed.see(trial(0), "cat")
    followed.hear([TrialNews(trial(0), "withheld", None, "too few volumes")])
    for state in ("refined", "final"):
        followed.hear([TrialNews(trial(0), state, belief(0))])
        followed.settle(20, [])
        (line,) = followed.lines
        assert (line.state, line.best, line.right) == (state, "cat", True)
        assert line.reason == "not decided at its moment, too few volumes yet for its beta"
    assert followed.compared == ()


def test_without_a_decoder_trials_are_seen_only() -> None:
    followed = TrialTrack((), 1 / TR_S, rises_after=0)
    followed.see(trial(0, stimulus=-1), "picture 7")
    followed.settle(50, [])
    assert states(followed) == ["seen"]


def test_the_newest_trials_are_kept_and_all_are_counted() -> None:
    followed = track()
    for k in range(N_TRIALS + 20):
        followed.see(trial(k), "cat")
        followed.hear([TrialNews(trial(k), "decided", belief(0))])
        followed.settle(3 * k + 9, [])
    # One that is no longer kept is counted as it stands now.
    followed.hear([TrialNews(trial(2), "refined", belief(1)), TrialNews(trial(90), "final", belief(0))])
    followed.settle(999, [])
    assert [line.number for line in followed.lines] == list(range(20, N_TRIALS + 20))
    assert followed.states == {"decided": N_TRIALS + 18, "refined": 1, "final": 1}
    assert followed.compared == (("decided", 1.0, 2), ("refined", 0.5, 2))


def test_a_late_marker_stands_where_its_onset_was() -> None:
    followed = track()
    followed.see(trial(0, onset=30), "cat")
    followed.see(trial(1, onset=10), "house")
    followed.settle(31, [0, 1])
    assert [line.number for line in followed.lines] == [1, 0]
    assert [line.onset_s for line in followed.lines] == pytest.approx([10 * TR_S, 30 * TR_S])


@pytest.fixture(scope="module")
def demo() -> tuple[Bundle, ArrayRecording]:
    """Return the demo's decoder, and its recording with motion beside the voxels."""
    bundle_path, recording_path = demo_files("fmri")
    recording = open_recording(recording_path)
    data = recording.read(0, recording.n_samples)
    motion = np.zeros((len(data), 6), np.float32)
    motion[100:, 0], motion[150:, 5] = 0.3, 0.02
    names = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
    channels = tuple(Channel(name, "misc", "mm" if k < 3 else "rad") for k, name in enumerate(names))
    whole = ArrayRecording(
        np.hstack([data, motion]),
        (*recording.channels, *channels),
        recording.sfreq_hz,
        markers=recording.markers,
        name="run",
    )
    return load_bundle(bundle_path), whole


def play(
    bundle: Bundle, recording: ArrayRecording, lost: tuple[int, ...] = ()
) -> Iterator[tuple[ScanWatch, Pipeline, list[Gap]]]:
    """Decode a run as a session does, a volume at a time."""
    watch, gaps = ScanWatch(bundle), list[Gap]()
    pipeline = build_pipeline(
        stream_info(recording),
        bundle.manifest.chain,
        SessionConfig(modality="fmri"),
        bundle,
        Encoder(bundle),
        bundle.manifest.stimuli(),
        watch.keep,
    )
    watch.watch(pipeline)
    ingest, trials = pipeline.ingest, pipeline.cutter.trials
    assert pipeline.decoder is not None
    markers = dict(recording.markers)
    for at in range(recording.n_samples):
        piece = Gap(at, 1, "loss", 0.0) if at in lost else Chunk(at, recording.read(at, at + 1), 0.0)
        gaps += ingest.take([piece])
        if at in markers:
            trials.add(Marker(float(at), markers[at], 0.0))
        placed = trials.place(lambda sample: ingest.place(int(sample)), ingest.ring.stop)
        if pipeline.decoder.step(free_running=False):
            watch.took(0.01 * (at + 1))
        watch.step(pipeline, placed)
        yield watch, pipeline, gaps


def view_of(played: tuple[ScanWatch, Pipeline, list[Gap]]) -> ScanView:
    watch, pipeline, gaps = played
    view = watch.view(pipeline, gaps)
    assert view is not None
    return view


def test_a_run_is_told_volume_by_volume(demo: tuple[Bundle, ArrayRecording]) -> None:
    bundle, recording = demo
    views = [view_of(played) for played in play(bundle, recording, lost=(120,))]
    assert [view.n_volumes for view in views] == list(range(1, 223))
    assert {view.planned_volumes for view in views} == {222}
    # The first picture comes with volume 3, its response from volume 6 to 8.
    first = [view.trials[0].state if view.trials else "" for view in views[:10]]
    assert first == ["", "", "", "seen", "seen", "seen", "rising", "rising", "decided", "decided"]
    last = views[-1]
    assert len(last.trials) == 70
    withheld = {line.number for line in last.trials if line.state == "withheld"}
    # Those whose response lies in the lost volume, whose onsets are from volume 115 to 117.
    assert withheld == {k for k, (onset, _) in enumerate(recording.markers) if 3 <= 120 - onset < 6}
    assert last.lost == (120,)
    assert last.n_lost == 1
    assert last.two_way.n == 70 - len(withheld)
    assert last.two_way.low[-1] > 0.6
    assert all(0 <= view.two_way.low[-1] <= view.two_way.high[-1] <= 1 for view in views if view.two_way.n)
    right = np.mean([line.right for line in last.trials if line.right is not None])
    assert right > 0.2
    assert last.volume_ms is not None
    assert last.volume_ms[0] == pytest.approx(10 * last.n_volumes, rel=0.05)


def test_the_quality_of_a_run_is_told(demo: tuple[Bundle, ArrayRecording]) -> None:
    bundle, recording = demo
    *_, played = play(bundle, recording, lost=(120,))
    view = view_of(played)
    assert view.motion is not None
    assert view.displacement_mm is not None
    assert view.dvars is not None
    assert view.motion.shape == (222, 6)
    assert np.isnan(view.motion[120]).all()
    moved = np.flatnonzero(view.displacement_mm > 1e-3)
    assert moved.tolist() == [100, 150]
    np.testing.assert_allclose(view.displacement_mm[moved], [0.3, 50 * 0.02], rtol=1e-5)
    assert np.isfinite(view.dvars).sum() == 222 - 3
    assert view.tsnr > 5
    # Nothing is put together twice, and what a view draws is not changed under it.
    again = view_of(played)
    assert again.motion is view.motion
    assert again.trials is view.trials


def test_the_regions_are_of_the_newest_decision(demo: tuple[Bundle, ArrayRecording]) -> None:
    bundle, recording = demo
    watch, pipeline, gaps = next(p for p in play(bundle, recording) if view_of(p).regions)
    view = view_of((watch, pipeline, gaps))
    name = bundle.manifest.gallery[bundle.manifest.stimuli()[recording.markers[0][1]]]
    assert view.regions_of == f"trial 1, {name}"
    assert bundle.regions is not None
    ring = pipeline.ingest.ring.view(6, 9)
    assert ring is not None
    masks = bundle.regions.named()
    assert [region for region, _ in view.regions] == list(masks)
    expected = [ring[:, mask].clip(-5, 5).mean() for mask in masks.values()]
    np.testing.assert_allclose([z for _, z in view.regions], expected, atol=1e-5)


def test_silent_voxels_count_in_no_region(demo: tuple[Bundle, ArrayRecording]) -> None:
    from dataclasses import replace

    bundle, _ = demo
    assert bundle.regions is not None
    region, mask = next(iter(bundle.regions.named().items()))
    chain = bundle.manifest.chain
    inside = [name for name, there in zip(chain.channels, mask, strict=True) if there]
    window = np.zeros((len(mask), 3), np.float32)
    window[np.flatnonzero(mask)[1:]] = 2.0
    whole = dict(RegionMeans(bundle.regions, chain).of(window))
    heard = dict(RegionMeans(bundle.regions, replace(chain, silent=(inside[0],))).of(window))
    assert whole[region] == pytest.approx(2 * (len(inside) - 1) / len(inside))
    assert heard[region] == pytest.approx(2.0)


def test_nothing_is_told_before_the_first_volume(demo: tuple[Bundle, ArrayRecording]) -> None:
    bundle, recording = demo
    watch, pipeline, _ = next(play(bundle, recording))
    pipeline.ingest.next_sample = 0
    assert watch.view(pipeline, []) is None
    assert watch.summary(None, []) is None


def test_a_view_is_made_in_less_than_a_millisecond(demo: tuple[Bundle, ArrayRecording]) -> None:
    bundle, recording = demo
    *_, (watch, pipeline, gaps) = play(bundle, recording)
    # As many volumes as a long run has.
    pipeline.ingest.take([Chunk(k, recording.read(0, 1), 0.0) for k in range(222, 600)])
    watch.view(pipeline, gaps)
    took_s = []
    for _ in range(50):
        began_s = time.perf_counter()
        watch.view(pipeline, gaps)
        took_s.append(time.perf_counter() - began_s)
    assert min(took_s) < 1e-3


def test_the_summary_of_a_run_tells_its_figures(demo: tuple[Bundle, ArrayRecording]) -> None:
    bundle, recording = demo
    *_, (watch, pipeline, gaps) = play(bundle, recording, lost=(120,))
    summary = watch.summary(pipeline, gaps)
    assert summary is not None
    assert summary["volumes"] == {"seen": 222, "planned": 222, "lost": 1}
    assert summary["trials"]["decided"] == summary["two_way"]["n"] == 69
    assert summary["trials"]["withheld"] == 1
    assert summary["two_way"]["interval"][0] < summary["two_way"]["mean"] < summary["two_way"]["interval"][1]
    assert summary["displacement_mm"]["max"] == pytest.approx(1.0)
    assert summary["compared"] == []
    assert set(summary["volume_ms"]) == {"p50", "p95", "p99"}


def test_a_loop_is_planned_turn_by_turn(demo: tuple[Bundle, ArrayRecording]) -> None:
    bundle, recording = demo
    _, pipeline, _ = next(play(bundle, recording))
    for info, n, planned in (
        (StreamInfo("", "", "", "", (), 0.75, loop_samples=222), 222, 222),
        (StreamInfo("", "", "", "", (), 0.75, loop_samples=222), 223, 444),
        (StreamInfo("", "", "", "", (), 0.75, n_samples=300), 5, 300),
        (StreamInfo("", "", "", "", (), 0.75), 5, 0),
    ):
        pipeline.ingest.info, pipeline.ingest.next_sample = info, n
        assert planned_volumes(pipeline) == planned
