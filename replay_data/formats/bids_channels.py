"""What BIDS says of the channels of a sampled recording, in ``channels.tsv`` and ``electrodes.tsv``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.metadata import channel_type
from decode_stream.stream.types import Channel
from decode_stream.stream.units import unit_symbol

from .bids import find_beside, number_in, read_table

__all__ = ["described"]

_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
#: Coordinate systems with the origin between the ears: x to the right and y to the nose, or x to the nose and y to the
#: left. In all others, and where none is named, a position says nothing of the head.
_RIGHT_FRONT = ("captrak", "elektaneuromag")
_FRONT_LEFT = ("ctf", "eeglab", "eeglab-hj", "4dbti", "kityokogawa")
#: Types in channels.tsv that a recording's own file does not know better.
_MISC = ("MISC", "AUDIO", "PD", "EYEGAZE", "PUPIL", "RESP", "GSR", "TEMP", "ADC", "DAC", "LATENCY", "OTHER")


def described(path: Path, raw: Any, channels: Sequence[Channel], notes: list[str]) -> tuple[Channel, ...]:
    """Return a recording's channels with the types, units and positions that BIDS keeps beside it.

    Parameters
    ----------
    path : Path
        The recording.
    raw : mne.io.BaseRaw
        Gets the bad channels, and the stim channels that it does not know as such.
    channels : sequence of Channel
        As mne describes them, in its order. Units that mne knows stand: it has scaled the values by them.
    notes : list of str
        Is added to.

    Raises
    ------
    RecordingError
        If a table is damaged.
    """
    rows = _rows_by_name(find_beside(path, "channels.tsv"))
    described = [_retyped(channel, rows.get(channel.name, {})) for channel in channels]
    names = {channel.name for channel in channels}
    if missing := [name for name in rows if name not in names]:
        notes.append(f"channels.tsv tells of channels that are not there: {', '.join(missing[:10])}.")
    bad = [name for name, row in rows.items() if name in names and row.get("status", "").lower() == "bad"]
    raw.info["bads"] = sorted({*raw.info["bads"], *bad}, key=[c.name for c in channels].index)
    stims = {
        new.name: "stim"
        for new, old in zip(described, channels, strict=True)
        if new.type == "stim" and old.type != "stim"
    }
    if stims:
        raw.set_channel_types(stims, on_unit_change="ignore", verbose="error")
    positions = _positions_m(path, notes)
    return tuple(
        replace(channel, position_m=positions.get(channel.name, channel.position_m)) for channel in described
    )


def _rows_by_name(table: Path | None) -> dict[str, dict[str, str]]:
    return {} if table is None else {row["name"]: row for row in read_table(table) if row.get("name")}


def _retyped(channel: Channel, row: Mapping[str, str]) -> Channel:
    word = row.get("type", "").upper()
    type_ = channel_type(word)
    if word.startswith("MEG") or not word or (type_ == "misc" and word not in _MISC):
        type_ = channel.type
    unit = "" if type_ == "stim" else channel.unit or unit_symbol(row.get("units", ""), type_)
    return replace(channel, type=type_, unit=unit)


def _positions_m(path: Path, notes: list[str]) -> dict[str, tuple[float, float, float]]:
    """Return the electrodes' positions in head coordinates, in metres."""
    table, system = find_beside(path, "electrodes.tsv"), find_beside(path, "coordsystem.json")
    if table is None:
        return {}
    said = _read_json(system)
    name = next((str(said[key]) for key in said if key.endswith("EEGCoordinateSystem")), "")
    scale = _METRES.get(next((str(said[key]) for key in said if key.endswith("EEGCoordinateUnits")), ""))
    if name.lower() not in _RIGHT_FRONT + _FRONT_LEFT or scale is None:
        notes.append(
            f"Positions in {table.name} are left out: their coordinate system is {name or 'not told'!r}."
        )
        return {}
    positions = {}
    for number, row in enumerate(read_table(table), start=2):
        x, y, z = (number_in(table, number, row, axis) for axis in "xyz")
        if row.get("name") and x is not None and y is not None and z is not None:
            right, front = (x, y) if name.lower() in _RIGHT_FRONT else (-y, x)
            positions[row["name"]] = (right * scale, front * scale, z * scale)
    return positions


def _read_json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} cannot be read: {error}. Repair or remove it.") from error
    return said if isinstance(said, dict) else {}
