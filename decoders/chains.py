"""Chain and windows by modality: which channels, rate, filters and times, where nothing else is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from decode_stream.stream.errors import UsageError, did_you_mean
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import DECODED_TYPES, Channel, Modality, StreamInfo
from decode_stream.stream.units import handy_unit
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

__all__ = [
    "DECODER_HZ",
    "design_chain",
    "pick_channels",
    "volume_schedule",
    "watch_chain",
    "watch_schedule",
    "whole_chain",
]

#: Rate up to which decoders are trained: four times the low-pass, with room for the filter's slope.
#: Volumes are taken as they come.
DECODER_HZ: dict[str, float] = {"eeg": 128.0, "meg": 200.0, "fmri": 128.0}
_BAND_HZ: dict[str, tuple[float, float]] = {"eeg": (1.0, 30.0), "meg": (0.5, 40.0)}
#: Time constant of the mean that is taken off each voxel, seconds. A drift must go before a decision can rest on a
#: level. A baseline before each onset would hold the answers to the pictures before it, which last longer than pictures
#: are apart; a high-pass that is as slow would withhold the first minutes of every run while it settles; the mean of
#: what came before is there from the second volume on. Its memory is long, so that the blocks just shown, which last
#: 20 to 30 s, weigh little in it.
_DRIFT_S = 150.0
#: When the answer to a picture is read: from so long after its onset, for so long. Seconds. It peaks after 5 to 6 s.
_VOLUME_LAG_S, _VOLUME_WIDTH_S = 4.0, 4.0
_LONGEST_S = 120.0
_MOST_NAMED = 40


def pick_channels(
    channels: Sequence[Channel], modality: Modality | None, names: Sequence[str] | None = None
) -> list[Channel]:
    """Return the channels to decode from.

    Parameters
    ----------
    channels : sequence of Channel
        What there is.
    modality : {"eeg", "meg", "fmri"} or None
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
                some = ", ".join(list(known)[:_MOST_NAMED]) + (", ..." if len(known) > _MOST_NAMED else "")
                raise UsageError(
                    f"There is no channel {name!r}; there are: {some}.{did_you_mean(name, known)}"
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
    channels: Sequence[Channel],
    sfreq_hz: float,
    modality: Modality,
    *,
    at_most_hz: float = 256.0,
    band_hz: tuple[float, float] | None = None,
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
    band_hz : tuple of float or None
        High-pass and low-pass; None for the modality's usual. The low-pass is at most 0.4 of the decoder's rate.
    """
    if modality == "fmri":
        return replace(whole_chain(channels, sfreq_hz), running_mean_s=_DRIFT_S)
    rate = _decoder_rate(sfreq_hz, at_most_hz)
    low, high = _BAND_HZ[modality] if band_hz is None else band_hz
    return ChainSpec(
        channels=tuple(channel.name for channel in channels),
        units=tuple(handy_unit(channel.unit) for channel in channels),
        sfreq_hz=rate,
        highpass_hz=low,
        lowpass_hz=min(high, 0.4 * rate),
    )


def whole_chain(channels: Sequence[Channel], sfreq_hz: float) -> ChainSpec:
    """Return the chain for signal that was filtered and cut into trials before it came here: it only picks.

    A causal filter would have to settle anew in every trial, which is shorter than that takes. Betas, one sample a
    trial, have no past at all.
    """
    return ChainSpec(
        channels=tuple(channel.name for channel in channels),
        units=tuple(handy_unit(channel.unit) for channel in channels),
        sfreq_hz=sfreq_hz,
    )


def watch_chain(info: StreamInfo, modality: Modality | None) -> ChainSpec:
    """Return the chain to look at a stream with when there is no decoder for it."""
    voxels = any(channel.type in DECODED_TYPES["fmri"] for channel in info.channels)
    modality = modality or ("fmri" if voxels else None)
    return design_chain(pick_channels(info.channels, modality), info.sfreq_hz, modality or "eeg")


def watch_schedule(sfreq_hz: float) -> WindowSchedule:
    """Return the windows to look at a stream with: 100 ms every 25 ms, or each sample if these are farther apart."""
    rate = exact_sfreq(sfreq_hz)
    usual = WindowSchedule(max(rate, Fraction(40)))
    return WindowSchedule(rate, max(usual.length_s, 1 / rate), max(usual.step_s, 1 / rate))


def volume_schedule(
    sfreq_hz: float, lag_s: float | None = None, width_s: float | None = None
) -> WindowSchedule:
    """Return the one window of a trial of fMRI, in whole volumes.

    Parameters
    ----------
    sfreq_hz : float
        Volumes per second.
    lag_s : float or None
        Time from the onset until the window begins, 4 s by default: the blood answers late.
    width_s : float or None
        Length of the window, 4 s by default; for a block of stimuli its length.

    Raises
    ------
    UsageError
        If the lag is below 0, or the window would not hold a volume or would last for minutes.
    """
    lag_s = _VOLUME_LAG_S if lag_s is None else lag_s
    width_s = _VOLUME_WIDTH_S if width_s is None else width_s
    if not 0 <= lag_s <= _LONGEST_S or not 0 < width_s <= _LONGEST_S:
        raise UsageError(
            f"--lag-s is {lag_s:g} and --width-s {width_s:g}; the lag is 0 or more, the width above 0, and both are "
            f"at most {_LONGEST_S:g} s."
        )
    rate = exact_sfreq(sfreq_hz)
    n_lag, n_width = round(lag_s * rate), max(1, round(width_s * rate))
    return WindowSchedule(rate, n_width / rate, 1 / rate, n_lag / rate)
