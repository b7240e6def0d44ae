import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.things_eeg import layout as things_eeg
from decode_stream.replay_data.things_eeg.names import CHANNELS_17, CHANNELS_63
from decode_stream.stream.errors import RecordingError
from tests.replay_data.things_eeg_sample import FILES, FOLDERS, levels, write_images


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
