import errno
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import scipy.io

from decode_stream.replay_data.layout import ReadOptions
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.things_eeg import layout as things_eeg
from decode_stream.replay_data.things_eeg.names import CHANNELS_17, CHANNELS_63, check_channels, place_of
from decode_stream.replay_data.things_eeg.source import trigger_codes
from decode_stream.replay_data.things_eeg.write import write_raw, write_source
from decode_stream.stream.errors import RecordingError
from tests.replay_data.things_eeg_sample import (
    CONCEPTS,
    FILES,
    FOLDERS,
    NAMES,
    levels,
    session_part,
    write_images,
)


def test_the_channel_orders() -> None:
    assert len(CHANNELS_63) == len(set(CHANNELS_63)) == 63
    assert " ".join(CHANNELS_17) == "P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO3 POz PO4 PO8 O1 Oz O2"
    assert check_channels(CHANNELS_63)[0].level == check_channels(CHANNELS_17)[0].level == "ok"
    assert "in another order" in check_channels(NAMES)[0].text
    assert [finding.text[:8] for finding in check_channels(["Fz", "Oz"])] == ["Channels", "62 of th"]


def test_triggers_are_the_first_two_digits() -> None:
    ids = np.array([1, 9, 10, 99, 100, 987, 16540, -1, 12345])
    assert trigger_codes(ids, "train").tolist() == [1, 9, 10, 99, 10, 98, 16, 255, 12]
    assert trigger_codes(np.array([1, 137, 200, -1]), "test").tolist() == [1, 137, 200, 255]


def test_source_and_raw_give_the_same_onsets_and_ids(tmp_path: Path) -> None:
    write_images(tmp_path)
    parts = [session_part(seed) for seed in range(2)]
    headers = [write_source(part, tmp_path, subject=1, session=2, part=i) for i, part in enumerate(parts, 1)]
    raw = open_recording(write_raw(parts, tmp_path, subject=1, session=2, split="train"))
    assert (raw.n_samples, raw.sfreq_hz, raw.channels[0].unit) == (6000, 1000.0, "V")
    assert [channel.name for channel in raw.channels] == list(NAMES)
    start = 0
    for i, (header, part) in enumerate(zip(headers, parts, strict=True), 1):
        source = open_recording(header)
        own = (raw.stimuli.onset >= start) & (raw.stimuli.onset < start + source.n_samples)
        rows = raw.stimuli.rows(own)
        np.testing.assert_array_equal(rows.onset - start, source.stimuli.onset)
        for name in ("id", "concept", "image", "split", "session"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(source.stimuli, name))
        np.testing.assert_array_equal(source.stimuli.id, part.stimuli.id)
        assert source.stimuli.run is not None
        assert set(source.stimuli.run.tolist()) == {i}
        np.testing.assert_allclose(source.read(0, 3000), part.data * 1e-6, rtol=1e-6)
        np.testing.assert_allclose(raw.read(start, start + 3000), part.data * 1e-6, rtol=1e-12)
        start += source.n_samples
    assert raw.stimuli.run is None
    assert raw.stimuli.repeat is None
    first = int(np.flatnonzero(raw.stimuli.id == 17)[0]) if 17 in raw.stimuli.id else 0
    image = int(raw.stimuli.id[first])
    assert raw.stimuli.concept[first] == CONCEPTS[(image - 1) // 10]
    assert (
        raw.stimuli.image[first]
        == f"training_images/{FOLDERS['train'][image - 1]}/{FILES['train'][image - 1]}"
    )
    assert raw.stimuli.concept[4] == raw.stimuli.image[4] == ""
    assert len(raw.markers) == len(raw.stimuli) - 2  # a target in each part


def test_onsets_are_those_of_mne_and_ids_those_of_the_published_script(tmp_path: Path) -> None:
    header = write_source(session_part(3), tmp_path, subject=1, session=1, part=5)
    recording = open_recording(header)
    raw = mne.io.read_raw_brainvision(header, verbose="error")
    # The new segment at the start is an annotation in some versions of MNE-Python, and dropped in all.
    pictures = "^(?!New Segment)"
    samples = mne.events_from_annotations(raw, regexp=pictures, verbose="error")[0][:, 0]
    beh = scipy.io.loadmat(header.parent.parent / "beh" / header.name.replace("_eeg.vhdr", "_beh.mat"))[
        "data"
    ]
    numbers = np.array([np.asarray(x).item() for x in beh[0][0][2]["tot_img_number"][0]])
    np.testing.assert_array_equal(recording.stimuli.onset, samples)
    np.testing.assert_array_equal(recording.stimuli.id, np.where(numbers == 0, -1, numbers))
    assert recording.markers == tuple((int(at), str(n)) for at, n in zip(samples, numbers, strict=True) if n)
    np.testing.assert_allclose(recording.read(100, 200), raw[:, 100:200][0].T)
    codes = [int(text.split("S")[-1]) for text in raw.annotations.description if text.startswith("Stimulus")]
    assert codes == [255 if n == 0 else int(str(n)[:2]) for n in numbers]


def raw_file(folder: Path, **changes: Any) -> Path:
    """Write a raw file as the published script does, without our writer."""
    folder.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).standard_normal((64, 900)) * 1e-5
    data[-1] = 0
    data[-1, [100, 300, 500, 700]] = [2, 99999, 1, 2]
    held = {
        "raw_eeg_data": data,
        "ch_names": [*NAMES, "stim"],
        "ch_types": ["eeg"] * 63 + ["stim"],
        "sfreq": 1000,
        "highpass": 0.01,
        "lowpass": 100,
        **changes,
    }
    np.save(folder / "raw_eeg_test.npy", held)  # type: ignore[arg-type]
    return folder / "raw_eeg_test.npy"


