"""Read any recording that MNE-Python reads, lazily, with its markers and breaks."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.types import Channel, FloatArray, Gap

from .channels import select_channels

__all__ = ["MneRecording", "read_mne"]

#: FIFF codes of units and of the device's coordinate frame.
_UNITS = {107: "V", 112: "T", 201: "T/m"}
_DEVICE, _HEAD = 1, 4

#: Stim channels that hold the stimulus codes, where a recording has several.
_STIM = ("STI101", "STI 014", "STI014", "UPPT001", "Status")
_TRUNCATED = re.compile(r"truncat|does not match|not match the file|incomplete|unexpected end|corrupt", re.I)
_CHATTER = re.compile(r"naming convention|does not conform", re.I)
_BREAK = re.compile(r"(bad|edge)[ _]?boundary|new segment", re.I)
_SKIP = re.compile(r"bad[ _]acq[ _]skip", re.I)
_NO_MARKER = re.compile(r"bad|edge|new segment", re.I)

#: Values read at once; a CTF trial, which mne reads as a whole for any sample of it, should fit.
_BLOCK_VALUES = 2**23


class MneRecording:
    """A recording behind mne's Raw, read in blocks.

    The last block is kept, since some formats read seconds of signal for every sample asked for.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, not preloaded.
    name : str
        Short name for people.
    kept : tuple of int
        Places of the wanted channels.
    marker_channel : str or None
        Stim channel to take the markers from; None for annotations or the usual stim channel.
    notes : list of str
        What is known so far of how the file was read.

    Attributes
    ----------
    channels : tuple of Channel
        In SI units, positions in head coordinates.
    notes : tuple of str
        What a person should know about how the file was read.
    """

    def __init__(
        self, raw: Any, name: str, kept: tuple[int, ...], marker_channel: str | None, notes: list[str]
    ) -> None:
        self._raw = raw
        self._kept = kept
        self.name = name
        self.sfreq_hz = float(raw.info["sfreq"])
        everything = _channels(raw.info)
        self.channels = tuple(everything[place] for place in kept)
        self._pieces, gaps = _pieces(raw)
        self._starts = np.cumsum([0] + [stop - start for start, stop in self._pieces])
        self.n_samples = int(self._starts[-1])
        self._n_block = max(
            round(self.sfreq_hz), min(_block_samples(raw), _BLOCK_VALUES // len(raw.ch_names))
        )
        self._block: tuple[int, FloatArray] = (0, np.empty((0, len(kept))))
        scan = _Scan(raw, self._n_block)
        markers = _annotated(raw) if marker_channel is None else []
        if not markers:
            markers = scan.markers(marker_channel, notes)
        gaps += scan.clock_resets(notes)
        self.markers = tuple((self._own(at), label) for at, label in sorted(markers, key=lambda m: m[0]))
        self.gaps = tuple(
            Gap(self._own(at), n_lost, kind, at / self.sfreq_hz) for at, n_lost, kind in sorted(set(gaps))
        )
        self.notes = (*notes, *_said_by(raw))

    def _own(self, at: int) -> int:
        """Return the place, among the samples that are there, of mne's sample `at`."""
        for (start, stop), own in zip(self._pieces, self._starts, strict=False):
            if at < stop:
                return int(own + max(0, at - start))
        return self.n_samples

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
            # The whole block from here on: readers go forward.
            first = start
            block = self._fetch(start, min(start + self._n_block, self.n_samples))
            self._block = first, block
        return block[start - first : stop - first]

    def _fetch(self, start: int, stop: int) -> FloatArray:
        out = np.empty((max(0, stop - start), len(self._kept)))
        for (at, end), own in zip(self._pieces, self._starts, strict=False):
            low, high = max(start, own), min(stop, own + end - at)
            if low < high:
                out[low - start : high - start] = _samples(
                    self._raw, self._kept, at + low - own, at + high - own
                )
        return out


