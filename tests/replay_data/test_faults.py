"""What is put into a replay on purpose is what a consumer finds, and nothing else."""

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.faults import FaultInjector, Faults
from decode_stream.replay_data.player import Player
from decode_stream.replay_data.player_config import PlayerConfig
from decode_stream.stream.continuity import Continuity
from decode_stream.stream.errors import UsageError
from decode_stream.stream.lsl import LslInlet, MarkerInlet, StreamQuery, lsl_now, resolve_stream
from decode_stream.stream.onsets import OnsetChannel
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, Chunk, FloatArray, Gap, Marker

lsl = pytest.mark.lsl
SFREQ_HZ = 256.0


@pytest.mark.parametrize(
    ("wrong", "tells"),
    [
        ({"drop": 1.0}, "--drop is 1"),
        ({"drop": -0.1}, "--drop is -0.1"),
        ({"jitter_ms": float("nan")}, "--jitter-ms is nan"),
        ({"marker_jitter_ms": -1.0}, "--marker-jitter-ms is -1"),
        ({"clock_offset_s": float("inf")}, "--clock-offset-s is inf"),
        ({"clock_drift_ppm": 1e6}, "--clock-drift-ppm is 1e\\+06"),
        ({"stall": ((-1.0, 2.0),)}, "--stall is -1:2"),
        ({"stall": ((1.0, 0.0),)}, "--stall is 1:0"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, Any], tells: str) -> None:
    with pytest.raises(UsageError, match=tells):
        Faults(**wrong)


def test_without_faults_nothing_is_touched() -> None:
    injector = FaultInjector(Faults(), 10)
    injector.begin(100.0)
    true_s = 100.0 + np.arange(5) / 256
    stamps_s, due_s = injector.chunk(true_s)
    assert stamps_s is true_s
    assert due_s == true_s[-1]
    assert injector.marker(100.1) == (100.1, 100.1)
    assert not injector.drops(5)
    assert (Faults().told(), injector.counted()) == ((), ())


def test_what_is_dropped_is_known_before_and_follows_from_the_seed() -> None:
    sizes = np.array([3] * 999 + [1])

    def dropped(seed: int) -> list[bool]:
        injector = FaultInjector(Faults(drop=0.2, seed=seed), len(sizes))
        return [injector.drops(int(size)) for size in sizes]

    first = dropped(1)
    assert first == dropped(1) != dropped(2)
    assert not first[0]
    assert not first[-1]
    assert int(sizes[first].sum()) == Faults(drop=0.2, seed=1).n_dropped(sizes)
    assert 150 < sum(first) < 250


def test_no_chunk_goes_out_before_its_stamp_and_a_stall_holds_up_what_is_due_in_it() -> None:
    injector = FaultInjector(Faults(jitter_ms=5.0, marker_jitter_ms=20.0, stall=((1.0, 0.5),)), None)
    injector.begin(50.0)
    for k in range(400):
        true_s = 50.0 + (4 * k + np.arange(4)) / SFREQ_HZ
        stamps_s, due_s = injector.chunk(true_s)
        assert due_s >= max(stamps_s[-1], true_s[-1])
        assert not 51.0 <= due_s < 51.5
        assert np.abs(stamps_s - true_s).max() <= 0.0151
        stamp_s, due_s = injector.marker(float(true_s[0]))
        assert due_s >= stamp_s
        assert abs(stamp_s - true_s[0]) <= 0.0601
    assert injector.held_up > 50
    assert (injector.moved_chunks, injector.moved_markers) == (400, 400)


def test_a_clock_of_its_own_moves_signal_and_markers_alike() -> None:
    injector = FaultInjector(Faults(clock_offset_s=7.0, clock_drift_ppm=100.0), None)
    injector.begin(1000.0)
    true_s = 1000.0 + np.array([0.0, 1000.0])
    stamps_s, due_s = injector.chunk(true_s)
    np.testing.assert_allclose(stamps_s, [1007.0, 2007.1], rtol=0, atol=1e-9)
    assert due_s == 2000.0
    assert injector.marker(float(true_s[1]))[0] == stamps_s[1]


class Consumer:
    """Takes a replay as a session does: counts, finds breaks, places markers."""

    def __init__(self, child: Any, counter: int | None = None) -> None:
        self.inlet = LslInlet(resolve_stream(StreamQuery(source_id=child.source_id), 10))
        self.markers = MarkerInlet(resolve_stream(StreamQuery(source_id=child.marker_source_id), 10))
        self.continuity = Continuity(self.inlet.info.sfreq_hz, self.inlet.info.speed, counter)
        self.pieces: list[Chunk | Gap] = []
        self.came: list[Marker] = []
        self.arrivals_s: list[float] = []
        self.early = 0

    def take_all(self) -> None:
        """Receive until the declared number of samples has come, and the markers with it."""
        n, expected = 0, self.inlet.info.n_samples
        deadline_s = lsl_now() + 30
        assert expected is not None
        while n < expected:
            assert lsl_now() < deadline_s, f"only {n} of {expected} samples came"
            data, stamps_s, arrived_s = self.inlet.pull(1, drain=True)
            n += len(data)
            if len(data):
                self.arrivals_s.append(arrived_s)
            self.early += int((stamps_s > arrived_s).sum())
            self.pieces += self.continuity.admit(data, stamps_s, arrived_s)
            self.take_markers()
        self.pieces += self.continuity.flush()
        # An outlet that lingers closes once its consumers have gone; markers come at once.
        for _ in range(5):
            self.take_markers(0.02)
        self.inlet.close()
        self.markers.close()

    def take_markers(self, timeout_s: float = 0.0) -> None:
        for marker in self.markers.pull(timeout_s):
            self.early += marker.time_s > marker.arrived_s
            self.came.append(marker)

    @property
    def data(self) -> FloatArray:
        return np.concatenate([piece.data for piece in self.pieces if isinstance(piece, Chunk)])

    @property
    def places(self) -> FloatArray:
        """Sample index of every row of `data`, as the consumer counts."""
        return np.concatenate([np.arange(p.start, p.stop) for p in self.pieces if isinstance(p, Chunk)])


def consume(
    ramp: Callable[..., Any], faults: dict[str, Any], n: int = 1024, counter: int | None = None, **config: Any
) -> Consumer:
    markers = [[at, str(at)] for at in range(50, n - 10, 60)]
    config |= {"wait_for_consumer": True, "faults": faults, "dtype": "double64", "speed": 2.0}
    consumer = Consumer(ramp(n_samples=n, markers=markers, config=config), counter)
    consumer.take_all()
    return consumer


def marker_errors(consumer: Consumer) -> list[int]:
    clock = consumer.continuity.clock
    return [int(np.floor(clock.index_at(m.time_s) + 0.5)) - int(m.label) for m in consumer.came]


@lsl
@pytest.mark.parametrize("counted", [False, True], ids=["by stamps", "by counter"])
def test_what_was_dropped_is_what_the_consumer_finds_lost(ramp: Callable[..., Any], counted: bool) -> None:
    n = 1024
    consumer = consume(ramp, {"drop": 0.06, "seed": 3}, n, 0 if counted else None)
    continuity = consumer.continuity
    assert continuity.received == consumer.inlet.info.n_samples
    assert 0 < continuity.lost == n - continuity.received
    # Every sample that came has its true index, and so has every marker.
    np.testing.assert_array_equal(consumer.data[:, 0], consumer.places)
    assert marker_errors(consumer) == [0] * len(range(50, n - 10, 60))
    assert consumer.early == 0


@lsl
def test_jitter_and_another_clock_lose_nothing_and_move_no_marker(ramp: Callable[..., Any]) -> None:
    faults = {"jitter_ms": 1.0, "clock_offset_s": -3.0, "clock_drift_ppm": 100.0, "seed": 1}
    consumer = consume(ramp, faults)
    assert (consumer.continuity.received, consumer.continuity.lost) == (1024, 0)
    assert set(marker_errors(consumer)) <= {-1, 0, 1}
    assert consumer.early == 0


@lsl
def test_a_stall_loses_nothing_and_all_comes_at_once_after_it(ramp: Callable[..., Any]) -> None:
    consumer = consume(ramp, {"stall": [[0.5, 0.8]]}, 512)
    assert (consumer.continuity.received, consumer.continuity.lost) == (512, 0)
    silence_s = np.diff(consumer.arrivals_s).max()
    assert 0.75 < silence_s < 1.2
    assert set(marker_errors(consumer)) == {0}


@lsl
def test_late_markers_are_put_right_by_the_trigger_channel(ramp: Callable[..., Any]) -> None:
    faults = {"marker_jitter_ms": 15.0, "permute_channels": True}
    consumer = consume(ramp, faults, 1024, trigger_channel="TRIG")
    names = [channel.name for channel in consumer.inlet.info.channels]
    assert sorted(names) == ["TRIG", "c0", "c1", "c2"]
    assert names != ["c0", "c1", "c2", "TRIG"]
    column = names.index("TRIG")
    assert consumer.inlet.info.channels[column].type == "stim"
    channel = OnsetChannel(column, SFREQ_HZ, digital=True)
    channel.feed(consumer.data[:, column], 0)
    errors = marker_errors(consumer)
    assert max(map(abs, errors)) >= 2
    corrected = [
        channel.nearest(int(m.label) + error) for m, error in zip(consumer.came, errors, strict=True)
    ]
    assert corrected == [int(m.label) for m in consumer.came]
    assert consumer.early == 0


@lsl
def test_after_a_pause_the_stamps_go_on_at_the_present(source_id: str) -> None:
    n = 400
    data = np.arange(n, dtype=np.float64)[:, None]
    recording = ArrayRecording(data, (Channel("n", "eeg", "uV"),), 200.0, ((10, "10"), (300, "300")))
    told: list[str] = []
    config = PlayerConfig(source_id=source_id, wait_for_consumer=True, dtype="double64", linger_s=1.0)
    player = Player(recording, config, told.append)
    playing = threading.Thread(target=player.run, args=(threading.Event(),))
    playing.start()
    consumer = Consumer(player)
    pause = threading.Timer(0.6, player.pause)
    resume = threading.Timer(1.4, player.resume)
    pause.start()
    resume.start()
    consumer.take_all()
    playing.join()
    continuity = consumer.continuity
    assert continuity.received == n
    gaps = [piece for piece in consumer.pieces if isinstance(piece, Gap)]
    assert [gap.kind for gap in gaps] == ["loss"]
    # Timers and threads wake late, never early.
    assert 0.6 < continuity.lost / 200 < 1.6
    whole = np.arange(n + continuity.lost)
    np.testing.assert_array_equal(consumer.places, np.delete(whole, np.s_[gaps[0].start : gaps[0].stop]))
    assert marker_errors(consumer) == [0, continuity.lost]
    assert consumer.early == 0
    assert told[0].startswith("Paused after")
    assert told[1].startswith("Resumed after a rest of")


@lsl
def test_a_paused_replay_can_be_stopped() -> None:
    recording = ArrayRecording(np.zeros((1000, 1)), (Channel("n", "eeg", "uV"),), 100.0)
    player = Player(recording, PlayerConfig())
    player.pause()
    assert player.paused
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    assert player.run(stop) == 0


@lsl
def test_json_markers_are_looked_up_by_their_id_and_bring_their_concept(source_id: str) -> None:
    table = StimulusTable(np.array([3, 40]), np.array([12, 5]), concept=np.array(["aardvark", "bee"]))
    recording = ArrayRecording(np.zeros((64, 1)), (Channel("n", "eeg", "uV"),), 128.0, stimuli=table)
    config = PlayerConfig(source_id=source_id, wait_for_consumer=True, marker_format="json", linger_s=1.0)
    player = Player(recording, config)
    playing = threading.Thread(target=player.run, args=(threading.Event(),))
    playing.start()
    consumer = Consumer(player)
    consumer.take_all()
    playing.join()
    assert [(m.label, m.concept) for m in consumer.came] == [("12", "aardvark"), ("5", "bee")]


@lsl
def test_volumes_of_a_whole_mask_go_out_one_by_one(source_id: str) -> None:
    # As many voxels as NSD's first subject has in nsdgeneral; a volume a second, eight times as fast.
    n_voxels, n = 15_724, 16
    rng = np.random.default_rng(0)
    data = rng.standard_normal((n, n_voxels), dtype=np.float32)
    data[:, 0] = np.arange(n)
    places = [(i % 81, i // 81 % 104, i // (81 * 104)) for i in range(n_voxels)]
    channels = tuple(
        Channel(f"{x},{y},{z}", "voxel", "", (1e-3 * x, 1e-3 * y, 1e-3 * z)) for x, y, z in places
    )
    recording = ArrayRecording(data, channels, 1.0, ((4, "7"), (11, "9")), name="volumes")
    config = PlayerConfig(source_id=source_id, wait_for_consumer=True, speed=8.0, linger_s=1.0)
    player = Player(recording, config)
    playing = threading.Thread(target=player.run, args=(threading.Event(),))
    playing.start()
    consumer = Consumer(player)
    info = consumer.inlet.info
    assert (info.type, info.sfreq_hz, len(info.channels)) == ("FMRI", 1.0, n_voxels)
    assert [(c.name, c.type) for c in info.channels] == [(c.name, c.type) for c in channels]
    consumer.take_all()
    playing.join()
    np.testing.assert_array_equal(consumer.data, data)
    assert (consumer.continuity.lost, consumer.early) == (0, 0)
    assert len(consumer.arrivals_s) == n
    assert [int(np.rint(consumer.continuity.clock.index_at(m.time_s))) for m in consumer.came] == [4, 11]


def test_faults_travel_to_a_process_of_its_own() -> None:
    from dataclasses import asdict

    import msgspec

    config = PlayerConfig(faults=Faults(drop=0.1, stall=((1.0, 2.0), (5.0, 1.0)), permute_channels=True))
    assert msgspec.convert(json.loads(json.dumps(asdict(config))), PlayerConfig) == config
