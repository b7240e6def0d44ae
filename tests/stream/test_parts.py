import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.parts import split
from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, Gap

CHANNELS = (Channel("Oz"),)


def test_a_recording_is_parted_midway_between_two_onsets() -> None:
    onsets = np.arange(12) * 400 + 100
    gaps = (Gap(2000, 7, "loss", 20.0), Gap(4000, 0, "reset", 40.0))
    whole = ArrayRecording(
        np.zeros((5000, 1)), CHANNELS, 100.0, gaps=gaps, stimuli=StimulusTable(onsets, np.arange(12))
    )
    parts = split(whole, 3)
    # As a stream counts, so with what is missing: a break of unknown length stands for half a second.
    assert parts.starts.tolist() == [0, 1500, 3107]
    streamed = onsets + 7 * (onsets >= 2000) + 50 * (onsets >= 4000)
    assert parts.number(streamed).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert parts.number(np.array([-40, 0, 1499, 1500, 10_000])).tolist() == [0, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("in_order", "expected"), [(True, [0, 0, 0, 0, 1, 1, 1]), (False, [0, 1, 0, 1, 0, 1, 0])]
)
def test_trials_that_were_cut_before_stay_whole(in_order: bool, expected: list[int]) -> None:
    epoch = Epoch(10, 2, in_order)
    table = StimulusTable(np.arange(7) * 10 + 2, np.arange(7))
    gaps = epoch_gaps(7, epoch, 100.0)
    whole = ArrayRecording(np.zeros((70, 1)), CHANNELS, 100.0, gaps=gaps, stimuli=table, epoch=epoch)
    parts = split(whole, 2)
    starts = np.arange(7) * 60  # ten samples, and half a second that stands for the break
    for within in range(10):
        assert parts.number(starts + within).tolist() == expected


def test_there_are_no_parts_without_stimuli() -> None:
    whole = ArrayRecording(np.zeros((100, 1)), CHANNELS, 100.0, ((5, "a"), (50, "b")))
    with pytest.raises(ValueError, match="2 stimuli cannot be split into 3 parts"):
        split(whole, 3)


def test_a_table_keeps_what_is_known_and_nothing_else() -> None:
    table = StimulusTable(
        np.array([5, 9, 7]), np.array([3, -1, 1]), split=np.array(["train", "target", "test"])
    )
    assert table.columns == ("onset", "id", "split")
    assert table.markers() == ((5, "3"), (7, "1"))
    assert table.rows(table.split == "test").id.tolist() == [1]
    assert StimulusTable.of_markers(((1, "4"), (2, "73000"))).id.tolist() == [4, 73_000]
    assert StimulusTable.of_markers(((1, "4"), (2, "face"))).id is None
    for no_number in ("--5", "-", "", "1.5", "9" * 19):
        assert StimulusTable.of_markers(((1, "4"), (2, no_number))).id is None
    with pytest.raises(ValueError, match="Column id has shape"):
        StimulusTable(np.array([5, 9]), np.array([3]))
