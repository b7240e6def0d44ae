"""Recordings as training data: the windows that a live session would have cut, and nothing else."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import numpy.typing as npt

from decode_stream.stream.cutter import CutWindow, WindowCutter
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.recording import Recording, n_missing
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Chunk, Gap, IntArray, Marker, StreamInfo, Trial
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule

__all__ = ["TrialSet", "cut_trials", "grown", "overlap", "play_into", "robust_scale", "stream_info"]

_BLOCK_S = 2.0
#: Trials copied at once.
_COPIED = 256
#: Samples, and values of all channels, over all recordings, that location and spread are told from.
_SCALE_SAMPLES, _SCALE_VALUES = 100_000, 40_000_000


@dataclass(frozen=True, eq=False)
class TrialSet:
    """Windows of whole trials, in order of onset.

    Attributes
    ----------
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
        Mapped from a temporary file that goes with the array. Of windows that grow, (n_trials, 1, n_channels, n_times):
        each trial is here once, whole, and `grown` gives what had happened of it by any latency.
    labels : array of shape (n_trials,), int64
        Gallery index of the stimulus.
    runs : array of shape (n_trials,), int64
        Which recording each trial comes from.
    left_out : Counter of str
        Number of trials that are not here, by reason.
    overlapping : bool
        Whether any of the trials share samples.
    people : array of shape (n_trials,), int64, or None
        Whose trial each is, from 0; None where all are of one person.
    """

    windows: npt.NDArray[np.float32]
    labels: IntArray
    runs: IntArray
    left_out: Counter[str] = field(default_factory=Counter)
    overlapping: bool = False
    people: IntArray | None = None

    def where(self, which: npt.NDArray[np.bool_]) -> "TrialSet":
        """Return some of the trials, in a file of their own.

        Parameters
        ----------
        which : array of shape (n_trials,), bool
        """
        places = np.flatnonzero(which)
        shape = (len(places), *self.windows.shape[1:])
        with TemporaryFile() as file:
            for start in range(0, len(places), _COPIED):
                file.write(self.windows[places[start : start + _COPIED]].data)
            windows = _mapped(file, shape)
        people = None if self.people is None else self.people[places]
        runs = self.runs[places]
        return TrialSet(windows, self.labels[places], runs, overlapping=self.overlapping, people=people)

    @classmethod
    def joined(cls, parts: Sequence["TrialSet"]) -> "TrialSet":
        """Return the trials of several people, a set each, in a file of their own; runs are numbered on."""
        shape = (sum(len(part.labels) for part in parts), *parts[0].windows.shape[1:])
        n_runs = np.cumsum([0, *(int(part.runs.max(initial=-1)) + 1 for part in parts)])
        with TemporaryFile() as file:
            for part in parts:
                for start in range(0, len(part.labels), _COPIED):
                    file.write(np.ascontiguousarray(part.windows[start : start + _COPIED]).data)
            windows = _mapped(file, shape)
        return cls(
            windows,
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.runs + n for part, n in zip(parts, n_runs, strict=False)]),
            sum((part.left_out for part in parts), Counter()),
            any(part.overlapping for part in parts),
            np.repeat(np.arange(len(parts)), [len(part.labels) for part in parts]),
        )


def _mapped(file: IO[bytes], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return what was written to a file without a name; it goes with the array."""
    file.flush()
    return np.memmap(file, np.float32, "r+", shape=shape) if shape[0] else np.empty(shape, np.float32)


def overlap(onsets: Sequence[int], n_samples: int) -> bool:
    """Return whether trials share samples.

    Parameters
    ----------
    onsets : sequence of int
        In ascending order.
    n_samples : int
        Samples that a trial rests on.
    """
    return any(after - before < n_samples for before, after in pairwise(onsets))


def stream_info(recording: Recording) -> StreamInfo:
    """Return a recording's description as if it came from a stream."""
    return StreamInfo(
        recording.name, "", "", "", recording.channels, recording.sfreq_hz, n_samples=recording.n_samples
    )


