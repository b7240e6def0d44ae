"""The tables that BIDS keeps beside a recording."""

import json
from pathlib import Path

import mne
import numpy as np
import pytest

from decode_stream.replay_data.formats import mne_files
from decode_stream.replay_data.formats.bids import find_beside, read_events, read_table
from decode_stream.replay_data.formats.mne_files import MneRecording
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.stream.errors import RecordingError

SFREQ_HZ = 250.0
NAME = "sub-01_ses-02_task-look_run-3"


def write_recording(folder: Path, n: int = 2000) -> Path:
    """Write a recording with a code on its stim channel at sample 77, named as BIDS does."""
    folder.mkdir(parents=True, exist_ok=True)
    info = mne.create_info(["Oz", "Pz", "lid", "TRG", "STI 014"], SFREQ_HZ, ["eeg"] * 4 + ["stim"])
    data = 1e-5 * np.random.default_rng(0).standard_normal((5, n))
    data[3:] = 0
    data[4, 77] = 9
    path = folder / f"{NAME}_eeg.fif"
    mne.io.RawArray(data, info, verbose="error").save(path, verbose="error", fmt="double")
    return path


def write_table(path: Path, *rows: str) -> Path:
    path.write_text("".join("\t".join(row.split()) + "\n" for row in rows))
    return path


def read(path: Path, **options: str) -> MneRecording:
    return mne_files.read(path, ReadOptions(**options))


