"""Checkpoints: a training that was killed goes on from its last whole epoch to the same weights.

A checkpoint is one safetensors file, so that it is there as a whole or not at all: the tensors of module, loss,
optimizer, best epoch and torch's random generators, and in its header, as JSON, all the rest with a SHA-256 of
everything. Nothing in it is unpickled.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from decode_stream.stream.errors import DecodeStreamError, UsageError

from .batches import TrialArray
from .history import EpochReport
from .run import TrainingRun

__all__ = [
    "CHECKPOINT_FILE",
    "Identity",
    "array_digest",
    "load_checkpoint",
    "module_digest",
    "save_checkpoint",
]

CHECKPOINT_FILE = "checkpoint.safetensors"
_SCHEMA = 1
_DIGEST_TRIALS = 1024  # read at a time

#: What a checkpoint belongs to, by name: numbers and texts, or mappings of them.
Identity: TypeAlias = Mapping[str, Any]


def array_digest(*arrays: TrialArray | None) -> str:
    """Return a SHA-256 of arrays, their shapes included, read a part at a time."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(None if array is None else tuple(array.shape)).encode())
        for start in range(0, 0 if array is None else len(array), _DIGEST_TRIALS):
            part = np.ascontiguousarray(array[start : start + _DIGEST_TRIALS])  # type: ignore[index]
            digest.update(str(part.dtype).encode() + part.tobytes())
    return digest.hexdigest()


def module_digest(module: nn.Module) -> str:
    """Return a SHA-256 of a module's parameters and buffers: names, shapes and values."""
    return _digest({name: value.detach().cpu() for name, value in module.state_dict().items()}, "")


def save_checkpoint(folder: Path, run: TrainingRun, identity: Identity) -> None:
    """Write a checkpoint of the epochs done in place of the one before.

    Parameters
    ----------
    folder : Path
        Of this training alone; made if it is not there.
    identity : mapping
        What training from it must agree in.

    Raises
    ------
    DecodeStreamError
        If it cannot be written.
    """
    tensors, numbers = _state(run)
    text = json.dumps({"schema": _SCHEMA, "identity": identity, **numbers}, sort_keys=True)
    data = save(tensors, metadata={"training": text, "sha256": _digest(tensors, text)})
    path = folder / CHECKPOINT_FILE
    part = path.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DecodeStreamError(
            f"The checkpoint {path} cannot be written: {error.strerror or error}. Give a folder with room that can be "
            "written to; the training itself had come to the end of "
            f"epoch {len(run.reports)}."
        ) from error


def load_checkpoint(folder: Path, run: TrainingRun, identity: Identity) -> bool:
    """Bring a training to where its checkpoint stands.

    Parameters
    ----------
    run : TrainingRun
        Newly made; changed only if the checkpoint is whole and its own.

    Returns
    -------
    bool
        Whether there was one.

    Raises
    ------
    UsageError
        If the checkpoint is damaged, or belongs to another training.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return False
    anew = f"To begin anew, remove it: rm {shlex.quote(str(path))}"
    try:
        data = path.read_bytes()
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        whole = header["sha256"] == _digest(tensors, header["training"])
        found = json.loads(header["training"])
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UsageError(f"The checkpoint {path} cannot be read ({error}). {anew}") from error
    if not whole:
        raise UsageError(f"The checkpoint {path} is damaged: its SHA-256 is not that of its content. {anew}")
    if found["schema"] != _SCHEMA:
        raise UsageError(
            f"The checkpoint {path} has schema {found['schema']} where {_SCHEMA} is read. {anew}"
        )
    if different := _differences(found["identity"], json.loads(json.dumps(identity))):
        raise UsageError(
            f"The checkpoint {path} belongs to another training: {'; '.join(different)}. Train as it was begun to go "
            f"on. {anew}"
        )
    _restore(run, tensors, found)
    return True


def _differences(found: Identity, wanted: Identity, within: str = "") -> list[str]:
    """Return in words where two identities differ; digests are not shown, they say nothing to a reader."""
    words = []
    for name in sorted(found.keys() | wanted.keys()):
        there, here = found.get(name), wanted.get(name)
        if there == here:
            continue
        if isinstance(there, dict) and isinstance(here, dict):
            words += _differences(there, here, f"{within}{name}.")
        elif any(isinstance(value, str) and len(value) == 64 for value in (there, here)):
            words.append(f"its {within}{name} differ")
        else:
            words.append(f"its {within}{name} is {there} and not {here}")
    return words


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _state(run: TrainingRun) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return all that changes in a training: tensors by name, and what is written as JSON."""
    optimizer = run.optimizer.state_dict()
    tensors = {
        **{f"module.{name}": value for name, value in run.module.state_dict().items()},
        **{f"loss.{name}": value for name, value in run.criterion.state_dict().items()},
        **{f"kept.{name}": value for name, value in (run.kept or {}).items()},
        **{
            f"optimizer.{number}.{name}": value
            for number, state in optimizer["state"].items()
            for name, value in state.items()
        },
        "random.cpu": torch.get_rng_state(),
    }
    if run.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(run.device)
    numbers = {
        "reports": [asdict(report) for report in run.reports],
        "kept_epoch": run.kept_epoch,
        "first_loss": run.first_loss,
        "param_groups": optimizer["param_groups"],
        "schedule": run.schedule.state_dict(),
        "scaler": None if run.scaler is None else run.scaler.state_dict(),
        "generator": None if run.generator is None else run.generator.bit_generator.state,
    }
    # Copies: safetensors refuses tensors that share their memory.
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, numbers


def _restore(run: TrainingRun, tensors: Mapping[str, Tensor], found: Mapping[str, Any]) -> None:
    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}

    run.module.load_state_dict(part("module."))
    run.criterion.load_state_dict(part("loss."))
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in part("optimizer.").items():
        number, _, key = name.partition(".")
        states.setdefault(int(number), {})[key] = value
    groups = [group | {"betas": tuple(group["betas"])} for group in found["param_groups"]]
    run.optimizer.load_state_dict({"state": states, "param_groups": groups})
    run.schedule.load_state_dict(found["schedule"])
    if run.scaler is not None:
        run.scaler.load_state_dict(found["scaler"])
    if run.generator is not None:
        run.generator.bit_generator.state = found["generator"]
    run.reports = [EpochReport(**report) for report in found["reports"]]
    run.kept_epoch, run.first_loss = found["kept_epoch"], found["first_loss"]
    run.kept = {name: v.to(run.device) for name, v in part("kept.").items()} if run.kept_epoch else None
    torch.set_rng_state(tensors["random.cpu"])
    if run.device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], run.device)