def play_into(
    ingest: Ingest, recording: Recording, trials: Trials | None = None, marker_offset_s: float = 0.0
) -> Iterator[None]:
    """Feed a recording as a stream would, without waiting, and yield after every block.

    The ring must hold at least a trial and a block. Markers are placed exactly on their samples, moved by
    `marker_offset_s` and corrected by the ingest's onset channel if it has one.
    """
    offset = round(marker_offset_s * recording.sfreq_hz)
    block = max(1, round(_BLOCK_S * recording.sfreq_hz))
    gaps = deque(sorted(recording.gaps, key=lambda gap: gap.start))
    markers = deque(recording.markers)
    table = recording.stimuli
    concepts = (
        {} if table.concept is None else dict(zip(table.onset.tolist(), table.concept.tolist(), strict=True))
    )
    edges = sorted({*range(0, recording.n_samples, block), recording.n_samples, *(gap.start for gap in gaps)})
    lost = 0
    for start, stop in pairwise(edges):
        while gaps and gaps[0].start <= start:
            gap = gaps.popleft()
            n_lost = n_missing(gap, recording.sfreq_hz)
            ingest.take([Gap(start + lost, n_lost, "loss", 0.0)])
            lost += n_lost
        ingest.take([Chunk(start + lost, recording.read(start, stop), 0.0)])
        if trials is not None:
            while markers and (markers[0][0] < stop or stop == recording.n_samples):
                sample, label = markers.popleft()
                trials.add(Marker(float(sample + lost + offset), label, 0.0, concepts.get(sample, "")))
            ingest.ended = stop == recording.n_samples
            # A recording's marker carries its sample in the place of a time.
            trials.place(lambda time: ingest.place(int(time)), ingest.ring.stop)
        yield


def cut_trials(
    recordings: Sequence[Recording],
    chain: ChainSpec,
    window: WindowSpec,
    schedule: WindowSchedule,
    n_latencies: int,
    stimuli: Mapping[str, int],
    *,
    marker_offset_s: float = 0.0,
    onset_channel: str | None = None,
) -> TrialSet:
    """Cut every whole and sound trial out of recordings.

    Parameters
    ----------
    recordings : sequence of Recording
        One a run.
    stimuli : mapping of str to int
        Gallery index by marker label.
    marker_offset_s : float
        Added to the time of every marker.
    onset_channel : str or None
        Photodiode or trigger channel that corrects the markers.

    Returns
    -------
    TrialSet

    Raises
    ------
    RecordingError
        If a recording has no marker with one of the labels.
    """
    if schedule.first_s is not None:
        schedule, n_latencies = replace(schedule, first_s=schedule.length_s), 1
    labels, runs = list[int](), list[int]()
    left_out: Counter[str] = Counter()
    overlapping = False
    # Windows overlap fourfold, so those of a large recording do not fit into memory: a file without a name holds them.
    with TemporaryFile() as file:
        for run, recording in enumerate(recordings):
            hold_s = 2 * _BLOCK_S + float(schedule.stop(n_latencies) / schedule.sfreq_hz) + 10.0
            ingest = Ingest(stream_info(recording), chain, hold_s=hold_s, onset_channel=onset_channel)
            trials = Trials(schedule, n_latencies, stimuli)
            cutter = WindowCutter(ingest, schedule, window, trials)
            onsets = []
            for trial, parts in _whole_trials(cutter, play_into(ingest, recording, trials, marker_offset_s)):
                if reasons := [part.reason for part in parts if part.data is None]:
                    left_out[reasons[0]] += 1
                    continue
                for part in parts:
                    file.write(np.ascontiguousarray(part.data).data)
                labels.append(trial.stimulus)
                runs.append(run)
                onsets.append(trial.onset)
            if trials.seen == trials.unknown:
                found = ", ".join(sorted(trials.unknown_labels)) or "none at all"
                raise RecordingError(
                    f"No marker of {recording.name} names a stimulus: wanted {', '.join(stimuli)}; found {found}. "
                    "Name the codes with --events CODE=NAME,..."
                )
            left_out["label without stimulus"] += trials.unknown
            left_out["before the recording"] += trials.missed
            left_out["marked twice"] += trials.duplicate
            left_out["cut off by the end"] += len(trials.open) + trials.waiting
            overlapping |= overlap(onsets, cutter.trial_samples(n_latencies))
        shape = (len(labels), n_latencies, chain.n_out, schedule.n_times)
        windows = _mapped(file, shape)
    return TrialSet(
        windows, np.array(labels, dtype=np.int64), np.array(runs, dtype=np.int64), +left_out, overlapping
    )


