"""Read XDF as LabRecorder writes it: one stream is the signal, one holds the markers, on one clock."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.layout import Finding, Inspection, ReadOptions, describe
from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.marker_text import MarkerText, read_marker_text
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import DECODED_TYPES, Channel
from decode_stream.stream.units import UNITS, unit_symbol

from .channels import select_channels
from .stamps import find_gaps, measured_sfreq, sample_places
from .xdf_chunks import XdfIndex, XdfStream, index_xdf, open_xdf

__all__ = ["inspect", "read", "recognise"]

_ENDINGS = (".xdf", ".xdfz", ".xdf.gz")
#: pyxdf reads whole streams into memory, twice over for a moment.
_MOST_BYTES = 2**29
#: A measured rate further than this from the declared one is believed.
_RATE_OFF = 0.02
_CHATTER = "segments"


class _OpenChoiceError(RecordingError):
    """A sound file leaves open which of its streams is meant."""


def recognise(path: Path) -> str:
    """Return ``XDF recorded from LSL`` where the ending says so, as `Layout.recognise` does."""
    return "XDF recorded from LSL" if path.is_file() and path.name.lower().endswith(_ENDINGS) else ""


def inspect(path: Path) -> Inspection:
    """Return what an XDF file holds: its streams, and the recording that is read from them."""
    index = _index(path)
    facts = tuple((f"stream {stream.number}", str(stream)) for stream in index.streams)
    try:
        recording = read(path, ReadOptions())
    except _OpenChoiceError as choice:
        found = tuple(Finding("note", note) for note in (*_state(index), str(choice)))
        return Inspection(recognise(path), facts, found)
    except RecordingError as error:
        return Inspection(recognise(path), facts, (Finding("wrong", str(error)),))
    notes = tuple(Finding("note", note) for note in recording.notes)
    return Inspection(recognise(path), (*facts, *describe(recording)), notes)


def read(path: Path, options: ReadOptions) -> ArrayRecording:
    """Read the signal and the markers of an XDF file.

    The signal is the stream that is named, else the numeric one at a regular rate that has most channels, of those
    whose type is the modality's if any are. Markers come from the stream named as the marker column, else from the
    only marker stream with markers in it. Stamps are brought onto the recorder's clock by its measured offsets;
    breaks are found in them as in a live stream's, and between breaks they are put on a line, on which each marker has
    its nearest sample; of volumes it is told how far behind the beginning of that it lies. Markers in JSON tell
    concept, image and split of the stimuli.

    Returns
    -------
    ArrayRecording
        The recording, in memory.

    Raises
    ------
    RecordingError
        If the file is none, is damaged or too large, holds no signal, or leaves open which stream is meant.
    """
    index = _index(path)
    signal = _signal(path, index, options)
    candidates = _marker_candidates(path, index, options.marker_column)
    notes = list(signal.notes)
    loaded = _load(path, index, [signal, *candidates], notes)
    markers = _markers(path, candidates, loaded, notes)
    data, stamps_s = loaded[signal.number]["time_series"], loaded[signal.number]["time_stamps"]
    del loaded
    if not len(stamps_s):
        raise RecordingError(f"{path}: stream {signal.info.name!r} holds no samples. Record it again.")
    sfreq_hz = _rate(path, signal, stamps_s, notes)
    gaps = find_gaps(stamps_s, sfreq_hz)
    if gaps:
        notes.append(f"{len(gaps)} gaps in the time stamps, {sum(gap.n_lost for gap in gaps)} samples lost.")
    places, behind = sample_places(np.array([at_s for at_s, _ in markers]), stamps_s, sfreq_hz, gaps)
    if n_outside := int(np.count_nonzero(places < 0)):
        notes.append(f"{n_outside} markers lie outside the signal or in a gap of it; they are left out.")
    placed = [(int(at), said) for at, (_, said) in zip(places, markers, strict=True) if at >= 0]

    channels = _with_unit(signal.info.channels, options.unit)
    of_volumes = any(channel.type in DECODED_TYPES["fmri"] for channel in channels)
    kept = select_channels(channels, str(path), options.exclude_channels, options.modality)
    if len(kept) < len(channels):
        data = data[:, kept]
    return ArrayRecording(
        data=data.astype(np.result_type(data.dtype, np.float32), copy=False),
        channels=tuple(channels[place] for place in kept),
        sfreq_hz=sfreq_hz,
        markers=tuple((at, said.label) for at, said in placed),
        gaps=gaps,
        name=path.name,
        notes=tuple(notes),
        stimuli=replace(_stimuli(placed), fraction=behind[places >= 0] if of_volumes else None),
    )


def _index(path: Path) -> XdfIndex:
    try:
        index = index_xdf(path)
    except (OSError, EOFError) as error:
        raise RecordingError(f"{path} cannot be read: {error}. Copy it again.") from error
    if index.stop > _MOST_BYTES:
        raise RecordingError(
            f"{path} holds {index.stop / 2**20:.0f} MiB; XDF is read into memory, up to {_MOST_BYTES >> 20} MiB. "
            "Record in parts, or save the stream with MNE-Python as .fif, which is read lazily."
        )
    return index


def _state(index: XdfIndex) -> list[str]:
    """Return what is amiss with the end of a file, in sentences."""
    if index.cut_off:
        return ["The file is cut off in the middle of a chunk; what lies before is read."]
    if not index.closed:
        return ["The recording was not ended properly: streams have no footer. All that was written is read."]
    return []


def _listed(streams: Sequence[XdfStream]) -> str:
    return "; ".join(str(stream) for stream in streams) or "none"


def _named(path: Path, streams: Sequence[XdfStream], all_: Sequence[XdfStream], name: str) -> list[XdfStream]:
    named = [stream for stream in streams if stream.info.name == name]
    if not named:
        hint = did_you_mean(name, [stream.info.name for stream in streams])
        raise RecordingError(f"{path} has no such stream {name!r}.{hint} Its streams are: {_listed(all_)}.")
    return named


def _signal(path: Path, index: XdfIndex, options: ReadOptions) -> XdfStream:
    """Return the stream that is the signal."""
    signals = [stream for stream in index.streams if stream.is_signal]
    if not signals:
        raise RecordingError(
            f"{path} holds no stream of numbers at a regular rate, so no signal. Its streams are: "
            f"{_listed(index.streams)}. Record the amplifier's stream too."
        )
    if options.stream is not None:
        signals = _named(path, signals, index.streams, options.stream)
    wanted = DECODED_TYPES.get(options.modality or "", ()) or sum(DECODED_TYPES.values(), ())

    def n_wanted(stream: XdfStream) -> int:
        return Counter(channel.type in wanted for channel in stream.info.channels)[True]

    key = n_wanted if any(map(n_wanted, signals)) else lambda stream: len(stream.info.channels)
    most = max(map(key, signals))
    best = [stream for stream in signals if key(stream) == most]
    if len(best) > 1:
        raise _OpenChoiceError(
            f"{path} holds {len(best)} streams that could be the signal: {_listed(best)}. Say which with --stream "
            "NAME: decode-stream replay takes it, and decode-stream convert, which writes what every command reads."
        )
    return best[0]


def _marker_candidates(path: Path, index: XdfIndex, name: str | None) -> list[XdfStream]:
    streams = [stream for stream in index.streams if stream.is_markers]
    if name is None:
        return streams
    irregular = [stream for stream in index.streams if stream.is_markers or not stream.info.sfreq_hz > 0]
    return _named(path, irregular, index.streams, name)


def _load(
    path: Path, index: XdfIndex, streams: Sequence[XdfStream], notes: list[str]
) -> dict[int, dict[str, Any]]:
    """Return what pyxdf reads of these streams, by their numbers."""
    import pyxdf

    notes += _state(index)
    with _told(notes):
        try:
            with open_xdf(path) as file:
                # pyxdf fills a sample that is cut off with what it read before.
                whole = BytesIO(file.read(index.stop)) if index.cut_off else file
                found, _ = pyxdf.load_xdf(
                    whole,
                    select_streams=[stream.number for stream in streams],
                    synchronize_clocks=True,
                    dejitter_timestamps=False,
                )
        except Exception as error:
            raise RecordingError(
                f"{path} cannot be read by pyxdf: {error}. It may be damaged; copy it again."
            ) from error
    return {int(stream["info"]["stream_id"]): stream for stream in found}


@contextmanager
def _told(notes: list[str]) -> Iterator[None]:
    """Turn what pyxdf logs as a warning into notes."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if _CHATTER not in text.lower() and text not in notes:
                notes.append(f"pyxdf: {text}")

    logger = logging.getLogger("pyxdf.pyxdf")
    listener, propagates = Listener(logging.WARNING), logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagates


def _markers(
    path: Path,
    streams: Sequence[XdfStream],
    loaded: dict[int, dict[str, Any]],
    notes: list[str],
) -> list[tuple[float, MarkerText]]:
    """Return (time, what it says) of the markers, by time."""
    filled = [stream for stream in streams if len(loaded[stream.number]["time_stamps"])]
    if len(filled) > 1:
        raise _OpenChoiceError(
            f"{path} holds {len(filled)} streams with markers: {_listed(filled)}. Say which with --marker-column NAME."
        )
    if not filled:
        notes.append(
            f"Marker stream {streams[0].info.name!r} is empty." if streams else "There is no marker stream."
        )
        return []
    stream = filled[0]
    if len(stream.info.channels) > 1:
        notes.append(
            f"Marker stream {stream.info.name!r} has {len(stream.info.channels)} channels; the first is read."
        )
    times_s, values = loaded[stream.number]["time_stamps"], loaded[stream.number]["time_series"]
    markers = [
        (float(at_s), read_marker_text(_text(row[0]))) for at_s, row in zip(times_s, values, strict=True)
    ]
    return sorted((marker for marker in markers if marker[1].label), key=lambda marker: marker[0])


def _text(value: object) -> str:
    """Return a marker's text: whole numbers in decimal."""
    if isinstance(value, str):
        return value.strip()
    number = float(value)  # type: ignore[arg-type]
    return str(int(number)) if number.is_integer() else repr(number)


