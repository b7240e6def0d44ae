"""An open liblsl inlet that tells when its outlet is gone, and the offset of its clock."""

import ctypes
import os
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pylsl
from pylsl.lib import lib

from .clock import ClockOffset
from .errors import StreamError

__all__ = ["OPEN_TIMEOUT_S", "Connection", "StreamLost", "lsl_now", "quiet_liblsl"]

OPEN_TIMEOUT_S = 5.0
_PROBE_EVERY_S = 5.0
#: Offsets below this, measured to an outlet on a machine of this name, mean that the clock is the same one.
_SAME_CLOCK_S = 1e-3

#: Silence after which a signal's outlet is asked whether it still lives, and how long it has to answer.
_SILENT_S = 3.0
_ANSWER_S = 2.0

_time_correction = lib.lsl_time_correction_ex
_time_correction.restype = ctypes.c_double


class StreamLost(StreamError):
    """The outlet behind an open inlet is gone."""


def quiet_liblsl() -> None:
    """Keep liblsl's own log off the terminal; called before any stream is sought or opened.

    A configuration file of the user's stands, wherever liblsl looks for one.
    """
    own = (
        os.environ.get("LSLAPICFG"),
        "lsl_api.cfg",
        Path.home() / "lsl_api" / "lsl_api.cfg",
        "/etc/lsl_api/lsl_api.cfg",
    )
    if not any(place and Path(place).exists() for place in own):
        pylsl.set_config_content("[log]\nlevel = -3\n")


def lsl_now() -> float:
    """Return the time on this machine's LSL clock, in seconds."""
    return float(pylsl.local_clock())


class Connection:
    """What both kinds of inlet share: an open liblsl inlet and the offset of its clock.

    Attributes
    ----------
    full_info : pylsl.StreamInfo
        The stream's whole description.
    offset_s : float or None
        Latest offset of this machine's clock against the outlet's, in seconds; None where it is not known.
    """

    def __init__(self, info: pylsl.StreamInfo, max_buffer: int, clocksync: bool, timeout_s: float) -> None:
        self._who = f"Stream {info.name()!r} (source_id {info.source_id()!r}, on {info.hostname()})"
        self._same_host = info.hostname() == socket.gethostname()
        self._lock = threading.Lock()
        self._clock = ClockOffset() if clocksync else None
        self._uid = info.uid()
        # Volumes of a scanner come every few seconds.
        self._silent_s = max(_SILENT_S, 4 / rate_hz) if (rate_hz := info.nominal_srate()) else _SILENT_S
        self._search: Any = None
        self._next_probe_s = 0.0
        self._probed_s = float("-inf")
        self.offset_s: float | None = None
        self._inlet: Any = pylsl.StreamInlet(info, max_buflen=max_buffer, recover=False, processing_flags=0)
        try:
            self.full_info: Any = self._inlet.info(timeout_s)
            # The first estimate takes 0.6 s; samples would pile up if the stream were open already.
            self._probe(timeout_s)
            self._inlet.open_stream(timeout_s)
            self._heard_s = self._asked_s = lsl_now()
        except pylsl.util.LostError as lost:
            raise StreamLost(f"{self._who} was gone before it could be opened.") from lost
        except pylsl.util.TimeoutError as late:
            raise StreamError(
                f"{self._who} was found but could not be opened within {timeout_s:g} s. "
                "Check that the firewall lets TCP ports 16572 to 16604 through."
            ) from late

    def _probe(self, timeout_s: float) -> None:
        """Ask liblsl for its latest estimate; it makes them in a thread of its own, every 2 s."""
        now_s = lsl_now()
        if self._clock is None or now_s < self._next_probe_s:
            return
        self._next_probe_s = now_s + _PROBE_EVERY_S
        remote_s, uncertainty_s, error = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
        offset_s = _time_correction(
            self._inlet.obj,
            ctypes.byref(remote_s),
            ctypes.byref(uncertainty_s),
            ctypes.c_double(timeout_s),
            ctypes.byref(error),
        )
        # A missing estimate leaves the last one in place; a lost stream is told by the next pull.
        if error.value or remote_s.value == self._probed_s:
            return
        self.offset_s = float(offset_s)
        self._probed_s = remote_s.value
        if self._same_host and abs(self.offset_s) < _SAME_CLOCK_S:
            # Both read the same clock: its offset is 0, and a probe's noise would only blur the stamps.
            self.offset_s, self._clock = 0.0, None
        else:
            self._clock.add(remote_s.value, self.offset_s)

    def _correct(self, stamps_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return stamps_s if self._clock is None else self._clock.correct(stamps_s)

    def _watch(self, heard: bool) -> None:
        """Ask after an outlet that has long been silent; raise StreamLost if it does not answer.

        A closed outlet is told by TCP at once. A cable that was pulled is not: nothing ever comes again.
        """
        now_s = lsl_now()
        if heard:
            self._heard_s, self._search = now_s, None
        elif now_s - self._heard_s < self._silent_s:
            return
        elif self._search is None:
            self._search = pylsl.ContinuousResolver(pred=f"uid='{self._uid}'")
            self._asked_s = now_s
        elif self._search.results():
            # Alive, and only silent: ask again later.
            self._heard_s, self._search = now_s, None
        elif now_s - self._asked_s > _ANSWER_S:
            raise self._lost()

    def _lost(self) -> StreamLost:
        return StreamLost(f"{self._who} is gone: its outlet closed or its computer can no longer be reached.")

    def close(self) -> None:
        """Disconnect. A pull that is under way ends first; later calls do nothing."""
        with self._lock:
            self._inlet = self._search = None
