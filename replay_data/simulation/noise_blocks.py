"""Noise and artefacts of a simulated subject, block by block, the same whatever is asked for first."""

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

from .forward import Artefacts, Noise

__all__ = ["ArtefactBlocks", "NoiseBlocks", "variance"]

#: States are kept every so many blocks, to go back to.
_KEPT_EVERY = 50
_BLINK_WIDTH_S = 0.08
_N_DRIFTS = 4
_DRIFTS_HZ = (0.01, 0.1)
_NOISE, _BAD, _EVENTS = 0, 1, 2


def variance(sos: npt.NDArray[np.float64]) -> float:
    """Return the variance that white noise of variance 1 has behind a filter, given as second-order sections."""
    a, b, c, d = _state_space(sos)
    return float(c @ _stationary(a, b) @ c + d**2)


def _random(seed: int, kind: int, block: int, source: int = 0) -> np.random.Generator:
    """Return the random numbers of one block, which no other block shares."""
    return np.random.Generator(np.random.Philox(key=[seed, kind], counter=[0, 0, block, source]))


class _BlockFilter:
    """A cascade of second-order sections that takes `n_times` samples of many sources at a time.

    Written as matrices, so that it needs no more than NumPy: a simulated recording is to open at once, and importing
    `scipy.signal` takes longer than a second of signal.
    """

    def __init__(self, sos: npt.NDArray[np.float64], n_times: int) -> None:
        a, b, c, d = _state_space(sos)
        n = len(a)
        self.root = _root(_stationary(a, b))
        self.white = float(d) if not self.root.any() else None
        # Rows of `observe`: c, c a, c a^2, ...; columns of `drive`: a^(n_times - 1) b, ..., a b, b.
        observe, drive, power = np.empty((n_times, n)), np.empty((n, n_times)), np.eye(n)
        for t in range(n_times):
            observe[t] = c @ power
            drive[:, n_times - 1 - t] = power @ b
            power = a @ power
        response = np.concatenate([[d], observe[:-1] @ b])
        lag = np.subtract.outer(np.arange(n_times), np.arange(n_times))
        self._observe, self._drive, self._carry = observe, drive, power
        self._respond = np.where(lag >= 0, response[np.abs(lag)], 0.0)

    def start(self, white: FloatArray) -> npt.NDArray[np.float64]:
        """Return a state (n_states, n_sources) as it is in the steady state, from white noise of its shape."""
        return self.root @ white

    def run(
        self, white: FloatArray, state: FloatArray
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return what white noise (n_times, n_sources) gives, and the state behind it."""
        return self._respond @ white + self._observe @ state, self._carry @ state + self._drive @ white


def _state_space(
    sos: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Return a, b, c, d of ``state = a state + b x, y = c state + d x``, two states a section (direct form II)."""
    n = 2 * len(sos)
    a, b, c, d = np.zeros((n, n)), np.zeros(n), np.zeros(n), 1.0
    for i, (b0, b1, b2, a0, a1, a2) in enumerate(sos):
        numerator, (first, second) = np.array([b0, b1, b2]) / a0, (a1 / a0, a2 / a0)
        # The section's input is c state + d x of those before; its output becomes the new c and d.
        out_c, out_d = numerator[0] * c, numerator[0] * d
        out_c[2 * i] += 1.0
        for row, (gain, feedback) in enumerate(((numerator[1], first), (numerator[2], second))):
            a[2 * i + row] = gain * c - feedback * out_c
            b[2 * i + row] = gain * d - feedback * out_d
        a[2 * i, 2 * i + 1] += 1.0
        c, d = out_c, out_d
    return a, b, c, d


def _stationary(a: FloatArray, b: FloatArray) -> npt.NDArray[np.float64]:
    """Return the covariance of the state under white noise: p = a p a' + b b', by doubling."""
    p: npt.NDArray[np.float64] = np.outer(b, b)
    power = a
    for _ in range(64):
        added = power @ p @ power.T
        p = p + added
        if np.abs(added).max(initial=0.0) <= 1e-18 * np.abs(p).max(initial=0.0):
            return p
        power = power @ power
    raise ValueError("The poles of the noise do not lie inside the unit circle.")


def _root(covariance: FloatArray) -> npt.NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    root: npt.NDArray[np.float64] = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


class NoiseBlocks:
    """The Gaussian noise of a forward model.

    Parameters
    ----------
    parts : sequence of Noise
    n_times : int
        Samples of a block.
    seed : int
        Same seed, same noise.
    """

    def __init__(self, parts: tuple[Noise, ...], n_times: int, seed: int) -> None:
        self._parts = parts
        self._filters = [_BlockFilter(part.sos, n_times) for part in parts]
        self._mix = [part.topographies.astype(np.float64) for part in parts]
        self._n_times = n_times
        self._seed = seed
        self._states = {0: [self._first(i) for i in range(len(parts))]}
        self._next = (0, self._states[0])

    def _first(self, i: int) -> npt.NDArray[np.float64]:
        rng = _random(self._seed, _NOISE, 2**63, i)
        return self._filters[i].start(
            rng.standard_normal((len(self._filters[i].root), self._parts[i].n_sources))
        )

    def block(self, number: int) -> npt.NDArray[np.float64]:
        """Return block `number`, shape (n_times, n_channels)."""
        at, states = self._next
        if number < at:
            at = max(kept for kept in self._states if kept <= number)
            states = self._states[at]
        while at < number:
            at, states = at + 1, self._step(at, states, None)
        data = np.zeros((self._n_times, self._mix[0].shape[-1]))
        self._next = number + 1, self._step(number, states, data)
        return data

    def _step(
        self, number: int, states: list[npt.NDArray[np.float64]], data: npt.NDArray[np.float64] | None
    ) -> list[npt.NDArray[np.float64]]:
        """Run one block, add it to `data` if it is wanted, and return the states behind it."""
        after = []
        for i, (part, filter_, mix, state) in enumerate(
            zip(self._parts, self._filters, self._mix, states, strict=True)
        ):
            if filter_.white is not None and data is None:
                after.append(state)
                continue
            white = _random(self._seed, _NOISE, number, i).standard_normal((self._n_times, part.n_sources))
            if filter_.white is not None:
                noise = filter_.white * white
            else:
                noise, state = filter_.run(white, state)
            after.append(state)
            if data is not None:
                data += noise * mix if mix.ndim == 1 else noise @ mix
        if (number + 1) % _KEPT_EVERY == 0:
            self._states[number + 1] = after
        return after


class ArtefactBlocks:
    """Blinks, power line, drifts and bad channels of one recording.

    Parameters
    ----------
    artefacts : Artefacts
    n_times : int
        Samples of a block.
    sfreq_hz : float
    length_s : float
        Of the recording; blinks come at random times within it.
    seed : int
    """

    def __init__(
        self, artefacts: Artefacts, n_times: int, sfreq_hz: float, length_s: float, seed: int
    ) -> None:
        rng = _random(seed, _EVENTS, 0)
        n = rng.poisson(artefacts.blinks_per_minute * length_s / 60)
        self._blinks_s = np.sort(rng.uniform(0.0, length_s, n))
        self._blink_sizes = rng.uniform(0.6, 1.4, n)
        self._drifts_hz = rng.uniform(*_DRIFTS_HZ, _N_DRIFTS)
        n_channels = len(artefacts.drift)
        phases = rng.uniform(0.0, 2 * np.pi, (_N_DRIFTS, n_channels))
        size = artefacts.drift * np.sqrt(2 / _N_DRIFTS)
        self._drift_cos, self._drift_sin = size * np.cos(phases), size * np.sin(phases)
        self._line_cos = artefacts.line * np.cos(artefacts.line_phase)
        self._line_sin = artefacts.line * np.sin(artefacts.line_phase)
        self._bad = np.flatnonzero(artefacts.bad)
        self._artefacts, self._n_times, self._sfreq_hz, self._seed = artefacts, n_times, sfreq_hz, seed

    def block(self, number: int) -> npt.NDArray[np.float64]:
        """Return block `number`, shape (n_times, n_channels)."""
        times_s = (number * self._n_times + np.arange(self._n_times)) / self._sfreq_hz
        line = 2 * np.pi * self._artefacts.line_hz * times_s
        data: npt.NDArray[np.float64] = np.outer(np.cos(line), self._line_cos)
        data -= np.outer(np.sin(line), self._line_sin)
        slow = 2 * np.pi * np.outer(times_s, self._drifts_hz)
        data += np.cos(slow) @ self._drift_cos - np.sin(slow) @ self._drift_sin
        reach_s = 5 * _BLINK_WIDTH_S
        first, last = np.searchsorted(self._blinks_s, [times_s[0] - reach_s, times_s[-1] + reach_s])
        for i in range(first, last):
            course = np.exp(-0.5 * ((times_s - self._blinks_s[i]) / _BLINK_WIDTH_S) ** 2)
            data += self._blink_sizes[i] * np.outer(course, self._artefacts.blink)
        if len(self._bad):
            white = _random(self._seed, _BAD, number).standard_normal((self._n_times, len(self._bad)))
            data[:, self._bad] += white * self._artefacts.bad[self._bad]
        return data
