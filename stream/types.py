"""The values that travel from a stream to a screen. All are immutable."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "DECODED_TYPES",
    "MOTION",
    "REFERENCE_TYPES",
    "Channel",
    "Chunk",
    "Event",
    "FloatArray",
    "Gap",
    "IntArray",
    "Marker",
    "Modality",
    "StreamInfo",
    "Trial",
]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.int64]

#: What is measured.
Modality: TypeAlias = Literal["eeg", "meg", "fmri"]

#: By modality, the channel types that are decoded from.
DECODED_TYPES: dict[str, tuple[str, ...]] = {"eeg": ("eeg",), "meg": ("mag", "grad"), "fmri": ("voxel",)}
#: By modality, the types that a recording or a stream keeps beside these, for noise cancellation: they pick up the
#: room and not the head, so nothing is decoded from them.
REFERENCE_TYPES: dict[str, tuple[str, ...]] = {"eeg": (), "meg": ("ref_meg",), "fmri": ()}
#: Channels that tell where the head is in each volume, of type ``misc``, by fMRIPrep's names: translations in
#: millimetres, rotations in radians.
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a stream or a recording.

    Attributes
    ----------
    name : str
        Name as the amplifier gives it.
    type : str
        MNE's word for it: ``eeg``, ``mag``, ``grad``, ``ref_meg``, ``eog``, ``ecg``, ``emg``, ``stim``, ``misc``;
        ``voxel`` for fMRI.
    unit : str
        One of `decode_stream.stream.units.UNITS` (``uV``, ``fT``, ``%``, ...), or empty where unknown or arbitrary.
    position_m : tuple of float or None
        Position (x, y, z) in metres: of a sensor in head coordinates, of a voxel in the image's.
    """

    name: str
    type: str = "eeg"
    unit: str = ""
    position_m: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a stream says of itself.

    Attributes
    ----------
    sfreq_hz : float
        Sampling rate in recording time: the declared rate divided by `speed`.
    speed : float
        How much faster than recorded a replay runs; 1 for a live stream.
    n_samples : int or None
        Samples that a replay which ends will send; None for a live or looping stream.
    loop_samples : int or None
        Samples of one turn of a looping replay.
    marker_source_id : str
        `source_id` of the marker stream that belongs to this one, if it says so; else empty.
    """

    name: str
    type: str
    source_id: str
    hostname: str
    channels: tuple[Channel, ...]
    sfreq_hz: float
    speed: float = 1.0
    n_samples: int | None = None
    loop_samples: int | None = None
    marker_source_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Samples as they arrived, with their place in the stream.

    Attributes
    ----------
    start : int
        Sample index of ``data[0]``.
    data : array of shape (n_samples, n_channels)
        Values in the units of the stream.
    arrived_s : float
        LSL time at which the samples were in hand.
    """

    start: int
    data: FloatArray
    arrived_s: float

    @property
    def stop(self) -> int:
        """Sample index behind the last sample."""
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class Gap:
    """A break in the stream: the samples [start, start + n_lost) never came.

    Attributes
    ----------
    kind : str
        ``loss`` (samples missing), ``reset`` (the time stamps jumped; nothing need be missing, `n_lost` is 0)
        or ``reconnect`` (the outlet went and came back).
    time_s : float
        LSL time of the first sample after the break.
    """

    start: int
    n_lost: int
    kind: str
    time_s: float

    @property
    def stop(self) -> int:
        """Sample index of the first sample after the break."""
        return self.start + self.n_lost


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker as received.

    Attributes
    ----------
    time_s : float
        LSL time of the event, on this machine's clock.
    label : str
        Text of the marker; integers in decimal. Of a marker in JSON the id, see `decode_stream.stream.marker_text`.
    arrived_s : float
        LSL time at which the marker was in hand.
    concept : str
        Name of what the picture shows, where the marker tells it beside the label; else empty.
    duration_s : float or None
        How long the stimulus is shown, in seconds of recording time, where the marker tells it.
    """

    time_s: float
    label: str
    arrived_s: float
    concept: str = ""
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One stimulus shown.

    Attributes
    ----------
    number : int
        Counts the trials of a session from 0.
    onset : int
        Sample index of the onset at the decoder's rate.
    stimulus : int
        Index into the gallery, or -1 where the stimulus is not in it.
    label : str
        The marker's text.
    onset_s : float
        LSL time of the onset.
    fraction : float
        Of volumes: how far behind the beginning of its sample the onset lies, in samples.
    duration_s : float or None
        How long the stimulus is shown, in seconds of recording time, where that is known.
    """

    number: int
    onset: int
    stimulus: int
    label: str
    onset_s: float
    fraction: float = 0.0
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling: connected, gap, stall, lost, reconnected, overflow, ...

    Attributes
    ----------
    time_s : float
        Seconds since the session's start.
    """

    time_s: float
    kind: str
    text: str
