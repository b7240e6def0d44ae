import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.play import play
from decode_stream.replay_data.player import Player
from decode_stream.replay_data.player_config import PlayerConfig
from decode_stream.replay_data.player_process import play_in_process
from decode_stream.replay_data.timeline import runs_of
from decode_stream.stream.errors import RecordingError, StreamError, UsageError
from decode_stream.stream.lsl import LslInlet, MarkerInlet, StreamLost, StreamQuery, resolve_stream
from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, Gap, Marker

lsl = pytest.mark.lsl

# A length that no chunk divides; markers at both ends, on a chunk's edge, in the partial last chunk.
MARKERS = [[0, "first"], [5, "73000"], [6, "73000"], [99, "tail"], [100, "last"]]


class Received:
    """What a consumer got; every pull is checked to hold no sample of the future."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.stamps_s: list[float] = []
        self.markers: list[Marker] = []

    def sample_of(self, marker: Marker) -> int:
        """Return the value of channel 0 at the marker, which must lie on a sample exactly."""
        at = int(np.searchsorted(self.stamps_s, marker.time_s))
        assert self.stamps_s[at] == marker.time_s
        return int(self.values[at])


@contextmanager
def consumer(child: Any) -> Iterator[tuple[LslInlet, MarkerInlet]]:
    signal_info = resolve_stream(StreamQuery(source_id=child.source_id), 10)
    marker_info = resolve_stream(StreamQuery(source_id=child.marker_source_id), 10)
    inlet, markers = LslInlet(signal_info), MarkerInlet(marker_info)
    yield inlet, markers
    inlet.close()
    markers.close()


def receive(inlet: LslInlet, markers: MarkerInlet, n_samples: int, last_label: str = "") -> Received:
    """Pull until there are `n_samples`, and until a marker `last_label` has come."""
    got = Received()
    deadline = time.monotonic() + 20
    while len(got.values) < n_samples or (last_label and last_label not in [m.label for m in got.markers]):
        assert time.monotonic() < deadline, f"only {len(got.values)} samples and {got.markers} came"
        data, stamps_s, arrived_s = inlet.pull(1, drain=True)
        assert (stamps_s <= arrived_s).all(), "a sample is stamped in the future"
        got.values += data[:, 0].tolist()
        got.stamps_s += stamps_s.tolist()
        for marker in markers.pull(0.0):
            assert marker.time_s <= marker.arrived_s, "a marker is stamped in the future"
            got.markers.append(marker)
    return got


@lsl
def test_a_replay_that_ends_arrives_whole_from_its_first_sample_to_its_last(ramp: Callable[..., Any]) -> None:
    child = ramp(markers=MARKERS, config={"wait_for_consumer": True})
    with consumer(child) as (inlet, markers):
        got = receive(inlet, markers, 101, "last")
        assert inlet.info.n_samples == 101
    assert got.values == list(range(101))
    assert [[got.sample_of(m), m.label] for m in got.markers] == MARKERS
    np.testing.assert_allclose(np.diff(got.stamps_s), 1 / 256, rtol=0, atol=1e-9)
    # It lingers until its consumers have gone, and no longer.
    assert child.process.wait(4) == 0


@lsl
def test_after_the_wrap_the_time_line_goes_on_and_markers_sit_on_their_samples(
    ramp: Callable[..., Any],
) -> None:
    child = ramp(markers=MARKERS, config={"wait_for_consumer": True, "loop": True})
    with consumer(child) as (inlet, markers):
        got = receive(inlet, markers, 350)
        assert inlet.info.n_samples is None
    assert got.values == [i % 101 for i in range(len(got.values))]
    np.testing.assert_allclose(np.diff(got.stamps_s), 1 / 256, rtol=0, atol=1e-9)
    inside = [m for m in got.markers if m.time_s <= got.stamps_s[-1]]
    assert len(inside) >= 3 * len(MARKERS)
    assert [[got.sample_of(m), m.label] for m in inside] == [
        MARKERS[i % len(MARKERS)] for i in range(len(inside))
    ]


@lsl
def test_speed_compresses_the_stamps_and_says_so(ramp: Callable[..., Any]) -> None:
    config = {"wait_for_consumer": True, "speed": 4.0, "start_s": 0.1}
    child = ramp(markers=MARKERS, sfreq_hz=1000 / 3, config=config)
    with consumer(child) as (inlet, markers):
        assert inlet.full_info.nominal_srate() == pytest.approx(4000 / 3, rel=1e-12)
        info = inlet.info
        assert info.sfreq_hz == pytest.approx(1000 / 3, rel=1e-12)
        # 0.1 s is sample 33.3, so the replay begins at sample 33 and 68 remain.
        assert (info.speed, info.n_samples) == (4.0, 68)
        assert info.marker_source_id == child.marker_source_id != info.source_id
        assert [c.name for c in info.channels] == ["c0", "c1", "c2"]
        assert {c.unit for c in info.channels} == {"uV"}
        assert info.channels[2].position_m == pytest.approx((0.02, 0.05, 0.09))
        assert (info.name, info.type) == ("ramp", "EEG")
        got = receive(inlet, markers, 68, "last")
    assert got.values == list(range(33, 101))
    assert [[got.sample_of(m), m.label] for m in got.markers] == MARKERS[3:]
    np.testing.assert_allclose(np.diff(got.stamps_s), 3 / 4000, rtol=0, atol=1e-9)


@lsl
def test_markers_between_volumes_have_stamps_of_their_own_and_say_how_long() -> None:
    onsets, fraction = np.array([2, 5, 9]), np.array([-0.3, 0.254, 0.45])
    recording = ArrayRecording(
        np.arange(12.0)[:, None],
        (Channel("0,0,0", "voxel"),),
        0.5,
        ((2, "a"), (5, "b"), (9, "last")),
        stimuli=StimulusTable(onsets, fraction=fraction, duration_s=np.array([3.0, np.nan, 0.5])),
    )
    player = Player(recording, PlayerConfig(speed=40.0, wait_for_consumer=True, marker_format="json"))
    thread = threading.Thread(target=player.run, args=(threading.Event(),))
    with consumer(player) as (inlet, markers):
        thread.start()
        got = receive(inlet, markers, 12, "last")
    thread.join()
    places = (np.array([marker.time_s for marker in got.markers]) - got.stamps_s[0]) * player.rate_hz
    np.testing.assert_allclose(places, [1.7, 5.25, 9.45], atol=1e-4)
    assert [marker.duration_s for marker in got.markers] == [3.0, None, 0.5]


@lsl
def test_gaps_of_the_recording_are_gaps_in_the_stamps(ramp: Callable[..., Any]) -> None:
    config = {"wait_for_consumer": True, "loop": True}
    child = ramp(markers=[[40, "behind"]], gaps=[[40, 25], [70, 3]], config=config)
    with consumer(child) as (inlet, markers):
        got = receive(inlet, markers, 205, "behind")
    periods = np.rint(np.diff(got.stamps_s) * 256).astype(int).tolist()
    one_turn = [26 if i == 40 else 4 if i == 70 else 1 for i in range(1, 102)]
    assert periods[:202] == one_turn + one_turn
    assert got.sample_of(got.markers[0]) == 40


@lsl
@pytest.mark.parametrize(("sfreq_hz", "n_times"), [(250.0, 30), (0.75, 1)], ids=["trials", "betas"])
def test_trials_that_were_cut_out_play_apart_with_their_onsets_in_place(
    source_id: str, sfreq_hz: float, n_times: int
) -> None:
    n_trials, onset = 12, n_times // 3
    n = n_trials * n_times
    epoch = Epoch(n_times, onset, in_order=False)
    stimuli = StimulusTable(np.arange(n_trials) * n_times + onset, np.arange(n_trials) * 100)
    channels = (Channel("n", "eeg", "uV"),)
    gaps = epoch_gaps(n_trials, epoch, sfreq_hz)
    data = np.arange(n, dtype=np.float64)[:, None]
    recording = ArrayRecording(data, channels, sfreq_hz, gaps=gaps, stimuli=stimuli, epoch=epoch)
    config = PlayerConfig(
        source_id=source_id, wait_for_consumer=True, dtype="double64", speed=4 if n_times > 1 else 32
    )
    player = Player(recording, config)
    playing = threading.Thread(target=player.run, args=(threading.Event(),))
    playing.start()
    with consumer(player) as (inlet, markers):
        got = receive(inlet, markers, n, f"{100 * (n_trials - 1)}")
    playing.join()
    assert got.values == list(range(n))
    # A break whose length nobody knows counts half a second of the recording; betas have none between them.
    periods = np.rint(np.diff(got.stamps_s) * player.rate_hz).astype(int)
    expected = np.ones(n - 1, int)
    expected[n_times - 1 :: n_times] += 125 if n_times > 1 else 0
    np.testing.assert_array_equal(periods, expected)
    assert [(got.sample_of(m), m.label) for m in got.markers] == list(recording.markers)


@lsl
def test_two_consumers_that_come_late_still_get_true_stamps(ramp: Callable[..., Any]) -> None:
    child = ramp(markers=MARKERS, config={"loop": True, "chunk_s": 0.1})
    with consumer(child) as (inlet, markers), consumer(child) as (other, _):
        got = receive(inlet, markers, 101)
        data, stamps_s, _ = other.pull(1)
        while not len(data):
            data, stamps_s, _ = other.pull(1)
    np.testing.assert_allclose(np.diff(got.stamps_s), 1 / 256, rtol=0, atol=1e-9)
    # A stamp that was left to be deduced would be near zero for whoever joins in the middle of a chunk.
    offset = (stamps_s[0] - got.stamps_s[0]) * 256 - (data[0, 0] - got.values[0])
    assert round(offset) % 101 == 0
    assert abs(offset - round(offset)) < 1e-3


def ramp_recording(n_samples: int = 100, markers: tuple[tuple[int, str], ...] = ()) -> ArrayRecording:
    data = np.arange(n_samples, dtype=np.float32)[:, None]
    return ArrayRecording(data, (Channel("n", "eeg", "uV"),), 100.0, markers, name="short")


@lsl
def test_nobody_listening_is_told() -> None:
    player = Player(ramp_recording(), PlayerConfig(wait_for_consumer=True, wait_s=0.2))
    with pytest.raises(StreamError, match=r"Nobody listened to the signal of 'short' within 0\.2 s"):
        player.run(threading.Event())


@lsl
def test_a_stopped_replay_ends_at_once() -> None:
    stop = threading.Event()
    player = Player(ramp_recording(100_000), PlayerConfig())
    threading.Timer(0.5, stop.set).start()
    begin = time.monotonic()
    n_sent = player.run(stop)
    ran_s = time.monotonic() - begin
    assert ran_s < 5
    assert 0 < n_sent <= ran_s * 100 + 1


@lsl
def test_what_cannot_be_played_is_refused() -> None:
    with pytest.raises(RecordingError, match="holds no samples"):
        Player(ramp_recording(0), PlayerConfig())
    with pytest.raises(UsageError, match=r"1\.000 s long and cannot start at 1 s"):
        Player(ramp_recording(100), PlayerConfig(start_s=1.0))


@pytest.mark.parametrize(
    "wrong",
    [{"speed": 0.0}, {"speed": float("nan")}, {"chunk_s": -1.0}, {"start_s": -0.1}, {"dtype": "int8"}],
)
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        PlayerConfig(**wrong)


@given(
    n_samples=st.integers(1, 60),
    start=st.integers(0, 59),
    breaks=st.dictionaries(st.integers(0, 70), st.integers(0, 9), max_size=6),
    loop=st.booleans(),
)
def test_every_sample_has_its_place_on_the_time_line(
    n_samples: int, start: int, breaks: dict[int, int], loop: bool
) -> None:
    start = min(start, n_samples - 1)
    data = np.zeros((n_samples, 1))
    gaps = tuple(Gap(at, lost, "loss", 0.0) for at, lost in sorted(breaks.items()))
    recording = ArrayRecording(data, (Channel("a"),), 100.0, gaps=gaps)
    runs, span = runs_of(recording, start, loop)
    places = {sample: run.at + sample - run.start for run in runs for sample in range(run.start, run.stop)}
    assert list(places) == list(range(start, n_samples))
    for sample, place in places.items():
        # A break of unknown length counts half a second, but not in a loop.
        lost = sum(n or (0 if loop else 50) for at, n in breaks.items() if start < at <= sample)
        assert place == sample - start + lost
    assert span == places[n_samples - 1] + 1


def write_csv(path: Path) -> Path:
    rows = ["timestamps,n,Marker0"]
    rows += [f"{1000 + i / 256:.6f},{i}.0,{'1' if i in (3, 50) else '0'}" for i in range(128)]
    path.write_text("\n".join(rows) + "\n")
    return path


@lsl
def test_a_file_plays_in_a_process_of_its_own(tmp_path: Path) -> None:
    config = PlayerConfig(wait_for_consumer=True, name="mine", type="EEG")
    with play_in_process(write_csv(tmp_path / "run.csv"), config, marker_column="Marker0") as playing:
        assert (playing.name, playing.source_id) == ("mine", config.source_id)
        assert playing.poll() is None
        with consumer(playing) as (inlet, markers):
            got = receive(inlet, markers, 128, "1")
        assert playing.wait(4) == 0
        assert playing.error is None
    assert got.values == list(range(128))
    assert got.sample_of(got.markers[0]) == 3


@lsl
def test_an_error_in_the_process_is_the_same_error_here(tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    with pytest.raises(RecordingError, match=r"missing\.csv"):
        play_in_process(missing, PlayerConfig())
    with pytest.raises(UsageError, match="cannot start at 9 s"):
        play_in_process(write_csv(tmp_path / "run.csv"), PlayerConfig(start_s=9.0))


@pytest.mark.skipif(shutil.which("false") is None, reason="no program that ends at once")
def test_a_process_that_dies_before_it_has_its_orders_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    # More than a pipe holds: the orders cannot all be written before the end.
    with pytest.raises(StreamError, match="ended with code 1 and gave no reason"):
        play_in_process(tmp_path / "run.csv", PlayerConfig(), mask="x" * 1_000_000)


@lsl
def test_a_replay_that_fails_later_or_is_killed_says_why(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "run.csv")
    with play_in_process(path, PlayerConfig(wait_for_consumer=True, wait_s=0.1)) as playing:
        assert playing.wait(10) == 1
        assert isinstance(playing.error, StreamError)
        assert "Nobody listened" in str(playing.error)
    with play_in_process(path, PlayerConfig(loop=True)) as playing:
        playing._child.kill()
        assert playing.wait(10) not in (0, None)
        assert "gave no reason" in str(playing.error)


@lsl
def test_closing_ends_the_process_and_its_streams(tmp_path: Path) -> None:
    playing = play_in_process(write_csv(tmp_path / "run.csv"), PlayerConfig(loop=True))
    inlet = LslInlet(resolve_stream(StreamQuery(source_id=playing.source_id), 10))
    inlet.pull(1)
    begin = time.monotonic()
    playing.close()
    playing.close()
    assert playing.poll() == 0
    assert playing.error is None
    with pytest.raises(StreamLost):
        pull_for_ten_seconds(inlet)
    assert time.monotonic() - begin < 3
    inlet.close()


def pull_for_ten_seconds(inlet: LslInlet) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        inlet.pull(10)


@lsl
def test_the_command_tells_what_it_plays(tmp_path: Path) -> None:
    told: list[str] = []
    stop = threading.Event()
    config = PlayerConfig(speed=8.0)
    assert play(write_csv(tmp_path / "run.csv"), config, stop, told.append, marker_column="Marker0") == 128
    assert "1 channels at 2048 Hz, 0.5 s, 2 markers, 8 times as fast as recorded" in told[0]
    assert config.source_id in told[0]
    assert told[-1] == "Ended after 128 samples."