def read_mne(
    path: Path,
    *,
    marker_channel: str | None = None,
    exclude_channels: Sequence[str] = (),
    modality: str | None = None,
) -> MneRecording:
    """Open what MNE-Python reads; the parameters are those of `open_recording`.

    Markers are the annotations, at the sample mne rounds them to, or the rising edges of a stim channel where there
    are none. Annotated breaks are gaps; the zeros that FIF holds in place of a skipped stretch are left out. A CTF
    recording's pieces are told by its system clock.

    Raises
    ------
    RecordingError
        If mne cannot read it, it is cut off, or it lacks what was asked of it.
    """
    import mne

    notes: list[str] = []
    with _quiet(path, notes):
        raw = mne.io.read_raw(path, preload=False, verbose="warning")
        channels = _channels(raw.info)
        kept = select_channels(channels, str(path), exclude_channels, modality)
        if raw.n_times == 0:
            raise RecordingError(f"{path} holds no samples. Copy or record it again.")
        _samples(
            raw, kept[:1], raw.n_times - 1, raw.n_times
        )  # a file that was cut off fails here, not on stage
        return MneRecording(raw, path.name, kept, marker_channel, notes)


@contextmanager
def _quiet(path: Path, notes: list[str]) -> Iterator[None]:
    """Turn what mne warns of into notes, and what it raises into messages."""
    from mne.utils import use_log_level

    try:
        with warnings.catch_warnings(record=True) as caught, use_log_level("warning"):
            warnings.simplefilter("always")
            yield
    except (RecordingError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RecordingError(
            f"{path} cannot be read by MNE-Python: {first_line.rstrip('.')}. It may be cut off or damaged, or its "
            "ending may not say what it is; copy it again, or try mne.io.read_raw on it."
        ) from error
    for warning in caught:
        text = " ".join(str(warning.message).split())
        if _TRUNCATED.search(text):
            raise RecordingError(f"{path} is cut off or damaged: {text} Copy it again.")
        if issubclass(warning.category, RuntimeWarning) and not _CHATTER.search(text) and text not in notes:
            notes.append(text)


def _samples(raw: Any, picks: Sequence[int], start: int, stop: int) -> FloatArray:
    """Return mne's samples [start, stop), shape (n, n_picks)."""
    from mne.utils import use_log_level

    try:
        with use_log_level("error"):
            data: FloatArray = raw[list(picks), int(start) : int(stop)][0].T
    except Exception as error:
        raise RecordingError(
            f"{raw.filenames[0]} cannot be read at {start / raw.info['sfreq']:.3f} s: {error}. It may be cut off "
            "or have been moved; copy it again."
        ) from error
    return data


def _channels(info: Any) -> tuple[Channel, ...]:
    import mne

    to_head = info["dev_head_t"]["trans"] if info["dev_head_t"] is not None else None
    types = info.get_channel_types()
    return tuple(
        Channel(ch["ch_name"], type_, "" if type_ == "stim" else _UNITS.get(int(ch["unit"]), ""), position)
        for ch, type_ in zip(info["chs"], types, strict=True)
        for position in [_position(ch, to_head, mne.transforms.apply_trans)]
    )


def _position(ch: Any, to_head: Any, apply_trans: Any) -> tuple[float, float, float] | None:
    place = np.asarray(ch["loc"][:3], dtype=float)
    if not np.isfinite(place).all() or not place.any():
        return None
    if int(ch["coord_frame"]) == _DEVICE and to_head is not None:
        place = apply_trans(to_head, place)
    elif int(ch["coord_frame"]) != _HEAD:
        return None
    return float(place[0]), float(place[1]), float(place[2])


def _block_samples(raw: Any) -> int:
    return int(np.ceil(float(getattr(raw, "buffer_size_sec", 1.0)) * raw.info["sfreq"]))


def _onsets(raw: Any) -> list[int]:
    """Return the sample of every annotation, as mne rounds it, counted from the first sample of the file."""
    annotations = raw.annotations
    at = raw.time_as_index(annotations.onset, use_rounding=True, origin=annotations.orig_time)
    if annotations.orig_time is None:
        at = at - raw.first_samp
    return [int(sample) for sample in at]


def _annotated(raw: Any) -> list[tuple[int, str]]:
    """Return (sample, description) of the annotations that mark something other than bad signal."""
    return [
        (at, str(text))
        for at, text in zip(_onsets(raw), raw.annotations.description, strict=True)
        if not _NO_MARKER.match(str(text)) and 0 <= at < raw.n_times
    ]


def _pieces(raw: Any) -> tuple[list[tuple[int, int]], list[tuple[int, int, str]]]:
    """Return the stretches that hold signal, and the breaks (sample, samples lost, kind)."""
    n = int(raw.n_times)
    breaks: list[tuple[int, int, str]] = []
    skipped: list[tuple[int, int]] = []
    for at, text, length_s in zip(
        _onsets(raw), raw.annotations.description, raw.annotations.duration, strict=True
    ):
        if _SKIP.match(str(text)):
            skipped.append((max(0, at), min(n, at + round(float(length_s) * raw.info["sfreq"]))))
        elif _BREAK.match(str(text)) and 0 < at < n:
            breaks.append((at, 0, "reset"))
    pieces, begin = [], 0
    for start, stop in sorted(skipped):
        if begin < start:
            pieces.append((begin, start))
            if stop < n:
                breaks.append((stop, stop - start, "loss"))
        begin = max(begin, stop)
    if begin < n:
        pieces.append((begin, n))
    return pieces, breaks


class _Scan:
    """Goes through whole channels, a block at a time.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    n_block : int
        Samples in a block.
    """

    def __init__(self, raw: Any, n_block: int) -> None:
        self.raw = raw
        self.n_block = n_block

    def _blocks(self, place: int) -> Iterator[tuple[int, FloatArray]]:
        for start in range(0, self.raw.n_times, self.n_block):
            stop = min(start + self.n_block, self.raw.n_times)
            yield start, _samples(self.raw, [place], start, stop)[:, 0]

    def markers(self, wanted: str | None, notes: list[str]) -> list[tuple[int, str]]:
        """Return (sample, code) of the rising edges of the wanted stim channel, or of the first that has any."""
        names = list(self.raw.ch_names)
        stims = [
            name for name, type_ in zip(names, self.raw.get_channel_types(), strict=True) if type_ == "stim"
        ]
        if wanted is not None and wanted not in names:
            raise RecordingError(
                f"{self.raw.filenames[0]} has no stim channel {wanted!r}.{did_you_mean(wanted, stims or names)} "
                f"Its stim channels are: {', '.join(stims) or 'none'}."
            )
        order = [name for name in _STIM if name in stims]
        order += [name for name in stims if name not in order]
        for name in order if wanted is None else [wanted]:
            markers = self._edges(names.index(name))
            if markers:
                if len(stims) > 1:
                    notes.append(
                        f"Markers are the codes of stim channel {name!r}; others: {', '.join(stims)}."
                    )
                return markers
        return []

    def _edges(self, place: int) -> list[tuple[int, str]]:
        markers, before = [], 0
        for start, values in self._blocks(place):
            codes = np.rint(values).astype(np.int64)
            changed = np.flatnonzero(np.diff(codes, prepend=before))
            markers += [(start + int(at), str(codes[at])) for at in changed if codes[at]]
            before = int(codes[-1])
        return markers

    def clock_resets(self, notes: list[str]) -> list[tuple[int, int, str]]:
        """Return where the pieces of a CTF recording meet, told by its system clock."""
        clock = next((i for i, name in enumerate(self.raw.ch_names) if name.startswith("SCLK01")), None)
        if clock is None:
            return []
        resets: list[tuple[int, int, str]] = []
        before: FloatArray = np.empty(0)
        for start, times_s in self._blocks(clock):
            steps_s = np.diff(times_s, prepend=before)
            jumps = np.flatnonzero(np.abs(steps_s * self.raw.info["sfreq"] - 1) > 0.5)
            for jump in jumps:
                at = start + int(jump) + 1 - len(before)
                resets.append((at, 0, "reset"))
                notes.append(
                    f"The recording is discontinuous at sample {at}: the clock steps by {steps_s[jump]:.3f} s."
                )
            before = times_s[-1:]
        return resets


def _said_by(raw: Any) -> list[str]:
    """Return what else the file says of itself that a person should know."""
    notes = []
    if raw.info["bads"]:
        notes.append(f"Channels marked as bad: {', '.join(raw.info['bads'])}.")
    if raw.info["comps"]:
        notes.append(f"Gradient compensation left as recorded, grade {raw.compensation_grade}.")
    if n_bad := sum(
        bool(re.match("bad", str(text), re.I)) and not _SKIP.match(str(text)) and not _BREAK.match(str(text))
        for text in raw.annotations.description
    ):
        notes.append(f"{n_bad} stretches are annotated as bad; they are played as they are.")
    return notes
