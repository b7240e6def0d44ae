"""Watch a folder into which a scanner's export writes the volumes of a run."""

import time
from collections.abc import Callable
from pathlib import Path

from ..errors import UsageError
from .volume import LostVolumes, Volume

__all__ = ["FolderWatch"]


class FolderWatch:
    """Hands on the volumes of one series in the order in which they were measured.

    Parameters
    ----------
    folder : path
    series : str, optional
        Series instance UID, series number or description of DICOM, or the name without its number of NIfTI; without
        it, the first series that is found.
    tr_s : float, optional
        Time from one volume to the next; without it, what the first volume's file says.
    start : int
        Place of the first volume that is wanted: a session that goes on after a restart passes over what it has had.
    clock : callable
        Tells the time in seconds, as `pylsl.local_clock` does.
    tell : callable
        Takes what a person should know, ``tell(kind, text)``; each thing is told once.
    wait : callable
        Sleeps for so many seconds between two looks at the folder.

    Raises
    ------
    UsageError
        If there is no such folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float],
        tell: Callable[[str, str], None],
        series: str | None = None,
        tr_s: float | None = None,
        start: int = 0,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder}. Name the folder that the scanner exports to.")
        self.n_seen = self.n_lost = self.n_late = self.n_refused = self.n_ignored = self.n_unreadable = 0

    def pull(self, timeout_s: float) -> list[Volume | LostVolumes]:
        """Return what has come since, in the order of acquisition; wait for so long if there is nothing."""
        raise NotImplementedError
