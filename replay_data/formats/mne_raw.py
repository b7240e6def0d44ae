"""What MNE-Python's Raw holds, in our words: samples, channels, markers and breaks."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.types import Channel, FloatArray

from .ctf_samples import read_ctf_samples

__all__ = [
    "Break",
    "annotated_breaks",
    "annotated_markers",
    "channels_of",
    "clock_breaks",
    "read_samples",
    "remarks",
    "stim_markers",
]

#: FIFF's codes of units and coordinate frames.
_UNITS = {107: "V", 112: "T", 201: "T/m"}
_DEVICE, _HEAD = 1, 4

#: Stim channels that hold the stimulus codes, where a recording has several.
_USUAL_STIM = ("STI101", "STI 014", "STI014", "UPPT001", "Status")
_BOUNDARY = re.compile(r"(bad|edge)[ _]?boundary|new segment", re.IGNORECASE)
_SKIPPED = re.compile(r"bad[ _]acq[ _]skip", re.IGNORECASE)
_NO_MARKER = re.compile(r"bad|edge|new segment", re.IGNORECASE)

#: A break as (first sample after it, samples lost, kind), in mne's samples.
Break = tuple[int, int, str]


def read_samples(raw: Any, picks: Sequence[int], start: int, stop: int) -> FloatArray:
    """Return mne's samples [start, stop), shape (stop - start, n_picks), float64, SI units.

    Raises
    ------
    RecordingError
        If the file cannot be read there.
    """
    from mne.utils import use_log_level

    try:
        if str(raw.filenames[0]).endswith(".meg4"):
            return read_ctf_samples(raw, picks, int(start), int(stop))
        with use_log_level("error"):
            data: FloatArray = raw[list(picks), int(start) : int(stop)][0].T
    except Exception as error:
        raise RecordingError(
            f"{raw.filenames[0]} cannot be read at {start / raw.info['sfreq']:.3f} s: {error}. "
            "It may be cut off, or have been moved; copy it again."
        ) from error
    return data


def channels_of(info: Any) -> tuple[Channel, ...]:
    """Return the channels that an mne Info describes, positions in head coordinates."""
    to_head = None if info["dev_head_t"] is None else np.asarray(info["dev_head_t"]["trans"])
    return tuple(
        Channel(
            name=ch["ch_name"],
            type=type_,
            unit="" if type_ == "stim" else _UNITS.get(int(ch["unit"]), ""),
            position_m=_position(ch, to_head),
        )
        for ch, type_ in zip(info["chs"], info.get_channel_types(), strict=True)
    )


def _position(ch: Any, to_head: FloatArray | None) -> tuple[float, float, float] | None:
    place = np.asarray(ch["loc"][:3], dtype=np.float64)
    frame = int(ch["coord_frame"])
    if not np.isfinite(place).all() or not place.any():
        return None
    if frame == _DEVICE and to_head is not None:
        place = to_head[:3, :3] @ place + to_head[:3, 3]
    elif frame != _HEAD:
        return None
    return float(place[0]), float(place[1]), float(place[2])


def _annotations(raw: Any) -> list[tuple[int, str, float]]:
    """Return (sample, description, duration in s), the sample rounded as mne rounds it for events."""
    notes = raw.annotations
    at = raw.time_as_index(notes.onset, use_rounding=True, origin=notes.orig_time)
    if notes.orig_time is None:
        at = at - raw.first_samp  # without a date, onsets count from before the recording was cut
    return [(int(a), str(t), float(d)) for a, t, d in zip(at, notes.description, notes.duration, strict=True)]


def annotated_markers(raw: Any) -> list[tuple[int, str]]:
    """Return (sample, description) of the annotations that mark something other than the signal's state."""
    return [
        (at, text)
        for at, text, _ in _annotations(raw)
        if not _NO_MARKER.match(text) and 0 <= at < raw.n_times
    ]


