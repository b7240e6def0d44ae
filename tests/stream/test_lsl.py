import ctypes
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pylsl
import pytest

from decode_stream.stream import connection
from decode_stream.stream.errors import StreamError
from decode_stream.stream.lsl import (
    LslInlet,
    MarkerInlet,
    StreamLost,
    StreamQuery,
    find_streams,
    lsl_now,
    open_marker_outlet,
    open_outlet,
    resolve_stream,
)
from decode_stream.stream.types import Channel, Marker

pytestmark = pytest.mark.lsl
needs_int64 = pytest.mark.skipif(sys.platform == "win32", reason="pylsl has no int64 on Windows")

TWO = (Channel("a", "eeg", "uV"), Channel("b", "eeg", "uV"))


def find(source_id: str) -> pylsl.StreamInfo:
    return resolve_stream(StreamQuery(source_id=source_id), 10.0)


def pull_all(inlet: LslInlet, n_samples: int) -> tuple[Any, Any]:
    data, stamps_s = [], []
    deadline = time.monotonic() + 10
    while sum(map(len, data)) < n_samples:
        assert time.monotonic() < deadline, "samples are missing"
        values, times_s, _ = inlet.pull(n_samples - sum(map(len, data)))
        data.append(values)
        stamps_s.append(times_s)
    return np.concatenate(data), np.concatenate(stamps_s)


