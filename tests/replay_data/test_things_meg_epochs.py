import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.things_meg.write import write_runs
from decode_stream.replay_data.things_meg.write_trials import write_preprocessed
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable

from .things_meg_sample import channels, one_run, table

FIRST = "derivatives/preprocessed/preprocessed_P1-epo.fif"

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


def test_damaged_parts_are_told(tmp_path: Path) -> None:
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
