"""The causal signal chain: the same object filters a live stream and a recording, to the last bit."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import signal

from .errors import StreamError, did_you_mean
from .types import Channel, FloatArray
from .units import UNITS, unit_factor
from .windows import exact_sfreq

__all__ = ["CausalChain", "ChainSpec"]

Filter: TypeAlias = Callable[[FloatArray, FloatArray, FloatArray], None]


def _filter_with_checks(sos: FloatArray, x: FloatArray, state: FloatArray) -> None:
    """Filter ``x`` (n_channels, n_samples) and carry ``state`` (n_channels, n_sections, 2) on, both in place."""
    x[:], after = signal.sosfilt(sos, x, axis=1, zi=state.transpose(1, 0, 2))
    state[:] = after.transpose(1, 0, 2)


def _trusted(kernel: Filter) -> Filter:
    """Return `kernel` if it does on a few samples what the public filter does, to the last bit; else that filter."""
    sos = np.array([[0.2, 0.3, 0.1, 1.0, -0.5, 0.25], [1.0, -1.0, 0.0, 1.0, -0.9, 0.0]])
    start = np.linspace(-1.0, 2.0, 8).reshape(2, 2, 2)
    x = np.linspace(3.0, -2.0, 16).reshape(2, 8) ** 3
    got, state = x.copy(), start.copy()
    try:
        kernel(sos, got, state)
    except Exception:
        return _filter_with_checks
    _filter_with_checks(sos, x, start)
    same = np.array_equal(got, x) and np.array_equal(state, start)
    return kernel if same else _filter_with_checks


try:
    # The kernel inside `scipy.signal.sosfilt`. A chain runs once a hop, out of cold caches, where the checks that
    # stand around the kernel take three times as long as the filter itself. It is not public: another SciPy may
    # move it or change what it takes.
    from scipy.signal._sosfilt import _sosfilt
except ImportError:
    _sosfilt = _filter_with_checks
_filter_in_place = _trusted(_sosfilt)


@dataclass(frozen=True)
class ChainSpec:
    """What is done to the continuous signal, in this order, with every number that decides it.

    Attributes
    ----------
    channels : tuple of str
        Names of the channels picked, in the decoder's order.
    units : tuple of str
        Unit in which each is handed on.
    sfreq_hz : float
        The decoder's sampling rate.
    spatial : tuple of tuple of float, or None
        Matrix (n_out, n_channels) for a reference, projection, whitening or interpolation.
    notch_hz : tuple of float
        Notch frequencies, quality factor `notch_q`.
    highpass_hz, lowpass_hz : float or None
        Corner frequencies of a Butterworth filter of order `order`; both together make a band-pass.
    running_mean_s : float or None
        From each sample the mean of those before it is taken, in which older ones fade with this time constant. Meant
        for volumes: it stays within a drift, and stands from the second sample on, where a high-pass settles for
        minutes.
    center, scale : tuple of float or None
        Robust location and spread of each output channel in the training data; ``(x - center) / scale``.
    silent : tuple of str
        Channels that are handed on as 0, whatever they hold: those without data in some of the training recordings,
        such as voxels at the edge of the field of view. Without a spatial matrix only.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    sfreq_hz: float
    spatial: tuple[tuple[float, ...], ...] | None = None
    notch_hz: tuple[float, ...] = ()
    notch_q: float = 30.0
    highpass_hz: float | None = None
    lowpass_hz: float | None = None
    order: int = 4
    running_mean_s: float | None = None
    center: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    silent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_in, n_out = len(self.channels), self.n_out
        if not n_in or len(self.units) != n_in or len(set(self.channels)) != n_in:
            raise ValueError(
                f"A chain needs different channel names and a unit for each; got {self.channels}."
            )
        if self.spatial is not None and any(len(row) != n_in for row in self.spatial):
            raise ValueError(f"Every row of the spatial matrix needs {n_in} numbers, one a channel.")
        for name, numbers in (("center", self.center), ("scale", self.scale)):
            if numbers is not None and len(numbers) != n_out:
                raise ValueError(f"{name} holds {len(numbers)} numbers for {n_out} output channels.")
        if self.scale is not None and not all(s > 0 for s in self.scale):
            raise ValueError("Every scale must be above 0.")
        if self.silent and (self.spatial is not None or not set(self.silent) <= set(self.channels)):
            raise ValueError("Silent channels are some of those picked, which no spatial matrix mixes.")
        if self.running_mean_s is not None and not self.running_mean_s > 0:
            raise ValueError(f"A running mean fades over a time above 0 s; got {self.running_mean_s} s.")
        corners = [f for f in (self.highpass_hz, self.lowpass_hz, *self.notch_hz) if f is not None]
        for f_hz in corners:
            if not 0 < f_hz < self.sfreq_hz / 2:
                raise ValueError(
                    f"A corner of {f_hz:g} Hz is not between 0 and half the decoder's rate, {self.sfreq_hz / 2:g} Hz."
                )
        if self.highpass_hz and self.lowpass_hz and self.highpass_hz >= self.lowpass_hz:
            raise ValueError(
                f"The high-pass {self.highpass_hz:g} Hz is not below the low-pass {self.lowpass_hz:g} Hz."
            )

    @property
    def n_out(self) -> int:
        """Number of channels handed on."""
        return len(self.channels) if self.spatial is None else len(self.spatial)


