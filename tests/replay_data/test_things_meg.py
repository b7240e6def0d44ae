import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mne
import numpy as np
import pytest

from decode_stream.replay_data.layout import ReadOptions
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.things_meg import layout as things_meg
from decode_stream.replay_data.things_meg.write import write_runs
from decode_stream.stream.errors import RecordingError

from .things_meg_sample import NAME, SFREQ_HZ, events_of, one_run


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ds004212")
    write_runs(root, 1, [one_run(1, 1), one_run(1, 2), one_run(2, 1)])
    return root


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "THINGS-MEG"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_run_is_read_with_what_was_shown(dataset: Path) -> None:
    source = one_run(1, 2)
    path = dataset / NAME.replace("run-01", "run-02")
    recording = open_recording(path)
    assert recording.epoch is None
    assert recording.sfreq_hz == SFREQ_HZ
    stimuli, shown = recording.stimuli, source.stimuli
    for column in ("onset", "id", "concept", "split", "session", "run"):
        assert getattr(stimuli, column).tolist() == getattr(shown, column).tolist(), column
    assert stimuli.image is not None
    assert stimuli.image[:2].tolist() == ["ant/ant_120s.jpg", "bee/bee_121s.jpg"]
    assert stimuli.image[4] == "images_catch_meg/catch001.jpg"
    assert stimuli.repeat is not None
    assert stimuli.repeat.tolist() == [1, 1, 2, 1, -1, 2, 1, 1]
    known = [(int(at), str(i)) for at, i in zip(shown.onset, shown.id, strict=True) if i > 0]  # type: ignore[arg-type]
    assert list(recording.markers) == known

    kinds = {channel.name: (channel.type, channel.unit) for channel in recording.channels}
    assert kinds["MLC11-1609"] == ("mag", "T")
    assert kinds["BG1-1609"] == ("ref_meg", "T")
    assert kinds["UPPT001"] == ("stim", "")
    assert kinds["UADC016-2104"] == ("misc", "V")
    assert kinds["SCLK01-177"] == ("misc", "")
    places = [channel.name for channel in recording.channels]
    meg = recording.read(0, 16_000)[:, [places.index(c.name) for c in source.channels[:5]]]
    np.testing.assert_allclose(meg, source.data[:, :5], atol=4e-16)


def test_onsets_agree_with_mne_to_the_sample(dataset: Path) -> None:
    path = dataset / NAME
    raw = mne.io.read_raw_ctf(path, verbose="error")
    assert raw.compensation_grade == 3
    assert raw.get_channel_types(["UPPT001"]) == ["misc"]  # as in the published files
    found = mne.find_events(raw, "UPPT001", initial_event=True, verbose="error")
    events = found[found[:, 2] == 64]
    recording = open_recording(path)
    assert (recording.stimuli.onset - events[:, 0]).tolist() == [12] * 8
    assert "Onsets lie 12 samples (median; 12 to 12) behind the triggers of UPPT001." in recording.notes
    rows = [line.split("\t") for line in events_of(path).read_text().splitlines()]
    events[:, 0] = [int(row[rows[0].index("sample")]) for row in rows[1:]]
    epochs = mne.Epochs(raw, events, tmin=-0.1, tmax=0.3, picks="mag", baseline=None, verbose="error")
    data = epochs.get_data()
    for trial, onset in zip(data, recording.stimuli.onset, strict=True):
        own = [i for i, channel in enumerate(recording.channels) if channel.type == "mag"]
        np.testing.assert_array_equal(recording.read(onset - 120, onset + 361)[:, own].T, trial)
    bright = mne.find_events(raw, "UADC016-2104", output="onset", min_duration=0.1, verbose="error")
    assert bright[:, 0].tolist() == recording.stimuli.onset.tolist()


def test_notes_tell_the_grade_and_the_dead_channel(dataset: Path) -> None:
    notes = open_recording(dataset / NAME).notes
    assert "Gradient compensation is left as recorded, grade 3." in notes
    assert any("MRO11-1609 was dead" in note for note in notes)
    left = open_recording(dataset / NAME, exclude_channels=["MRO11-1609"], modality="meg")
    assert [c.name for c in left.channels] == [
        *["MLC11-1609", "MLO12-1609", "MRO22-1609", "MZO02-1609", "BG1-1609", "G11-1609"]
    ]


def test_rows_that_disagree_are_reported_and_left_open(copy: Path) -> None:
    path = copy / NAME
    change(events_of(path), "\t111\t", "\t9111\t")
    recording = open_recording(path)
    (note,) = [note for note in recording.notes if "name different pictures" in note]
    assert note.startswith("1 of 8 rows")
    assert "row 2: 9111 and 111" in note
    stimuli = recording.stimuli
    assert stimuli.id is not None
    assert stimuli.image is not None
    assert (stimuli.id[1], stimuli.image[1], stimuli.image[0]) == (9111, "", "ant/ant_110s.jpg")
    assert recording.markers[1][1] == "9111"


