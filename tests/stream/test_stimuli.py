"""The table of what was shown: which row belongs to a marker, and where between samples its onset lies."""

import numpy as np
import pytest

from decode_stream.stream.stimuli import StimulusTable, to_hundredths


def test_a_marker_has_the_row_of_its_sample_and_id() -> None:
    table = StimulusTable(np.array([3, 3, 8, 9]), np.array([5, 6, 5, 7]))
    assert table.rows_of([(3, "6"), (3, "5"), (8, "5"), (8, "6"), (4, "5")]) == (1, 0, 2, -1, -1)
    # Where labels are names, and where there are no ids, those of a sample have its rows in turn.
    for other in (table, StimulusTable(table.onset)):
        assert other.rows_of([(3, "a"), (3, "a"), (3, "a"), (9, "b"), (1, "a")]) == (0, 1, 1, 3, -1)
    assert StimulusTable().rows_of([(3, "6")]) == (-1,)


def test_onsets_and_durations_are_as_the_table_says_and_nothing_is_invented() -> None:
    table = StimulusTable(
        np.array([3, 8]), fraction=np.array([-0.3333, np.nan]), duration_s=np.array([np.nan, 2.5])
    )
    assert [table.onset_at(3, 0), table.onset_at(8, 1), table.onset_at(8, -1)] == [2.67, 8, 8]
    assert [table.duration_at(row) for row in (0, 1, -1)] == [None, 2.5, None]
    wrong = StimulusTable(table.onset, duration_s=np.array([-1.0, 1e300]))
    assert [wrong.duration_at(row) for row in (0, 1)] == [None, None]
    plain = StimulusTable(table.onset)
    assert (plain.onset_at(3, 0), plain.duration_at(0)) == (3, None)
    assert table.at(np.array([0, 1])).columns == ("onset", "duration_s")
    with pytest.raises(ValueError, match="Column fraction has shape"):
        StimulusTable(np.array([1]), fraction=np.array([0.1, 0.2]))


def test_halves_of_a_hundredth_are_rounded_up() -> None:
    assert [to_hundredths(at) for at in (12.344, 12.125, -0.125, -0.3, 7)] == [12.34, 12.13, -0.12, -0.3, 7]
