"""Samples and markers in and out over Lab Streaming Layer.

Inlets take raw stamps and correct them with our own clock offset: liblsl's dejitter is wrong for 20 s after a
gap, and its silent recovery hides that an outlet went away, so neither is used.

This is the one door to LSL: its rooms `connection`, `discovery` and `outlets` are reached through it from outside
this folder.
"""

import ctypes
import sys
from contextlib import suppress
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import pylsl
from pylsl.lib import cf_int64, cf_string, fmt2string

from .connection import OPEN_TIMEOUT_S, Connection, StreamLost, lsl_now, quiet_liblsl
from .discovery import StreamQuery, StreamSearch, find_streams, resolve_stream
from .errors import StreamError
from .marker_text import read_marker_text
from .metadata import read_description
from .outlets import open_marker_outlet, open_outlet
from .types import FloatArray, Marker

__all__ = [
    "LslInlet",
    "MarkerInlet",
    "StreamLost",
    "StreamQuery",
    "StreamSearch",
    "find_streams",
    "lsl_now",
    "open_marker_outlet",
    "open_outlet",
    "quiet_liblsl",
    "resolve_stream",
]

#: Longest a pull blocks, so that a stop or a stall is noticed. Seconds.
_LONGEST_PULL_S = 0.05


class LslInlet(Connection):
    """The samples of one stream, pulled in blocks.

    Parameters
    ----------
    info : pylsl.StreamInfo
        A stream found by `resolve_stream`.
    max_buffer_s : float
        Seconds of signal that liblsl holds while nobody pulls; the oldest go when more come.
    clocksync : bool
        Whether to move stamps to this machine's clock.
    timeout_s : float
        How long to wait for the stream to open, and for its clock to answer.

    Attributes
    ----------
    info : StreamInfo
        What the stream says of itself.
    notes : tuple of str
        What its description leaves out, in sentences.

    Raises
    ------
    StreamError
        If the stream cannot be opened, carries text, or has no regular rate.
    """

    def __init__(
        self,
        info: pylsl.StreamInfo,
        max_buffer_s: float = 30.0,
        clocksync: bool = True,
        timeout_s: float = OPEN_TIMEOUT_S,
    ) -> None:
        _check_is_signal(info)
        # liblsl counts its buffer in whole seconds; volumes of a scanner come less often than that.
        max_buffer = ceil(max(max_buffer_s, 16 / info.nominal_srate()))
        super().__init__(info, max_buffer, clocksync, timeout_s)
        self.info, notes = read_description(self.full_info)
        if clocksync and self.offset_s is None:
            notes += (
                f"{self._who} does not answer questions about its clock: stamps are taken as they come.",
            )
        self.notes = notes
        dtype = np.dtype(self._inlet.np_dtype)
        self._dtype = dtype
        self._out_dtype = np.result_type(dtype, np.float32)
        self._n_channels = len(self.info.channels)

    def pull(
        self, n_samples: int, timeout_s: float = _LONGEST_PULL_S, drain: bool = False
    ) -> tuple[FloatArray, npt.NDArray[np.float64], float]:
        """Wait for the next `n_samples` samples, in one blocking call.

        Parameters
        ----------
        n_samples : int
            How many are wanted; fewer come when the time is up.
        timeout_s : float
            Longest wait, at most 0.05 s.
        drain : bool
            Whether to take along what else has arrived already.

        Returns
        -------
        data : array of shape (n, n_channels), floating
            The stream's values; float32 and float64 as they are, integers as the float type that holds them.
        stamps_s : array of shape (n,), float64
            LSL time of each sample on this machine's clock.
        arrived_s : float
            LSL time at which they were in hand.

        Raises
        ------
        StreamLost
            If the outlet is gone and nothing that it sent is left.
        """
        with self._lock:
            if self._inlet is None:
                raise StreamLost(f"{self._who} was closed.")
            data, stamps_s = self._pull(n_samples, min(timeout_s, _LONGEST_PULL_S))
            if drain and len(stamps_s) == n_samples and (waiting := int(self._inlet.samples_available())):
                # A stream that breaks off here is told by the next pull; what is in hand is kept.
                with suppress(StreamLost):
                    more, more_stamps_s = self._pull(waiting, 0.0)
                    data, stamps_s = np.concatenate((data, more)), np.concatenate((stamps_s, more_stamps_s))
            arrived_s = lsl_now()
            self._watch(len(stamps_s) > 0)
            self._probe(0.0)
        return data.astype(self._out_dtype, copy=False), self._correct(stamps_s), arrived_s

    def _pull(self, n_samples: int, timeout_s: float) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        # Fresh arrays are cheap, and nothing handed out is ever overwritten. The stamps begin as zeros, so
        # that samples which came in this call before the stream broke off can be told from the rest.
        data = np.empty((n_samples, self._n_channels), self._dtype)
        stamps_s = np.zeros(n_samples)
        error = ctypes.c_int()
        n_values = self._inlet.do_pull_chunk(
            self._inlet.obj,
            ctypes.c_void_p(data.ctypes.data),
            ctypes.c_void_p(stamps_s.ctypes.data),
            ctypes.c_size_t(data.size),
            ctypes.c_size_t(n_samples),
            ctypes.c_double(timeout_s),
            ctypes.byref(error),
        )
        n = int(n_values) // self._n_channels
        if error.value:
            n = int(np.count_nonzero(stamps_s))
            if n == 0:
                raise self._lost()
        return data[:n], stamps_s[:n]