def test_tables_of_others_are_refused(copy: Path) -> None:
    path, attributes = copy / NAME, copy / "sourcedata" / "sample_attributes_P1.csv"
    lines = attributes.read_text().splitlines(keepends=True)
    attributes.write_text("".join(lines[:1] + lines[9:17] + lines[9:]).replace(",1,2\n", ",1,1\n", 8))
    with pytest.raises(
        RecordingError, match="5 of 8 rows name different pictures.*different subjects or runs"
    ):
        open_recording(path)
    attributes.write_text("".join(lines[:5]))
    with pytest.raises(RecordingError, match="has 4 trials for session 1, run 1, and .*events.tsv has 8"):
        open_recording(path)
    attributes.write_text("a,b\n1,2\n")
    with pytest.raises(RecordingError, match="lacks the columns trial_type, things_image_nr"):
        open_recording(path)
    attributes.unlink()
    change(events_of(path), "\t110\t", "\tx\t")
    with pytest.raises(RecordingError, match="could not convert string to float: 'x', where a number"):
        open_recording(path)
    events_of(path).write_text("sample\tvalue\n99999\t3\n")
    with pytest.raises(RecordingError, match="an onset at sample 99999, and the recording has 16000"):
        open_recording(path)


def test_without_tables_only_what_is_known_is_told(copy: Path) -> None:
    path = copy / NAME
    (copy / "sourcedata" / "sample_attributes_P1.csv").unlink()
    recording = open_recording(path)
    assert recording.stimuli.columns == ("onset", "id", "session", "run")
    assert any(
        "sample_attributes_P1.csv is missing" in note and "ds004212" in note for note in recording.notes
    )
    found = things_meg.inspect(path).findings
    assert any(f.level == "missing" and "image_paths.csv" in f.text and "jum2f" in f.text for f in found)

    lists = copy / "THINGS" / "Metadata" / "Image-specific"
    lists.mkdir(parents=True)
    (lists / "image_paths.csv").write_text("".join(f"images/c{i}/c{i}_01b.jpg\n" for i in range(1, 300)))
    stimuli = open_recording(path).stimuli
    assert stimuli.image is not None
    assert stimuli.concept is not None
    assert (stimuli.image[0], stimuli.concept[2], stimuli.image[4]) == ("c110/c110_01b.jpg", "c7", "")
    (lists / "image_paths.csv").write_text("images/a/a_01b.jpg\n")
    with pytest.raises(RecordingError, match="lists 1 pictures, and one of number 114"):
        open_recording(path)

    events_of(path).unlink()
    recording = open_recording(path)
    assert recording.stimuli.columns == ("onset", "session", "run")
    np.testing.assert_array_equal(recording.stimuli.onset, one_run().stimuli.onset - 12)
    assert {label for _, label in recording.markers} == {"64", "32"}


def test_ids_follow_the_triggers_where_events_are_missing(copy: Path) -> None:
    path = copy / NAME
    events_of(path).unlink()
    recording = open_recording(path)
    shown = one_run().stimuli
    assert recording.stimuli.id is not None
    assert shown.id is not None
    assert recording.stimuli.id.tolist() == shown.id.tolist()
    assert recording.stimuli.onset.tolist() == (shown.onset - 12).tolist()
    assert any("in the order of the onsets" in note for note in recording.notes)


def test_events_without_samples_are_read_by_their_seconds(copy: Path) -> None:
    path = copy / NAME
    change(events_of(path), "\tsample\t", "\tother\t")
    recording = open_recording(path)
    assert recording.stimuli.onset.tolist() == one_run().stimuli.onset.tolist()
    assert any("has no column 'sample'" in note for note in recording.notes)


def test_markers_of_another_channel_can_be_asked_for(dataset: Path) -> None:
    markers = open_recording(dataset / NAME, marker_column="UPPT001").markers
    assert [label for _, label in markers] == ["64"] * 8 + ["32"]
    with pytest.raises(RecordingError, match="no use for the unit 'fT'"):
        open_recording(dataset / NAME, unit="fT")


def test_a_run_that_is_cut_off_or_misplaced_is_refused(copy: Path) -> None:
    path = copy / NAME
    samples = path / f"{path.stem}.meg4"
    samples.write_bytes(samples.read_bytes()[:-4000])
    with pytest.raises(RecordingError, match="is cut off: its samples take"):
        open_recording(path)
    assert not inspect(copy).sound
    other = copy / "sub-BIGMEG2" / "ses-01" / "meg" / path.name
    shutil.copytree(path, other)
    texts = [finding.text for finding in inspect(copy).findings if finding.level == "wrong"]
    assert any("is of subject 1 and lies in the folder of subject 2" in text for text in texts)
    with pytest.raises(RecordingError, match="is of subject 1 and lies in the folder of subject 2"):
        open_recording(other)
    with pytest.raises(RecordingError, match="is a part of a recording"):
        open_recording(samples)


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (".", "the dataset's folder"),
        ("sub-BIGMEG1", "subject 1"),
        ("sub-BIGMEG1/ses-01", "subject 1, session 1"),
        ("sub-BIGMEG1/ses-01/meg", "subject 1, session 1"),
    ],
)
def test_folders_say_what_they_hold_and_lack(dataset: Path, folder: str, words: str) -> None:
    path = dataset / folder
    found = inspect(path)
    assert found.layout.startswith("THINGS-MEG")
    assert found.layout.endswith(words)
    assert found.sound
    texts = [finding.text for finding in found.findings if finding.level == "missing"]
    assert any("Subject 1, session 1 lacks runs 3-10: OpenNeuro ds004212" in text for text in texts)
    assert any("lacks sessions 3-12" in text for text in texts) == ("session" not in words)
    assert any("Subjects without runs: 2-4" in text for text in texts) == (folder == ".")
    with pytest.raises(RecordingError, match="folder of recordings.*Give one of them: .*run-01_meg.ds"):
        open_recording(path)