def test_a_raw_file_of_the_published_script(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "raw_data" / "sub-07" / "ses-03")
    recording = open_recording(path)
    assert things_eeg.recognise(path) == "THINGS-EEG2, raw data, subject 7, session 3, test"
    assert recording.markers == ((100, "2"), (500, "1"), (700, "2"))
    assert recording.stimuli.split is not None
    assert recording.stimuli.split.tolist() == ["test", "target", "test", "test"]
    assert recording.stimuli.concept is None
    data = np.load(path, allow_pickle=True).item()["raw_eeg_data"]
    np.testing.assert_array_equal(recording.read(37, 541), data[:63, 37:541].T)
    info = mne.create_info([*NAMES, "stim"], 1000.0, ["eeg"] * 63 + ["stim"])
    events = mne.find_events(mne.io.RawArray(data, info, verbose="error"), "stim", verbose="error")
    np.testing.assert_array_equal(recording.stimuli.onset, events[:, 0])
    found = inspect(path)
    assert dict(found.facts)["array"].startswith("float64 (64, 900)")
    assert "image_metadata.npy" in levels(found)["missing"]
    picked = open_recording(path, exclude_channels=["O2"])
    assert len(picked.channels) == 62
    np.testing.assert_array_equal(picked.read(0, 9), np.delete(data[:63, :9].T, NAMES.index("O2"), axis=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raw_eeg_data": np.zeros((63, 900))}, "names 64 channels"),
        ({"ch_types": ["eeg"] * 64}, "no stim row"),
        ({"raw_eeg_data": np.full((64, 900), 201.0)}, "counts image 201, and the test split has 200"),
        ({"raw_eeg_data": np.full((64, 900), -3.0)}, "has -1 in its stim row"),
        ({"raw_eeg_data": np.full((64, 900), np.nan)}, "has -1 in its stim row"),
        ({"raw_eeg_data": [1, 2]}, "no array of channels by samples"),
        ({"sfreq": "fast"}, "a rate of 'fast'"),
        ({"ch_names": 64}, "no list of texts as its 'ch_names'"),
        ({}, None),
    ],
)
def test_raw_files_that_are_not_as_published(
    tmp_path: Path, changes: dict[str, Any], message: str | None
) -> None:
    if message is None:
        path = tmp_path / "raw_eeg_test.npy"
        np.save(path, np.zeros((64, 900)))
        message = "holds no raw_eeg_data"
    else:
        path = raw_file(tmp_path, **changes)
    with pytest.raises(RecordingError, match=message):
        open_recording(path)


