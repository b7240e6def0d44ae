"""What a scan shows: on its own time line, to send and to write."""

import json
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.formats.bids import read_events
from decode_stream.replay_data.scanner.stimuli import stimuli_of_events, stimuli_of_volumes, write_onsets
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable

EVENTS = "onset\tduration\ttrial_type\n2.25\t4\tface\n9.4\t4\thouse\nn/a\t4\tcat\n16.125\tn/a\tcat\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "bold_events.tsv"
    path.write_text(EVENTS)
    return path


def test_onsets_are_kept_to_the_millisecond(table: Path) -> None:
    notes: list[str] = []
    shown = stimuli_of_events(table, table.parent / "bold.nii", None, "id", notes)
    assert shown.markers == ((2.25, "face"), (9.4, "house"), (16.125, "cat"))
    assert [row["onset"] for row in shown.rows] == ["2.250", "9.400", "16.125"]
    assert "1 of 4 rows" in notes[0]


def test_a_later_beginning_moves_them_and_leaves_out_what_has_passed(table: Path) -> None:
    shown = stimuli_of_events(table, table.parent / "bold.nii", None, "id", []).between(5.0, 16.0)
    assert [(pytest.approx(at_s), text) for at_s, text in shown.markers] == [(4.4, "house")]
    assert [row["onset"] for row in shown.rows] == ["4.400"]


def test_json_markers_tell_the_concept(table: Path) -> None:
    shown = stimuli_of_events(table, table.parent / "bold.nii", None, "json", [])
    assert json.loads(shown.markers[0][1])["concept"] == "face"


def test_what_is_written_is_read_back(tmp_path: Path, table: Path) -> None:
    shown = stimuli_of_events(table, table.parent / "bold.nii", None, "id", [])
    written = tmp_path / "out" / "events.tsv"
    write_onsets(written, shown)
    assert written.read_text().splitlines()[0] == "onset\tduration\ttrial_type"
    again = read_events(written, table.parent / "bold.nii", 1000.0, None, [])
    assert list(zip(again.stimuli.onset.tolist(), again.labels, strict=True)) == [
        (2250, "face"),
        (9400, "house"),
        (16125, "cat"),
    ]
    with pytest.raises(RecordingError, match="exists already"):
        write_onsets(written, shown)


def test_pictures_of_nsd_keep_their_numbers(tmp_path: Path) -> None:
    stimuli = StimulusTable(np.array([0, 3, 9]), np.array([45, 0, 72_999]))
    shown = stimuli_of_volumes(stimuli, 4 / 3, 3.0, "id")
    assert shown.markers == ((0.0, "45"), (4.0, "0"), (12.0, "72999"))
    write_onsets(tmp_path / "events.tsv", shown)
    again = read_events(tmp_path / "events.tsv", tmp_path / "run.nii", 1000.0, None, [])
    assert again.stimuli.id is not None
    assert again.stimuli.id.tolist() == [45, 0, 72_999]
    assert again.stimuli.onset.tolist() == [0, 4000, 12_000]


def test_a_run_without_pictures_has_a_table_without_rows(tmp_path: Path) -> None:
    write_onsets(tmp_path / "events.tsv", stimuli_of_volumes(StimulusTable(), 1.0, 3.0, "id"))
    assert (tmp_path / "events.tsv").read_text() == "onset\tduration\n"
