import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from decode_stream.decoders.training.augmentations import ChannelDropout, GaussianNoise, Smoothing, Truncation
from decode_stream.decoders.training.checkpoint import CHECKPOINT_FILE
from decode_stream.decoders.training.history import FitHistory
from decode_stream.decoders.training.loss_spec import PUBLISHED_LOSSES, LossSpec
from decode_stream.decoders.training.whole_trial_settings import StructuralHead
from decode_stream.decoders.training.whole_trials import fit_whole_trials
from decode_stream.stream.errors import DecodeStreamError, UsageError

from .test_whole_trials import SETTINGS, Linear, assert_same, held_out, simulate, targets

MIXED, LEARNT = LossSpec("bimixco", 0.1), PUBLISHED_LOSSES["ubp"]


def fit_with_all(
    checkpoint: Path | None, loss: LossSpec = MIXED, stop_at: int | None = None
) -> tuple[nn.Module, FitHistory | None]:
    """Fit with everything that draws: dropout, mixing, augmentations, truncation, averages; perhaps stop midway."""
    epochs, labels = simulate(120, last=40, noise=0.5)
    settings = replace(
        SETTINGS,
        n_epochs=5,
        learning_rate=0.3,
        schedule="one-cycle",
        loss=loss,
        augmentations=(Smoothing(frozen=False), ChannelDropout(), GaussianNoise(0.1)),
        truncate=Truncation((6, 9, 12)),
        average_repeats=2,
        structure=StructuralHead(3) if loss is LEARNT else None,
    )
    n_read = 0

    class Stopping:
        shape = epochs.shape

        def __len__(self) -> int:
            return len(epochs)

        def __getitem__(self, index: object) -> np.ndarray:
            nonlocal n_read
            n_read += not isinstance(index, slice)
            if n_read == stop_at:
                raise KeyboardInterrupt
            return epochs[index]  # type: ignore[index]

    module = Linear(dropout=0.3)
    try:
        history = fit_whole_trials(
            module, Stopping(), labels, targets(), settings=settings, valid=held_out(), checkpoint=checkpoint
        )  # fmt: skip
    except KeyboardInterrupt:
        return module, None
    return module, history


@pytest.mark.parametrize(("loss", "stop_at"), [(MIXED, 3), (MIXED, 12), (LEARNT, 15)])
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(
    tmp_path: Path, loss: LossSpec, stop_at: int
) -> None:
    whole, history = fit_with_all(None, loss)
    assert fit_with_all(tmp_path / "a", loss, stop_at)[1] is None
    torch.manual_seed(stop_at)  # what was drawn elsewhere in between changes nothing
    resumed, resumed_history = fit_with_all(tmp_path / "a", loss)
    assert_same(whole, resumed)
    assert resumed_history == history
    done, done_history = fit_with_all(tmp_path / "a", loss)
    assert_same(whole, done)
    assert done_history == history
    assert [path.name for path in (tmp_path / "a").iterdir()] == [CHECKPOINT_FILE]


KILLED = """
import sys, os, signal
from pathlib import Path
import torch
sys.path.insert(0, {root!r})
from tests.decoders import test_checkpoint as tests

real = tests.Linear.forward
n = 0

def forward(self, epoch, subject=None):
    global n
    n += 1
    if n == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, epoch, subject)

tests.Linear.forward = forward
tests.fit_with_all(Path({folder!r}))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows kills in another way")
def test_a_process_killed_within_an_epoch_loses_that_epoch_alone(tmp_path: Path) -> None:
    code = KILLED.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / CHECKPOINT_FILE).exists()
    whole, history = fit_with_all(None)
    resumed, resumed_history = fit_with_all(tmp_path)
    assert_same(whole, resumed)
    assert resumed_history == history


def test_a_checkpoint_of_another_training_is_refused_by_what_differs(tmp_path: Path) -> None:
    epochs, labels = simulate(60, last=40)
    fit_whole_trials(Linear(), epochs, labels, targets(), settings=SETTINGS, checkpoint=tmp_path)

    def again(message: str, **changes: object) -> None:
        arguments = {"settings": SETTINGS, "module": Linear(), "epochs": epochs, "valid": None} | changes
        module, others = arguments.pop("module"), arguments.pop("epochs")
        with pytest.raises(UsageError, match=message):
            fit_whole_trials(module, others, labels, targets(), checkpoint=tmp_path, **arguments)  # type: ignore[arg-type]

    slower = replace(SETTINGS, learning_rate=2e-3, loss=LossSpec(temperature=0.2))
    again(
        "settings.learning_rate is 0.01 and not 0.002; its settings.loss.temperature is 0.1", settings=slower
    )
    again("its trials differ", epochs=epochs + 1)
    again("its weights at the beginning differ", module=Linear(n_subjects=2))
    again("its trained parameters differ", trainable=["out."])
    again("its validation trials differ.*rm .*checkpoint.safetensors", valid=held_out())


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_a_damaged_checkpoint_is_refused_with_what_to_do(tmp_path: Path, damage: str) -> None:
    epochs, labels = simulate(60, last=40)
    settings = replace(SETTINGS, n_epochs=1)
    fit_whole_trials(Linear(), epochs, labels, targets(), settings=settings, checkpoint=tmp_path)
    path = tmp_path / CHECKPOINT_FILE
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-3] ^= 1
    path.write_bytes({"cut": data[:-9], "flipped": data, "foreign": b"PK\x03\x04 else", "empty": b""}[damage])
    module = Linear()
    with pytest.raises(UsageError, match="To begin anew, remove it: rm .*checkpoint.safetensors"):
        fit_whole_trials(module, epochs, labels, targets(), settings=settings, checkpoint=tmp_path)
    assert_same(module, Linear())
    path.unlink()
    fit_whole_trials(module, epochs, labels, targets(), settings=settings, checkpoint=tmp_path)


def test_a_checkpoint_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    epochs, labels = simulate(60, last=40)
    with pytest.raises(DecodeStreamError, match="cannot be written.*end of epoch 1"):
        fit_whole_trials(
            Linear(), epochs, labels, targets(), settings=SETTINGS, checkpoint=tmp_path / "file" / "in"
        )