def test_the_sample_column_says_where_and_the_table_what(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    write_table(
        tmp_path / f"{NAME}_events.tsv",
        "onset duration sample trial_type value stim_file",
        "1.000 0.5 250 face 7 faces/a.png",
        "0.102 0.5 25 house 8 n/a",
        "2.0 n/a 500 n/a 9 n/a",
        "99 0.5 24750 face 7 n/a",
    )
    recording = read(path)
    assert recording.markers == ((25, "house"), (250, "face"))
    stimuli = recording.stimuli
    assert stimuli.columns == ("onset", "concept", "image", "session", "run")
    assert stimuli.concept is not None
    assert stimuli.image is not None
    assert (stimuli.concept.tolist(), stimuli.image.tolist()) == (["house", "face"], ["", "faces/a.png"])
    assert stimuli.session is not None
    assert stimuli.run is not None
    assert (stimuli.session.tolist(), stimuli.run.tolist()) == ([2, 2], [3, 3])
    assert (
        f"1 of 4 rows of {NAME}_events.tsv lack an onset or a trial_type and are left out." in recording.notes
    )
    assert "1 events lie outside the recording and are left out." in recording.notes


def test_without_samples_the_nearest_to_the_onset_counts(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    write_table(tmp_path / f"{NAME}_events.tsv", "onset value", "0.1019 12.0", "0.4021 3", "-0.5 3")
    recording = read(path)
    assert recording.markers == ((25, "12"), (101, "3"))
    assert recording.stimuli.id is not None
    assert recording.stimuli.id.tolist() == [12, 3]


def test_the_label_is_a_column_that_varies_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    write_table(
        tmp_path / f"{NAME}_events.tsv",
        *("onset trial_type value stim_file answer", "1 stimulus 5 a.png yes", "2 stimulus 6 b.png no"),
    )
    assert read(path).markers == ((250, "5"), (500, "6"))
    assert read(path).stimuli.concept is None
    assert read(path, marker_column="stim_file").markers == ((250, "a.png"), (500, "b.png"))
    assert read(path, marker_column="answer").markers == ((250, "yes"), (500, "no"))
    # A name that is no column of the table is a stim channel's.
    assert read(path, marker_column="STI 014").markers == ((77, "9"),)
    with pytest.raises(RecordingError, match="no stim channel 'STI 041'. Did you mean 'STI 014'"):
        read(path, marker_column="STI 041")


def test_channels_have_the_types_and_states_that_the_table_tells(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    write_table(
        tmp_path / f"{NAME}_channels.tsv",
        *(
            "name type units status",
            "Oz EEG uV good",
            "Pz EEG uV bad",
            "lid VEOG uV good",
            "TRG TRIG n/a good",
        ),
        *("STI014 MISC n/a n/a",),
    )
    recording = read(path)
    assert [(c.name, c.type, c.unit) for c in recording.channels] == [
        *[
            ("Oz", "eeg", "V"),
            ("Pz", "eeg", "V"),
            ("lid", "eog", "V"),
            ("TRG", "stim", ""),
            ("STI 014", "stim", ""),
        ]
    ]
    assert "Channels marked as bad: Pz." in recording.notes
    assert "channels.tsv tells of channels that are not there: STI014." in recording.notes
    assert [c.name for c in read(path, modality="eeg").channels] == ["Oz", "Pz"]
    assert recording.markers == ((77, "9"),)


@pytest.mark.parametrize(
    ("system", "position_m"),
    [("CapTrak", (0.01, 0.02, 0.03)), ("CTF", (-0.02, 0.01, 0.03)), ("ICBM452AirSpace", None)],
)
def test_positions_are_turned_into_head_coordinates(
    tmp_path: Path, system: str, position_m: tuple[float, float, float] | None
) -> None:
    path = write_recording(tmp_path)
    # Electrodes are told for the session, in a space of their own.
    write_table(
        tmp_path / f"sub-01_ses-02_space-{system}_electrodes.tsv", "name x y z", "Oz 1 2 3", "Pz n/a n/a n/a"
    )
    said = {"EEGCoordinateSystem": system, "EEGCoordinateUnits": "cm"}
    (tmp_path / f"sub-01_ses-02_space-{system}_coordsystem.json").write_text(json.dumps(said))
    recording = read(path)
    assert recording.channels[0].position_m == (None if position_m is None else pytest.approx(position_m))
    assert recording.channels[1].position_m is None
    assert any("Positions in" in note for note in recording.notes) == (position_m is None)


def test_a_table_of_another_run_is_not_taken_and_one_above_is(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("{}")
    folder = tmp_path / "sub-01" / "ses-02" / "eeg"
    path = write_recording(folder)
    other = NAME.replace("run-3", "run-4")
    write_table(folder / f"{other}_events.tsv", "onset value", "1 1")
    assert find_beside(path, "events.tsv") is None
    assert read(path).markers == ((77, "9"),)
    above = write_table(tmp_path / "task-look_events.tsv", "onset value", "1 4")
    assert find_beside(path, "events.tsv") == above
    own = write_table(folder / f"{NAME}_events.tsv", "onset value", "1 5")
    assert find_beside(path, "events.tsv") == own
    assert find_beside(folder / "run-3.vhdr", "events.tsv") is None


@pytest.mark.parametrize(
    ("rows", "tells"),
    [
        (("when what", "1 2"), "has no column 'onset'. Its columns are: when, what"),
        (("onset value", "soon 2"), "row 2, column 'onset': 'soon' is not a number"),
        (("onset sample value", "1 inf 2"), "column 'sample': 'inf' is not a number"),
        (
            ("onset duration", "1 2"),
            "in none of the columns 73k_id, trial_type, value, stim_file what was shown",
        ),
    ],
)
def test_a_table_that_cannot_be_read_says_where(tmp_path: Path, rows: tuple[str, ...], tells: str) -> None:
    with pytest.raises(RecordingError, match=tells):
        read_events(
            write_table(tmp_path / "sub-1_events.tsv", *rows), tmp_path / "sub-1_eeg.vhdr", SFREQ_HZ, None, []
        )


def test_tables_that_are_empty_or_no_text(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    table = tmp_path / f"{NAME}_events.tsv"
    table.write_text("onset\tduration\ttrial_type\n")
    assert read(path).markers == ()
    table.write_text("")
    with pytest.raises(RecordingError, match=r"events\.tsv is empty"):
        read(path)
    table.write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(RecordingError, match="is not a table of text"):
        read(path)
    with pytest.raises(RecordingError, match="cannot be read"):
        read_table(tmp_path / "missing.tsv")


def test_samples_and_onsets_that_disagree_are_told(tmp_path: Path) -> None:
    notes: list[str] = []
    table = write_table(tmp_path / "sub-1_events.tsv", "onset sample value", "1 400 3", "2 500 4")
    events = read_events(table, table, SFREQ_HZ, None, notes)
    assert events.stimuli.onset.tolist() == [400, 500]
    assert notes == [
        "Columns sample and onset of sub-1_events.tsv differ by up to 150 samples; sample is taken."
    ]
