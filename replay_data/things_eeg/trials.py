"""Read the variants of THINGS-EEG2 that were cut into trials: OSF's, at 250 Hz, UBP's and NeuroBridge's.

Their repeats stand in an order that is not the one of presentation: trials are mixed over the sessions by a fixed draw.
Only UBP's files say of which session each is.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.array_files import open_arrays
from decode_stream.replay_data.formats.channels import select_channels
from decode_stream.replay_data.formats.trial_arrays import TrialRecording
from decode_stream.replay_data.layout import ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, IntArray

from .images import N_IMAGES, concept_name, find_image_table
from .names import DOWNLOADS, Place
from .raw import texts_of

__all__ = ["DATA_KEYS", "N_AXES", "info_of", "read_trials"]

#: By variant, the key of the array.
DATA_KEYS = {"preprocessed": "preprocessed_eeg_data", "ubp": "eeg", "neurobridge": "data"}
#: By variant, axes of the array: images (of concepts), repeats, channels, times.
N_AXES = {"preprocessed": 4, "ubp": 4, "neurobridge": 5}
#: Rate and first sample of NeuroBridge's bare arrays, which do not say it.
_BARE_SFREQ_HZ, _BARE_ONSET = 250.0, 0


@dataclass(frozen=True, eq=False)
class _Cut:
    """What a file holds: trials as (..., repeats, channels, times), names, times in s if known, and the rest."""

    array: npt.NDArray[Any]
    names: list[str]
    times_s: npt.NDArray[Any] | None
    more: dict[str, Any]


def info_of(path: Path) -> Path:
    """Return where the channel names of NeuroBridge's bare arrays lie."""
    return path.parent / "info.json"


def read_trials(path: Path, place: Place, options: ReadOptions) -> TrialRecording:
    """Open a file of trials.

    Raises
    ------
    RecordingError
        If it is not what was published, is cut off, counts images that do not exist, or an option does not apply.
    """
    if options.marker_column is not None:
        raise RecordingError(
            f"{path} has no column {options.marker_column!r} of markers: its trials are numbered."
        )
    cut = _open(path, place)
    notes = ["The order in which the trials were shown is lost: they stand by image."]
    epoch, sfreq_hz = _timing(path, cut, notes)
    channels = [Channel(name, "eeg", options.unit or "") for name in cut.names]
    if options.unit is None:
        notes.append("Values have no unit: the channels were whitened or standardised by the noise.")
    kept = select_channels(channels, str(path), options.exclude_channels, options.modality)
    return TrialRecording(
        name=path.name,
        array=cut.array,
        kept=kept,
        channels=tuple(channels[at] for at in kept),
        sfreq_hz=sfreq_hz,
        epoch=epoch,
        stimuli=_stimuli(path, place, cut, epoch),
        notes=tuple(notes),
    )


def _open(path: Path, place: Place) -> _Cut:
    held, key = open_arrays(path), DATA_KEYS[place.variant]
    if isinstance(held, np.ndarray) and place.variant == "neurobridge":
        held = {key: held, **_info(path)}
    if not isinstance(held, dict) or key not in held or "ch_names" not in held:
        raise RecordingError(
            f"{path} holds no {key!r} and 'ch_names', as the files of this name do. Get it again: "
            f"{DOWNLOADS[place.variant]}."
        )
    array, names = held[key], texts_of(path, held, "ch_names")
    if (
        not isinstance(array, np.ndarray)
        or array.ndim != N_AXES[place.variant]
        or array.dtype.kind != "f"
        or not array.size
    ):
        raise RecordingError(
            f"{path} holds {getattr(array, 'dtype', type(array))} of shape {np.shape(array)}, where images x repeats x "
            f"channels x times of floating numbers are due. Get it again: {DOWNLOADS[place.variant]}."
        )
    if array.shape[-2] != len(names):
        raise RecordingError(
            f"{path} names {len(names)} channels for an array of shape {array.shape}. It is damaged; get it again: "
            f"{DOWNLOADS[place.variant]}."
        )
    times_s = held.get("times")
    if times_s is not None and getattr(times_s, "dtype", np.dtype(object)).kind not in "fiu":
        raise RecordingError(f"{path} has 'times' that are no numbers. It is damaged; get it again.")
    return _Cut(array, names, times_s, {key_: value for key_, value in held.items() if key_ != key})


