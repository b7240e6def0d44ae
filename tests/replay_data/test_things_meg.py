import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from decode_stream.replay_data import things_meg
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.write_things_meg import write_runs
from decode_stream.replay_data.write_things_meg_trials import write_preprocessed
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

SFREQ_HZ = 1200.0
NAME = "sub-BIGMEG1/ses-01/meg/sub-BIGMEG1_ses-01_task-main_run-01_meg.ds"
FIRST = "derivatives/preprocessed/preprocessed_P1-epo.fif"


def channels(unit: str = "T", n: int = 5) -> tuple[Channel, ...]:
    names = ("MLC11-1609", "MLO12-1609", "MRO11-1609", "MRO22-1609", "MZO02-1609")[:n]
    return tuple(
        Channel(name, "mag", unit, (0.02 * i - 0.04, -0.05, 0.09 + 0.01 * i)) for i, name in enumerate(names)
    )


REFERENCES = (
    Channel("BG1-1609", "ref_meg", "T", (0.0, 0.05, 0.3)),
    Channel("G11-1609", "ref_meg", "T", (0.01, 0.05, 0.3)),
)


def table(session: int, run: int, onsets: np.ndarray) -> StimulusTable:
    """Five training pictures, the two test pictures and a catch trial."""
    first = 100 * session + 10 * run
    ids = np.array([first, first + 1, 7, first + 2, -1, 12, first + 3, first + 4])
    split = np.array([*["train"] * 2, "test", "train", "catch", "test", *["train"] * 2])
    concept = np.array(["ant", "bee", "ant", "cow", "", "dog", "eel", "fox"])
    image = np.array(
        [f"{c}/{c}_{i:02}s.jpg" if c else "catch001.jpg" for c, i in zip(concept, ids, strict=True)]
    )
    n = len(ids)
    return StimulusTable(onsets, ids, concept, image, split, np.full(n, session), np.full(n, run))


def one_run(session: int = 1, run: int = 1) -> ArrayRecording:
    rng = np.random.default_rng(10 * session + run)
    onsets = 600 + 1800 * np.arange(8) + rng.integers(-240, 240, 8)
    both = (*channels(), *REFERENCES)
    data = 1e-12 * rng.standard_normal((16_000, len(both)))
    return ArrayRecording(data, both, SFREQ_HZ, stimuli=table(session, run, onsets))


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


def events_of(run: Path) -> Path:
    return run.with_name(run.name.replace("_meg.ds", "_events.tsv"))


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


def test_tables_are_no_recordings(dataset: Path) -> None:
    for path in (dataset / "sourcedata" / "sample_attributes_P1.csv", events_of(dataset / NAME)):
        with pytest.raises(RecordingError, match="a table that belongs to recordings"):
            open_recording(path)
        assert inspect(path).layout == "THINGS-MEG, a table beside its recordings"


# Preprocessed trials.

EPOCH = Epoch(29, 20, True)


def trials() -> tuple[np.ndarray, StimulusTable]:
    """Twelve sessions of one run, with two test pictures in each."""
    tables = [table(session, 1, np.zeros(8, np.int64)) for session in range(1, 13)]
    columns = ("id", "concept", "image", "split", "session", "run")
    joined = {name: np.concatenate([getattr(t, name) for t in tables]) for name in columns}
    n = len(joined["id"])
    data = np.random.default_rng(3).standard_normal((n, 5, EPOCH.n_times)).astype(np.float32)
    return data, StimulusTable(np.arange(n) * EPOCH.n_times + EPOCH.onset, **joined)


def write_trials(root: Path, n_parts: int = 3, block: int = 7) -> list[Path]:
    data, shown = trials()
    trial_bytes = data[0].nbytes
    return write_preprocessed(
        root,
        1,
        (data[i : i + block] for i in range(0, len(data), block)),
        channels=channels(""),
        sfreq_hz=200.0,
        epoch=EPOCH,
        stimuli=shown,
        part_bytes=-(-len(data) // n_parts) * trial_bytes,
    )


def read_by_mne(path: Path) -> mne.BaseEpochs:
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "The inplace keyword"
        )  # of pandas, which mne uses where it is installed
        return mne.read_epochs(path, verbose="error")


def without_metadata(root: Path) -> None:
    """Write the trials anew as mne does, without their table."""
    epochs = read_by_mne(root / FIRST)
    epochs.metadata = None
    for path in (root / FIRST).parent.iterdir():
        path.unlink()
    epochs.save(root / FIRST, verbose="error")


