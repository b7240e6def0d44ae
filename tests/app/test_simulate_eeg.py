"""A simulated subject of THINGS-EEG2: written, inspected, replayed over LSL, and decoded as offline."""

from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.pictures.image_folders import list_pictures
from decode_stream.replay_data.stored import store

from .live_as_offline import decoded_live_as_offline, names_of, run
from .recordings import pieces_of

BACK = "O1,Oz,O2,PO7,PO3,POz,PO4,PO8"
LDA = ("--modality", "eeg", "--model", "lda")
#: Half of the training images come in odd sessions, half in even ones.
SESSIONS = ("ses-01", "ses-02")
#: Files of test trials.
FORMS = {
    "osf": "eeg_dataset/preprocessed_data/sub-01/preprocessed_eeg_test.npy",
    "250hz": "Preprocessed_data_250Hz/sub-01/preprocessed_eeg_test.npy",
    "ubp": "Preprocessed_data_250Hz_whiten/sub-01/test.pt",
    "neurobridge": "preprocessed_eeg/sub-01/test.npy",
}


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "things-eeg2"
    assert run("simulate", "things-eeg2", "--out", out, "--sessions", len(SESSIONS)) == 0
    return out


def raw_tests(subject: Path) -> list[Path]:
    folder = subject / "eeg_dataset" / "raw_data" / "sub-01"
    return [folder / session / "raw_eeg_test.npy" for session in SESSIONS]


def some_trials(path: Path, out: Path, every: int) -> Path:
    """Write every n-th trial of a recording that was cut into trials; returns `out`."""
    recording = open_recording(path)
    assert recording.epoch is not None
    n = recording.epoch.n_times
    pieces = [(i * n, (i + 1) * n) for i in range(0, recording.n_samples // n, every)]
    store(pieces_of(recording, pieces), out)
    return out


@pytest.mark.slow
def test_source_and_raw_files_hold_what_was_simulated(subject: Path) -> None:
    assert inspect(subject).sound
    assert len(list_pictures(subject / "image_set").pictures) == 45
    sources = subject / "eeg_dataset" / "source_data" / "sub-01"
    for session, path in zip(SESSIONS, raw_tests(subject), strict=True):
        stem = f"sub-01_{session}_task-test"
        source = open_recording(sources / session / "eeg" / f"{stem}_eeg.vhdr")
        simulated = open_recording(subject / "simulation" / f"{stem}.simulation.json")
        recording = open_recording(path)
        assert recording.markers == source.markers
        assert recording.markers == simulated.markers
        np.testing.assert_allclose(recording.read(0, 500), 1e-6 * simulated.read(0, 500), atol=1e-7)


@pytest.mark.lsl
@pytest.mark.slow
def test_raw_files_are_decoded_live_as_offline(subject: Path, tmp_path: Path) -> None:
    first, last = raw_tests(subject)
    tokens = (*LDA, "--channels", BACK, "--events", names_of(first, 5))
    n = decoded_live_as_offline(tmp_path, [first], last, *tokens, speed=8)
    assert n == len(open_recording(last).markers)


@pytest.mark.lsl
@pytest.mark.parametrize("form", FORMS)
def test_files_of_trials_are_decoded_live_as_offline(subject: Path, form: str, tmp_path: Path) -> None:
    path = subject / FORMS[form]
    assert inspect(path).sound
    # Not all trials and channels: to fit to a form is no more than to read it and to cut windows out of it.
    fitted, part = (some_trials(path, tmp_path / f"{n}.recording", every=n) for n in (4, 20))
    tokens = (*LDA, "--channels", "O1,Oz,O2", "--events", names_of(part, 5))
    assert decoded_live_as_offline(tmp_path, [fitted], part, *tokens, speed=8) == 10
