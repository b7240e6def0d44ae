"""A simulated subject of NSD: written, inspected, replayed over LSL, and decoded as offline."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from decode_stream.replay_data.open import inspect, open_recording

from .live_as_offline import decoded_live_as_offline, run


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "nsd"
    assert run("simulate", "nsd", "--out", out, "--forms", "betas-hdf5,betas-nifti,timeseries") == 0
    return out


@pytest.mark.lsl
@pytest.mark.slow
def test_volumes_are_decoded_live_as_offline(subject: Path, tmp_path: Path) -> None:
    assert inspect(subject).sound
    folder = subject / "nsddata_timeseries" / "ppdata" / "subj01" / "func1pt8mm" / "timeseries"
    runs = sorted(folder.glob("*.nii.gz"))
    assert len(runs) == 8
    shown = [Counter(label for _, label in open_recording(path).markers) for path in runs]
    # A picture comes three times in all; these come in the last run and before.
    again = [label for label in shown[-1] if sum(label in before for before in shown[:-1]) >= 2]
    events = ",".join(f"{label}=picture {label}" for label in again)
    within = [path for path, labels in zip(runs[:-1], shown[:-1], strict=True) if set(again) & set(labels)]
    tokens = ("--modality", "fmri", "--events", events)
    assert decoded_live_as_offline(tmp_path, within, runs[-1], *tokens, speed=40) == len(again)


@pytest.mark.lsl
def test_betas_are_decoded_live_as_offline(subject: Path, tmp_path: Path) -> None:
    betas = min((subject / "nsddata_betas").rglob("betas_session*.hdf5"))
    labels = [label for _, label in open_recording(betas).markers]
    # Each fifth is held out once: what it shows must be shown in another as well.
    fifths = {
        label: {5 * i // len(labels) for i, other in enumerate(labels) if other == label} for label in labels
    }
    apart = [label for label in fifths if len(fifths[label]) > 1][:12]
    events = ",".join(f"{label}=picture {label}" for label in apart)
    tokens = ("--modality", "fmri", "--events", events)
    assert decoded_live_as_offline(tmp_path, [betas], betas, *tokens, speed=80) > 12


def test_betas_of_both_endings_are_the_same(subject: Path) -> None:
    betas = min((subject / "nsddata_betas").rglob("betas_session*.hdf5"))
    one, other = (open_recording(betas.with_suffix(ending)) for ending in (".hdf5", ".nii.gz"))
    np.testing.assert_array_equal(one.read(0, one.n_samples), other.read(0, other.n_samples))
