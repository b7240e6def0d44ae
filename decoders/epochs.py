"""Recordings as training data: the windows that a live session would have cut, and nothing else."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from decode_stream.stream.parts import Parts
from decode_stream.stream.recording import Recording, n_missing
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Chunk, Gap, IntArray, Marker, StreamInfo, Trial
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule

__all__ = [
    "BLOCK_S",
    "TrialSet",
    "cut_trials",
    "grown",
    "overlap",
    "play_into",
    "shared_beyond",
    "sharing",
    "stream_info",
    "whole_windows",
]

#: So much of a recording is fed at once.
BLOCK_S = 2.0
#: Trials copied at once.
_COPIED = 256


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
        Which recording each trial comes from, or which part of a single one.
    left_out : Counter of str
        Number of trials that are not here, by reason.
    overlapping : bool
        Whether any of the trials share samples.
    people : array of shape (n_trials,), int64, or None
        Whose trial each is, from 0; None where all are of one person.
    onsets : array of shape (n_trials,), int64, or None
        Sample of each onset within its recording, at the decoder's rate; None of several people's.
    """

    windows: npt.NDArray[np.float32]
    labels: IntArray
    runs: IntArray
    left_out: Counter[str] = field(default_factory=Counter)
    overlapping: bool = False
    people: IntArray | None = None
    onsets: IntArray | None = None

    def where(self, which: npt.NDArray[np.bool_]) -> "TrialSet":
        """Return some of the trials, in a file of their own, without the count of those that could not be cut.

        Parameters
        ----------
        which : array of shape (n_trials,), bool
        """
        places = np.flatnonzero(which)
        blocks = (places[start : start + _COPIED] for start in range(0, len(places), _COPIED))
        windows = _in_file((self.windows[some] for some in blocks), (len(places), *self.windows.shape[1:]))
        return TrialSet(
            windows,
            self.labels[places],
            self.runs[places],
            overlapping=self.overlapping,
            people=None if self.people is None else self.people[places],
            onsets=None if self.onsets is None else self.onsets[places],
        )

    @classmethod
    def joined(cls, parts: Sequence["TrialSet"]) -> "TrialSet":
        """Return the trials of several people, a set each, in a file of their own; runs are numbered on.

        Whoever has fewer channels than another has zeros behind them.
        """
        n_latencies, _, n_times = parts[0].windows.shape[1:]
        n_channels = max(part.windows.shape[2] for part in parts)
        shape = (sum(len(part.labels) for part in parts), n_latencies, n_channels, n_times)
        n_runs = np.cumsum([0, *(int(part.runs.max(initial=-1)) + 1 for part in parts)])
        blocks = (
            _widened(part.windows[start : start + _COPIED], n_channels)
            for part in parts
            for start in range(0, len(part.labels), _COPIED)
        )
        return cls(
            _in_file(blocks, shape),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.runs + n for part, n in zip(parts, n_runs, strict=False)]),
            sum((part.left_out for part in parts), Counter()),
            any(part.overlapping for part in parts),
            np.repeat(np.arange(len(parts)), [len(part.labels) for part in parts]),
        )


def _widened(windows: npt.NDArray[np.float32], n_channels: int) -> npt.NDArray[np.float32]:
    """Return windows with zeros behind their channels."""
    n_more = n_channels - windows.shape[2]
    return np.pad(windows, ((0, 0), (0, 0), (0, n_more), (0, 0))) if n_more else windows