def _rate(path: Path, signal: XdfStream, stamps_s: npt.NDArray[np.float64], notes: list[str]) -> float:
    declared_hz = signal.info.sfreq_hz
    if len(stamps_s) < 2:
        return declared_hz
    try:
        measured_hz = measured_sfreq(stamps_s)
    except RecordingError as error:
        raise RecordingError(f"{path}, stream {signal.info.name!r}: {error}") from error
    if abs(measured_hz - declared_hz) <= _RATE_OFF * declared_hz:
        return declared_hz
    notes.append(
        f"The stream declares {declared_hz:g} Hz, but its stamps say {measured_hz:g} Hz, which is taken."
    )
    return measured_hz


def _with_unit(channels: tuple[Channel, ...], unit: str | None) -> tuple[Channel, ...]:
    """Fill in a unit where the stream says none."""
    if unit is None:
        return channels
    symbol = unit_symbol(unit)
    if not symbol:
        raise RecordingError(f"Unit {unit!r} is not known. Give one of {', '.join(UNITS)}.")
    return tuple(
        channel if channel.unit or channel.type in ("stim", "misc") else replace(channel, unit=symbol)
        for channel in channels
    )


def _stimuli(placed: Sequence[tuple[int, MarkerText]]) -> StimulusTable:
    table = StimulusTable.of_markers([(at, said.label) for at, said in placed])
    columns = {
        name: np.array([getattr(said, name) for _, said in placed]) for name in ("concept", "image", "split")
    }
    return replace(table, **{name: column for name, column in columns.items() if column.any()})