def test_a_recording_without_its_behavioural_file_opens_with_triggers(tmp_path: Path) -> None:
    part = session_part()
    header = write_source(part, tmp_path, subject=2, session=1, part=1)
    beh = header.parent.parent / "beh" / header.name.replace("_eeg.vhdr", "_beh.mat")
    beh.unlink()
    recording = open_recording(header)
    assert recording.stimuli.id is None
    assert len(recording.stimuli) == 12
    assert recording.markers[4] == (1100, "255")
    assert any("nobody knows which pictures" in note for note in recording.notes)
    missing = levels(inspect(header))["missing"]
    assert beh.name in missing
    assert "Source EEG data" in missing


def test_a_behavioural_file_of_another_recording_is_refused(tmp_path: Path) -> None:
    header = write_source(session_part(0), tmp_path, subject=1, session=1, part=1)
    other = write_source(session_part(1), tmp_path, subject=1, session=1, part=2)

    def beh(path: Path) -> Path:
        return path.parent.parent / "beh" / path.name.replace("_eeg.vhdr", "_beh.mat")

    own = beh(header).read_bytes()
    beh(header).write_bytes(beh(other).read_bytes())
    with pytest.raises(RecordingError, match=r"of 12 triggers of .* do not fit the pictures"):
        open_recording(header)
    beh(header).write_bytes(own[: len(own) // 2])
    with pytest.raises(RecordingError, match="not a behavioural file"):
        open_recording(header)
    images = np.empty((1, 20), dtype=[("tot_img_number", object)])
    images["tot_img_number"][0, :] = list(range(1, 21))
    scipy.io.savemat(beh(header), {"data": {"a": 1, "b": 2, "images": images}})
    with pytest.raises(RecordingError, match="12 triggers, and .* lists 20 pictures"):
        open_recording(header)


def test_one_wrong_trigger_and_those_left_over_are_told(tmp_path: Path) -> None:
    part = session_part(0)
    assert part.stimuli.id is not None
    header = write_source(part, tmp_path, subject=1, session=1, part=1)
    markers = header.with_suffix(".vmrk")
    text = markers.read_text()
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Mk5="))
    lines[at] = "Mk5=Stimulus,S 98,701,1,0"
    lines.append("Mk14=Stimulus,S  7,2990,1,0")
    markers.write_text("\n".join(lines) + "\n")
    recording = open_recording(header)
    np.testing.assert_array_equal(recording.stimuli.id, part.stimuli.id)
    assert any("1 of 12 triggers" in note for note in recording.notes)
    assert any("1 triggers behind the last" in note for note in recording.notes)
    # A trigger of its own before the first picture.
    lines[at] = f"Mk5=Stimulus,S{trigger_codes(part.stimuli.id[3:4], 'train')[0]:3},901,1,0"
    start = next(i for i, line in enumerate(lines) if line.startswith("Mk2="))
    markers.write_text("\n".join([*lines[:start], "Mk2=Stimulus,S 99,11,1,0", *lines[start:-1]]) + "\n")
    recording = open_recording(header)
    np.testing.assert_array_equal(recording.stimuli.onset, part.stimuli.onset)
    assert recording.notes == ()


def test_a_recording_cut_off_in_its_samples_is_refused(tmp_path: Path) -> None:
    header = write_source(session_part(), tmp_path, subject=1, session=1, part=1)
    data = header.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[: 63 * 4 * 1500])
    with pytest.raises(RecordingError, match="12 triggers|triggers, and|cut off|pictures"):
        open_recording(header)


def test_a_file_in_another_subjects_folder_is_refused(tmp_path: Path) -> None:
    header = write_source(session_part(), tmp_path, subject=1, session=1, part=1)
    folder = tmp_path / "eeg_dataset" / "source_data"
    (folder / "sub-01").rename(folder / "sub-02")
    header = folder / "sub-02" / header.relative_to(folder / "sub-01")
    with pytest.raises(RecordingError, match="of subject 1 by its name and lies in the folder of subject 2"):
        open_recording(header)
    assert "lies in the folder of subject 2" in levels(inspect(tmp_path))["wrong"]


def test_folders_say_what_they_hold_and_lack(tmp_path: Path) -> None:
    write_images(tmp_path)
    parts = [session_part(seed) for seed in range(2)]
    for i, part in enumerate(parts, 1):
        write_source(part, tmp_path, subject=1, session=1, part=i)
    path = write_raw(parts, tmp_path, subject=1, session=1, split="train")
    (path.parent / "notes.txt").write_text("x")
    found = inspect(tmp_path)
    assert found.layout == "THINGS-EEG2, folder of raw and source"
    assert found.sound
    missing = levels(found)["missing"]
    for part in (
        "training part 3, training part 4, training part 5, test of subject 1, session 1",
        "test file of",
        "sessions 2, 3, 4 of subject 1",
        "30 pictures of",
        "osf.io/y63gw",
        "osf.io/crxs4",
    ):
        assert part in missing
    assert dict(found.facts)[str(path.relative_to(tmp_path))] == "63 channels, 6000 samples, 1000 Hz"
    for folder in (path.parent, path.parent.parent, tmp_path / "eeg_dataset"):
        assert things_eeg.recognise(folder)
    with pytest.raises(RecordingError, match="several recordings of THINGS-EEG2"):
        open_recording(tmp_path)
    assert open_recording(path.parent).n_samples == 6000  # the only one there
    # One level too high, and one too low.
    (tmp_path.parent / "above").mkdir()
    tmp_path.rename(tmp_path.parent / "above" / "eeg2")
    with pytest.raises(RecordingError, match="It holds eeg2: give one of them"):
        open_recording(tmp_path.parent / "above")
    with pytest.raises(RecordingError, match="It holds no recording either"):
        open_recording(tmp_path.parent / "above" / "eeg2" / "eeg_dataset/source_data/sub-01/ses-01/beh")


def test_ids_beyond_the_table_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path)
    header = write_source(session_part(ids=[1, 2, 31]), tmp_path, subject=1, session=1, part=1)
    with pytest.raises(RecordingError, match=r"Image 31 of the train split is beyond .* which lists 30"):
        open_recording(header)


