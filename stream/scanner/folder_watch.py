"""Watch a folder into which a scanner's export writes the volumes of a run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from decode_stream.stream.errors import UsageError

from .new_files import Found, NewFiles, Tell
from .run_fit import misfit
from .run_order import GRACE, RunOrder
from .scans import Scan, Unreadable
from .series_choice import SeriesChoice
from .stacks import SliceStacks
from .volume import LostVolumes, Volume

__all__ = ["FolderWatch"]

_POLL_S = 0.02
#: Listing a full folder takes at most a fifth of the time.
_PAUSE = 4.0


@dataclass(frozen=True)
class _Arrival:
    """A volume of the run, whole."""

    scan: Scan
    path: Path
    arrived_s: float


class FolderWatch:
    """Hands on the volumes of one series in the order in which they were measured.

    Files are known by what they hold: NIfTI (one volume or all of a run), Siemens mosaics, one file a slice of GE,
    Philips and Siemens, enhanced multi-frame files of one volume or of many. A volume is handed on once those before
    it are. One that does not come is told in `LostVolumes` when a later one has come and a repetition time has passed
    since it should have been there (see `RunOrder`). Whatever cannot be used is counted and told, and the run goes on.

    Tried on a scanner's own files: Siemens mosaics. The other formats, files that grow, and NIfTI exports of a real run
    are tried on written ones.
    What it cannot tell: a file that is written anew under an old name; volumes that the scanner itself moves from one
    to the next (prospective motion correction), which are refused as lying elsewhere; a repetition time that is not
    the time from volume to volume (3D sequences), where `tr_s` and the header disagree.

    Parameters
    ----------
    folder : Path
    clock : callable
        Tells the time in seconds, as `pylsl.local_clock` does.
    tell : callable
        Takes what a person should know, ``tell(kind, text)``, each thing once. Kinds are ``folder`` (it cannot be
        listed), ``series`` (another one is there), ``refused`` (a volume does not fit the run), ``late`` (a volume came
        after its place was given up), ``lost`` (slices of a volume) and ``unreadable`` (a file is no whole volume).
    series : str, optional
        Series instance UID, series number or description of DICOM, or the name without its number of NIfTI. Without
        it, the one of the lowest number that comes within a repetition time of the first file.
    tr_s : float, optional
        Time from one volume to the next; without it, what the first volume's file says.
    wait : callable
        Sleeps for so many seconds between two looks at the folder.

    Attributes
    ----------
    n_seen : int
        Volumes handed on.
    n_lost : int
        Places told as lost, the refused ones among them.
    n_late : int
        Volumes that came after their place was given up.
    n_refused : int
        Volumes that did not fit the run.

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
        tell: Tell,
        series: str | None = None,
        tr_s: float | None = None,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        if not folder.is_dir():
            raise UsageError(
                f"There is no folder {folder}. Name the folder that the scanner exports its volumes to."
            )
        self._files = NewFiles(folder, tell)
        self._clock, self._wait = clock, wait
        self._tell = tell
        self._told: set[str] = set()
        self._choice = SeriesChoice(series, tell)
        self._tr_s = tr_s
        self._reference: Scan | None = None
        self._stacks = SliceStacks()
        self._unplaced: list[_Arrival] = []
        self._first: int | None = None
        self._order: RunOrder[_Arrival] | None = None
        self.n_seen = self.n_lost = self.n_late = self.n_refused = 0

    @property
    def n_ignored(self) -> int:
        """Files of another series."""
        return self._choice.n_ignored

    @property
    def n_unreadable(self) -> int:
        """Files that were told as no whole volume."""
        return self._files.n_unreadable

    def pull(self, timeout_s: float) -> list[Volume | LostVolumes]:
        """Return what has come, in the order of acquisition.

        Parameters
        ----------
        timeout_s : float
            How long to wait for something; 0 looks once.

        Returns
        -------
        list of Volume or LostVolumes
            Each place of the run once; empty if nothing has come in time.
        """
        until_s = self._clock() + timeout_s
        while True:
            begun = time.perf_counter()
            out = self._look()
            left_s = until_s - self._clock()
            if out or left_s <= 0:
                return out
            if not self._files.behind:
                self._wait(min(left_s, max(_POLL_S, _PAUSE * (time.perf_counter() - begun))))

    def _look(self) -> list[Volume | LostVolumes]:
        now_s = self._clock()
        for file in self._choice.passed(self._files.look(now_s), now_s, more=self._files.behind):
            for scan in self._scans(file):
                self._take(_Arrival(scan, file.path, file.at_s))
        now_s = self._clock()
        self._place(now_s)
        if self._order is None:
            return []
        # While files are still unread, what seems to be missing may be among them.
        return self._handed_on(self._order.take(now_s, give_up=not self._files.behind))

    def _scans(self, file: Found) -> list[Scan]:
        """Return the volumes that are whole with a file."""
        scans = list(file.content.scans)
        for one in file.content.slices:
            for made in self._stacks.add(one):
                if isinstance(made, Unreadable):
                    self._refuse("slices", f"{file.path}: {made}. The volume is left out.")
                else:
                    scans.append(made)
        return scans

    def _take(self, arrival: _Arrival) -> None:
        """Keep a volume for its place if it fits the run."""
        scan = arrival.scan
        tr_s = self._tr_s or scan.tr_s
        if tr_s is None:
            text = "does not say its repetition time. Tell how long it is from one volume to the next"
            self._refuse("no tr", f"{arrival.path} {text}.")
            return
        fault = misfit(scan, self._reference or scan, tr_s)
        if fault is None:
            self._reference, self._tr_s = self._reference or scan, tr_s
            self._unplaced.append(arrival)
            return
        cause = fault.partition(",")[0]
        self._refuse(cause, f"{arrival.path} {fault}. It is left out, and all like it.")
        echo_s = self._reference.echo_s if self._reference is not None else None
        if self._order is not None and self._first is not None and scan.echo_s == echo_s:
            # Nothing is to be waited for at its place, where another echo's volume would still come.
            self._order.add(scan.count - self._first, arrival.arrived_s, None)

    def _place(self, now_s: float) -> None:
        """Give the volumes that have come their places in the run."""
        if not self._unplaced or self._tr_s is None:
            return
        if self._first is None:
            self._first = self._first_number(now_s)
        if self._first is None:
            return
        if self._order is None:
            self._order = RunOrder(self._tr_s)
        for arrival in self._unplaced:
            place = arrival.scan.count - self._first
            fate = self._order.add(place, arrival.arrived_s, arrival)
            if fate in ("before", "late"):
                self.n_late += 1
                text = (
                    f"Volume {place + 1} came after its place was given up: {arrival.path}. It is left out."
                )
                self._tell("late", text)
            elif fate == "twice":
                text = f"{arrival.path} is a second volume {place + 1}. The first one counts."
                self._refuse("twice", text)
            elif fate == "far":
                number = f"is numbered {arrival.scan.count}, which is no place in this run"
                self._refuse("far", f"{arrival.path} {number}. It is left out.")
        self._unplaced = []

    def _first_number(self, now_s: float) -> int | None:
        """Return the number that the run's first volume has, or None while it may still be 0 or 1."""
        scan = self._unplaced[0].scan
        if scan.first is not None:
            return scan.first
        if any(arrival.scan.count == 0 for arrival in self._unplaced):
            return 0
        waited_s = now_s - self._unplaced[0].arrived_s
        return 1 if waited_s >= GRACE * (self._tr_s or 0.0) and not self._files.behind else None

    def _handed_on(self, items: list[tuple[int, _Arrival] | LostVolumes]) -> list[Volume | LostVolumes]:
        out: list[Volume | LostVolumes] = []
        for item in items:
            if isinstance(item, LostVolumes):
                self.n_lost += item.n
                self._tell_slices(item)
                out.append(item)
                continue
            place, arrival = item
            scan = arrival.scan
            self.n_seen += 1
            out.append(
                Volume(
                    place,
                    scan.data,
                    scan.affine_mm,
                    self._tr_s or 0.0,
                    scan.acquired_s,
                    arrival.arrived_s,
                    arrival.path,
                    scan.series.uid,
                )
            )
        return out

    def _tell_slices(self, lost: LostVolumes) -> None:
        """Tell of volumes that are lost because some of their slices are."""
        for place in range(lost.first, lost.first + lost.n):
            n_came = self._stacks.n_came(place + (self._first or 0))
            if n_came:
                text = f"Volume {place + 1} is lost: {n_came} of its {self._stacks.n_slices} slices came."
                self._tell("lost", text)

    def _refuse(self, cause: str, text: str) -> None:
        self.n_refused += 1
        if cause not in self._told:
            self._told.add(cause)
            self._tell("refused", text)