def _info(path: Path) -> dict[str, Any]:
    """Return what info.json says beside NeuroBridge's bare arrays."""
    try:
        info = json.loads(info_of(path).read_text(encoding="utf-8"))
        return {"ch_names": list(info["ch_names"])}
    except FileNotFoundError:
        raise RecordingError(
            f"{path} is an array without names, and {info_of(path)}, which names its channels, is not there. Get it: "
            f"{DOWNLOADS['neurobridge']}."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{info_of(path)} names no channels: {error!r}. Get it again.") from error


def _timing(path: Path, cut: _Cut, notes: list[str]) -> tuple[Epoch, float]:
    n_times = cut.array.shape[-1]
    times_s = cut.times_s
    if times_s is None:
        notes.append("The file does not say its rate; 250 Hz from the onset on is taken, as published.")
        return Epoch(n_times, _BARE_ONSET, in_order=False), _BARE_SFREQ_HZ
    if times_s.ndim != 1 or len(times_s) < max(2, n_times) or not _is_grid(times_s):
        raise RecordingError(
            f"{path} has {times_s.size} times for trials of {n_times} samples, and they are due at even steps, one a "
            "sample or more. It is damaged; copy it again."
        )
    sfreq_hz = round((len(times_s) - 1) / float(times_s[-1] - times_s[0]), 6)
    if cut_off := len(times_s) - n_times:
        # The baseline was cut from the trials and left in the times.
        notes.append(f"The first {cut_off} of {len(times_s)} times have no samples and are passed over.")
    return Epoch(n_times, round(-times_s[cut_off] * sfreq_hz), in_order=False), sfreq_hz


def _is_grid(times_s: npt.NDArray[Any]) -> bool:
    """Return whether times rise evenly, at a rate that can be."""
    if not np.isfinite(times_s).all():
        return False
    steps_s = np.diff(times_s)
    return bool(steps_s.min() > 1e-6 and steps_s.max() - steps_s.min() < 1e-6)


def _stimuli(path: Path, place: Place, cut: _Cut, epoch: Epoch) -> StimulusTable:
    *leading, n_repeats = cut.array.shape[:-2]
    n_images = int(np.prod(leading))
    ids = np.repeat(np.arange(1, n_images + 1), n_repeats)
    table = find_image_table(path)
    if table is None and n_images > (most := N_IMAGES[place.split]):
        raise RecordingError(
            f"{path} holds {n_images} images, and the {place.split} split has {most}. It is not of THINGS-EEG2."
        )
    concept, image = (None, None) if table is None else table.columns(ids, place.split)
    own = _column(path, cut, "img")
    if own is not None:
        image = own
        concept = np.array(
            [concept_name(text.replace("\\", "/").split("/")[-2:][0]) for text in own.tolist()]
        )
    session = _column(path, cut, "session")
    return StimulusTable(
        onset=np.arange(len(ids), dtype=np.int64) * epoch.n_times + epoch.onset,
        id=ids,
        concept=concept,
        image=image,
        split=np.full(len(ids), place.split),
        session=None if session is None else _sessions(session),
    )


def _sessions(column: npt.NDArray[Any]) -> IntArray:
    """Return 1-based sessions, -1 where none is said; UBP counts from 0."""
    counted: IntArray = np.rint(np.clip(np.nan_to_num(column, nan=-2), -2, 999)).astype(np.int64) + 1
    return counted


def _column(path: Path, cut: _Cut, key: str) -> npt.NDArray[Any] | None:
    values = cut.more.get(key)
    if values is None:
        return None
    if np.shape(values) != cut.array.shape[:-2]:
        raise RecordingError(
            f"{path} has {key!r} of shape {np.shape(values)} for trials of shape {cut.array.shape[:-2]}. It is "
            f"damaged; get it again: {DOWNLOADS['ubp']}."
        )
    return np.asarray(values).reshape(-1)
