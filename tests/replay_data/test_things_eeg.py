import json
import os
import pickle
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import scipy.io

from decode_stream.replay_data import things_eeg
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.layout import Inspection, ReadOptions
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.things_eeg_names import CHANNELS_17, CHANNELS_63, check_channels, place_of
from decode_stream.replay_data.things_eeg_source import trigger_codes
from decode_stream.replay_data.write_things_eeg import write_image_metadata, write_raw, write_source
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

NAMES = CHANNELS_63[::-1]
CONCEPTS = ["aardvark", "abacus", "accordion"]
TEST_CONCEPTS = ["aircraft_carrier", "antelope"]
FILES = {
    "train": [f"{concept}_{k:02}b.jpg" for concept in CONCEPTS for k in range(1, 11)],
    "test": [f"{concept}_06s.jpg" for concept in TEST_CONCEPTS],
}
FOLDERS = {
    "train": [f"{i:05}_{concept}" for i, concept in enumerate(CONCEPTS, 1) for _ in range(10)],
    "test": [f"{i:05}_{concept}" for i, concept in enumerate(TEST_CONCEPTS, 1)],
}


def session_part(seed: int = 0, n: int = 3000, ids: Any = None, split: str = "train") -> ArrayRecording:
    """Return RSVP at 200 ms, in microvolts, with a target among the pictures."""
    rng = np.random.default_rng(seed)
    shown = np.array(rng.permutation(30)[:11] + 1 if ids is None else ids)
    shown = np.insert(shown, min(4, len(shown)), -1)
    return ArrayRecording(
        data=rng.standard_normal((n, 63)) * 20,
        channels=tuple(Channel(name, "eeg", "uV") for name in NAMES),
        sfreq_hz=1000.0,
        stimuli=StimulusTable(
            300 + 200 * np.arange(len(shown)), shown, split=np.where(shown < 0, "target", split)
        ),
    )


def write_images(root: Path) -> None:
    write_image_metadata(root, FOLDERS, FILES)


def levels(inspection: Inspection) -> dict[str, str]:
    return {
        level: " ".join(f.text for f in inspection.findings if f.level == level)
        for level in ("missing", "wrong")
    }


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


def trial_arrays(split: str = "train", n_times: int = 250, n_channels: int = 63) -> np.ndarray:
    shape = (30, 4) if split == "train" else (2, 80)
    return np.random.default_rng(len(split)).standard_normal((*shape, n_channels, n_times))


TIMES_300 = -0.2 + np.arange(300) / 250


def test_osf_trials(tmp_path: Path) -> None:
    write_images(tmp_path)
    folder = tmp_path / "preprocessed_data" / "sub-03"
    folder.mkdir(parents=True)
    data = trial_arrays(n_times=100, n_channels=17)
    held = {
        "preprocessed_eeg_data": data,
        "ch_names": list(CHANNELS_17),
        "times": -0.2 + np.arange(100) / 100,
    }
    np.save(folder / "preprocessed_eeg_training.npy", held)  # type: ignore[arg-type]
    recording = open_recording(folder / "preprocessed_eeg_training.npy")
    epoch, stimuli = recording.epoch, recording.stimuli
    assert epoch is not None
    assert (epoch.n_times, epoch.onset, epoch.in_order, recording.sfreq_hz) == (100, 20, False, 100.0)
    assert (recording.n_samples, len(recording.gaps), recording.channels[0].unit) == (12000, 119, "")
    assert stimuli.id is not None
    np.testing.assert_array_equal(stimuli.id, np.repeat(np.arange(1, 31), 4))
    np.testing.assert_array_equal(stimuli.onset, 100 * np.arange(120) + 20)
    assert (stimuli.session, stimuli.run, stimuli.repeat) == (None, None, None)
    assert stimuli.concept is not None
    assert stimuli.concept[4 * 10] == "abacus"
    flat = data.reshape(-1, 17, 100).transpose(0, 2, 1).reshape(-1, 17)
    for start, stop in (
        (0, 100),
        (37, 38),
        (99, 3001),
        (11990, 12000),
        (50, 50),
        (11990, 13000),
        (13000, 13001),
    ):
        np.testing.assert_array_equal(recording.read(start, stop), flat[start:stop])
    found = inspect(folder / "preprocessed_eeg_training.npy")
    assert found.layout == "THINGS-EEG2, preprocessed (OSF), subject 3, training"
    assert "30 images, 4 times each; 16540 and 4 were published" in " ".join(f.text for f in found.findings)


