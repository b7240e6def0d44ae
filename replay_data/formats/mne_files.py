"""Read any recording that MNE-Python reads, lazily, with its markers and breaks."""

import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions, describe
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import FloatArray, Gap

from .bids import BidsEvents, find_beside, read_events, read_table
from .bids_channels import described
from .channels import select_channels
from .mne_raw import (
    annotated_breaks,
    annotated_markers,
    channels_of,
    clock_breaks,
    read_samples,
    remarks,
    stim_markers,
)

__all__ = ["MneRecording", "in_our_words", "inspect", "read", "recognise"]

# What MNE-Python reads, told without importing it; ambiguous endings (.txt, .dat, .bin, ...) are left out.
_FOLDERS = (".ds", ".mff", ".mefd")
_ENDINGS = (
    *(*_FOLDERS, ".fif", ".fif.gz", ".vhdr", ".ahdr", ".edf", ".bdf", ".gdf", ".set", ".cnt", ".sqd", ".con"),
    *(".cdt", ".nxe", ".nedf", ".lay", ".eeg", ".data", ".vmrk", ".fdt"),
)
#: Parts of recordings, and the ending of the file to name instead.
_PARTS = {".vmrk": ".vhdr", ".eeg": ".vhdr", ".fdt": ".set"}

_CUT_OFF = re.compile(r"truncat|not match|incomplete|unexpected end|corrupt|invalid tag", re.IGNORECASE)
_CHATTER = re.compile(r"naming convention|does not conform", re.IGNORECASE)

#: Values read at once, at most: a piece of the recording as its format stores it, where that is not too long.
_BLOCK_VALUES = 2**23