def grown(windows: npt.NDArray[np.float32], schedule: WindowSchedule, k: int) -> npt.NDArray[np.float32]:
    """Return growing window `k` of whole trials, as a live session would have cut it.

    Parameters
    ----------
    windows : array of shape (n_trials, 1, n_channels, n_times), float32
        Whole trials, see `TrialSet`.
    schedule : WindowSchedule
        Of windows that grow.

    Returns
    -------
    array of shape (n_trials, n_channels, n_times), float32
        A copy, zero where it had not happened yet.

    Raises
    ------
    ValueError
        If the schedule's windows slide, or it has no window `k`.
    """
    if schedule.n_windows is None or not 0 <= k < schedule.n_windows:
        raise ValueError(f"There is no growing window {k} in {schedule}.")
    n_over = schedule.stop(k) - schedule.start(k)
    part = np.zeros((len(windows), *windows.shape[2:]), np.float32)
    part[..., :n_over] = windows[:, 0, :, :n_over]
    return part


def _whole_trials(cutter: WindowCutter, blocks: Iterator[None]) -> Iterator[tuple[Trial, list[CutWindow]]]:
    """Yield every trial with all its windows, as soon as the last one has been cut."""
    gathered: dict[int, list[CutWindow]] = {}
    for _ in blocks:
        for cut in cutter.locked():
            assert cut.locked is not None
            trial, k = cut.locked.trial, cut.locked.k
            gathered.setdefault(trial.number, []).append(cut)
            if cutter.trials.n_latencies == k + 1:
                yield trial, gathered.pop(trial.number)


def robust_scale(
    recordings: Sequence[Recording], chain: ChainSpec
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the median and the spread (interquartile range / 1.349) of each output channel of a chain.

    Parameters
    ----------
    recordings : sequence of Recording
        Training recordings only.
    chain : ChainSpec
        Without scaling.

    Returns
    -------
    center, scale : tuple of float
        In the chain's units; for Gaussian data `scale` is the standard deviation. A channel that never changes
        gets the scale 1.

    Raises
    ------
    RecordingError
        If the recordings hold no sound sample.
    """
    kept = []
    for recording in recordings:
        ingest = Ingest(stream_info(recording), chain, hold_s=4 * _BLOCK_S)
        cursor = ingest.ring.reader()
        # Every n-th sample is plenty for a quantile and bounds the memory.
        n_out = recording.n_samples * len(recordings) / ingest.chain.decimation
        thin = max(1, round(n_out / min(_SCALE_SAMPLES, _SCALE_VALUES / chain.n_out)))
        for _ in play_into(ingest, recording):
            for piece in cursor.read():
                start = cursor.position - len(piece)
                # One grid over the whole recording, or short pieces would all be looked at in the same place.
                first = -start % thin
                places = range(start + first, cursor.position, thin)
                sound = np.array([ingest.flags.reason(i, i + 1) is None for i in places], dtype=bool)
                kept.append(piece[first::thin][sound])
    values = np.concatenate(kept) if kept else np.empty((0, chain.n_out))
    if not len(values):
        names = ", ".join(recording.name for recording in recordings)
        raise RecordingError(
            f"{names}: every sample lies in a gap, is not finite, or falls to the settling of the filters. "
            "Give longer recordings."
        )
    low, center, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / 1.349
    return tuple(float(c) for c in center), tuple(float(s) if s > 0 else 1.0 for s in scale)