def _decimation(sfreq_hz: float, target_hz: float) -> int:
    """Return by what whole number `sfreq_hz` is divided, or refuse it."""
    ratio = exact_sfreq(sfreq_hz) / exact_sfreq(target_hz)
    # 1e-4 lets a rate through that was printed with four digits; the grid then is the nominal one.
    factor = round(ratio)
    if factor < 1 or abs(ratio - factor) > 1e-4 * factor:
        usable = ", ".join(f"{target_hz * k:g}" for k in (1, 2, 3, 4, 5, 8, 10))
        raise StreamError(
            f"The stream runs at {sfreq_hz:g} Hz and the decoder at {target_hz:g} Hz, which is not a whole fraction "
            f"of it. Rates that can be used: {usable}, ... Hz. Set the amplifier to one of them, or train a decoder "
            "at a rate that divides the stream's."
        )
    return factor


def _sections(spec: ChainSpec, sfreq_hz: float, decimation: int) -> FloatArray:
    """Design all filters for the input rate as one cascade of second-order sections, shape (n_sections, 6)."""
    parts = [np.empty((0, 6))]
    parts += [signal.tf2sos(*signal.iirnotch(f, spec.notch_q, fs=sfreq_hz)) for f in spec.notch_hz]
    if spec.highpass_hz and spec.lowpass_hz:
        corners = (spec.highpass_hz, spec.lowpass_hz)
        parts.append(signal.butter(spec.order, corners, "bandpass", fs=sfreq_hz, output="sos"))
    elif spec.highpass_hz:
        parts.append(signal.butter(spec.order, spec.highpass_hz, "highpass", fs=sfreq_hz, output="sos"))
    elif spec.lowpass_hz:
        parts.append(signal.butter(spec.order, spec.lowpass_hz, "lowpass", fs=sfreq_hz, output="sos"))
    if decimation > 1:
        # Chebyshev II: flat below, 60 dB down from the decoder's Nyquist frequency on.
        parts.append(signal.cheby2(8, 60, spec.sfreq_hz / 2, fs=sfreq_hz, output="sos"))
    return np.concatenate(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")


def _pick(spec: ChainSpec, channels: Sequence[Channel]) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Find each channel of the chain in the stream by name, with the factor to its unit."""
    names = [channel.name for channel in channels]
    # Of thousands of voxels each is looked for once.
    places = {name: place for place, name in enumerate(names)}
    counts = Counter(names)
    doubled = [name for name in sorted(spec.channels) if counts[name] > 1]
    if doubled:
        raise StreamError(
            f"The stream has more than one channel called {_listed(doubled)}; names must differ."
        )
    missing = [name for name in spec.channels if name not in places]
    if missing:
        raise StreamError(
            f"The stream lacks {len(missing)} of the decoder's {len(spec.channels)} channels: {_listed(missing)}. "
            f"It has: {_listed(names)}.{did_you_mean(missing[0], names)} "
            "Rename the channels at the amplifier, or train a decoder without them."
        )
    index = np.array([places[name] for name in spec.channels])
    factors = [_factor(channels[i], unit) for i, unit in zip(index, spec.units, strict=True)]
    return index, np.array(factors)


def _factor(channel: Channel, unit: str) -> float:
    factor = unit_factor(channel.unit, unit)
    if factor is None:
        given = repr(channel.unit) if channel.unit else "no unit"
        raise StreamError(
            f"Channel {channel.name} comes with {given} and the decoder was trained in {unit or 'no unit'!r}. "
            f"Units that can be converted: {', '.join(UNITS)}. Let the stream name its unit, or give --unit."
        )
    return factor


class CausalChain:
    """Pick, spatial matrix, filters, decimation, running mean and scaling, sample by sample, with carried state.

    The output is the same to the last bit for any chunking, one sample at a time included, because no sum runs
    over the samples of a chunk: the filters step through time, and the spatial matrix is applied to one sample
    after the other (a matrix product rounds differently for different chunk lengths).

    Parameters
    ----------
    spec : ChainSpec
        What to do.
    channels : sequence of Channel
        The stream's channels.
    sfreq_hz : float
        The stream's sampling rate in recording time.

    Attributes
    ----------
    decimation : int
        Output sample m is the filtered input at sample index ``m * decimation``.
    settle_samples : int
        Input samples after a reset until the slowest mode of the filters has decayed to 5 %, and there is a mean of
        earlier samples if one is taken off.
    non_finite : int
        Number of values that were NaN or infinite and were replaced by the channel's last finite value.
    non_finite_by_channel : array of shape (n_channels,), int64
        How many of them each channel of the chain had.

    Raises
    ------
    StreamError
        If channels are missing, units cannot be converted, or the rate cannot be reached.
    """

    def __init__(self, spec: ChainSpec, channels: Sequence[Channel], sfreq_hz: float) -> None:
        self.spec = spec
        self.sfreq_hz = sfreq_hz
        self._index, self._factor = _pick(spec, channels)
        self._picks = not np.array_equal(self._index, np.arange(len(channels)))
        self._scales_units = bool((self._factor != 1).any())
        self.decimation = _decimation(sfreq_hz, spec.sfreq_hz)
        self._sos = _sections(spec, sfreq_hz, self.decimation)
        self._steady = signal.sosfilt_zi(self._sos)[None] if len(self._sos) else np.empty((1, 0, 2))
        self._matrix = None if spec.spatial is None else np.array(spec.spatial, dtype=np.float64)
        self._memory = None if spec.running_mean_s is None else max(1.0, spec.running_mean_s * spec.sfreq_hz)
        self._center = None if spec.center is None else np.array(spec.center)
        self._scale = None if spec.scale is None else np.array(spec.scale)
        silent = set(spec.silent)
        self._silent = np.array([name in silent for name in spec.channels]) if silent else None
        self.non_finite = 0
        self.non_finite_by_channel = np.zeros(len(self._index), np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next sample is taken as the steady state before it."""
        self._state: FloatArray | None = None
        self._mean: FloatArray | None = None
        self._n_averaged = 0
        self._last = np.zeros(len(self._index))

    @property
    def settle_samples(self) -> int:
        """Input samples after a reset until the slowest mode has decayed to 5 % and there is a mean to take off."""
        least = 0 if self._memory is None else self.decimation
        if not len(self._sos):
            return least
        poles = signal.sos2zpk(self._sos)[1]
        slowest = float(np.abs(poles).max())
        return max(least, int(np.ceil(np.log(0.05) / np.log(slowest))) if slowest > 0 else 0)

    @property
    def has_filters(self) -> bool:
        """Whether anything is filtered: a high-pass, a low-pass, a notch, or what goes before a decimation."""
        return len(self._sos) > 0

    @property
    def sos(self) -> FloatArray:
        """All filters at the stream's rate as second-order sections, shape (n_sections, 6)."""
        return self._sos

    def group_delay_s(self, f_hz: float) -> float:
        """Return by how many seconds a component at `f_hz` comes late out of the filters."""
        if not len(self._sos):
            return 0.0
        f = np.array([f_hz - 1e-3, f_hz + 1e-3])
        _, response = signal.freqz_sos(self._sos, worN=f, fs=self.sfreq_hz)
        return float(-np.angle(response[1] / response[0]) / (2 * np.pi * 2e-3))

    def process(self, data: FloatArray, start: int) -> npt.NDArray[np.float32]:
        """Take the next samples and return what comes out.

        Parameters
        ----------
        data : array of shape (n_samples, n_stream_channels)
            Samples that follow on those of the last call, in the stream's units.
        start : int
            Sample index of ``data[0]``.

        Returns
        -------
        array of shape (n_out_samples, n_out), float32
            Samples at the decoder's rate; the first has index ``ceil(start / decimation)``.
        """
        x: FloatArray = (data[:, self._index] if self._picks else data).astype(np.float64)
        if self._scales_units:
            x *= self._factor
        x = self._replace_non_finite(x)
        if self._matrix is not None:
            x = self._project(x)
        if len(self._sos) and len(x):
            if self._state is None:
                self._state = self._steady * x[0][:, None, None]
            by_channel = np.array(x.T, order="C")
            _filter_in_place(self._sos, by_channel, self._state)
            x = by_channel.T
        x = x[-start % self.decimation :: self.decimation]
        if self._memory is not None:
            x = self._less_mean(x, self._memory)
        if self._center is not None:
            x = x - self._center
        if self._scale is not None:
            x = x / self._scale
        if self._silent is not None:
            x[:, self._silent] = 0.0
        return x.astype(np.float32)

    def _project(self, x: FloatArray) -> FloatArray:
        assert self._matrix is not None
        out = np.empty((len(x), len(self._matrix)))
        sample = np.empty(x.shape[1])
        for i, row in enumerate(x):
            sample[:] = row
            np.dot(self._matrix, sample, out=out[i])
        return out

    def _less_mean(self, x: FloatArray, memory: float) -> FloatArray:
        """Take the mean of the earlier samples off each: of all at first, of about the last `memory` later on."""
        out = np.zeros_like(x)
        for i, row in enumerate(x):
            if self._mean is None:
                self._mean = np.zeros_like(row)
            else:
                out[i] = row - self._mean
            self._n_averaged += 1
            self._mean += (row - self._mean) / min(self._n_averaged, memory)
        return out

    def _replace_non_finite(self, x: FloatArray) -> FloatArray:
        """Carry each channel's last finite value on: a NaN would stay in a recursive filter for ever."""
        if not len(x):
            return x
        # One pass over sound data: a sum is finite only if every value is.
        if not isfinite(x.sum()) and not (finite := np.isfinite(x)).all():
            self.non_finite += int(finite.size - finite.sum())
            self.non_finite_by_channel += len(finite) - np.count_nonzero(finite, axis=0)
            padded = np.vstack([self._last, x])
            rows = np.where(
                np.vstack([np.ones_like(self._last, dtype=bool), finite]), np.arange(len(padded))[:, None], 0
            )
            x = np.take_along_axis(padded, np.maximum.accumulate(rows, axis=0), axis=0)[1:]
        self._last = x[-1].copy()
        return x