@pytest.mark.parametrize("locked", ["sub-BIGMEG1/ses-02", "sub-BIGMEG1/ses-02/meg"])
def test_a_folder_that_may_not_be_looked_into_is_not_passed_over(
    dataset: Path, locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_dir, iterdir = Path.is_dir, Path.iterdir

    # As the system answers for a folder without permission; root is never refused.
    def no_look(path: Path) -> bool:
        if path.parent == dataset / locked:
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    def no_list(path: Path) -> Iterator[Path]:
        if path == dataset / locked:
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    assert inspect(dataset).facts[0] == ("runs", "3, of subject 1")
    monkeypatch.setattr(Path, "is_dir", no_look)
    monkeypatch.setattr(Path, "iterdir", no_list)
    for ask in (inspect, open_recording):
        with pytest.raises(
            RecordingError, match=rf"{locked}.* cannot be read: Permission denied\. Let it be read"
        ):
            ask(dataset)


def test_tables_are_no_recordings(dataset: Path) -> None:
    for path in (dataset / "sourcedata" / "sample_attributes_P1.csv", events_of(dataset / NAME)):
        with pytest.raises(RecordingError, match="a table that belongs to recordings"):
            open_recording(path)
        assert inspect(path).layout == "THINGS-MEG, a table beside its recordings"


def test_the_layout_is_written_file_for_file(dataset: Path) -> None:
    held = {path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()}
    stem = NAME.removesuffix("_meg.ds")
    inside = f"{NAME}/{Path(NAME).stem}"
    assert {
        *(
            f"{stem}_events.tsv",
            f"{stem}_meg.json",
            f"{stem}_channels.tsv",
            f"{inside}.res4",
            f"{inside}.meg4",
        ),
        *(f"{inside}.hc", "sub-BIGMEG1/ses-01/meg/sub-BIGMEG1_ses-01_coordsystem.json", "participants.tsv"),
        *("dataset_description.json", "sourcedata/sample_attributes_P1.csv"),
    } <= held
    lines = (dataset / "sourcedata" / "sample_attributes_P1.csv").read_text().splitlines()
    assert len(lines) == 1 + 24
    assert lines[0].split(",")[8] == "image_path"
    assert len(lines[0].split(",")) == 18
    assert lines[3].split(",")[8] == "images_test_meg/ant_07s.jpg"
    assert "\tn/a\t" in events_of(dataset / NAME).read_text().splitlines()[5]
    assert json.loads((dataset / "dataset_description.json").read_text())["BIDSVersion"]


def test_the_real_ctf_folder_reads_under_the_name_of_a_run(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "meg_ctf" / "testdata_ctf_short_discontinuous.ds"
    path = tmp_path / NAME
    path.mkdir(parents=True)
    for part in source.iterdir():
        name = part.name.replace(source.stem, path.stem)
        os.symlink(part, path / name)
    recording = things_meg.read(path, ReadOptions())
    assert (recording.n_samples, len(recording.gaps)) == (2402, 1)
    assert len(recording.stimuli) == 0
    kinds = [channel.type for channel in recording.channels]
    assert (kinds.count("mag"), kinds.count("ref_meg")) == (273, 28)
    assert "Gradient compensation is left as recorded, grade 0." in recording.notes
    raw = mne.io.read_raw_ctf(path, verbose="error")
    np.testing.assert_array_equal(recording.read(1100, 1300), raw[:, 1100:1300][0].T)
    assert inspect(path).layout == "THINGS-MEG, raw data, subject 1, session 1, run 1"


def test_damaged_runs_are_told(copy: Path) -> None:
    events_of(copy / NAME).write_text("onset\tsample\tvalue\n")
    with pytest.raises(RecordingError, match="holds no rows"):
        open_recording(copy / NAME)
    header = copy / NAME / f"{Path(NAME).stem}.res4"
    said = bytearray(header.read_bytes())
    said[1288:1292] = (2**31 - 1).to_bytes(4, "big")  # samples of the trial
    header.write_bytes(said)
    with pytest.raises(RecordingError, match=r"its header declares 8\d+\.\d MB \(1 x 2147483647 samples"):
        open_recording(copy / NAME)
