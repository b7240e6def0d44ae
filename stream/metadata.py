"""What a stream's description says, in our words: the XDF metadata of LSL streams, read and written."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from .types import Channel, StreamInfo
from .units import UNITS, unit_symbol

__all__ = ["channel_type", "read_description", "write_channels", "write_replay"]

_TYPE_WORDS = {
    "eeg": "eeg",
    "meg": "mag",
    "mag": "mag",
    "magnetometer": "mag",
    "grad": "grad",
    "gradiometer": "grad",
    "ref_meg": "ref_meg",
    "refmeg": "ref_meg",
    "refmag": "ref_meg",
    "refgrad": "ref_meg",
    "eog": "eog",
    "veog": "eog",
    "heog": "eog",
    "ecg": "ecg",
    "ekg": "ecg",
    "emg": "emg",
    "stim": "stim",
    "trig": "stim",
    "trigger": "stim",
    "marker": "stim",
    "markers": "stim",
    "event": "stim",
    "events": "stim",
    "ecog": "ecog",
    "ieeg": "seeg",
    "seeg": "seeg",
    "dbs": "dbs",
    "voxel": "voxel",
    "fmri": "voxel",
    "bold": "voxel",
}


def channel_type(text: str, unit: str = "") -> str:
    """Return MNE's word for a channel type as LSL streams write it; ``misc`` for what is no such type.

    Parameters
    ----------
    text : str
        ``"EEG"``, ``"MEG"``, ``"TRIG"``, ``"AUX"``, ... in any case.
    unit : str
        Unit symbol; tells gradiometers among channels that only say ``MEG``.
    """
    word = text.strip().lower().replace("-", "_").replace(" ", "_")
    if word == "meg" and unit in UNITS and UNITS[unit].si == "T/m":
        return "grad"
    return _TYPE_WORDS.get(word, "misc")


def _children(element: Any, name: str) -> Iterator[Any]:
    child = element.child(name)
    while not child.empty():
        yield child
        child = child.next_sibling(name)


def _number(text: str, default: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return default
    return value if isfinite(value) else default


def _positions_m(elements: Sequence[Any]) -> list[tuple[float, float, float] | None]:
    found: list[tuple[float, float, float] | None] = []
    for element in elements:
        location = element.child("location")
        values = [_number(location.child_value(axis), float("nan")) for axis in "XYZ"]
        # A sensor that sits nowhere is written as zeros.
        known = all(isfinite(v) for v in values) and any(values)
        found.append((values[0], values[1], values[2]) if known else None)
    largest = max((abs(v) for position in found if position for v in position), default=0.0)
    # XDF asks for millimetres; some programs write metres. No head is smaller than 2 mm.
    scale = 1e-3 if largest >= 2.0 else 1.0
    return [None if p is None else (p[0] * scale, p[1] * scale, p[2] * scale) for p in found]


def _read_channels(info: Any) -> tuple[tuple[Channel, ...], list[str]]:
    n = int(info.channel_count())
    elements = list(_children(info.desc().child("channels"), "channel"))
    fallback = channel_type(info.type())
    default = fallback if fallback != "stim" else "misc"
    if len(elements) != n:
        said = f"describes {len(elements)} of its {n} channels" if elements else "does not name its channels"
        note = (
            f"Stream {info.name()!r} {said}; they are called ch1 to ch{n}, of type {default}, unit unknown."
        )
        return tuple(Channel(f"ch{i + 1}", default) for i in range(n)), [note]
    channels = []
    for i, (element, position) in enumerate(zip(elements, _positions_m(elements), strict=True)):
        type_text, unit_text = element.child_value("type"), element.child_value("unit")
        type_ = channel_type(type_text, unit_symbol(unit_text)) if type_text else default
        name = element.child_value("label") or f"ch{i + 1}"
        channels.append(Channel(name, type_, unit_symbol(unit_text, type_), position))
    nameless = sum(not element.child_value("label") for element in elements)
    notes = []
    if nameless:
        notes.append(
            f"Stream {info.name()!r} leaves {nameless} of {n} channels without a name; they get ch1, ..."
        )
    return tuple(channels), notes


def read_description(info: Any) -> tuple[StreamInfo, tuple[str, ...]]:
    """Return what a stream says of itself, and notes on what it leaves out.

    Parameters
    ----------
    info : pylsl.StreamInfo
        The full description, as an open inlet gives it; what a search finds lacks the channels.

    Returns
    -------
    StreamInfo
        With channels ``ch1``, ``ch2``, ... where the stream does not name them.
    tuple of str
        Sentences for the user.
    """
    channels, notes = _read_channels(info)
    replay = info.desc().child("decode_stream")
    speed = _number(replay.child_value("speed"), 1.0)
    speed = speed if speed > 0 else 1.0
    length, turn = replay.child_value("n_samples"), replay.child_value("loop_samples")
    described = StreamInfo(
        name=info.name(),
        type=info.type(),
        source_id=info.source_id(),
        hostname=info.hostname(),
        channels=channels,
        sfreq_hz=float(info.nominal_srate()) / speed,
        speed=speed,
        n_samples=int(length) if length.isdecimal() else None,
        loop_samples=int(turn) if turn.isdecimal() else None,
        marker_source_id=replay.child_value("marker_source_id"),
    )
    return described, tuple(notes)


def write_channels(info: Any, channels: Sequence[Channel]) -> None:
    """Write channels into a stream's description, positions in millimetres as XDF asks."""
    parent = info.desc().append_child("channels")
    for channel in channels:
        element = parent.append_child("channel")
        element.append_child_value("label", channel.name)
        element.append_child_value("type", channel.type.upper())
        element.append_child_value("unit", channel.unit)
        if channel.position_m is not None:
            location = element.append_child("location")
            for axis, metres in zip("XYZ", channel.position_m, strict=True):
                location.append_child_value(axis, f"{metres * 1e3:.9g}")


def write_replay(info: Any, extras: Mapping[str, object]) -> None:
    """Write what is particular to a replay under ``desc/decode_stream``."""
    parent = info.desc().append_child("decode_stream")
    for name, value in extras.items():
        parent.append_child_value(name, str(value))
