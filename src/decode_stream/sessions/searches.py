"""Looking again for streams that are gone, without opening one of several by chance."""

import time
from collections.abc import Callable
from typing import TypeVar

from decode_stream.stream.errors import StreamError
from decode_stream.stream.lsl import LslInlet, MarkerInlet, StreamQuery, StreamSearch

__all__ = ["Searches"]

_LOOK_S = 0.05

_Inlet = TypeVar("_Inlet", LslInlet, MarkerInlet)


class Searches:
    """Every search for a lost stream that is under way, each until a stream is open.

    Attributes
    ----------
    running : dict of StreamQuery to StreamSearch
    """

    def __init__(self) -> None:
        self.running: dict[StreamQuery, StreamSearch] = {}
        self._told_several: set[StreamQuery] = set()

    def the_one(
        self,
        query: StreamQuery,
        kind: type[_Inlet],
        tell: Callable[[str, str], None],
        *,
        clocksync: bool,
    ) -> _Inlet | None:
        """Open the stream that matches if there is just one, and say so if there are more.

        The search goes on between the calls, until a stream is open.

        Parameters
        ----------
        query : StreamQuery
        kind : {LslInlet, MarkerInlet}
        tell : callable
            Takes the kind and the text of what happens.
        clocksync : bool
            Whether to move stamps to this machine's clock.

        Returns
        -------
        LslInlet, MarkerInlet or None
            None, after a moment, where there is nothing to open yet.
        """
        if (search := self.running.get(query)) is None:
            search = self.running[query] = StreamSearch(query)
        found = search.settled()
        if len(found) > 1 and query not in self._told_several:
            self._told_several.add(query)
            tell("several", f"{len(found)} streams answer to {query}; waiting until one is left")
        if len(found) != 1:
            time.sleep(_LOOK_S)
            return None
        try:
            inlet = kind(found[0], clocksync=clocksync)
        except StreamError:
            return None
        del self.running[query]
        return inlet

    def end(self) -> None:
        """Give up every search."""
        self.running.clear()
