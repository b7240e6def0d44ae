"""Writes XDF as LabRecorder does: headers, samples in chunks, clock offsets, footers."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

_CODES = {"float32": "f", "double64": "d", "int32": "i", "int16": "h", "int64": "q"}


@dataclass
class XdfStreamData:
    """One stream to write; `offset_s` is what the recorder measured: its clock less the stream's."""

    name: str
    type: str
    stamps_s: npt.NDArray[np.float64]
    values: Any
    format: str = "float32"
    sfreq_hz: float = 0.0
    labels: Sequence[str] = ()
    units: Sequence[str] = ()
    types: Sequence[str] = ()
    offset_s: float = 0.0
    footer: bool = True
    per_chunk: int = 50
    deduced: bool = False
    _n: int = field(default=1)

    @property
    def n_channels(self) -> int:
        return (
            1
            if self.format == "string"
            else np.asarray(self.values).reshape(len(self.stamps_s), -1).shape[1] or 1
        )


def _length(n: int) -> bytes:
    return b"\x01" + struct.pack("<B", n) if n < 256 else b"\x04" + struct.pack("<I", n)


def _chunk(tag: int, content: bytes) -> bytes:
    return _length(len(content) + 2) + struct.pack("<H", tag) + content


def _header(stream: XdfStreamData, n_channels: int) -> str:
    channels = "".join(
        f"<channel><label>{escape(label)}</label><type>{escape(type_)}</type><unit>{escape(unit)}</unit></channel>"
        for label, type_, unit in zip(stream.labels, stream.types, stream.units, strict=True)
    )
    desc = f"<desc><channels>{channels}</channels></desc>" if channels else "<desc />"
    return (
        f'<?xml version="1.0"?><info><name>{escape(stream.name)}</name><type>{escape(stream.type)}</type>'
        f"<channel_count>{n_channels}</channel_count><nominal_srate>{stream.sfreq_hz}</nominal_srate>"
        f"<channel_format>{stream.format}</channel_format><source_id>s</source_id><hostname>lab</hostname>{desc}</info>"
    )


def _sample(stream: XdfStreamData, i: int) -> bytes:
    known = not stream.deduced or i % stream.per_chunk == 0
    stamp = b"\x08" + struct.pack("<d", stream.stamps_s[i]) if known else b"\x00"
    if stream.format == "string":
        text = str(stream.values[i]).encode()
        return stamp + _length(len(text)) + text
    row = np.atleast_1d(stream.values[i]).tolist()
    return stamp + struct.pack(f"<{len(row)}{_CODES[stream.format]}", *row)


def write_xdf(path: Path, *streams: XdfStreamData, n_channels: Sequence[int] = ()) -> Path:
    """Write streams into one file."""
    out = [b"XDF:", _chunk(1, b'<?xml version="1.0"?><info><version>1.0</version></info>')]
    for number, stream in enumerate(streams, start=1):
        n = n_channels[number - 1] if n_channels else stream.n_channels
        out.append(_chunk(2, struct.pack("<I", number) + _header(stream, n).encode()))
    for number, stream in enumerate(streams, start=1):
        own = struct.pack("<I", number)
        n = len(stream.stamps_s)
        for begin in range(0, n, stream.per_chunk):
            end = min(n, begin + stream.per_chunk)
            if stream.offset_s:
                out.append(_chunk(4, own + struct.pack("<dd", stream.stamps_s[begin], stream.offset_s)))
            samples = b"".join(_sample(stream, i) for i in range(begin, end))
            out.append(_chunk(3, own + _length(end - begin) + samples))
        if stream.footer:
            text = f'<?xml version="1.0"?><info><sample_count>{n}</sample_count></info>'
            out.append(_chunk(6, own + text.encode()))
    path.write_bytes(b"".join(out))
    return path