def test_trials_are_read_from_their_parts(tmp_path: Path) -> None:
    data, shown = trials()
    parts = write_trials(tmp_path)
    assert [path.name for path in parts] == [
        *["preprocessed_P1-epo.fif", "preprocessed_P1-epo-1.fif", "preprocessed_P1-epo-2.fif"]
    ]
    recording = open_recording(parts[0])
    assert recording.epoch == EPOCH
    assert (recording.sfreq_hz, recording.n_samples) == (200.0, 96 * 29)
    assert {(c.type, c.unit) for c in recording.channels} == {("mag", "")}
    assert recording.channels[0].position_m == pytest.approx(channels()[0].position_m, abs=1e-6)
    for column in (*("onset", "id", "concept", "split", "session", "run"),):
        assert getattr(recording.stimuli, column).tolist() == getattr(shown, column).tolist(), column
    expected = data.transpose(0, 2, 1).reshape(-1, 5)
    np.testing.assert_allclose(recording.read(0, recording.n_samples), expected, rtol=1e-6)
    for start, stop in ((0, 1), (28, 30), (927, 930), (1855, 1860), (2783, 2784), (40, 40), (2780, 9999)):
        np.testing.assert_allclose(recording.read(start, stop), expected[start:stop], rtol=1e-6)
    assert len(recording.gaps) == 95
    assert any("standard deviations" in note and "not tesla" in note for note in recording.notes)
    picked = open_recording(parts[0], exclude_channels=["MLO12-1609"])
    np.testing.assert_allclose(picked.read(100, 200), expected[100:200, [0, 2, 3, 4]], rtol=1e-6)


def test_mne_reads_the_same_trials(tmp_path: Path) -> None:
    (first, *_) = write_trials(tmp_path)
    epochs = read_by_mne(first)
    recording = open_recording(first)
    assert (len(epochs), epochs.tmin) == (96, -0.1)
    assert epochs.events[4, 2] == 999999
    np.testing.assert_allclose(
        recording.read(0, recording.n_samples).reshape(96, 29, 5).transpose(0, 2, 1),
        epochs.get_data(),
        rtol=1e-6,
    )
    assert epochs.metadata is not None
    assert len(epochs.metadata) == 96
    assert recording.stimuli.id is not None
    known = np.where(epochs.events[:, 2] == 999999, -1, epochs.events[:, 2])
    assert recording.stimuli.id.tolist() == known.tolist()
    # Onsets: mne's time 0 is the sample that the table names.
    zero = int(np.argmin(np.abs(epochs.times)))
    assert recording.stimuli.onset.tolist() == [29 * i + zero for i in range(96)]


def test_what_mne_saves_in_parts_is_read(tmp_path: Path) -> None:
    (first, *_) = write_trials(tmp_path, 1)
    epochs = read_by_mne(first)
    epochs.metadata = None
    big = mne.concatenate_epochs([epochs] * 40, add_offset=True, verbose="error")
    folder = tmp_path / "again" / "preprocessed"
    folder.mkdir(parents=True)
    big.save(folder / first.name, split_size="2MB", verbose="error")
    names = [path.name for path in folder.iterdir()]
    assert len(names) > 2
    recording = open_recording(folder / first.name)
    assert recording.n_samples == 40 * 96 * 29
    whole = big.get_data().transpose(0, 2, 1).reshape(-1, 5)
    np.testing.assert_allclose(recording.read(50_000, 60_000), whole[50_000:60_000], rtol=1e-5)
    assert recording.epoch is not None
    assert recording.epoch.in_order


def test_the_tenth_part_comes_after_the_ninth(tmp_path: Path) -> None:
    data, _ = trials()
    parts = write_trials(tmp_path, 12)
    assert parts[11].name == "preprocessed_P1-epo-11.fif"
    recording = open_recording(parts[0])
    np.testing.assert_allclose(
        recording.read(0, recording.n_samples), data.transpose(0, 2, 1).reshape(-1, 5), rtol=1e-6
    )
    assert recording.epoch is not None
    assert recording.epoch.in_order


def test_missing_parts_are_named(tmp_path: Path) -> None:
    parts = write_trials(tmp_path, 12)
    with pytest.raises(RecordingError, match=r"is part 3 of the trials of subject 1: give .*P1-epo\.fif"):
        open_recording(parts[3])
    held = parts[5].rename(tmp_path / "x.fif")
    with pytest.raises(
        RecordingError, match=r"lacks preprocessed_P1-epo-5\.fif of 12 parts at least.*figshare"
    ):
        open_recording(parts[0])
    assert not inspect(parts[0].parent).sound
    held.rename(parts[5])
    parts[11].unlink()
    with pytest.raises(RecordingError, match=r"goes on in preprocessed_P1-epo-11\.fif, which is missing"):
        open_recording(parts[0])
    parts[0].unlink()
    with pytest.raises(RecordingError, match=r"download it \(figshare 21215246\) and give"):
        open_recording(parts[1])
    found = inspect(parts[0].parent)
    assert any(f.level == "wrong" and "the first part, is missing" in f.text for f in found.findings)


def test_parts_of_different_downloads_are_refused(tmp_path: Path) -> None:
    parts = write_trials(tmp_path / "a", 3)
    shutil.copyfile(write_trials(tmp_path / "b", 1)[0], parts[1])
    with pytest.raises(
        RecordingError, match=r"epo-1\.fif is the last part by what it says, and .*epo-2\.fif"
    ):
        open_recording(parts[0])