def pull_until_lost(pull: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pull()


@pytest.mark.parametrize(
    ("dtype", "expected", "largest"),
    [
        ("float32", np.float32, 2**24),
        ("double64", np.float64, 2**53),
        ("int8", np.float32, 2**7 - 1),
        ("int16", np.float32, 2**15 - 1),
        ("int32", np.float64, 2**31 - 1),
        pytest.param("int64", np.float64, 2**53, marks=needs_int64),
    ],
)
def test_every_format_arrives_exactly(source_id: str, dtype: str, expected: type, largest: int) -> None:
    outlet = open_outlet("formats", "EEG", TWO, 1000.0, source_id, dtype)
    inlet = LslInlet(find(source_id))
    sent = np.array([[0, largest], [1, -largest], [-1, largest - 1]])
    stamps = [10.0, 10.001, 10.002]
    assert outlet.wait_for_consumers(5)
    outlet.push_chunk(sent, stamps)
    data, stamps_s = pull_all(inlet, 3)
    assert data.dtype == expected
    np.testing.assert_array_equal(data, sent)
    np.testing.assert_array_equal(stamps_s, stamps)
    inlet.close()


def test_a_pull_ends_with_its_last_sample_or_with_the_time(source_id: str) -> None:
    outlet = open_outlet("pull", "EEG", TWO, 1000.0, source_id)
    inlet = LslInlet(find(source_id))
    assert outlet.wait_for_consumers(5)
    outlet.push_chunk(np.arange(14, dtype=np.float32).reshape(7, 2))
    first, _ = pull_all(inlet, 3)
    kept = first.copy()
    begin_s = lsl_now()
    rest, stamps_s, arrived_s = inlet.pull(9)
    assert 0.04 < arrived_s - begin_s < 0.5
    assert rest.tolist() == [[6, 7], [8, 9], [10, 11], [12, 13]]
    assert stamps_s.shape == (4,)
    np.testing.assert_array_equal(first, kept)
    outlet.push_chunk(np.ones((6, 2), np.float32))
    data, _ = pull_all(inlet, 1)
    more, _, _ = inlet.pull(1, drain=True)
    assert len(data) + len(more) == 6
    assert len(inlet.pull(5, 0.0)[0]) == 0
    inlet.close()


@pytest.mark.parametrize(
    ("dtype", "sent", "expected"),
    [
        ("string", ["house", "73000", "Gesicht \u00e4"], ["house", "73000", "Gesicht \u00e4"]),
        pytest.param("int64", [2**40, 2**62 + 1, -5], [str(2**40), str(2**62 + 1), "-5"], marks=needs_int64),
        ("int32", [73000, -1, 0], ["73000", "-1", "0"]),
        ("int8", [127, -128, 1], ["127", "-128", "1"]),
        ("float32", [73000.0, 0.5, -1.0], ["73000", "0.5", "-1"]),
        ("double64", [2.0**52, 1.0, 2.0], [str(2**52), "1", "2"]),
    ],
)
def test_text_and_integer_markers_arrive_as_sent(
    source_id: str, dtype: str, sent: list[Any], expected: list[str]
) -> None:
    outlet = open_marker_outlet("markers", source_id, dtype)
    inlet = MarkerInlet(find(source_id))
    assert outlet.wait_for_consumers(5)
    for i, value in enumerate(sent):
        outlet.push_sample([value], 100.0 + i)
    markers: list[Marker] = []
    while len(markers) < 3:
        markers += inlet.pull()
    assert [m.label for m in markers] == expected
    assert [m.time_s for m in markers] == [100.0, 101.0, 102.0]
    assert all(m.arrived_s <= lsl_now() for m in markers)
    inlet.close()


def test_markers_that_are_not_utf8_are_still_read(source_id: str) -> None:
    outlet = open_marker_outlet("markers", source_id)
    inlet = MarkerInlet(find(source_id))
    assert outlet.wait_for_consumers(5)
    outlet.push_sample([b"\xe4"], 1.0)
    markers = []
    while not markers:
        markers = inlet.pull()
    assert markers[0].label == "\u00e4"
    inlet.close()


@pytest.mark.parametrize("how", ["kill", "close"])
def test_a_lost_outlet_is_told_within_a_second(ramp: Callable[..., Any], how: str) -> None:
    child = ramp(config={"loop": True})
    inlet = LslInlet(find(child.source_id))
    pull_all(inlet, 50)
    if how == "kill":
        child.process.kill()
    else:
        child.close_stream()
    child.process.wait()
    ended = time.monotonic()
    with pytest.raises(StreamLost, match="is gone"):
        pull_until_lost(lambda: inlet.pull(10))
    assert time.monotonic() - ended < 1.0
    inlet.close()
    inlet.close()
    with pytest.raises(StreamLost, match="was closed"):
        inlet.pull(1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process; the twin below runs")
def test_an_outlet_that_falls_silent_without_a_word_is_told(ramp: Callable[..., Any]) -> None:
    child = ramp(config={"loop": True})
    inlet = LslInlet(find(child.source_id))
    pull_all(inlet, 20)
    # A stopped process does what a pulled cable does: its connection stays open and nothing comes.
    child.process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    with pytest.raises(StreamLost, match="can no longer be reached"):
        pull_until_lost(lambda: inlet.pull(10))
    assert 3.0 < time.monotonic() - stopped < 7.0
    inlet.close()


def test_silence_without_an_answer_is_a_loss(source_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unanswered:
        def __init__(self, pred: str) -> None:
            assert pred.startswith("uid='")

        def results(self) -> list[pylsl.StreamInfo]:
            return []

    outlet = open_outlet("silent", "EEG", TWO, 1000.0, source_id)
    inlet = LslInlet(find(source_id))
    monkeypatch.setattr(pylsl, "ContinuousResolver", Unanswered)
    begin = time.monotonic()
    with pytest.raises(StreamLost, match="can no longer be reached"):
        pull_until_lost(lambda: inlet.pull(1))
    assert 4.9 < time.monotonic() - begin < 7.0
    inlet.close()
    del outlet


def test_an_outlet_that_only_pauses_is_kept(source_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_SILENT_S", 0.1)
    monkeypatch.setattr(connection, "_ANSWER_S", 1.0)
    outlet = open_outlet("pause", "EEG", TWO, 1000.0, source_id)
    inlet = LslInlet(find(source_id))
    assert outlet.wait_for_consumers(5)
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        assert len(inlet.pull(1)[0]) == 0
    outlet.push_sample([1, 2])
    assert pull_all(inlet, 1)[0].tolist() == [[1, 2]]
    inlet.close()


def test_an_outlet_that_returns_is_found_under_its_old_name(ramp: Callable[..., Any], source_id: str) -> None:
    child = ramp(markers=[[5, "x"]], config={"loop": True, "source_id": source_id})
    inlet, markers = LslInlet(find(source_id)), MarkerInlet(find(child.marker_source_id))
    pull_all(inlet, 20)
    child.process.kill()
    child.process.wait()
    with pytest.raises(StreamLost):
        pull_until_lost(lambda: inlet.pull(10))
    with pytest.raises(StreamLost):
        pull_until_lost(markers.pull)
    ramp(markers=[[5, "x"]], config={"loop": True, "source_id": source_id})
    again = LslInlet(find(source_id))
    data, _ = pull_all(again, 20)
    np.testing.assert_array_equal(np.diff(data[:, 0]) % 101, 1)
    again.close()


def test_samples_in_hand_when_the_stream_breaks_off_are_kept(source_id: str) -> None:
    outlet = open_outlet("last", "EEG", TWO, 1000.0, source_id)
    inlet = LslInlet(find(source_id))

    def breaks_off(
        _: Any, data: Any, stamps: Any, n_values: Any, n_stamps: Any, wait_s: Any, error: Any
    ) -> int:
        """Do as liblsl does when the outlet goes in the middle of a pull: fill what came, report an error."""
        (ctypes.c_double * 2).from_address(stamps.value)[:] = [7.0, 7.001]
        (ctypes.c_float * 4).from_address(data.value)[:] = [1.0, 2.0, 3.0, 4.0]
        error._obj.value = -2
        return 0

    inlet._inlet.do_pull_chunk = breaks_off
    data, stamps_s, _ = inlet.pull(50)
    assert data.tolist() == [[1, 2], [3, 4]]
    assert stamps_s.tolist() == [7.0, 7.001]
    inlet.close()
    del outlet


def test_streams_that_are_no_signal_are_refused(source_id: str) -> None:
    text = open_marker_outlet("words", source_id)
    irregular = open_outlet("gaze", "Gaze", TWO, 0.0, f"{source_id}-2")
    with pytest.raises(StreamError, match=r"'words'.*carries text"):
        LslInlet(find(source_id))
    with pytest.raises(StreamError, match=r"'gaze'.*no regular sampling rate"):
        LslInlet(find(f"{source_id}-2"))
    del text, irregular


def test_streams_that_are_no_markers_are_refused(source_id: str) -> None:
    several = open_outlet("codes", "Markers", TWO, 0.0, source_id, "int32")
    regular = open_outlet("trigger", "Markers", TWO[:1], 500.0, f"{source_id}-2", "int32")
    with pytest.raises(StreamError, match=r"'codes' has 2 channels"):
        MarkerInlet(find(source_id))
    with pytest.raises(StreamError, match=r"'trigger'.*regular 500 Hz"):
        MarkerInlet(find(f"{source_id}-2"))
    del several, regular


def test_nothing_found_says_what_was_sought_and_what_is_there(source_id: str) -> None:
    outlet = open_outlet(f"Muse-{source_id}", "EEG", TWO, 256.0, source_id)
    with pytest.raises(StreamError) as told:
        resolve_stream(StreamQuery(name=f"Muze-{source_id}"), 0.3)
    message = str(told.value)
    assert f"name 'Muze-{source_id}' within 0.3 s" in message
    assert f"Did you mean 'Muse-{source_id}'?" in message
    assert f"source_id '{source_id}', 2 ch, 256 Hz, on {socket.gethostname()}" in message
    assert "--stream NAME" in message
    assert told.value.exit_code == 1
    del outlet


def test_the_wrong_type_is_named(source_id: str) -> None:
    outlet = open_outlet(source_id, "MEG", TWO, 256.0, source_id)
    with pytest.raises(StreamError, match="is there, but of type 'MEG', not 'EEG'"):
        resolve_stream(StreamQuery(name=source_id, type="EEG"), 0.3)
    del outlet


def test_two_that_match_are_both_listed(source_id: str) -> None:
    outlets = [open_outlet(source_id, "EEG", TWO, 256.0, f"{source_id}-{i}") for i in range(2)]
    with pytest.raises(StreamError) as told:
        resolve_stream(StreamQuery(name=source_id), 5.0)
    message = str(told.value)
    assert message.startswith(f"2 streams match name '{source_id}', and one is needed")
    assert all(f"source_id '{source_id}-{i}'" in message for i in range(2))
    assert message.endswith("Say which with --source-id ID.")
    assert len(find_streams(StreamQuery(name=source_id), 1.0)) == 2
    del outlets


@pytest.mark.parametrize("name", ["it's", 'the "one"', 'it\'s the "one"'])
def test_quotes_in_a_name_and_any_predicate(source_id: str, name: str) -> None:
    outlet = open_outlet(f"{name} {source_id}", "EEG", TWO, 256.0, source_id)
    query = StreamQuery(name=f"{name} {source_id}", predicate="channel_count=2 and nominal_srate=256")
    assert resolve_stream(query, 10.0).source_id() == source_id
    del outlet


def test_a_search_can_be_stopped() -> None:
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(StreamError, match="was stopped"):
        resolve_stream(StreamQuery(name="never there"), 60.0, stop)
    assert time.monotonic() - begin < 5


def test_the_clock_of_another_machine_is_followed(source_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outlet = open_outlet("clock", "EEG", TWO, 1000.0, source_id)
    here = LslInlet(find(source_id))
    raw = LslInlet(find(source_id), clocksync=False)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    there = LslInlet(find(source_id))
    assert here.offset_s == 0.0
    assert raw.offset_s is None
    assert there.offset_s is not None
    assert 0 < abs(there.offset_s) < 0.05
    outlet.push_sample([1, 2], 50.0)
    assert pull_all(here, 1)[1] == [50.0]
    assert pull_all(raw, 1)[1] == [50.0]
    assert pull_all(there, 1)[1] == pytest.approx([50.0 + there.offset_s], abs=1e-9)
    for inlet in (here, raw, there):
        inlet.close()
