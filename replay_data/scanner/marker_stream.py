"""The stimuli of a scan as an LSL stream of markers, on the scan's clock."""

import threading
from collections.abc import Iterator

from decode_stream.stream.errors import StreamError
from decode_stream.stream.lsl import lsl_now, open_marker_outlet

__all__ = ["ScanMarkers"]

#: Longest wait for who listens, and for who has not yet read the last marker. Seconds.
_LONGEST_S = 60.0
_LOOK_S = 0.1


class ScanMarkers:
    """A stream of markers that can be found as soon as this exists.

    Parameters
    ----------
    name, source_id : str
        As consumers look for it.
    markers : tuple of (float, str)
        When each is due, in seconds of the scan since its first volume began, and its text.
    """

    def __init__(self, name: str, source_id: str, markers: tuple[tuple[float, str], ...]) -> None:
        self.name = name
        self._markers = markers
        self._outlet = open_marker_outlet(name, source_id)

    def due(self, t0_s: float, speed: float) -> Iterator[tuple[float, str]]:
        """Yield when each marker is due by LSL's clock, and its text.

        Parameters
        ----------
        t0_s : float
            When the first volume begins.
        speed : float
            How much faster than recorded.
        """
        for at_s, text in self._markers:
            yield t0_s + at_s / speed, text

    def send(self, stamp_s: float, text: str) -> None:
        """Send a marker with the stamp at which it was due."""
        self._outlet.push_sample([text], stamp_s)

    def wait(self, stop: threading.Event) -> None:
        """Wait until somebody listens, or `stop` is set.

        Raises
        ------
        StreamError
            If nobody does within a minute.
        """
        deadline_s = lsl_now() + _LONGEST_S
        while not self._outlet.wait_for_consumers(_LOOK_S) and not stop.is_set():
            if lsl_now() > deadline_s:
                raise StreamError(
                    f"Nobody listened to the markers of {self.name!r} within {_LONGEST_S:g} s. Start the session, or "
                    "scan without --wait."
                )

    def linger(self, stop: threading.Event) -> None:
        """Stay until consumers have closed: what an outlet has not yet delivered dies with it."""
        deadline_s = lsl_now() + _LONGEST_S
        while self._outlet.have_consumers() and lsl_now() < deadline_s and not stop.wait(_LOOK_S):
            pass
