"""A scanner that is not there: plays a recording's volumes as files, each when it would have been measured."""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from decode_stream.replay_data.formats.nifti_volumes import NiftiImage, stored_volumes
from decode_stream.stream.errors import RecordingError, UsageError

from .arrivals import Arrivals, ScanFaults, Write
from .vendors import SeriesPlan, Vendor, plan_series

__all__ = ["Clock", "Scan", "ScanSettings", "Scanner", "WallClock"]

#: What comes later than by so much of a repetition time is told to be late.
_LATE_TR = 0.1
#: Under which name a file grows that is renamed when it is whole.
_GROWING = ".{}.part"


class Clock(Protocol):
    """What a scan's times are read from."""

    def now_s(self) -> float:
        """Return the time in seconds."""
        ...

    def wait_until(self, time_s: float, stop: threading.Event) -> bool:
        """Wait for a time, or return False as soon as `stop` is set."""
        ...


class WallClock:
    """LSL's clock, so that markers and volumes are of one time."""

    def now_s(self) -> float:
        """Return the time in seconds."""
        from decode_stream.stream.lsl import lsl_now

        return lsl_now()

    def wait_until(self, time_s: float, stop: threading.Event) -> bool:
        """Wait for a time, or return False as soon as `stop` is set."""
        while (left_s := time_s - self.now_s()) > 0:
            if stop.wait(left_s):
                return False
        return not stop.is_set()


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """How a recording is played as a scan.

    Attributes
    ----------
    vendor : Vendor
        Whose files.
    tr_s : float
        Repetition time of the recording in seconds.
    speed : float
        How much faster than recorded. What the files say of time stays as recorded.
    start_volume : int
        The recording's volume that is the scan's first, from 1.
    rename : bool
        Whether files are written under another name and get theirs when they are whole.
    faults : ScanFaults

    Raises
    ------
    UsageError
        If a number makes no sense.
    """

    vendor: Vendor
    tr_s: float
    speed: float = 1.0
    start_volume: int = 1
    rename: bool = False
    faults: ScanFaults = field(default_factory=ScanFaults)

    def __post_init__(self) -> None:
        if not 0 < self.tr_s <= 60:
            raise UsageError(f"--tr-s is {self.tr_s:g}; a volume takes more than 0 s and at most 60 s.")
        if not 0.01 <= self.speed <= 1000:
            raise UsageError(f"--speed is {self.speed:g}; it must lie between 0.01 and 1000.")
        if self.start_volume < 1:
            raise UsageError(f"--start-volume is {self.start_volume}; volumes count from 1.")

    @property
    def step_s(self) -> float:
        """From a volume to the next, by the clock on the wall."""
        return self.tr_s / self.speed


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan did.

    Attributes
    ----------
    n_volumes, n_files : int
        Volumes and files that arrived, cut off or not, those of a second series not counted.
    n_lost : int
        Volumes that were lost on purpose.
    n_late : int
        Volumes of which a file came more than a tenth of a repetition time after it was due.
    latest_s : float
        How late the latest file was, in seconds.
    """

    n_volumes: int
    n_files: int
    n_lost: int
    n_late: int
    latest_s: float


class Scanner:
    """One scan: the volumes of a recording as files in a folder.

    Volume n, counted from 1, is whole n repetition times after the scan began, and its files arrive then, if no fault
    delays them.

    Parameters
    ----------
    image : NiftiImage
        The recording, with an axis of time.
    settings : ScanSettings
    out : Path
        The folder; it is made if need be.
    clock : Clock

    Attributes
    ----------
    n_volumes : int
        Volumes of the scan.
    plan : SeriesPlan
        How they are written.

    Raises
    ------
    UsageError
        If the scan would begin behind the recording's end, or loses a volume that is not there.
    RecordingError
        If the files cannot hold the recording, or the folder cannot be made or is not empty.
    """

    def __init__(self, image: NiftiImage, settings: ScanSettings, out: Path, clock: Clock) -> None:
        n_recorded = image.n_volumes or 1
        if settings.start_volume > n_recorded:
            raise UsageError(
                f"--start-volume is {settings.start_volume}, and {image.path} has {n_recorded} volumes. "
                "Give one of them."
            )
        self.n_volumes = n_recorded - settings.start_volume + 1
        self._image = image
        self._settings = settings
        self._out = out
        self._clock = clock
        self._arrivals = Arrivals(settings.faults, self.n_volumes, settings.step_s)
        self._waiting: list[tuple[float, int, int, Callable[[], None]]] = []
        self._n_queued = 0
        self._n_files = 0
        self._late_s: dict[int, float] = {}
        _prepare(out)
        first = settings.start_volume - 1
        self.plan: SeriesPlan = plan_series(
            settings.vendor, image, settings.tr_s, first, settings.faults.seed
        )

    def at(self, time_s: float, do: Callable[[], None]) -> None:
        """Do something at a time of the clock, between the files; for what happens during the scan, such as markers."""
        self._queue(time_s, 0, do)

    def run(self, t0_s: float, began: datetime, stop: threading.Event) -> Scan:
        """Play until all has arrived, or until `stop` is set.

        Parameters
        ----------
        t0_s : float
            When the first volume begins, by the clock.
        began : datetime
            The same by the scanner's own clock, which the files tell.
        stop : threading.Event

        Raises
        ------
        RecordingError
            If a file cannot be written, or the recording is cut off.
        """
        step_s, n_lost = self._settings.step_s, 0
        write_volume = self.plan.writer(began)
        write_again = self.plan.writer(began, second=True) if self._settings.faults.second_series else None
        volumes = stored_volumes(self._image, self._settings.start_volume - 1)
        for number, stored in enumerate(volumes, start=1):
            whole_s = t0_s + number * step_s
            # Its files are made while it is measured, so that the memory holds no more than what is on its way.
            began_s = whole_s - step_s
            if not (self._play(began_s, stop) and self._clock.wait_until(began_s, stop)):
                break
            files = write_volume(stored, number)
            n_lost += self._arrivals.is_lost(number)
            for write in self._arrivals.writes(files, number):
                self._queue_write(whole_s, number, write)
            if write_again is not None:
                for file in write_again(stored, number):
                    self._queue_write(whole_s, 0, Write(0.0, file.name, file.content, True, True))
        self._play(float("inf"), stop)
        late = [late_s for late_s in self._late_s.values() if late_s > _LATE_TR * step_s]
        return Scan(
            len(self._late_s),
            self._n_files,
            n_lost,
            len(late),
            max(self._late_s.values(), default=0.0),
        )

    def _queue(self, time_s: float, number: int, do: Callable[[], None]) -> None:
        heapq.heappush(self._waiting, (time_s, self._n_queued, number, do))
        self._n_queued += 1

    def _queue_write(self, whole_s: float, number: int, write: Write) -> None:
        self._queue(whole_s + write.after_s, number, lambda: self._write(write, number))

    def _play(self, until_s: float, stop: threading.Event) -> bool:
        """Do what is due by a time, each when it is; False if stopped."""
        while self._waiting and self._waiting[0][0] <= until_s:
            due_s, _, number, do = heapq.heappop(self._waiting)
            if not self._clock.wait_until(due_s, stop):
                return False
            if number:
                late_s = self._clock.now_s() - due_s
                self._late_s[number] = max(late_s, self._late_s.get(number, 0.0))
            do()
        return not stop.is_set()

    def _write(self, write: Write, number: int) -> None:
        place = self._out / (_GROWING.format(write.name) if self._settings.rename else write.name)
        try:
            with place.open("xb" if write.first else "ab") as file:
                file.write(write.content)
            if write.last and self._settings.rename:
                place.rename(self._out / write.name)
        except OSError as error:
            raise RecordingError(
                f"{place} cannot be written: {error.strerror or error}. Give --out a folder with room that can be "
                "written to."
            ) from error
        self._n_files += bool(number and write.last)


def _prepare(out: Path) -> None:
    """Make the folder of the scan, or refuse one that holds something: its files would be taken for the scan's."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = next(out.iterdir(), None)
    except OSError as error:
        raise RecordingError(
            f"--out {out} is no folder that can be written to: {error.strerror or error}. Give another."
        ) from error
    if held is not None:
        raise RecordingError(
            f"--out {out} is not empty: it holds {held.name}. Give a new folder, or empty this one yourself: "
            "nothing in it is replaced."
        )
