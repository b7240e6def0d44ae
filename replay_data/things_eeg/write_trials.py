"""Write THINGS-EEG2's files of trials in each of their four forms, from trials that come in blocks.

`cut_trials`, beside this file, cuts such trials from continuous recordings; a simulation may hand its own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.write_arrays import (
    Streamed,
    write_numpy_dict,
    write_pickled_dict,
    write_torch_dict,
)
from decode_stream.stream.types import FloatArray, IntArray

from .images import N_WITHIN, concept_name
from .names import TRAINING

__all__ = ["TRIAL_FORMS", "CutTrials", "TrialForm", "trials_path", "write_trials"]

#: OSF's preprocessed files, those at 250 Hz, UBP's and NeuroBridge's.
TrialForm: TypeAlias = Literal["osf", "250hz", "ubp", "neurobridge"]
TRIAL_FORMS: tuple[TrialForm, ...] = ("osf", "250hz", "ubp", "neurobridge")
_FOLDERS: dict[TrialForm, str] = {
    "osf": "eeg_dataset/preprocessed_data",
    "250hz": "Preprocessed_data_250Hz",
    "ubp": "Preprocessed_data_250Hz_whiten",
    "neurobridge": "preprocessed_eeg",
}
_DTYPES: dict[TrialForm, str] = {"osf": "<f8", "250hz": "<f8", "ubp": "<f2", "neurobridge": "<f4"}
_WRITERS: dict[TrialForm, Callable[..., None]] = {
    "osf": write_numpy_dict,
    "250hz": write_pickled_dict,
    "ubp": write_torch_dict,
    "neurobridge": write_pickled_dict,
}


@dataclass(frozen=True, eq=False)
class CutTrials:
    """Trials by image and repeat, in blocks of images.

    Attributes
    ----------
    shape : tuple of int
        Images, repeats, channels, times; image i has the id i + 1.
    blocks : iterable of array of shape (n, repeats, channels, times), floating
        Images after images; iterated once.
    names : sequence of str
        Channels.
    times_s : array of shape (n,), float64
        Times after the onset; as published, it may begin earlier than the samples, and ends with them.
    sessions : array of shape (images, repeats), int64, or None
        1-based session of every trial, which UBP's files tell.
    """

    shape: tuple[int, int, int, int]
    blocks: Iterable[FloatArray]
    names: Sequence[str]
    times_s: npt.NDArray[np.float64]
    sessions: IntArray | None = None


def trials_path(root: Path, form: TrialForm, subject: int, split: str) -> Path:
    """Return where a form keeps the ``train`` or ``test`` trials of a subject."""
    names = {
        "ubp": f"{split}.pt",
        "neurobridge": f"{split}.npy",
    }
    name = names.get(form, f"preprocessed_eeg_{TRAINING[split]}.npy")
    return root / _FOLDERS[form] / f"sub-{subject:02}" / name


def write_trials(
    trials: CutTrials,
    path: Path,
    form: TrialForm,
    split: str,
    *,
    images: Sequence[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a file of trials.

    Parameters
    ----------
    trials : CutTrials
        The trials.
    path : Path
        The file; see `trials_path`.
    form : {"osf", "250hz", "ubp", "neurobridge"}
        How it is written.
    images : sequence of str, optional
        UBP: file of every image, ``train_images/00001_aardvark/aardvark_01b.jpg``.

    Raises
    ------
    RecordingError
        If it cannot be written; nothing is left there then.
    ValueError
        If sessions or images are lacking for UBP, or the blocks do not fill the shape.
    """
    n_images, n_repeats, n_channels, n_times = trials.shape
    shape: tuple[int, ...] = trials.shape
    if form == "neurobridge":
        within = N_WITHIN[split]
        if n_images % within:
            raise ValueError(f"{n_images} images are no whole number of concepts of {within}.")
        shape = (n_images // within, within, n_repeats, n_channels, n_times)
    held = Streamed(shape, np.dtype(_DTYPES[form]), trials.blocks)
    names = [str(name) for name in trials.names]
    if form == "ubp":
        values = {
            "eeg": held,
            **_ubp_columns(trials, images, split),
            "ch_names": names,
            "times": trials.times_s,
        }
    else:
        key = "data" if form == "neurobridge" else "preprocessed_eeg_data"
        values = {key: held, "ch_names": names, "times": np.asarray(trials.times_s, dtype=np.float64)}
    _WRITERS[form](path, values, overwrite=overwrite)


def _ubp_columns(trials: CutTrials, images: Sequence[str] | None, split: str) -> dict[str, npt.NDArray[Any]]:
    """Return UBP's columns, a value a trial: 0-based concept, picture, what it shows, 0-based session."""
    n_images, n_repeats, *_ = trials.shape
    if images is None or len(images) != n_images or trials.sessions is None:
        raise ValueError(
            f"UBP's files tell the picture of each of {n_images} images and the session of each trial."
        )
    concepts = [concept_name(image.split("/")[-2]) for image in images]
    columns: dict[str, npt.NDArray[Any]] = {
        "label": np.arange(n_images) // N_WITHIN[split],
        "img": np.array(images),
        "text": np.array(concepts),
    }
    columns = {key: np.tile(values[:, None], (1, n_repeats)) for key, values in columns.items()}
    return {**columns, "session": trials.sessions - 1.0}