@pytest.mark.parametrize("share", [0.0001, 0.02, 0.3, 0.97, 0.9999])
def test_a_part_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    parts = write_trials(tmp_path, 2)
    whole = parts[1].read_bytes()
    parts[1].write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(RecordingError, match="cut off or damaged|is no FIF file"):
        open_recording(parts[0])
    parts[1].write_bytes(b"x" * 5000)
    with pytest.raises(RecordingError, match="is no FIF file"):
        open_recording(parts[0])


def test_trials_without_their_table_are_told_by_the_persons(tmp_path: Path) -> None:
    _, shown = trials()
    write_trials(tmp_path)
    without_metadata(tmp_path)
    recording = open_recording(tmp_path / FIRST)
    assert recording.stimuli.columns == ("onset", "id", "split")
    assert recording.stimuli.split is not None
    assert shown.split is not None
    assert recording.stimuli.split.tolist() == shown.split.tolist()
    assert any("shown 12 times: 2 of them" in note for note in recording.notes)
    assert any("sample_attributes_P1.csv is missing" in note for note in recording.notes)

    runs = [one_run(session, 1) for session in range(1, 13)]
    write_runs(tmp_path, 1, [replace(run, data=run.data[:15_000]) for run in runs])
    recording = open_recording(tmp_path / FIRST)
    assert recording.stimuli.session is not None
    assert recording.stimuli.session.tolist() == np.repeat(np.arange(1, 13), 8).tolist()
    assert any("told by sample_attributes_P1.csv" in note for note in recording.notes)
    assert any("12 training trials show concepts of test pictures" in n for n in recording.notes)
    attributes = tmp_path / "sourcedata" / "sample_attributes_P1.csv"
    attributes.write_text("".join(attributes.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RecordingError, match="has 95 trials, and the files hold 96"):
        open_recording(tmp_path / FIRST)


def test_trials_out_of_order_say_so(tmp_path: Path) -> None:
    write_trials(tmp_path)
    epochs = read_by_mne(tmp_path / FIRST)
    epochs.events[:, 0] = epochs.events[::-1, 0]
    for path in (tmp_path / FIRST).parent.iterdir():
        path.unlink()
    epochs.save(tmp_path / FIRST, verbose="error")
    recording = open_recording(tmp_path / FIRST)
    assert recording.epoch is not None
    assert not recording.epoch.in_order
    assert recording.stimuli.repeat is None


def test_blocks_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    data, shown = trials()

    def blocks(n: int) -> Iterator[np.ndarray]:
        yield data[:40]
        yield np.concatenate([data, data])[40:n]

    for n, said in ((90, "trials came for"), (100, "More trials came than the 96")):
        with pytest.raises(RecordingError, match=said):
            write_preprocessed(
                tmp_path,
                1,
                blocks(n),
                channels=channels(""),
                sfreq_hz=200.0,
                epoch=EPOCH,
                stimuli=shown,
                part_bytes=20_000,
            )
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_derivatives_are_inspected(tmp_path: Path) -> None:
    write_trials(tmp_path)
    for folder in ("derivatives/preprocessed", "derivatives", "."):
        path = tmp_path / folder
        if folder == ".":
            write_runs(tmp_path, 1, [one_run()])
        found = inspect(path)
        assert ("preprocessed trials", "subject 1: 3 parts") in found.facts
        assert found.sound
    with pytest.raises(RecordingError, match="Give one of them: preprocessed_P1-epo.fif"):
        open_recording(tmp_path / "derivatives" / "preprocessed")
    facts = dict(inspect(tmp_path / FIRST).facts)
    assert facts["trials"] == "96 of 29 samples, -100 to 40 ms; in the order shown"
    assert facts["splits"] == "catch 12, test 24, train 60"


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


def test_what_is_damaged_is_told(tmp_path: Path, copy: Path) -> None:
    events_of(copy / NAME).write_text("onset\tsample\tvalue\n")
    with pytest.raises(RecordingError, match="holds no rows"):
        open_recording(copy / NAME)
    header = copy / NAME / f"{Path(NAME).stem}.res4"
    said = bytearray(header.read_bytes())
    said[1288:1292] = (2**31 - 1).to_bytes(4, "big")  # samples of the trial
    header.write_bytes(said)
    with pytest.raises(RecordingError, match=r"its header declares 8\d+\.\d MB \(1 x 2147483647 samples"):
        open_recording(copy / NAME)

    (first, *_) = write_trials(tmp_path)
    whole = bytearray(first.read_bytes())
    whole[12:16] = (36).to_bytes(4, "big")  # the first tag goes on at the second, and that to itself
    whole[48:52] = (36).to_bytes(4, "big")
    first.write_bytes(whole)
    with pytest.raises(RecordingError, match="go round in a circle"):
        open_recording(first)
    shutil.copyfile(Path(mne.__file__), first)
    with pytest.raises(RecordingError, match="is no FIF file"):
        open_recording(first)
    mne.io.write_info(tmp_path / "x-info.fif", mne.create_info(1, 200.0), verbose="error")
    shutil.copyfile(tmp_path / "x-info.fif", first)
    with pytest.raises(RecordingError, match="holds no trials"):
        open_recording(first)
