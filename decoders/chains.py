"""The causal chain by modality: which channels, which rate, which filters, where nothing else is asked for."""

from collections.abc import Sequence

from decode_stream.stream.errors import UsageError, did_you_mean
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import DECODED_TYPES, Channel, Modality, StreamInfo
from decode_stream.stream.units import handy_unit
from decode_stream.stream.windows import exact_sfreq

__all__ = ["DECODER_HZ", "design_chain", "pick_channels", "watch_chain", "whole_chain"]

#: Rate up to which decoders are trained: four times the low-pass, with room for the filter's slope.
DECODER_HZ: dict[str, float] = {"eeg": 128.0, "meg": 200.0}
_BAND_HZ: dict[str, tuple[float, float]] = {"eeg": (1.0, 30.0), "meg": (0.5, 40.0)}


def pick_channels(
    channels: Sequence[Channel], modality: Modality | None, names: Sequence[str] | None = None
) -> list[Channel]:
    """Return the channels to decode from.

    Parameters
    ----------
    channels : sequence of Channel
        What there is.
    modality : {"eeg", "meg"} or None
        Only channels of its types; None for all.
    names : sequence of str, optional
        Just these.

    Raises
    ------
    UsageError
        If a name is not there, or no channel is of the modality's type.
    """
    if names is not None:
        known = {channel.name: channel for channel in channels}
        for name in names:
            if name not in known:
                raise UsageError(
                    f"There is no channel {name!r}; there are: {', '.join(known)}.{did_you_mean(name, known)}"
                )
        return [known[name] for name in names]
    if modality is None:
        return list(channels)
    wanted = DECODED_TYPES.get(modality, ())
    picked = [channel for channel in channels if channel.type in wanted]
    if not picked:
        types = ", ".join(sorted({channel.type for channel in channels}))
        raise UsageError(
            f"None of the {len(channels)} channels is of type {' or '.join(wanted)}; they are of "
            f"type {types}. Give another --modality, or the channels by name with --channels."
        )
    return picked


def _decoder_rate(sfreq_hz: float, at_most_hz: float) -> float:
    """Return the highest whole fraction of a rate that is not above `at_most_hz`."""
    exact = exact_sfreq(sfreq_hz)
    factor = 1
    while exact / factor > at_most_hz:
        factor += 1
    return float(exact / factor)


def design_chain(
    channels: Sequence[Channel], sfreq_hz: float, modality: Modality, *, at_most_hz: float = 256.0
) -> ChainSpec:
    """Return the chain for a modality, without scaling.

    Parameters
    ----------
    channels : sequence of Channel
        The channels picked.
    sfreq_hz : float
        Rate of the recordings.
    at_most_hz : float
        The decoder's rate is the highest whole fraction of `sfreq_hz` up to this.
    """
    rate = _decoder_rate(sfreq_hz, at_most_hz)
    low, high = _BAND_HZ[modality]
    return ChainSpec(
        channels=tuple(channel.name for channel in channels),
        units=tuple(handy_unit(channel.unit) for channel in channels),
        sfreq_hz=rate,
        highpass_hz=low,
        lowpass_hz=min(high, 0.4 * rate),
    )


def whole_chain(channels: Sequence[Channel], sfreq_hz: float) -> ChainSpec:
    """Return the chain for signal that was filtered and cut into trials before it came here: it only picks.

    A causal filter would have to settle anew in every trial, which is shorter than that takes.
    """
    return ChainSpec(
        channels=tuple(channel.name for channel in channels),
        units=tuple(handy_unit(channel.unit) for channel in channels),
        sfreq_hz=sfreq_hz,
    )


def watch_chain(info: StreamInfo, modality: Modality | None) -> ChainSpec:
    """Return the chain to look at a stream with when there is no decoder for it."""
    return design_chain(pick_channels(info.channels, modality), info.sfreq_hz, modality or "eeg")