@pytest.mark.parametrize("form", ["250hz", "fortran", "big_endian", "np.save"])
def test_the_250_hz_variant_has_more_times_than_samples(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "Preprocessed_data_250Hz" / "sub-01"
    folder.mkdir(parents=True)
    path, data = folder / "preprocessed_eeg_test.npy", trial_arrays("test")
    stored = {"fortran": np.asfortranarray(data), "big_endian": data.astype(">f8")}.get(form, data)
    held = {"preprocessed_eeg_data": stored, "ch_names": list(CHANNELS_63), "times": TIMES_300}
    if form == "np.save":
        np.save(path, held)  # type: ignore[arg-type]
    else:
        path.write_bytes(pickle.dumps(held, protocol=4))
    recording = open_recording(path)
    assert recording.epoch is not None
    assert (recording.sfreq_hz, recording.epoch.onset, recording.epoch.n_times) == (250.0, 0, 250)
    assert any("The first 50 of 300 times" in note for note in recording.notes)
    block = recording.read(1000, 1500)
    assert block.dtype == np.float64
    np.testing.assert_array_equal(block[:250], data[0, 4].T)
    np.testing.assert_array_equal(block[250:], data[0, 5].T)
    assert recording.markers[80] == (80 * 250, "2")
    assert ("at 250 Hz" in inspect(path).layout) == (form != "np.save")


def test_ubp_trials_without_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    folder = tmp_path / "sub-05"
    folder.mkdir()
    data = trial_arrays().astype(np.float16)
    files = [
        f"train_images/{concept}/{file}"
        for concept, file in zip(FOLDERS["train"], FILES["train"], strict=True)
    ]
    held = {
        "eeg": data,
        "label": np.tile(np.arange(30)[:, None] // 10, (1, 4)),
        "img": np.tile(np.array(files)[:, None], (1, 4)),
        "text": np.tile(np.array(files)[:, None], (1, 4)),
        "session": np.tile([0.0, 0.0, 2.0, 2.0], (30, 1)),
        "ch_names": list(CHANNELS_63),
        "times": TIMES_300,
    }
    torch.save(held, folder / "train.pt", pickle_protocol=5)
    recording = open_recording(folder / "train.pt")
    stimuli = recording.stimuli
    assert stimuli.session is not None
    assert stimuli.session[:4].tolist() == [1, 1, 3, 3]
    assert stimuli.image is not None
    assert stimuli.concept is not None
    assert (stimuli.image[40], stimuli.concept[40]) == ("train_images/00002_abacus/abacus_01b.jpg", "abacus")
    block = recording.read(250, 500)
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, data[0, 1].T.astype(np.float32))
    # UBP's MEG files bear the same name.
    held["eeg"] = np.zeros((30, 1, 271, 201), np.float16)
    torch.save(held, folder / "test.pt", pickle_protocol=5)
    assert things_eeg.recognise(folder / "test.pt") == ""
    held["eeg"] = data
    held["session"] = np.zeros((3, 3))
    torch.save(held, folder / "train.pt", pickle_protocol=5)
    with pytest.raises(RecordingError, match=r"'session' of shape \(3, 3\)"):
        open_recording(folder / "train.pt")


@pytest.mark.parametrize("bare", [True, False])
def test_neurobridge_trials(tmp_path: Path, bare: bool) -> None:
    folder = tmp_path / "sub-01"
    folder.mkdir()
    data = trial_arrays().astype(np.float32).reshape(3, 10, 4, 63, 250)
    path = folder / "train.npy"
    if bare:
        np.save(path, data)
        with pytest.raises(RecordingError, match="info.json, which names its channels, is not there"):
            open_recording(path)
        (folder / "info.json").write_text(json.dumps({"ch_names": CHANNELS_63}))
    else:
        held = {"data": data, "ch_names": list(CHANNELS_63), "times": TIMES_300}
        path.write_bytes(pickle.dumps(held, protocol=4))
    recording = open_recording(path)
    assert recording.epoch is not None
    assert (recording.epoch.onset, recording.sfreq_hz, recording.n_samples) == (0, 250.0, 120 * 250)
    assert recording.stimuli.id is not None
    np.testing.assert_array_equal(recording.stimuli.id, np.repeat(np.arange(1, 31), 4))
    np.testing.assert_array_equal(recording.read(41 * 250, 42 * 250), data[1, 0, 1].T)
    # An array of this name that is something else.
    np.save(tmp_path / "train.npy", np.zeros((5, 4)))
    assert things_eeg.recognise(tmp_path / "train.npy") == ""


def test_mixed_variants_and_cut_off_files_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01"
    folder.mkdir()
    train, test = folder / "preprocessed_eeg_training.npy", folder / "preprocessed_eeg_test.npy"
    held = {
        "preprocessed_eeg_data": trial_arrays(n_times=100, n_channels=17),
        "ch_names": list(CHANNELS_17),
        "times": -0.2 + np.arange(100) / 100,
    }
    np.save(train, held)  # type: ignore[arg-type]
    other = {"preprocessed_eeg_data": trial_arrays("test"), "ch_names": list(CHANNELS_63), "times": TIMES_300}
    test.write_bytes(pickle.dumps(other, protocol=4))
    assert "mixes variants" in levels(inspect(folder))["wrong"]
    whole = test.read_bytes()
    test.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(RecordingError, match="cut off"):
        open_recording(test)
    assert "cut off" in levels(inspect(folder))["wrong"]
    for times in (np.full(100, np.inf), np.zeros(100), np.arange(100.0) ** 2):
        held["times"] = times
        np.save(train, held)  # type: ignore[arg-type]
        with pytest.raises(RecordingError, match="100 times for trials"):
            open_recording(train)
    held["times"] = np.arange(5.0)
    np.save(train, held)  # type: ignore[arg-type]
    with pytest.raises(RecordingError, match="5 times for trials of 100 samples"):
        open_recording(train)


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


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="the owner of everything may read everything"
)
def test_unreadable_permissions_are_told(tmp_path: Path) -> None:
    path = raw_file(tmp_path / "sub-01")
    path.chmod(0)
    with pytest.raises(RecordingError, match="cannot be read: Permission denied"):
        open_recording(path)
