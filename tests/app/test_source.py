"""A source that connects while nobody asks for it yet."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from decode_stream.config import SessionConfig
from decode_stream.replay_data.player_config import PlayerConfig
from decode_stream.replay_data.player_process import PlayerProcess, play_in_process
from decode_stream.sessions.source import _LONGEST_READ_S, Source
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.lsl import MarkerInlet, StreamQuery, open_marker_outlet, resolve_stream
from decode_stream.stream.types import StreamInfo
from tests.app.recordings import write_csv

pytestmark = pytest.mark.lsl


def replay(path: Path) -> Source:
    return Source(SessionConfig(modality="eeg", replay=path), path)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_what_is_played_before_anyone_asks_is_kept(tmp_path: Path) -> None:
    source = replay(write_csv(tmp_path / "run.csv"))
    source.begin()
    try:
        info = source.connect(threading.Event())
        assert info is not None
        assert info.type == "EEG"
        time.sleep(0.5)
        data, stamps_s, arrived_s = source.pull(64, 0.05)
        # All that was sent meanwhile is there, from the first sample on: nothing has to arrive any more.
        assert len(data) == 64
        assert arrived_s - stamps_s[0] > 0.4
        markers = source.pull_markers(0.05)
        assert all(marker.time_s >= stamps_s[0] for marker in markers)
    finally:
        source.close()


def test_a_replay_stays_until_all_of_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[PlayerConfig] = []

    def play(path: Path, config: PlayerConfig, **reading: str | None) -> PlayerProcess:
        orders.append(config)
        return play_in_process(path, config, **reading)

    monkeypatch.setattr("decode_stream.sessions.source.play_in_process", play)
    path = write_csv(tmp_path / "run.csv")
    source = Source(SessionConfig(modality="eeg", replay=path, speed=20.0), path)
    told: list[str] = []
    source.tell = lambda kind, text: told.append(f"{kind}: {text}")
    try:
        info = source.connect(threading.Event())
        assert info is not None
        assert info.n_samples is not None
        assert [config.linger_s for config in orders] == [_LONGEST_READ_S]
        # Far behind, as on a machine that is busy: the replay has long been sent.
        until(lambda: source._player is not None and source._player.sent == info.n_samples)
        assert source._player is not None
        assert source._player.poll() is None
        assert not source.at_end
        assert sum(len(source.pull(64, 0.05)[0]) for _ in range(info.n_samples // 64 + 1)) == info.n_samples
        assert source.at_end
        # Had some been lost on the way, silence would be the end.
        source.info = replace(info, n_samples=info.n_samples + 7)
        assert not source.at_end
        until(lambda: len(source.pull(64, 0.05)[0]) == 0 and source.at_end)
        lost = f"7 of {info.n_samples + 7} samples of the replay never arrived"
        assert told == [f"incomplete: {lost}; try a lower --speed"]
    finally:
        source.close()
    assert source._player.poll() == 0


@pytest.mark.parametrize(("speed", "way"), [(0.5, ""), (1.0, ""), (2.0, "; try a lower --speed")])
def test_samples_that_never_came_are_counted_and_only_haste_is_blamed(speed: float, way: str) -> None:
    source = Source(SessionConfig(), None)
    source.info = StreamInfo("run", "EEG", "", "", (), 100.0, speed=speed, n_samples=40)
    told: list[str] = []
    source.tell = lambda kind, text: told.append(text)
    for now_s in (1.0, 2.0, 4.0):
        source._end_incomplete(now_s)
    assert told == [f"40 of 40 samples of the replay never arrived{way}"]


def test_a_recording_that_cannot_be_played_is_told_by_whoever_asks(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    source = replay(tmp_path / "empty.csv")
    source.begin()
    with pytest.raises(RecordingError, match=r"empty\.csv"):
        source.connect(threading.Event())
    source.close()


def test_a_source_that_nobody_asks_lets_its_process_go(tmp_path: Path) -> None:
    source = replay(write_csv(tmp_path / "run.csv"))
    source.begin()
    source.close()
    source.close()
    assert source._player is None or source._player.poll() is not None


def test_an_end_while_connecting_is_not_waited_out(tmp_path: Path) -> None:
    source = replay(write_csv(tmp_path / "run.csv"))
    stop = threading.Event()
    stop.set()
    source.begin()
    try:
        assert source.connect(stop) is None
    finally:
        source.close()


def test_of_two_outlets_that_return_none_is_taken_until_one_is_left() -> None:
    name = f"test-{uuid4().hex}"
    told: list[str] = []
    source = Source(SessionConfig(markers=name), None)
    source.tell = lambda kind, text: told.append(kind)
    first = open_marker_outlet(name, name)
    lost = MarkerInlet(resolve_stream(StreamQuery(source_id=name), 5.0))
    source._marker_inlet = lost
    del first
    two = [open_marker_outlet(name, name) for _ in range(2)]
    until(lambda: source.pull_markers(0.01) == [] and told == ["markers lost"])
    [search] = source._searches.running.values()
    until(lambda: len(search.found()) == 2)
    until(lambda: source.pull_markers(0.01) == [] and len(told) > 1)
    assert told == ["markers lost", "several"]
    del two[0]
    until(lambda: source.pull_markers(0.01) == [] and len(told) > 2)
    assert told == ["markers lost", "several", "markers back"]
    source.close()
