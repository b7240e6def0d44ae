"""What a reader is: a module that knows one published layout, reads it and says what it finds in it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np

from decode_stream.stream.recording import Recording

__all__ = ["Finding", "Inspection", "Layout", "ReadOptions", "describe"]

Level: TypeAlias = Literal["ok", "note", "missing", "wrong"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What can be asked of a reader; what a layout has no use for it refuses, in words.

    Attributes
    ----------
    marker_column : str or None
        Column or stim channel that holds the markers, instead of what the layout would take.
    exclude_channels : tuple of str
        Names of channels to leave out.
    modality : str or None
        ``eeg``, ``meg`` or ``fmri`` keeps that modality's channels only.
    unit : str or None
        Unit of the channels, where a file does not say it.
    mask : str or None
        fMRI: which voxels, the name of a region of interest (``nsdgeneral``) or the path of a mask.
    stream : str or None
        XDF: which of its streams is the signal, by name.
    """

    marker_column: str | None = None
    exclude_channels: tuple[str, ...] = ()
    modality: str | None = None
    unit: str | None = None
    mask: str | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an inspection found.

    Attributes
    ----------
    level : {"ok", "note", "missing", "wrong"}
        ``missing`` is a part that the layout has elsewhere, ``wrong`` what cannot be as it is.
    text : str
        A sentence; for a missing part it says which download holds it.
    """

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a path is.

    Attributes
    ----------
    layout : str
        The layout in words: ``THINGS-EEG2, raw data, subject 1, session 1, training``.
    facts : tuple of (str, str)
        What was measured, by name: shape, dtype, units, rate, counts.
    findings : tuple of Finding
    """

    layout: str
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.level == "wrong" for finding in self.findings)


class Layout(Protocol):
    """One published layout; the readers are modules of this form.

    To be asked costs little: `recognise` looks at names and at the first bytes only, and libraries are imported where
    they are used.
    """

    def recognise(self, path: Path) -> str:
        """Return what a path is in this layout, in words, or an empty string if it is nothing of it.

        Parameters
        ----------
        path : Path
            A file or a folder that exists.
        """
        ...

    def read(self, path: Path, options: ReadOptions) -> Recording:
        """Return the recording at a path that `recognise` knows, ready to be read in blocks.

        Raises
        ------
        RecordingError
            If it is damaged, cut off or incomplete, lacks what is asked of it, or is a folder of several recordings,
            which are then named.
        """
        ...

    def inspect(self, path: Path) -> Inspection:
        """Return what a path that `recognise` knows holds and lacks: of one recording, or of a whole folder of them.

        Raises
        ------
        RecordingError
            If it cannot be read at all.
        """
        ...


def describe(recording: Recording) -> tuple[tuple[str, str], ...]:
    """Return the facts that every recording can tell of itself, for an inspection."""
    types = Counter(channel.type for channel in recording.channels)
    units = Counter(channel.unit or "unknown" for channel in recording.channels)
    placed = sum(channel.position_m is not None for channel in recording.channels)
    epoch = recording.epoch
    facts = [
        ("channels", ", ".join(f"{n} {type_}" for type_, n in types.items()) + f"; {placed} with a position")
    ]
    facts.append(("units", ", ".join(f"{unit} ({n})" for unit, n in units.items())))
    facts.append(("rate", f"{recording.sfreq_hz:g} Hz"))
    if epoch is None:
        length_s = recording.n_samples / recording.sfreq_hz
        facts.append(
            ("length", f"{recording.n_samples} samples, {length_s:.1f} s, {len(recording.gaps)} breaks")
        )
    else:
        first_s = -epoch.onset / recording.sfreq_hz
        last_s = first_s + (epoch.n_times - 1) / recording.sfreq_hz
        order = "in the order shown" if epoch.in_order else "the order in which they were shown is lost"
        facts.append(
            (
                "trials",
                f"{recording.n_samples // epoch.n_times} of {epoch.n_times} samples, {1e3 * first_s:.0f} to "
                f"{1e3 * last_s:.0f} ms; {order}",
            )
        )
    stimuli = recording.stimuli
    facts.append(("stimuli", f"{len(stimuli)} presentations"))
    if stimuli.id is not None:
        facts.append(("distinct ids", f"{len(np.unique(stimuli.id[stimuli.id >= 0]))}"))
    if stimuli.split is not None:
        splits = Counter(stimuli.split.tolist())
        facts.append(
            ("splits", ", ".join(f"{split or 'unknown'} {n}" for split, n in sorted(splits.items())))
        )
    absent = [
        n for n in ("id", "concept", "image", "split", "session", "run", "repeat") if n not in stimuli.columns
    ]
    if absent:
        facts.append(("not said", ", ".join(absent)))
    return tuple(facts)
