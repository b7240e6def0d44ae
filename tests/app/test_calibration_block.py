"""A block of five minutes at the start of a session becomes a bundle by one command."""

import errno
import re
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
import torch

from decode_stream.cli import app
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.replay_data.stored import store
from decode_stream.stream.errors import DecodeStreamError

from .simulated_runs import simulated_runs

N_TRIALS, N_SHORT = 290, 100


def stored_block(folder: Path, n_trials: int) -> Path:
    """Store a run of two kinds of pictures, one a second, at 250 Hz."""
    kinds = np.array([[1.0, -1.0], [-1.0, 1.0]])
    settings = {"n_trials": n_trials, "n_channels": 8, "soa_s": 1.0, "seed": 1}
    (run,) = simulated_runs(kinds, ["house", "face"], n_runs=1, **settings)  # type: ignore[arg-type]
    assert n_trials < run.n_samples / run.sfreq_hz < n_trials + 10
    store(run, folder / "block.recording")
    return folder / "block.recording"


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_block(tmp_path_factory.mktemp("session"), N_TRIALS)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what is enough for a network that learns nothing from it, and where a training fails."""
    return stored_block(tmp_path_factory.mktemp("session"), N_SHORT)


#: LDA filters from 1 Hz on; NICE, as published, from 0.1 Hz on: that settles for many seconds, but once.
MODELS = (("lda", (), 5.0), ("nice", ("--windows", "whole", "--epochs", 1, "--batch-size", 64), 35.0))


@pytest.mark.parametrize(("model", "more", "settling_s"), MODELS, ids=["lda", "nice"])
def test_a_block_becomes_a_bundle(
    block: Path,
    short: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    more: tuple[object, ...],
    settling_s: float,
) -> None:
    torch.set_num_threads(1)
    out = tmp_path / "block.bundle"
    # A pass of a network tells nothing of five minutes yet.
    given, n_trials = (block, N_TRIALS) if model == "lda" else (short, N_SHORT)
    tokens = ("train", given, "--modality", "eeg", "--model", model, *more, "--out", out)
    assert app([str(token) for token in tokens], result_action="return_value") == 0
    training = load_bundle(out).manifest.training
    assert n_trials - settling_s < training.n_trials <= n_trials
    assert training.scores["n"] == training.n_trials
    assert training.protocol.startswith("leave one of 5 parts out")
    assert model != "lda" or training.scores["top1"] > 0.9
    told = capsys.readouterr()
    stages = [line for line in told.err.splitlines() if "without part" in line and "epoch" not in line]
    assert [int(number) for number in re.findall(r"part (\d) of 5", " ".join(stages))] == [1, 2, 3, 4, 5]
    assert f"{training.n_trials} trials of 5 parts of run-01" in told.out
    assert [path.name for path in tmp_path.iterdir()] == ["block.bundle"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), r"memory of this machine is too small to train --model lda .*--channels"),
        (OSError(errno.ENOSPC, "No space left on device"), r"no room left at .* or at --out; .* set TMPDIR"),
        (
            OSError(errno.ENOSPC, "No space left on device", f"{gettempdir()}/x"),
            r"/x; the windows .* set TMPDIR",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/cache/x"),
            r"no room left at /cache/x\. Make room there\.$",
        ),
    ],
    ids=["memory", "a disk", "the disk of the windows", "another disk"],
)
def test_a_machine_that_is_too_small_is_told_and_leaves_nothing(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def full(*given: object) -> None:
        raise error

    monkeypatch.setattr("decode_stream.training.train.fitter", lambda model: full)
    tokens = ("train", short, "--modality", "eeg", "--model", "lda", "--out", tmp_path / "block.bundle")
    with pytest.raises(DecodeStreamError, match=told):
        app([str(token) for token in tokens], result_action="return_value")
    assert not any(tmp_path.iterdir())


def test_a_disk_that_is_full_when_the_bundle_is_saved_is_told(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "block.bundle"

    def full(bundle: Bundle, path: Path, **given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/full/block.bundle")

    monkeypatch.setattr("decode_stream.training.train.save_bundle", full)
    tokens = ("train", short, "--modality", "eeg", "--model", "lda", "--out", out)
    with pytest.raises(DecodeStreamError, match=r"no room left at /full/block\.bundle\. Make room there\.$"):
        app([str(token) for token in tokens], result_action="return_value")
