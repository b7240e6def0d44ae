import json

import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.outgoing import PermutedRecording, TriggerRecording, marker_texts
from decode_stream.stream.errors import UsageError
from decode_stream.stream.onsets import OnsetChannel
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

CHANNELS = tuple(Channel(f"c{i}", "eeg", "uV") for i in range(5))


def recording(onsets: tuple[int, ...], sfreq_hz: float = 100.0, n: int = 200) -> ArrayRecording:
    data = np.random.default_rng(0).standard_normal((n, 5)).astype(np.float32)
    return ArrayRecording(
        data, CHANNELS, sfreq_hz, stimuli=StimulusTable(np.array(onsets), np.arange(len(onsets)))
    )


def test_the_trigger_channel_rises_at_every_onset_and_only_there() -> None:
    onsets = (0, 20, 24, 27, 100, 199)
    whole = recording(onsets)
    changed = TriggerRecording(whole, "TRIG")
    assert changed.channels == (*CHANNELS, Channel("TRIG", "stim"))
    data = changed.read(0, 200)
    np.testing.assert_array_equal(data[:, :5], whole.data)
    rises = np.flatnonzero(np.diff(data[:, 5], prepend=0) > 0)
    assert tuple(rises) == onsets
    # 50 ms are 5 samples; half of what is left until the next onset, where that is less.
    assert data[:, 5].sum() == 5 + 2 + 1 + 5 + 5 + 1
    pieces = [changed.read(start, min(start + 7, 200)) for start in range(0, 200, 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), data)


def test_the_onset_channel_finds_its_edges_at_the_rate_of_meg_and_of_volumes() -> None:
    for sfreq_hz, onsets in ((1200.0, (300, 540, 1500)), (0.5, (3, 9, 15))):
        data = TriggerRecording(recording(onsets, sfreq_hz, 2000), "TRIG").read(0, 2000)
        channel = OnsetChannel(5, sfreq_hz, digital=True)
        channel.feed(data[:, 5], 0)
        assert [channel.nearest(at + 1) for at in onsets] == list(onsets)


def test_a_trigger_channel_needs_a_name_of_its_own_and_something_to_rise_at() -> None:
    with pytest.raises(UsageError, match="has a channel of that name"):
        TriggerRecording(recording((3,)), "c4")
    with pytest.raises(UsageError, match="no stimuli and no markers to rise at"):
        TriggerRecording(recording(()), "TRIG")


def test_without_stimuli_the_markers_make_it_rise() -> None:
    marked = ArrayRecording(np.zeros((50, 5)), CHANNELS, 100.0, ((10, "face"), (30, "house")))
    data = TriggerRecording(marked, "TRIG").read(0, 50)
    assert np.flatnonzero(np.diff(data[:, 5]) > 0).tolist() == [9, 29]


def test_permuted_channels_keep_their_names_and_their_values() -> None:
    whole = recording((3,))
    permuted = PermutedRecording(whole, seed=1)
    assert permuted.channels != whole.channels
    assert set(permuted.channels) == set(whole.channels)
    assert permuted.channels == PermutedRecording(whole, seed=1).channels
    data = permuted.read(10, 20)
    for place, channel in enumerate(permuted.channels):
        np.testing.assert_array_equal(data[:, place], whole.data[10:20, CHANNELS.index(channel)])


def test_markers_tell_what_the_table_of_stimuli_says() -> None:
    table = StimulusTable(
        np.array([5, 9, 9]),
        np.array([12, 7, 8]),
        concept=np.array(["aardvark", "", "bee"]),
        split=np.array(["train", "test", "test"]),
    )
    told = ArrayRecording(np.zeros((20, 5)), CHANNELS, 100.0, stimuli=table)
    assert marker_texts(told, "id") == ["12", "7", "8"]
    assert [json.loads(text) for text in marker_texts(told, "json")] == [
        {"id": 12, "concept": "aardvark", "split": "train"},
        {"id": 7, "split": "test"},
        {"id": 8, "concept": "bee", "split": "test"},
    ]
    bare = ArrayRecording(np.zeros((20, 5)), CHANNELS, 100.0, ((3, "face"),))
    assert marker_texts(bare, "json") == ['{"id": "face"}']
