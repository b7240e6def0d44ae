"""The preprocessed trials of THINGS-MEG: 8.2 GB a person in FIF files of up to 2 GB, mapped part by part."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from decode_stream.replay_data.formats.channels import select_channels
from decode_stream.replay_data.formats.fif_epochs import EpochPart, read_part
from decode_stream.replay_data.formats.mne_files import in_our_words
from decode_stream.replay_data.formats.mne_raw import channels_of
from decode_stream.replay_data.formats.voxels import refuse_options
from decode_stream.replay_data.layout import Finding, ReadOptions
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray

from .runs import attributes_of
from .tables import (
    CATCH,
    N_TRIALS,
    agreed,
    named_by_paths,
    read_attributes,
    read_metadata,
    told_by_counts,
)

__all__ = [
    "DOWNLOAD",
    "EpochsRecording",
    "open_epochs",
    "part_number",
    "parts_in",
    "subject_of",
    "whole_chain",
]

DOWNLOAD = "figshare 21215246"
_PART = re.compile(r"preprocessed_P(\d+)-epo(?:-(\d+))?\.fif")


class EpochsRecording:
    """Trials in FIF parts, end to end, mapped from disk; see `Recording` for the other attributes.

    Parameters
    ----------
    parts : sequence of EpochPart
        In order, of the same channels and times.
    scales : array of shape (n_stored_channels,)
        What stored values are multiplied by.
    kept : sequence of int
        Places of `channels` among the stored ones.
    """

    def __init__(
        self,
        name: str,
        parts: Sequence[EpochPart],
        scales: FloatArray,
        kept: Sequence[int],
        channels: tuple[Channel, ...],
        sfreq_hz: float,
        epoch: Epoch,
        stimuli: StimulusTable,
    ) -> None:
        self.name = name
        self.channels = channels
        self.sfreq_hz = sfreq_hz
        self.epoch: Epoch | None = epoch
        self.stimuli = stimuli
        self.markers = stimuli.markers()
        self.notes: tuple[str, ...] = ()
        self._mapped = [part.map() for part in parts]
        self._ends = np.cumsum([part.shape[0] for part in parts])
        self._kept = list(kept)
        self._scales = np.asarray(scales, np.float64)[self._kept]
        self._n_times = epoch.n_times
        self.n_samples = int(self._ends[-1]) * epoch.n_times
        self.gaps = epoch_gaps(int(self._ends[-1]), epoch, sfreq_hz)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), float32."""
        start, stop = max(0, start), min(stop, self.n_samples)
        out = np.empty((max(0, stop - start), len(self.channels)), np.float32)
        for trial in range(start // self._n_times, -(-stop // self._n_times) if stop > start else 0):
            part = int(np.searchsorted(self._ends, trial, "right"))
            begin = trial * self._n_times
            first, last = max(start, begin), min(stop, begin + self._n_times)
            stored = self._mapped[part][trial - int(self._ends[part])]  # counted from the part's end
            values = stored[self._kept, first - begin : last - begin] * self._scales[:, None]
            out[first - start : last - start] = values.T
        return out


def subject_of(path: Path) -> int | None:
    """Return whose preprocessed trials a file is named to hold, None if it is named otherwise."""
    match = _PART.fullmatch(path.name)
    return int(match[1]) if match else None


def part_number(path: Path) -> int:
    """Return the number of a part, 0 for the first, which has none in its name."""
    match = _PART.fullmatch(path.name)
    return int(match[2] or 0) if match else 0


def parts_in(folder: Path, subject: int) -> dict[int, Path]:
    """Return a person's parts in a folder by number: 10 comes after 9."""
    found = {part_number(path): path for path in folder.glob("*.fif") if subject_of(path) == subject}
    return dict(sorted(found.items()))


def whole_chain(folder: Path, subject: int) -> list[EpochPart]:
    """Return all parts of a person's trials.

    Raises
    ------
    RecordingError
        If one is missing, cut off, or of other channels or times than the first.
    """
    held = parts_in(folder, subject)
    names = [_name(subject, number) for number in range(max(held, default=0) + 1) if number not in held]
    if names:
        raise RecordingError(
            f"{folder} lacks {', '.join(names)} of {max(held, default=0) + 1} parts at least. Download what is "
            f"missing: {DOWNLOAD}."
        )
    parts = [read_part(path) for path in held.values()]
    for number, part in enumerate(parts):
        if (part.shape[1:], part.first) != (parts[0].shape[1:], parts[0].first):
            raise RecordingError(
                f"{part.path} has {part.shape[1]} channels and {part.shape[2]} samples a trial, and "
                f"{parts[0].path.name} has {parts[0].shape[1]} and {parts[0].shape[2]}. They are of "
                "different downloads."
            )
        if not part.follows and number + 1 < len(parts):
            raise RecordingError(
                f"{part.path} is the last part by what it says, and {parts[number + 1].path.name} lies beside it. They "
                "are of different downloads; remove the one that is not of this."
            )
    if parts[-1].follows:
        raise RecordingError(
            f"{parts[-1].path} goes on in {_name(subject, len(parts))}, which is missing. Download it: {DOWNLOAD}."
        )
    return parts


def _name(subject: int, number: int) -> str:
    return f"preprocessed_P{subject}-epo{f'-{number}' if number else ''}.fif"


def open_epochs(
    path: Path, subject: int, options: ReadOptions
) -> tuple[EpochsRecording, tuple[Finding, ...]]:
    """Open a person's trials, and tell what was found on the way.

    Raises
    ------
    RecordingError
        If a later part is given, a part is missing or cut off, or an option does not apply.
    """
    refuse_options(
        str(path),
        unit=options.unit,
        mask=options.mask,
        stream=options.stream,
        marker_column=options.marker_column,
    )
    if number := part_number(path):
        first = path.with_name(_name(subject, 0))
        where = "give" if first.exists() else f"download it ({DOWNLOAD}) and give"
        raise RecordingError(f"{path} is part {number} of the trials of subject {subject}: {where} {first}.")
    parts = whole_chain(path.parent, subject)
    warned: list[str] = []
    with in_our_words(path, warned):
        import mne

        info = mne.io.read_info(path, verbose="warning")
    channels = tuple(replace(channel, unit="") for channel in channels_of(info))
    if len(channels) != parts[0].shape[1]:
        raise RecordingError(
            f"{path} names {len(channels)} channels and holds {parts[0].shape[1]}. It is damaged."
        )
    kept = select_channels(channels, str(path), options.exclude_channels, options.modality)
    scales = np.array([ch["cal"] * ch.get("scale", 1.0) for ch in info["chs"]])
    stimuli, findings = _shown(path, subject, parts)
    at = np.concatenate([part.events[:, 0] for part in parts])
    epoch = Epoch(parts[0].shape[2], -parts[0].first, bool((np.diff(at) > 0).all()))
    if not epoch.in_order:
        stimuli = replace(stimuli, repeat=None)
        findings.append(Finding("note", "The trials do not stand in the order of their events' samples."))
    onsets = np.arange(len(at)) * epoch.n_times + epoch.onset
    recording = EpochsRecording(
        path.name,
        parts,
        scales,
        kept,
        tuple(channels[place] for place in kept),
        float(info["sfreq"]),
        epoch,
        replace(stimuli, onset=onsets),
    )
    found = (*(Finding("note", text) for text in (*warned, *_REMARKS)), *findings)
    recording.notes = tuple(finding.text for finding in found)
    return recording, found


_REMARKS = (
    "Values are standard deviations of the trial's own baseline, channel by channel, and not tesla.",
    "The authors filtered from 0.1 to 40 Hz without regard to causality, and took each trial's baseline from its "
    "samples before the onset: a live session does neither.",
)


def _shown(path: Path, subject: int, parts: Sequence[EpochPart]) -> tuple[StimulusTable, list[Finding]]:
    """Return what was shown, from the files' own tables, else the person's, else the ids alone."""
    ids = np.concatenate([part.events[:, 2] for part in parts])
    ids = np.where(ids == CATCH, -1, ids)
    attributes = attributes_of(path, subject)
    told_by, table = "", None
    if all(part.metadata for part in parts):
        told_by, table = path.name, read_metadata([part.metadata for part in parts], path.name)
    elif attributes is not None:
        told_by, table = attributes.name, read_attributes(attributes)
    findings = []
    if len(ids) != N_TRIALS:
        findings.append(Finding("note", f"There are {len(ids)} trials; the published files have {N_TRIALS}."))
    if table is None:
        table, found = _by_ids(path, subject, ids)
        return table, findings + found
    if len(table) != len(ids):
        raise RecordingError(
            f"{told_by} has {len(table)} trials, and the files hold {len(ids)}. One of them is of another subject or "
            "cut off; download both again."
        )
    table, said = agreed(table, ids, "the events", told_by)
    findings += [Finding("note", text) for text in (f"What was shown is told by {told_by}.", *said)]
    return table, findings + _overlap(table)


def _by_ids(
    path: Path, subject: int, ids: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> tuple[StimulusTable, list[Finding]]:
    text = (
        f"sample_attributes_P{subject}.csv is missing, so session and run are not known: OpenNeuro ds004212, "
        "sourcedata/."
    )
    findings = [Finding("missing", text)]
    split = told_by_counts(ids)
    if split is not None:
        text = f"Test pictures are told by having been shown 12 times: {len(np.unique(ids[split == 'test']))} of them."
        findings.append(Finding("note", text))
    table, told_by = named_by_paths(StimulusTable(np.arange(len(ids)), ids, split=split), path)
    if told_by:
        findings.append(Finding("note", f"Concepts and pictures are told by {told_by}."))
    else:
        text = (
            "image_paths.csv is missing as well, so pictures have numbers only: THINGS, OSF jum2f, Metadata/."
        )
        findings.append(Finding("missing", text))
    return table, findings + _overlap(table)


def _overlap(table: StimulusTable) -> list[Finding]:
    """Say how many training trials show what test pictures show: the two published protocols differ in them."""
    if table.split is None or table.concept is None:
        return []
    test = np.unique(table.concept[table.split == "test"])
    n = int(np.count_nonzero((table.split == "train") & np.isin(table.concept, test)))
    if not n:
        return []
    return [
        Finding(
            "note",
            f"{n} training trials show concepts of test pictures: leave them out to score concepts never seen, and say "
            "which was done.",
        )
    ]
