import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import mne
import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.formats.array_files import open_arrays
from decode_stream.replay_data.formats.write_arrays import (
    Streamed,
    Turned,
    write_numpy_dict,
    write_pickled_dict,
    write_torch_dict,
)
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.things_eeg.cut_trials import RECIPES, cut_trials, ledoit_wolf, noise_whiteners
from decode_stream.replay_data.things_eeg.names import CHANNELS_63
from decode_stream.replay_data.things_eeg.write import write_raw, write_source
from decode_stream.replay_data.things_eeg.write_trials import (
    TRIAL_FORMS,
    CutTrials,
    TrialForm,
    trials_path,
    write_trials,
)
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel

CHANNELS = tuple(Channel(name, "eeg", "V") for name in ("HEOG", *CHANNELS_63[::-1]))


def session(seed: int, n_images: int = 4, n_shown: int = 3) -> ArrayRecording:
    """Return a session in which every image is shown three times at 200 ms, one of them too early to be cut."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.repeat(np.arange(1, n_images + 1), n_shown))
    ids = np.concatenate([[1, -1], ids])
    onsets = 100 + 200 * np.arange(len(ids))
    n = int(onsets[-1]) + 1200
    slow = np.cumsum(rng.standard_normal((n, len(CHANNELS))), axis=0) * 1e-6
    mixed = slow @ (np.eye(len(CHANNELS)) + 0.3 * rng.standard_normal((len(CHANNELS),) * 2))
    split = np.where(ids < 0, "target", "train")
    return ArrayRecording(
        mixed, CHANNELS, 1000.0, stimuli=StimulusTable(onsets, ids, split=split), name=f"s{seed}"
    )


def cut(form: TrialForm, sessions: list[ArrayRecording], **more: Any) -> CutTrials:
    return cut_trials(
        [[one] for one in sessions], RECIPES[form], "train", n_images=4, n_repeats=2, seed=5, **more
    )


def data_of(trials: CutTrials) -> np.ndarray:
    return np.concatenate(list(trials.blocks))


@pytest.mark.parametrize("form", ["osf", "250hz"])
def test_trials_are_cut_as_mne_cuts_them(form: TrialForm) -> None:
    one, recipe = session(0), RECIPES[form]
    trials = cut(form, [one])
    ours = data_of(trials)
    assert ours.shape == trials.shape
    info = mne.create_info([c.name for c in CHANNELS], 1000.0, "eeg")
    raw = mne.io.RawArray(one.data.T, info, verbose="error").pick(list(recipe.channels), verbose="error")
    raw.reorder_channels(list(recipe.channels))
    assert one.stimuli.id is not None
    events = np.column_stack([one.stimuli.onset, np.zeros_like(one.stimuli.onset), one.stimuli.id])
    epochs = mne.Epochs(
        raw,
        events,
        tmin=recipe.first_s,
        tmax=recipe.last_s,
        baseline=(None, 0),
        preload=True,
        verbose="error",
    ).resample(recipe.sfreq_hz, verbose="error")
    theirs = epochs.get_data()[..., recipe.n_dropped :]
    np.testing.assert_allclose(trials.times_s, epochs.times, atol=1e-9)
    assert trials.names == tuple(epochs.ch_names)
    for image in range(4):
        candidates = theirs[epochs.events[:, 2] == image + 1]
        for trial in ours[image]:
            distances = np.abs(candidates - trial).max(axis=(1, 2))
            assert distances.min() < 1e-9 * np.abs(trial).max()
        assert not np.array_equal(ours[image, 0], ours[image, 1])


def test_ubp_keeps_the_sessions_and_osf_mixes_them() -> None:
    sessions = [session(seed) for seed in range(4)]
    assert cut("ubp", sessions).sessions is not None
    np.testing.assert_array_equal(cut("ubp", sessions).sessions, np.tile([1, 1, 2, 2, 3, 3, 4, 4], (4, 1)))
    mixed = cut("osf", sessions).sessions
    assert mixed is not None
    assert (np.sort(mixed, axis=1) == [1, 1, 2, 2, 3, 3, 4, 4]).all()
    assert (mixed != np.sort(mixed, axis=1)).any()
    np.testing.assert_array_equal(data_of(cut("ubp", sessions)), data_of(cut("ubp", sessions)))


def test_whitened_trials_have_the_noise_of_white_channels() -> None:
    sessions = [session(seed, n_shown=6) for seed in range(2)]
    recipe = RECIPES["ubp"]
    whiteners = noise_whiteners([[one] for one in sessions], recipe)
    plain = data_of(cut("ubp", sessions))
    white = data_of(cut("ubp", sessions, whiteners=whiteners))
    np.testing.assert_allclose(white[2, 3], whiteners[1] @ plain[2, 3], rtol=1e-9)

    def condition(trials: np.ndarray) -> float:
        return float(
            np.linalg.cond(np.mean([np.cov(trial) for trial in trials.reshape(-1, 63, 250)], axis=0))
        )

    assert condition(white) < condition(plain) / 10


def test_the_shrunk_covariance_is_that_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.covariance")
    rng = np.random.default_rng(0)
    for n, p in ((250, 63), (40, 63), (10, 3)):
        samples = rng.standard_normal((n, p)) @ rng.standard_normal((p, p))
        np.testing.assert_allclose(
            ledoit_wolf(samples), sklearn.ledoit_wolf(samples)[0], rtol=1e-9, atol=1e-12
        )


def test_images_shown_too_rarely_and_missing_channels_are_told() -> None:
    one = session(0)
    with pytest.raises(RecordingError, match="times as a whole, and 9 are due"):
        cut_trials([[one]], RECIPES["osf"], "train", n_images=4, n_repeats=9, seed=0)
    with pytest.raises(RecordingError, match="different numbers of sessions"):
        cut_trials([[one]], RECIPES["osf"], "train", n_images=5, n_repeats=2, seed=0)
    narrow = replace(one, data=one.data[:, :9], channels=one.channels[:9])
    with pytest.raises(RecordingError, match="s0 has no P7"):
        cut_trials([[narrow]], RECIPES["osf"], "train", n_images=4, n_repeats=2, seed=0)


@pytest.mark.parametrize("form", TRIAL_FORMS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_form_of_trials_is_read_as_it_was_written(tmp_path: Path, form: TrialForm, split: str) -> None:
    recipe = RECIPES[form]
    n_times = 100 if form == "osf" else 250
    shape = (20, 4) if split == "train" else (7, 8)
    data = np.random.default_rng(0).standard_normal((*shape, len(recipe.channels), n_times))
    first = -0.2 + np.arange(n_times + recipe.n_dropped) / recipe.sfreq_hz
    sessions = np.random.default_rng(1).integers(1, 5, shape)
    trials = CutTrials(data.shape, iter([data[:3], data[3:]]), recipe.channels, first, sessions)  # type: ignore[arg-type]
    images = [f"{split}_images/{i // 10:05}_cat{i // 10}/cat{i // 10}_{i % 10}.jpg" for i in range(shape[0])]
    path = trials_path(tmp_path, form, 4, split)
    write_trials(trials, path, form, split, images=images)
    recording = open_recording(path)
    assert recording.epoch is not None
    assert (recording.sfreq_hz, recording.epoch.onset) == (recipe.sfreq_hz, 20 if form == "osf" else 0)
    stored = data.astype({"ubp": np.float16, "neurobridge": np.float32}.get(form, np.float64))  # type: ignore[arg-type]
    flat = stored.reshape(-1, *data.shape[2:]).transpose(0, 2, 1).reshape(-1, data.shape[2])
    np.testing.assert_array_equal(recording.read(0, recording.n_samples), flat)
    np.testing.assert_array_equal(recording.read(n_times - 3, n_times + 5), flat[n_times - 3 : n_times + 5])
    if form == "ubp":
        np.testing.assert_array_equal(recording.stimuli.session, sessions.reshape(-1))
        assert recording.stimuli.image is not None
        assert recording.stimuli.image[8] == images[8 // shape[1]]
        torch = pytest.importorskip("torch")
        held = torch.load(path, weights_only=False)
        assert list(held) == ["eeg", "label", "img", "text", "session", "ch_names", "times"]
        np.testing.assert_array_equal(held["eeg"], stored)
        assert (held["session"].min(), held["label"].dtype.kind) == (0, "i")
    else:
        held = np.load(path, allow_pickle=True)
        held = held.item() if form == "osf" else held
        assert isinstance(held, dict)
        np.testing.assert_array_equal(
            held["data" if form == "neurobridge" else "preprocessed_eeg_data"].ravel(), stored.ravel()
        )
    assert inspect(path).sound


def test_what_python_loads_is_what_was_given(tmp_path: Path) -> None:
    array = np.arange(240.0).reshape(5, 6, 8)
    values = {
        "array": Streamed(array.shape, array.dtype, [array[:2], array[2:]]),
        "names": ["O1", "Oz"] * 3,
        "texts": np.array([["a", "bcd"]]),
        "none": np.zeros((0, 3)),
        "rate": 1000,
        "pass": 0.01,
    }
    write_numpy_dict(tmp_path / "a.npy", values)
    write_pickled_dict(tmp_path / "b.npy", values)
    write_torch_dict(tmp_path / "c.pt", values)
    loaded = [
        np.load(tmp_path / "a.npy", allow_pickle=True).item(),
        np.load(tmp_path / "b.npy", allow_pickle=True),
    ]
    for held in [*loaded, *(open_arrays(tmp_path / name) for name in ("a.npy", "b.npy", "c.pt"))]:
        assert list(held) == list(values)
        np.testing.assert_array_equal(held["array"], array)
        np.testing.assert_array_equal(held["texts"], values["texts"])  # type: ignore[arg-type]
        assert held["none"].shape == (0, 3)
        assert (held["names"], held["rate"], held["pass"]) == (values["names"], 1000, 0.01)


def test_nothing_is_left_of_a_file_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = session(0)
    path = write_raw([one], tmp_path, subject=1, session=1, split="train")
    before = path.read_bytes()
    with pytest.raises(RecordingError, match="exists already"):
        write_raw([one], tmp_path, subject=1, session=1, split="train")

    def full(self: Turned, file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Turned, "write", full)
        with pytest.raises(RecordingError, match="cannot be written: No space left on device"):
            write_raw([one], tmp_path, subject=1, session=2, split="train")
        with pytest.raises(RecordingError, match="No space left"):
            write_raw([one], tmp_path, subject=1, session=1, split="train", overwrite=True)
    assert path.read_bytes() == before
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]

    def broken() -> Iterator[np.ndarray]:
        yield np.zeros((2, 4, 17, 100))
        raise RecordingError("the source is cut off")

    recipe = RECIPES["osf"]
    cut_off = CutTrials((20, 4, 17, 100), broken(), recipe.channels, np.arange(100) / 100)
    target = trials_path(tmp_path, "osf", 1, "train")
    with pytest.raises(RecordingError, match="the source is cut off"):
        write_trials(cut_off, target, "osf", "train")
    short = CutTrials((20, 4, 17, 100), [np.zeros((2, 4, 17, 100))], recipe.channels, np.arange(100) / 100)
    with pytest.raises(ValueError, match="13600 values were given"):
        write_trials(short, target, "osf", "train")
    assert list(target.parent.iterdir()) == []


def test_recordings_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    one = session(0)
    without_unit = replace(one, channels=tuple(replace(channel, unit="") for channel in one.channels))
    with pytest.raises(RecordingError, match="not in volts"):
        write_source(without_unit, tmp_path, subject=1, session=1, part=1)
    bare = ArrayRecording(one.data, one.channels, 1000.0, markers=((5, "face"),))
    with pytest.raises(RecordingError, match="no continuous recording with ids"):
        write_raw([bare], tmp_path, subject=1, session=1, split="train")
    late = replace(one, stimuli=StimulusTable(np.array([10**6]), np.array([1])), markers=())
    with pytest.raises(RecordingError, match="stimuli outside"):
        write_source(late, tmp_path, subject=1, session=1, part=1)
    other = replace(one, sfreq_hz=500.0, name="slow")
    with pytest.raises(RecordingError, match="slow has other channels or another rate"):
        write_raw([one, other], tmp_path, subject=1, session=1, split="train")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_test_sessions_are_written_with_their_triggers(tmp_path: Path) -> None:
    one = session(0)
    assert one.stimuli.id is not None
    ids = np.where(one.stimuli.id > 0, one.stimuli.id + 130, -1)
    table = StimulusTable(one.stimuli.onset, ids, split=np.where(ids > 0, "test", "target"))
    header = write_source(replace(one, stimuli=table, markers=()), tmp_path, subject=1, session=1, part=None)
    recording = open_recording(header)
    np.testing.assert_array_equal(recording.stimuli.id, ids)
    assert recording.stimuli.run is None
    assert recording.notes == ()
    assert "Stimulus,S131," in header.with_suffix(".vmrk").read_text()
