"""The journal of a watched run while it is written by the threads of a session, and what its header says."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from decode_stream.decoders.bundle import Bundle
from decode_stream.stream.fmri.journal import Journal, JournalHeader, JournalVolume, KeptRun
from decode_stream.stream.lsl import lsl_now
from decode_stream.stream.scanner.volume import Volume
from decode_stream.stream.types import Marker

from .watched_run import WatchedRun

__all__ = ["RunJournal", "header_of", "same_moment"]

#: Clocks that agree to this are of one boot of the machine. Seconds.
_SAME_BOOT_S = 1.0


class RunJournal:
    """Keeps entries from any thread; a disk that is full ends the journal, not the run.

    Before it is opened, and after it was closed, nothing is kept.

    Parameters
    ----------
    tell : callable
        Takes the kind and the text of what happens to it.
    """

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._writing = threading.Lock()
        self._journal: Journal | None = None

    def open(self, path: Path, header: JournalHeader, kept: KeptRun | None, run: WatchedRun) -> None:
        """Begin a journal, or go on with the one that holds `kept`.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._journal = Journal(path, header, kept)
        if kept is None and run.reference is not None and not run.reference.sha256:
            self._journal.add_reference(run.reference.values)

    def keep(self, entry: JournalVolume | Marker) -> None:
        """Keep a volume or a marker."""
        with self._writing:
            if self._journal is None:
                return
            try:
                if isinstance(entry, Marker):
                    self._journal.add_marker(entry)
                else:
                    self._journal.add_volume(entry)
            except OSError as error:
                self._journal.close()
                self._journal = None
                self._tell(
                    "journal",
                    f"the journal cannot be written any more ({error.strerror}); the run goes on without",
                )

    def close(self) -> None:
        """Close the file; later calls do nothing."""
        with self._writing:
            if self._journal is not None:
                self._journal.close()
                self._journal = None


def header_of(first: Volume, run: WatchedRun, bundle: Bundle, began_s: float) -> JournalHeader:
    """Return what the journal of a run belongs to.

    Parameters
    ----------
    first : Volume
        The first that is in the folder.
    began_s : float
        LSL time at which volume 0 began.
    """
    x, y, z = first.data.shape
    return JournalHeader(
        bundle=bundle.sha256,
        series=first.series,
        tr_s=first.tr_s,
        grid=(x, y, z),
        channels=tuple(channel.name for channel in run.channels),
        corrected=run.motion is not None,
        reference=run.reference.sha256 if run.reference else "",
        first=first.number,
        first_sha256=hashlib.sha256(np.ascontiguousarray(first.data).tobytes()).hexdigest(),
        began_s=began_s,
        began_unix_s=time.time() + began_s - lsl_now(),
    )


def same_moment(header: JournalHeader) -> float:
    """Return the LSL time at which a run began that was kept, to the bit where the machine has not been restarted."""
    by_unix_s = header.began_unix_s - time.time() + lsl_now()
    return header.began_s if abs(by_unix_s - header.began_s) < _SAME_BOOT_S else by_unix_s
