"""Whose a recording is, by the names of every layout."""

from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.stored import store
from decode_stream.replay_data.subject import subject_of
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import Channel


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        # THINGS-EEG2: source, raw, preprocessed, and as UBP and NeuroBridge have it
        ("eeg_dataset/source_data/sub-01/ses-01/eeg/sub-01_ses-01_task-train_part-01_eeg.vhdr", "sub-01"),
        ("eeg_dataset/raw_data/sub-10/ses-02/raw_eeg_training.npy", "sub-10"),
        ("eeg_dataset/preprocessed_data/sub-03/preprocessed_eeg_test.npy", "sub-03"),
        ("Preprocessed_data_250Hz_whiten/sub-08/train.pt", "sub-08"),
        ("preprocessed_eeg/sub-08/test.npy", "sub-08"),
        ("sub08/train.npy", "sub-08"),
        # THINGS-MEG: raw and preprocessed
        ("sub-BIGMEG2/ses-01/meg/sub-BIGMEG2_ses-01_task-main_run-01_meg.ds", "sub-BIGMEG2"),
        ("derivatives/preprocessed/preprocessed_P2-epo.fif", "sub-BIGMEG2"),
        ("derivatives/preprocessed/preprocessed_P4-epo-1.fif", "sub-BIGMEG4"),
        # NSD: betas, time series, raw data
        ("nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf/betas_session01.hdf5", "subj01"),
        ("nsddata_timeseries/ppdata/subj08/func1mm/timeseries/timeseries_session01_run01.nii.gz", "subj08"),
        ("nsddata_rawdata/sub-01/ses-nsd01/func/sub-01_ses-nsd01_task-nsdcore_run-01_bold.nii.gz", "sub-01"),
        # BIDS, whose labels need no number in names of files
        ("sub-control/eeg/sub-control_task-rest_eeg.edf", "sub-control"),
        ("sub-A7/eeg/recording.fif", "sub-A7"),
        ("simulation/sub-02_ses-01_task-test.simulation.json", "sub-02"),
        # The name counts before the folder, and the nearest folder before those above.
        ("sub-01/sub-02_task-x_eeg.vhdr", "sub-02"),
        ("sub-01/copies/sub-05/data.csv", "sub-05"),
        ("sub-07", "sub-07"),
        # Nothing says it.
        ("run-01.csv", ""),
        ("sub-projects/run-01.csv", ""),
        ("subway/1/run.xdf", ""),
        ("train.pt", ""),
        ("subjects/all.fif", ""),
    ],
)
def test_the_subject_is_told_by_the_names(path: str, subject: str) -> None:
    assert subject_of(f"/data/{path}") == subject
    assert subject_of(Path("/data") / path) == subject


def test_the_present_folder_counts_for_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub-04").mkdir()
    monkeypatch.chdir(tmp_path / "sub-04")
    assert subject_of("train.pt") == "sub-04"


def test_a_converted_recording_is_of_whom_it_was_converted_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = ArrayRecording(np.zeros((10, 1)), (Channel("Oz", "eeg", "uV"),), 100.0)
    for name, source in (
        ("one", "/gone/sub-03/preprocessed_eeg_test.npy"),
        ("two", "data.csv"),
        ("three", ""),
    ):
        store(recording, tmp_path / f"{name}.recording", source=source)
    monkeypatch.chdir(tmp_path)
    told = [subject_of(tmp_path / f"{name}.recording") for name in ("one", "two", "three")]
    assert told == ["sub-03", "", ""]
    (tmp_path / "sub-09").mkdir()
    (tmp_path / "one.recording").rename(tmp_path / "sub-09" / "one.recording")
    assert subject_of("sub-09/one.recording") == "sub-09"
    # What it was converted from lay in no folder that is known, whatever folder is the present one.
    monkeypatch.chdir(tmp_path / "sub-09")
    assert subject_of("../two.recording") == ""


def test_a_damaged_converted_recording_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.recording").mkdir()
    (tmp_path / "x.recording" / "recording.json").write_text("{")
    with pytest.raises(RecordingError, match=r"recording\.json"):
        subject_of(tmp_path / "x.recording")
