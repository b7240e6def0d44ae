"""Simulated subjects in every layout: written, inspected, replayed over LSL, and decoded as offline."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from decode_stream.cli import app
from decode_stream.replay_data.open import inspect, open_recording
from decode_stream.replay_data.pictures.image_folders import list_pictures
from decode_stream.replay_data.stored import store
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import n_missing

from .recordings import pieces_of

BACK = "O1,Oz,O2,PO7,PO3,POz,PO4,PO8"


def run(*tokens: object) -> int:
    code = app([str(token) for token in tokens], result_action="return_value")
    assert isinstance(code, int)
    return code


def names_of(path: Path, n: int) -> str:
    """Return --events that name the `n` pictures shown most often."""
    most = Counter(label for _, label in open_recording(path).markers).most_common(n)
    return ",".join(f"{label}=picture {label}" for label, _ in most)


def some_trials(path: Path, out: Path, every: int) -> Path:
    """Write every n-th trial of a recording that was cut into trials; returns `out`."""
    recording = open_recording(path)
    assert recording.epoch is not None
    n = recording.epoch.n_times
    pieces = [(i * n, (i + 1) * n) for i in range(0, recording.n_samples // n, every)]
    store(pieces_of(recording, pieces), out)
    return out


def decoded_live_as_offline(
    folder: Path, training: list[Path], test: Path, *tokens: object, speed: float
) -> int:
    """Train, replay over LSL, evaluate; return the number of trials, whose evidence must be the same."""
    bundle, live, offline = folder / "x.bundle", folder / "live.json", folder / "offline.json"
    assert run("train", *training, *tokens, "--out", bundle) == 0
    replay = ("--bundle", bundle, "--replay", test, "--speed", speed, "--headless", "--json", live)
    assert run(*replay) == 0
    assert run("evaluate", test, "--bundle", bundle, "--json", offline) == 0
    told, expected = (json.loads(path.read_text()) for path in (live, offline))
    recording = open_recording(test)
    # Between trials that were cut before lies a break, which a stream can only show as samples that never came.
    assert told["samples"]["lost"] == sum(n_missing(gap, recording.sfreq_hz) for gap in recording.gaps)
    assert len(told["per_trial"]) == len(expected["per_trial"]) == told["accuracy"]["n"] > 0
    for one, other in zip(told["per_trial"], expected["per_trial"], strict=True):
        np.testing.assert_allclose(one["log_evidence"], other["log_evidence"], atol=1e-5)
    return int(told["accuracy"]["n"])


@pytest.mark.lsl
@pytest.mark.slow
def test_a_simulated_subject_of_things_eeg2(tmp_path: Path) -> None:
    out = tmp_path / "things-eeg2"
    assert run("simulate", "things-eeg2", "--out", out) == 0
    assert inspect(out).sound
    assert len(list_pictures(out / "image_set").pictures) == 45
    folder = out / "eeg_dataset" / "raw_data" / "sub-01"
    raw = [folder / f"ses-{session:02d}" / "raw_eeg_test.npy" for session in range(1, 5)]
    sources = out / "eeg_dataset" / "source_data" / "sub-01"
    for session, path in enumerate(raw, start=1):
        stem = f"sub-01_ses-{session:02d}_task-test"
        source = open_recording(sources / f"ses-{session:02d}" / "eeg" / f"{stem}_eeg.vhdr")
        simulated = open_recording(out / "simulation" / f"{stem}.simulation.json")
        recording = open_recording(path)
        assert recording.markers == source.markers
        assert recording.markers == simulated.markers
        np.testing.assert_allclose(recording.read(0, 500), 1e-6 * simulated.read(0, 500), atol=1e-7)
    lda = ("--modality", "eeg", "--model", "lda")
    tokens = (*lda, "--channels", BACK, "--events", names_of(raw[0], 5))
    n = decoded_live_as_offline(tmp_path, raw[:3], raw[3], *tokens, speed=8)
    assert n == len(open_recording(raw[3]).markers)
    forms = {
        "osf": out / "eeg_dataset" / "preprocessed_data" / "sub-01" / "preprocessed_eeg_test.npy",
        "250hz": out / "Preprocessed_data_250Hz" / "sub-01" / "preprocessed_eeg_test.npy",
        "ubp": out / "Preprocessed_data_250Hz_whiten" / "sub-01" / "test.pt",
        "neurobridge": out / "preprocessed_eeg" / "sub-01" / "test.npy",
    }
    for form, path in forms.items():
        assert inspect(path).sound
        (tmp_path / form).mkdir()
        # Not all trials and channels: to fit to a form is no more than to read it and to cut windows out of it.
        fitted, part = (some_trials(path, tmp_path / form / f"{n}.recording", every=n) for n in (4, 40))
        tokens = (*lda, "--channels", "O1,Oz,O2", "--events", names_of(part, 5))
        assert decoded_live_as_offline(tmp_path / form, [fitted], part, *tokens, speed=8) == 10


@pytest.mark.lsl
@pytest.mark.slow
def test_a_simulated_subject_of_things_meg(tmp_path: Path) -> None:
    out = tmp_path / "things-meg"
    assert run("simulate", "things-meg", "--out", out, "--sessions", 5) == 0
    assert inspect(out).sound
    runs = sorted(out.glob("sub-BIGMEG1/ses-*/meg/*.ds"))
    assert len(runs) == 5
    names = [channel.name for channel in open_recording(runs[0]).channels if channel.name.startswith("MRO")]
    tokens = ("--modality", "meg", "--model", "lda", "--channels", ",".join(names[:4]))
    tokens = (*tokens, "--events", names_of(runs[0], 3))
    assert decoded_live_as_offline(tmp_path, runs[:4], runs[4], *tokens, speed=5) == 3
    path = out / "derivatives" / "preprocessed" / "preprocessed_P1-epo.fif"
    trials = open_recording(path)
    assert trials.epoch is not None
    assert trials.n_samples // trials.epoch.n_times == sum(len(open_recording(run).stimuli) for run in runs)
    (tmp_path / "cut").mkdir()
    assert decoded_live_as_offline(tmp_path / "cut", [path], path, *tokens, speed=8) == 15


@pytest.mark.lsl
@pytest.mark.slow
def test_a_simulated_subject_of_nsd(tmp_path: Path) -> None:
    out = tmp_path / "nsd"
    assert run("simulate", "nsd", "--out", out, "--forms", "betas-hdf5,betas-nifti,timeseries") == 0
    assert inspect(out).sound
    folder = out / "nsddata_timeseries" / "ppdata" / "subj01" / "func1pt8mm" / "timeseries"
    runs = sorted(folder.glob("*.nii.gz"))
    assert len(runs) == 8
    shown = [Counter(label for _, label in open_recording(path).markers) for path in runs]
    # A picture comes three times in all; these come in the last run and before.
    again = [label for label in shown[-1] if sum(label in before for before in shown[:-1]) >= 2]
    events = ",".join(f"{label}=picture {label}" for label in again)
    within = [path for path, labels in zip(runs[:-1], shown[:-1], strict=True) if set(again) & set(labels)]
    tokens = ("--modality", "fmri", "--events", events)
    assert decoded_live_as_offline(tmp_path, within, runs[-1], *tokens, speed=40) == len(again)
    betas = sorted((out / "nsddata_betas").rglob("betas_session*.hdf5"))
    labels = [label for _, label in open_recording(betas[0]).markers]
    # Each fifth is held out once: what it shows must be shown in another as well.
    fifths = {
        label: {5 * i // len(labels) for i, other in enumerate(labels) if other == label} for label in labels
    }
    apart = [label for label in fifths if len(fifths[label]) > 1][:12]
    events = ",".join(f"{label}=picture {label}" for label in apart)
    tokens = ("--modality", "fmri", "--events", events)
    (tmp_path / "betas").mkdir()
    assert decoded_live_as_offline(tmp_path / "betas", betas[:1], betas[0], *tokens, speed=80) > 12
    one, other = (open_recording(betas[0].with_suffix(ending)) for ending in (".hdf5", ".nii.gz"))
    np.testing.assert_array_equal(one.read(0, one.n_samples), other.read(0, other.n_samples))


def test_what_stands_there_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError, match="is not an empty folder"):
        run("simulate", "nsd", "--out", tmp_path)


def test_what_cannot_be_simulated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--forms names rwa; this layout has: source, raw"):
        run("simulate", "things-eeg2", "--out", tmp_path / "x", "--forms", "rwa")
    with pytest.raises(UsageError, match="NSD has eight"):
        run("simulate", "nsd", "--out", tmp_path / "x", "--subject", 9)
    with pytest.raises(UsageError, match=r"--embeddings .* cannot be taken"):
        run("simulate", "things-eeg2", "--out", tmp_path / "x", "--embeddings", tmp_path / "none.npy")