def _in_file(blocks: Iterable[npt.NDArray[np.float32]], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return blocks laid end to end in a file without a name, which goes with the array."""
    with TemporaryFile() as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)
        return _mapped(file, shape)


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


def shared_beyond(recording: Recording) -> int:
    """Return by how many trials farther than the samples of a trial reach others rest on the same signal."""
    return 0 if recording.epoch is None else recording.epoch.shared - 1


def sharing(onsets: IntArray, others: IntArray, n_samples: int) -> npt.NDArray[np.bool_]:
    """Return which trials share samples with one of some others of their recording, shape (n_trials,).

    Parameters
    ----------
    onsets : array of shape (n_trials,), int64
    others : array of shape (n_others,), int64
        Onsets of the others.
    n_samples : int
        Samples that a trial rests on.
    """
    ordered = np.sort(others)
    from_, to = (np.searchsorted(ordered, onsets + end) for end in (1 - n_samples, n_samples))
    return np.asarray(from_ < to)


def stream_info(recording: Recording) -> StreamInfo:
    """Return a recording's description as if it came from a stream."""
    return StreamInfo(
        recording.name, "", "", "", recording.channels, recording.sfreq_hz, n_samples=recording.n_samples
    )


def play_into(
    ingest: Ingest, recording: Recording, trials: Trials | None = None, marker_offset_s: float = 0.0
) -> Iterator[None]:
    """Feed a recording as a stream would, without waiting, and yield after every block.

    The ring must hold at least a trial and a block. Markers are placed exactly on their samples, those of volumes where
    the onset lies between them, moved by `marker_offset_s` and corrected by the ingest's onset channel if it has one.
    """
    between = ingest.onsets_between
    offset = marker_offset_s * recording.sfreq_hz if between else round(marker_offset_s * recording.sfreq_hz)
    block = max(1, round(BLOCK_S * recording.sfreq_hz))
    gaps = deque(sorted(recording.gaps, key=lambda gap: gap.start))
    table = recording.stimuli
    markers = deque(zip(recording.markers, table.rows_of(recording.markers), strict=True))
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
            while markers and (markers[0][0][0] < stop or stop == recording.n_samples):
                (sample, label), row = markers.popleft()
                at = table.onset_at(sample, row) if between else sample
                concept, duration_s = concepts.get(sample, ""), table.duration_at(row)
                trials.add(Marker(float(at + lost + offset), label, 0.0, concept, duration_s))
            ingest.ended = stop == recording.n_samples
            # A recording's marker carries its sample in the place of a time.
            trials.place(ingest.place, ingest.ring.stop)
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
    parts: Parts | None = None,
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
    parts : Parts or None
        Of a single recording: each trial's run is then the part of its onset. The recording is filtered as a whole.

    Returns
    -------
    TrialSet

    Raises
    ------
    RecordingError
        If a recording has no marker with one of the labels.
    """
    schedule, n_latencies = whole_windows(schedule, n_latencies)
    labels, runs, onsets = list[int](), list[int](), list[int]()
    left_out: Counter[str] = Counter()
    overlapping = False
    # Windows overlap fourfold, so those of a large recording do not fit into memory: a file without a name holds them.
    with TemporaryFile() as file:
        for run, recording in enumerate(recordings):
            hold_s = 2 * BLOCK_S + float(schedule.stop(n_latencies) / schedule.sfreq_hz) + 10.0
            ingest = Ingest(stream_info(recording), chain, hold_s=hold_s, onset_channel=onset_channel)
            trials = Trials(schedule, n_latencies, stimuli)
            cutter = WindowCutter(ingest, schedule, window, trials)
            first = len(onsets)
            for trial, cuts in _whole_trials(cutter, play_into(ingest, recording, trials, marker_offset_s)):
                if reasons := [one.reason for one in cuts if one.data is None]:
                    left_out[reasons[0]] += 1
                    continue
                for one in cuts:
                    file.write(np.ascontiguousarray(one.data).data)
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
            overlapping |= overlap(
                onsets[first:], cutter.trial_samples(n_latencies) + shared_beyond(recording)
            )
            if parts is not None:
                runs = parts.number(np.array(onsets, np.int64) * ingest.chain.decimation).tolist()
        shape = (len(labels), n_latencies, chain.n_out, schedule.n_times)
        windows = _mapped(file, shape)
    places = np.array(onsets, np.int64)
    told = (np.array(labels, np.int64), np.array(runs, np.int64))
    return TrialSet(windows, *told, +left_out, overlapping, onsets=places)


def whole_windows(schedule: WindowSchedule, n_latencies: int) -> tuple[WindowSchedule, int]:
    """Return the windows that trials are cut by, and their number: of those that grow, the last alone."""
    if schedule.first_s is None:
        return schedule, n_latencies
    return replace(schedule, first_s=schedule.length_s), 1


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