def test_the_image_table(tmp_path: Path) -> None:
    write_images(tmp_path)
    path = tmp_path / "image_set" / "image_metadata.npy"
    held = np.load(path, allow_pickle=True).item()
    assert list(held) == [
        *("train_img_concepts", "train_img_concepts_THINGS", "train_img_files"),
        *("test_img_concepts", "test_img_concepts_THINGS", "test_img_files"),
    ]
    assert held["train_img_files"] == FILES["train"]
    found = inspect(path)
    assert dict(found.facts) == {"training": "30 pictures", "test": "2 pictures"}
    folder = path.parent / "test_images" / FOLDERS["test"][0]
    folder.mkdir(parents=True)
    (folder / FILES["test"][0]).touch()
    assert "1 pictures of test_images" in levels(inspect(path))["missing"]
    with pytest.raises(RecordingError, match="is no recording"):
        open_recording(path)
    np.save(path, {"train_img_files": [1, 2]})  # type: ignore[arg-type]
    with pytest.raises(RecordingError, match="no list of texts 'train_img_concepts'"):
        inspect(path)


def test_what_a_name_says() -> None:
    place = place_of(Path("/d/sub-01/ses-02/eeg/sub-01_ses-02_task-train_part-04_eeg.vhdr"))
    assert place is not None
    assert str(place) == "subject 1, session 2, training part 4"
    assert place_of(Path("sub-01_ses-02_task-train_eeg.vhdr")) is None
    assert place_of(Path("sub-01_ses-02_task-rest_eeg.vhdr")) is None


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    path = raw_file(tmp_path)
    for options in (
        ReadOptions(mask="nsdgeneral"),
        ReadOptions(unit="uV"),
        ReadOptions(marker_column="x"),
        ReadOptions(modality="meg"),
    ):
        with pytest.raises(RecordingError):
            things_eeg.read(path, options)


def test_unreadable_permissions_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = raw_file(tmp_path / "sub-01")

    def denied(self: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(RecordingError, match="cannot be read: Permission denied"):
        open_recording(path)