class MneRecording:
    """A recording behind mne's Raw, read in blocks.

    The last block is kept: some formats read seconds of signal for any sample of them.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, not preloaded.
    name : str
        Short name for people.
    kept : sequence of int
        Places of the wanted channels.
    marker_channel : str or None
        Stim channel to take the markers from; None for the annotations or, without any, the usual channel.
    events : BidsEvents or None
        What was shown, in mne's samples, where a table says it; then markers are not looked for.

    Attributes
    ----------
    channels : tuple of Channel
        In SI units, positions in head coordinates.
    notes : tuple of str
        What a person should know about how the file was read.
    """

    def __init__(
        self,
        raw: Any,
        name: str,
        kept: Sequence[int],
        marker_channel: str | None = None,
        events: BidsEvents | None = None,
    ) -> None:
        self._raw = raw
        self._kept = tuple(kept)
        self.name = name
        self.sfreq_hz = float(raw.info["sfreq"])
        channels = channels_of(raw.info)
        self.channels = tuple(channels[place] for place in kept)
        # CTF's trials are mapped: any block costs what it holds.
        is_mapped = str(raw.filenames[0]).endswith(".meg4")
        trial = 0.0 if is_mapped else float(getattr(raw, "buffer_size_sec", 0.0)) * self.sfreq_hz
        most = _BLOCK_VALUES // len(raw.ch_names)
        self._n_block = int(max(self.sfreq_hz, min(np.ceil(trial), most)))
        self._block: tuple[int, FloatArray] = (0, np.empty((0, len(self.channels))))

        self._pieces, breaks = annotated_breaks(raw)
        self._ends = list(accumulate(stop - start for start, stop in self._pieces))
        self.n_samples = self._ends[-1] if self._ends else 0
        said: list[str] = []
        breaks += clock_breaks(raw, self._n_block, said)
        if events is not None:
            self.markers, self.stimuli = self._shown(events, said)
        else:
            markers = annotated_markers(raw) if marker_channel is None else []
            markers = markers or stim_markers(raw, marker_channel, self._n_block, said)
            self.markers = tuple(
                (own, label)
                for at, label in sorted(markers, key=lambda marker: marker[0])
                if (own := self._own(at)) is not None
            )
            self.stimuli = StimulusTable.of_markers(self.markers)
        self.epoch: Epoch | None = None
        self.gaps = tuple(
            Gap(own, n_lost, kind, at / self.sfreq_hz)
            for at, n_lost, kind in sorted(set(breaks))
            if (own := self._own(at)) is not None
        )
        self.notes = (*said, *remarks(raw))

    def _shown(
        self, events: BidsEvents, said: list[str]
    ) -> tuple[tuple[tuple[int, str], ...], StimulusTable]:
        """Return markers and stimuli in the recording's own samples, without those outside of it."""
        own = [self._own(at) for at in events.stimuli.onset.tolist()]
        inside = np.array([at is not None for at in own], dtype=np.bool_)
        if n_outside := int(np.count_nonzero(~inside)):
            said.append(f"{n_outside} events lie outside the recording and are left out.")
        onsets = np.array([at for at in own if at is not None], dtype=np.int64)
        stimuli = replace(events.stimuli.rows(inside), onset=onsets)
        labels = [label for label, kept in zip(events.labels, inside, strict=True) if kept]
        return tuple(zip(onsets.tolist(), labels, strict=True)), stimuli

    def _own(self, at: int) -> int | None:
        """Return the place of mne's sample `at` among the samples that hold signal; None if it holds none."""
        for (start, stop), end in zip(self._pieces, self._ends, strict=True):
            if start <= at < stop:
                return end - (stop - at)
        return None

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), float64, in SI units.

        Raises
        ------
        RecordingError
            If the file cannot be read there.
        """
        start, stop = max(0, start), min(stop, self.n_samples)
        if stop - start >= self._n_block:
            return self._fetch(start, stop)
        first, block = self._block
        if not first <= start <= stop <= first + len(block):
            # From here on: readers go forward.
            first, block = start, self._fetch(start, min(start + self._n_block, self.n_samples))
            self._block = first, block
        return block[start - first : stop - first]

    def _fetch(self, start: int, stop: int) -> FloatArray:
        out = np.empty((max(0, stop - start), len(self._kept)))
        at = start
        while at < stop:
            piece = bisect_right(self._ends, at)
            end = min(stop, self._ends[piece])
            offset = self._pieces[piece][1] - self._ends[piece]
            out[at - start : end - start] = read_samples(self._raw, self._kept, at + offset, end + offset)
            at = end
        return out


def recognise(path: Path) -> str:
    """Return ``recording that MNE-Python reads`` where the ending says so, as `Layout.recognise` does."""
    if path.is_dir() and path.suffix.lower() not in _FOLDERS:
        return ""
    return "recording that MNE-Python reads" if path.name.lower().endswith(_ENDINGS) else ""


def inspect(path: Path) -> Inspection:
    """Return what a recording that MNE-Python reads holds."""
    recording = read(path, ReadOptions())
    return Inspection(
        recognise(path), describe(recording), tuple(Finding("note", n) for n in recording.notes)
    )


def read(path: Path, options: ReadOptions) -> MneRecording:
    """Open what MNE-Python reads.

    Markers are the annotations, at the sample mne rounds them to; where there are none, the onsets of a stim
    channel's codes. Annotated breaks are gaps, and the zeros that FIF holds in place of a pause are left out.
    The pieces of a CTF recording are told by its system clock. Where BIDS keeps tables beside the recording, they say
    what was shown and what the channels are; a marker column is a column of ``events.tsv`` or a stim channel.

    Raises
    ------
    RecordingError
        If mne cannot read it, it is cut off, or it lacks what was asked of it.
    """
    if options.unit is not None:
        raise RecordingError(f"{path} says its units itself; a unit can be given for CSV files only.")
    header = path.with_suffix(_PARTS.get(path.suffix.lower(), path.suffix))
    if header != path and header.exists():
        raise RecordingError(f"{path} is a part of a recording. Give {header}.")
    # Without its markers mne reads BrainVision as if nothing had been shown.
    if path.suffix.lower() == ".vhdr" and (lacking := _lacking_part(path)):
        raise RecordingError(f"{path} names {lacking}, which is not there. Copy it beside the header.")
    notes: list[str] = []
    with in_our_words(path, notes):
        import mne

        raw = mne.io.read_raw(path, preload=False, verbose="warning")
        channels = described(path, raw, channels_of(raw.info), notes)
        kept = select_channels(channels, str(path), options.exclude_channels, options.modality)
        # A file that was cut off fails here, not in the middle of a session.
        read_samples(raw, kept[:1], raw.n_times - 1, raw.n_times)
        events = _events(path, float(raw.info["sfreq"]), options.marker_column, notes)
        recording = MneRecording(raw, path.name, kept, options.marker_column, events)
        recording.channels = tuple(channels[place] for place in kept)
        if recording.n_samples == 0:
            raise RecordingError(f"{path} holds no signal. Copy or record it again.")
    recording.notes = (*notes, *recording.notes)
    return recording


def _lacking_part(header: Path) -> Path | None:
    """Return the file of samples or of markers that a BrainVision header names and that is not there, or None."""
    text = header.read_text(encoding="utf-8", errors="replace")
    for line in re.findall(r"^(?:DataFile|MarkerFile)\s*=\s*(.+)$", text, re.MULTILINE):
        part: Path = header.parent / line.strip().replace("$b", header.stem)
        if not part.is_file():
            return part
    return None


def _events(path: Path, sfreq_hz: float, marker_column: str | None, notes: list[str]) -> BidsEvents | None:
    """Return what the events table beside a recording says; None if a stim channel is asked for, or there is none."""
    table = find_beside(path, "events.tsv")
    if table is None:
        return None
    if marker_column is not None and not any(marker_column in row for row in read_table(table)[:1]):
        return None
    return read_events(table, path, sfreq_hz, marker_column, notes)


@contextmanager
def in_our_words(path: Path, notes: list[str]) -> Iterator[None]:
    """Turn what mne warns of into notes, and what it raises into messages, while it reads a path."""
    from mne.utils import use_log_level

    try:
        with warnings.catch_warnings(record=True) as caught, use_log_level("warning"):
            warnings.simplefilter("always")
            yield
    except RecordingError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise RecordingError(
            f"{path} cannot be read by MNE-Python: {reason}. It may be cut off or damaged, or be of another "
            "kind than its ending says. Copy it again, or see what mne.io.read_raw makes of it."
        ) from error
    for warning in caught:
        text = " ".join(str(warning.message).split())
        if _CUT_OFF.search(text):
            raise RecordingError(f"{path} is cut off or damaged: {text} Copy it again.")
        if issubclass(warning.category, RuntimeWarning) and not _CHATTER.search(text) and text not in notes:
            notes.append(text)
