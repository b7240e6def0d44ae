"""Volumes from a scanner's folder as a session's signal: put in order, brought to the reference, kept on disk."""

import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle
from decode_stream.replay_data.formats.events_tables import read_volume_events
from decode_stream.stream.errors import StreamError, UsageError
from decode_stream.stream.fmri.journal import JournalVolume, KeptRun, read_journal, set_aside
from decode_stream.stream.lsl import StreamQuery, find_streams, lsl_now
from decode_stream.stream.scanner.folder_watch import FolderWatch
from decode_stream.stream.scanner.volume import LostVolumes, Volume
from decode_stream.stream.types import FloatArray, Marker, StreamInfo

from .marker_queue import MarkerQueue
from .run_journal import RunJournal, header_of, same_moment
from .source import Source
from .timing import StageTimes
from .watched_run import WatchedRun, open_run

__all__ = ["WatchedSource"]

_LOOK_S = 0.1
#: What is there already is read within this time. Seconds.
_PATIENCE_S = 1.0
#: The stamp of the marker that begins a run may be off by so much. Seconds.
_STAMP_S = 0.1
#: No run is longer; onsets behind its end are not told of.
_LONGEST_RUN = 10**9


class WatchedSource(Source):
    """The volumes of one run, from the folder that a scanner writes them to; see `Source`.

    Every volume is a sample, stamped with its place in the run times the repetition time after the beginning of the
    first, so that what is lost is found exactly; the channel `VOLUME_NUMBER` carries the place. Markers come from a
    table of onsets or over LSL.

    What went on to the decoder is kept in a journal. A session that is started again on the same run takes that first,
    then the folder from the next volume on, and makes the same betas as if it had never ended. A journal of another
    decoder, series or choice of correction is set aside under another name.

    Parameters
    ----------
    config : SessionConfig
    folder : Path
        May come into being later, and volumes as well.
    """

    def __init__(self, config: SessionConfig, folder: Path) -> None:
        super().__init__(config, None)
        self.registration = StageTimes()
        self._folder = folder.resolve()
        self._watch: FolderWatch | None = None
        self._run: WatchedRun | None = None
        # Through this object, as a session puts its own in the place of `tell`.
        self._journal = RunJournal(lambda kind, text: self.tell(kind, text))
        self._volumes: deque[Volume] = deque()
        self._kept: deque[JournalVolume] = deque()
        self._early: list[Marker] = []
        self._queue = MarkerQueue()
        self._tr_s = self._began_s = 0.0
        self._next = 0

    # Connecting

    def _connect(self, stop: threading.Event) -> StreamInfo | None:
        if self._config.onsets is None:
            self._open_marker_stream(stop)
        first = self._first_volume(stop)
        if first is None:
            return None
        self._tr_s = first.tr_s
        self._began_s = self._beginning(first)
        kept = self._resume(first, self.bundle) if self.bundle is not None else None
        run = self._run = self._run or self._opened(first, None)
        self.notes += run.notes
        self._queue = MarkerQueue(self._known_markers(kept))
        info = self.info = StreamInfo(
            name=self._folder.name,
            type="FMRI",
            source_id=str(self._folder),
            hostname="",
            channels=run.channels,
            sfreq_hz=1 / self._tr_s,
            n_samples=self._config.run_volumes,
        )
        self.words = f"{info.name!r} {info.type}, {len(run.voxels)} voxels every {self._tr_s:.4g} s"
        return info

    def _open_marker_stream(self, stop: threading.Event) -> None:
        named = self._named_markers()
        try:
            if named is not None:
                self._marker_inlet = self._open_markers(named, stop)
            else:
                self._marker_inlet = self._find_markers(
                    bool(find_streams(StreamQuery(type="Markers"), 1.0)), stop
                )
        except StreamError as error:
            if not stop.is_set():
                raise StreamError(
                    f"{error} With --watch, name the marker stream by --markers NAME, or give a table of --onsets."
                ) from error
        if self._marker_inlet is None and self.bundle is not None and self.bundle.manifest.of_betas:
            raise StreamError(
                f"There is no marker stream, and {self.bundle.manifest.name!r} decodes what is shown at an onset: "
                "nothing would be decoded. Start what sends the markers first, or give a table of --onsets."
            )

    def _first_volume(self, stop: threading.Event) -> Volume | None:
        """Wait for the folder and for the first volume in it; return None if `stop` was set meanwhile."""
        try:
            is_file = self._folder.is_file()
        except PermissionError as error:
            raise UsageError(
                f"{self._folder} cannot be looked at: {error.strerror}. Ask for the right to read it and the folders "
                "above it, or give another folder to --watch."
            ) from error
        if is_file:
            raise UsageError(f"{self._folder} is a file. Give the folder that the scanner writes to.")
        self._once_waiting(not self._folder.is_dir(), "there is no folder {} yet; waiting for it")
        while not stop.is_set() and not self._folder.is_dir():
            time.sleep(_LOOK_S)
        begun_s = lsl_now()
        while not stop.is_set():
            if self._watch is None:
                config = self._config
                self._watch = FolderWatch(
                    self._folder, clock=lsl_now, tell=self.tell, series=config.series, tr_s=config.tr_s
                )
            self._take(self._watch.pull(_LOOK_S))
            if self._volumes:
                return self._volumes[0]
            if lsl_now() - begun_s > _PATIENCE_S:
                self._once_waiting(
                    not self._watch.n_refused, "no volume has come into {} yet; waiting for the scanner"
                )
                remedy = "if only the repetition time is not told there, give --tr-s"
                if self._config.tr_s is not None:
                    remedy = f"if the files tell the repetition time rightly, leave out --tr-s {self._config.tr_s:g}"
                self._once_waiting(
                    bool(self._watch.n_refused), f"nothing in {{}} can be used so far; {remedy}"
                )
            # What is sent while nothing is scanned yet must not fill liblsl's buffer.
            if self._marker_inlet is not None:
                self._early += super().pull_markers(0.0)
        return None

    def _once_waiting(self, is_so: bool, text: str) -> None:
        if is_so and self.words != (words := text.format(self._folder)):
            self.words = words
            self.tell("waiting", words)

    def _beginning(self, first: Volume) -> float:
        """Return the LSL time at which volume 0 began."""
        # Those that lay in the folder already say that it was earlier than they were found.
        began_s = min(volume.arrived_s - (volume.number + 1) * volume.tr_s for volume in self._volumes)
        if (label := self._config.first_volume) is None:
            if self._marker_inlet is not None:
                self.notes += (
                    "The first volume is taken to have begun one repetition time before it came; if its export takes "
                    "long, let a marker tell it (--first-volume LABEL).",
                )
            return began_s
        self._early += super().pull_markers(0.0)
        # A scanner that sends a pulse with every volume has sent the next one before a volume is there.
        latest_s = began_s + _STAMP_S
        told_s = [m.time_s for m in self._early if m.label == label and m.time_s <= latest_s]
        if told_s:
            return told_s[-1]
        self.notes += (
            f"No marker {label!r} has come before the first volume; that is taken to have begun one repetition time "
            "before it came.",
        )
        return began_s

    def _known_markers(self, kept: KeptRun | None) -> list[Marker]:
        table = self._config.onsets
        if table is not None:
            if not table.is_file():
                raise UsageError(f"There is no table of --onsets at {table}.")
            notes = list[str]()
            events = read_volume_events(
                table, table, self._tr_s, _LONGEST_RUN, self._config.marker_column, notes
            )
            self.notes += tuple(notes)
            shown, now_s = events.stimuli, lsl_now()
            return [
                Marker(
                    self._began_s + shown.onset_at(at, row) * self._tr_s,
                    label,
                    now_s,
                    duration_s=shown.duration_at(row),
                )
                for (at, label), row in zip(events.markers, shown.rows_of(events.markers), strict=True)
            ]
        early = self._kept_markers(self._early)
        # LSL's clock may have begun anew since.
        moved_s = 0.0 if kept is None else self._began_s - kept.header.began_s
        before = () if kept is None else kept.markers
        return [*(replace(marker, time_s=marker.time_s + moved_s) for marker in before), *early]

    # The journal

    def _opened(self, first: Volume, kept: npt.NDArray[np.float32] | None) -> WatchedRun:
        config = self._config
        return open_run(
            first, self.bundle, correct=config.motion_correction, reference=config.reference, kept=kept
        )

    def _resume(self, first: Volume, bundle: Bundle) -> KeptRun | None:
        """Open the journal, go on from what it holds, and return that; begin it where there is none of this run."""
        path = self._config.journal or self._folder.with_name(f"{self._folder.name}.journal")
        kept = read_journal(path)
        run = self._opened(first, None if kept is None else kept.reference)
        header = header_of(first, run, bundle, self._began_s)
        try:
            if kept is not None and (difference := kept.header.difference(header)):
                other = set_aside(path)
                self.notes += (f"The journal {path.name} is of {difference}; it is kept as {other.name}.",)
                kept, run = None, self._opened(first, None)
            self._journal.open(path, header, kept, run)
        except OSError as error:
            self.notes += (
                f"No journal can be kept at {path} ({error.strerror or error}): if this session ends, the run is lost "
                "with it. Name a place with --journal.",
            )
            kept, run = None, self._opened(first, None)
        self._run = run
        if kept is None or not kept.volumes:
            return None
        self._began_s = same_moment(kept.header)
        self._kept.extend(kept.volumes)
        if run.motion is not None:
            run.motion.resume(kept.volumes[-1].state)
        self._forget_before(kept.volumes[-1].number + 1)
        self.notes += (f"{len(kept.volumes)} volumes of this run were kept in {path.name}; it goes on.",)
        if self._config.onsets is None:
            self.notes += (
                "Markers that were sent while no session ran are not known: what was shown then is not in the model. "
                "A table (--onsets) knows all.",
            )
        return kept

    def _forget_before(self, number: int) -> None:
        """Drop the volumes of the folder that have been taken in by an earlier session."""
        self._next = number
        self._volumes = deque(volume for volume in self._volumes if volume.number >= number)

    def _kept_markers(self, markers: list[Marker]) -> list[Marker]:
        """Return the markers of stimuli among some, having kept them."""
        shown = [marker for marker in markers if marker.label != self._config.first_volume]
        for marker in shown:
            self._journal.keep(marker)
        return shown

    # Volumes

    def _take(self, items: list[Volume | LostVolumes]) -> None:
        for item in items:
            if isinstance(item, Volume):
                if item.number >= self._next:
                    self._volumes.append(item)
            elif item.first + item.n > self._next:
                last = item.first + item.n
                which = f"volume {last}" if item.n == 1 else f"volumes {item.first + 1} to {last}"
                self.tell("missing", f"{which} did not come; the run goes on without")
                self._pulled = max(self._pulled, last)

    def pull(self, n_samples: int, timeout_s: float) -> tuple[FloatArray, npt.NDArray[np.float64], float]:
        """Wait for volumes, those kept by an earlier session first; see `Source.pull`."""
        assert self._run is not None
        assert self._watch is not None
        until_s = lsl_now() + timeout_s
        if not self._kept and not self._volumes:
            self._take(self._watch.pull(timeout_s))
        n_channels = len(self.info.channels)
        rows, numbers, arrived_s = list[npt.NDArray[np.float32]](), list[int](), lsl_now()
        while len(rows) < n_samples and (self._kept or (self._volumes and not rows)):
            number = (self._kept or self._volumes)[0].number
            wait_s = 0.0 if rows else max(0.0, until_s - lsl_now())
            if not self._queue.ready(self._began_s + number * self._tr_s, wait_s):
                break
            if self._kept:
                rows.append(self._kept.popleft().row)
            else:
                volume = self._volumes.popleft()
                rows.append(self._row(self._run, volume))
                arrived_s = volume.arrived_s
            numbers.append(number)
        if numbers:
            self._pulled = max(self._pulled, numbers[-1] + 1)
        data = np.array(rows, np.float32).reshape(len(rows), n_channels)
        return data, self._began_s + np.array(numbers, np.float64) * self._tr_s, arrived_s

    def _row(self, run: WatchedRun, volume: Volume) -> npt.NDArray[np.float32]:
        begun_s = lsl_now()
        row = run.row(volume)
        if run.motion is not None:
            self.registration.add(lsl_now() - begun_s)
        state = run.motion.state() if run.motion is not None else np.full(6, np.nan)
        self._journal.keep(JournalVolume(volume.number, row, state))
        self._next = volume.number + 1
        return row

    def pull_markers(self, timeout_s: float) -> list[Marker]:
        """Wait for markers: of the table, of an earlier session, or over LSL."""
        if self._marker_inlet is None:
            return self._queue.pull(timeout_s)
        markers = self._kept_markers(super().pull_markers(timeout_s))
        return self._queue.pull(0.0) + markers

    @property
    def at_end(self) -> bool:
        """Whether as many volumes have been handed on or were lost as the run was planned to have."""
        # A lost volume is told as soon as it is noticed: those before it may still be waiting here.
        return not (self._kept or self._volumes) and super().at_end

    def reconnect(self, stop: threading.Event) -> bool:
        """Return whether the folder can be watched on: it always can."""
        return not stop.is_set()

    def close(self) -> None:
        """Release the marker stream and the journal, and tell what was left out and how long the correction took."""
        super().close()
        self._journal.close()
        if self._watch is not None and (left_out := _left_out(self._watch)):
            self.tell("left out", left_out)
            self._watch = None
        if times := self.registration.summary_ms():
            self.tell("registration", f"{times['p50']:.0f} ms a volume, p99 {times['p99']:.0f} ms")
            self.registration = StageTimes()


def _left_out(watch: FolderWatch) -> str:
    """Return in words how much of a folder was not handed on, though each cause was told once; empty for nothing."""
    counts = {
        "volumes that did not fit the run": watch.n_refused,
        "volumes that came after their place was given up": watch.n_late,
        "files that are no whole volume": watch.n_unreadable,
        "files of other series": watch.n_ignored,
    }
    return ", ".join(f"{n} {what}" for what, n in counts.items() if n)
