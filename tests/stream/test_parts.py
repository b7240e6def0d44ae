import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.parts import split
from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, Gap

CHANNELS = (Channel("Oz"),)


def test_parts_hold_all_samples_and_stimuli_once_and_cut_no_trial() -> None:
    data = np.arange(5000.0)[:, None]
    onsets = np.arange(12) * 400 + 100
    table = StimulusTable(onsets, np.arange(12) + 40)
    whole = ArrayRecording(
        data, CHANNELS, 100.0, gaps=(Gap(2000, 7, "loss", 20.0),), name="run", stimuli=table
    )
    parts = split(whole, 3)
    assert [part.name for part in parts] == ["run, part 1 of 3", "run, part 2 of 3", "run, part 3 of 3"]
    np.testing.assert_array_equal(np.concatenate([part.read(0, part.n_samples) for part in parts]), data)
    assert [label for part in parts for _, label in part.markers] == [str(i) for i in range(40, 52)]
    for part in parts[1:]:
        assert part.markers[0][0] == 50  # half a second before the first onset
    for part in parts:
        for at, id_ in zip(part.stimuli.onset, part.stimuli.id, strict=True):
            assert part.read(at, at + 1)[0, 0] == onsets[id_ - 40]
    (gap,) = [gap for part in parts for gap in part.gaps]
    assert parts[1].gaps == (gap,)
    assert parts[1].read(gap.start, gap.start + 1)[0, 0] == 2000
    assert gap.time_s == pytest.approx(gap.start / 100)
    assert len(parts[0].read(-5, 10_000)) == parts[0].n_samples


@pytest.mark.parametrize(
    ("in_order", "expected"), [(True, [[0, 1, 2], [3, 4, 5, 6]]), (False, [[0, 2, 4, 6], [1, 3, 5]])]
)
def test_parts_of_trials_hold_whole_trials(in_order: bool, expected: list[list[int]]) -> None:
    epoch = Epoch(10, 2, in_order)
    table = StimulusTable(np.arange(7) * 10 + 2, np.arange(7))
    gaps = epoch_gaps(7, epoch, 100.0)
    data = np.repeat(np.arange(7.0), 10)[:, None]
    whole = ArrayRecording(data, CHANNELS, 100.0, gaps=gaps, stimuli=table, epoch=epoch)
    for part, trials in zip(split(whole, 2), expected, strict=True):
        assert part.stimuli.id.tolist() == [int(label) for _, label in part.markers] == trials
        assert part.stimuli.onset.tolist() == [2 + 10 * i for i in range(len(trials))]
        assert [gap.start for gap in part.gaps] == [10 * i for i in range(1, len(trials))]
        np.testing.assert_array_equal(part.read(0, 100)[:, 0], np.repeat(trials, 10))
        np.testing.assert_array_equal(part.read(5, 23)[:, 0], np.repeat(trials, 10)[5:23])
        assert part.read(50, 40).shape == (0, 1)


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
