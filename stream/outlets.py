"""Samples and markers out over Lab Streaming Layer."""

from collections.abc import Mapping, Sequence

import pylsl

from .metadata import write_channels, write_replay
from .types import Channel

__all__ = ["open_marker_outlet", "open_outlet"]


def open_outlet(
    name: str,
    type_: str,
    channels: Sequence[Channel],
    sfreq_hz: float,
    source_id: str,
    dtype: str = "float32",
    extras: Mapping[str, object] | None = None,
    max_buffer_s: int = 60,
) -> pylsl.StreamOutlet:
    """Open an outlet for samples.

    Parameters
    ----------
    name, type_, source_id : str
        As consumers look for them.
    channels : sequence of Channel
        Written into the description, with units and positions.
    sfreq_hz : float
        Rate at which samples are sent, in Hz of the LSL clock.
    dtype : str
        ``float32``, ``double64``, ``int8``, ``int16``, ``int32`` or ``int64``.
    extras : mapping of str to object, optional
        What is particular to a replay; written under ``desc/decode_stream``.
    max_buffer_s : int
        Seconds held for a consumer that does not keep up.
    """
    info = pylsl.StreamInfo(name, type_, len(channels), sfreq_hz, dtype, source_id)
    write_channels(info, channels)
    if extras:
        write_replay(info, extras)
    return pylsl.StreamOutlet(info, max_buffered=max_buffer_s)


def open_marker_outlet(name: str, source_id: str, dtype: str = "string") -> pylsl.StreamOutlet:
    """Open an outlet for markers: one channel, irregular, text or integers."""
    info = pylsl.StreamInfo(name, "Markers", 1, pylsl.IRREGULAR_RATE, dtype, source_id)
    return pylsl.StreamOutlet(info)