def annotated_breaks(raw: Any) -> tuple[list[tuple[int, int]], list[Break]]:
    """Return the stretches [start, stop) that hold signal, and the breaks.

    Where recording was paused, FIF holds zeros in place of signal; such a stretch is a loss of its length.
    """
    n = int(raw.n_times)
    pieces, breaks, begin = [], list[Break](), 0
    for at, text, length_s in sorted(_annotations(raw)):
        if _BOUNDARY.match(text) and 0 < at < n:
            breaks.append((at, 0, "reset"))
        elif _SKIPPED.match(text) and at < n:
            stop = min(n, at + round(length_s * raw.info["sfreq"]))
            if begin < at:
                pieces.append((begin, at))
            if at > 0 and stop < n:
                breaks.append((stop, stop - at, "loss"))
            begin = max(begin, stop)
    if begin < n:
        pieces.append((begin, n))
    return pieces, breaks


def _blocks(raw: Any, place: int, n_block: int) -> Iterator[tuple[int, FloatArray]]:
    for start in range(0, raw.n_times, n_block):
        yield start, read_samples(raw, [place], start, min(start + n_block, raw.n_times))[:, 0]


def stim_markers(raw: Any, wanted: str | None, n_block: int, said: list[str]) -> list[tuple[int, str]]:
    """Return (sample, code in decimal) of every onset or change of a stim channel's code.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    wanted : str or None
        The channel; None for the first, of the usual ones and then of all stim channels, that holds any code.
    n_block : int
        Samples read at once.
    said : list of str
        Receives which channel was taken, where there was a choice.

    Raises
    ------
    RecordingError
        If there is no such channel.
    """
    names = list(raw.ch_names)
    stims = [name for name, type_ in zip(names, raw.get_channel_types(), strict=True) if type_ == "stim"]
    if wanted is not None and wanted not in names:
        raise RecordingError(
            f"{raw.filenames[0]} has no stim channel {wanted!r}.{did_you_mean(wanted, stims or names)} "
            f"Its stim channels are: {', '.join(stims) or 'none'}."
        )
    usual = [name for name in _USUAL_STIM if name in stims]
    for name in dict.fromkeys([*usual, *stims]) if wanted is None else [wanted]:
        markers = _code_onsets(raw, names.index(name), n_block)
        if markers:
            if wanted is None and len(stims) > 1:
                said.append(f"Markers are the codes of stim channel {name!r}, of {', '.join(stims)}.")
            return markers
    return []


def _code_onsets(raw: Any, place: int, n_block: int) -> list[tuple[int, str]]:
    markers, before = list[tuple[int, str]](), 0
    for start, values in _blocks(raw, place, n_block):
        codes = np.rint(values).astype(np.int64)
        changed = np.flatnonzero(np.diff(codes, prepend=before))
        markers += [(start + int(at), str(codes[at])) for at in changed if codes[at]]
        before = int(codes[-1])
    return markers


def clock_breaks(raw: Any, n_block: int, said: list[str]) -> list[Break]:
    """Return where the pieces of a CTF recording meet, told by its system clock.

    Time passed between them, but no sample was lost: the amplifier was not asked for any.
    """
    clock = next((place for place, name in enumerate(raw.ch_names) if name.startswith("SCLK01")), None)
    if clock is None:
        return []
    breaks = list[Break]()
    before: FloatArray = np.empty(0)
    for start, times_s in _blocks(raw, clock, n_block):
        steps_s = np.diff(times_s, prepend=before)
        for step in np.flatnonzero(np.abs(steps_s * raw.info["sfreq"] - 1) > 0.5):
            at = start + int(step) + 1 - len(before)
            breaks.append((at, 0, "reset"))
            said.append(f"The recording is discontinuous at sample {at}: {steps_s[step]:.3f} s went by.")
        before = times_s[-1:]
    return breaks


def remarks(raw: Any) -> list[str]:
    """Return what else a recording says of itself that a person should know."""
    said = []
    if raw.info["bads"]:
        said.append(f"Channels marked as bad: {', '.join(raw.info['bads'])}.")
    if raw.info["comps"]:
        said.append(f"Gradient compensation is left as recorded, grade {raw.compensation_grade}.")
    texts = [text for _, text, _ in _annotations(raw) if re.match("bad", text, re.IGNORECASE)]
    if n_bad := sum(not _SKIPPED.match(text) and not _BOUNDARY.match(text) for text in texts):
        said.append(f"Stretches annotated as bad: {n_bad}; they are read as they are.")
    return said