class MarkerInlet(Connection):
    """The markers of one stream: text as sent, integers in decimal, and of JSON what it says.

    Parameters
    ----------
    info : pylsl.StreamInfo
        A stream found by `resolve_stream`.
    clocksync : bool
        Whether to move stamps to this machine's clock.
    timeout_s : float
        How long to wait for the stream to open, and for its clock to answer.

    Raises
    ------
    StreamError
        If the stream cannot be opened, has several channels, or is a signal.
    """

    def __init__(
        self, info: pylsl.StreamInfo, clocksync: bool = True, timeout_s: float = OPEN_TIMEOUT_S
    ) -> None:
        _check_is_markers(info)
        # Irregular streams are buffered in hundreds of samples.
        super().__init__(info, 100, clocksync, timeout_s)
        self.name = str(info.name())
        self.source_id = str(info.source_id())

    def pull(self, timeout_s: float = _LONGEST_PULL_S) -> list[Marker]:
        """Return the markers that have arrived; wait for the first at most `timeout_s` seconds (up to 0.05).

        Raises
        ------
        StreamLost
            If the outlet is gone.
        """
        with self._lock:
            if self._inlet is None:
                raise StreamLost(f"{self._who} was closed.")
            try:
                values, raw_s = self._inlet.pull_chunk(
                    min(timeout_s, _LONGEST_PULL_S), max_samples=256, min_samples=1, as_numpy=True
                )
            except pylsl.util.LostError as lost:
                raise self._lost() from lost
            arrived_s = lsl_now()
            self._probe(0.0)
        stamps_s = self._correct(raw_s)
        markers = []
        for time_s, value in zip(stamps_s, values[:, 0], strict=True):
            said = read_marker_text(_text(value))
            markers.append(Marker(float(time_s), said.label, arrived_s, said.concept, said.duration_s))
        return markers


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    if isinstance(value, np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(int(value))


def _check_format(info: pylsl.StreamInfo) -> None:
    # pylsl leaves out 64-bit integers there.
    if sys.platform == "win32" and info.channel_format() == cf_int64:
        raise StreamError(
            f"Stream {info.name()!r} sends int64 values, which pylsl cannot receive on Windows. "
            "Send int32, double64 or text."
        )


def _check_is_signal(info: pylsl.StreamInfo) -> None:
    _check_format(info)
    name, rate_hz = info.name(), float(info.nominal_srate())
    if info.channel_format() == cf_string:
        raise StreamError(
            f"Stream {name!r} of type {info.type()!r} carries text, not samples. "
            "Name the stream that has the signal with --stream NAME."
        )
    if not rate_hz > 0:
        raise StreamError(
            f"Stream {name!r} declares no regular sampling rate, so its samples have no place in time. "
            "Set the rate in the program that sends it, or name another stream."
        )


def _check_is_markers(info: pylsl.StreamInfo) -> None:
    _check_format(info)
    name, n_channels, rate_hz = info.name(), int(info.channel_count()), float(info.nominal_srate())
    if n_channels != 1:
        raise StreamError(
            f"Stream {name!r} has {n_channels} channels; a marker stream has one, with text or integers. "
            "Send each event as one value, or name another stream."
        )
    if rate_hz > 0 and info.channel_format() != cf_string:
        raise StreamError(
            f"Stream {name!r} sends {fmt2string[info.channel_format()]} values at a regular {rate_hz:g} Hz; "
            "a marker stream is irregular. Name another stream."
        )
