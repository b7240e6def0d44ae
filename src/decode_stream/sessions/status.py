"""Where a session stands, and what it has told: the one thing that all its threads write to."""

import threading

from decode_stream.stream.lsl import lsl_now
from decode_stream.stream.types import Event

__all__ = ["Status"]


class Status:
    """State and events of a session; any thread may change and read them.

    Attributes
    ----------
    events : tuple of Event
        Everything worth telling, oldest first.
    state : str
        One of `decode_stream.gui.snapshot.STATES`.
    """

    def __init__(self) -> None:
        self.events: tuple[Event, ...] = ()
        self._started_s = lsl_now()
        self._state = ("idle", self._started_s)
        self._lock = threading.Lock()

    def tell(self, kind: str, text: str) -> None:
        """Add an event."""
        with self._lock:
            self.events = (*self.events, Event(lsl_now() - self._started_s, kind, text))

    @property
    def state(self) -> str:
        """What the session is doing."""
        return self._state[0]

    def set(self, state: str) -> None:
        """Enter a state; to enter it again changes nothing."""
        if self._state[0] != state:
            self._state = (state, lsl_now())

    def since(self) -> tuple[str, float]:
        """Return the state, and the LSL time at which it began."""
        return self._state
