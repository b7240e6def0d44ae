r"""The ideal observer: the exact posterior over a gallery where the truth about a simulated subject is known.

The observed window is linear in the drives a of the subject's sources, with Gaussian noise: :math:`y = R' a + n`,
where R holds what each source gives to the window behind the chain. All that a window tells of its picture is then
:math:`b = R \Sigma^{-1} y` and :math:`G = R \Sigma^{-1} R'`, the matched filter (Kay, Fundamentals of Statistical
Signal Processing II, 1998, chapter 4), and the log-likelihood of an entry with drives a is :math:`a'b - a'Ga/2` up to a
constant. Where an entry's embedding tells its drives only but for a Gaussian rest, the rest is integrated out in closed
form.

It is an upper bound for every decoder that sees the same windows: responses of neighbouring pictures are known to it
and subtracted, artefacts are removed before, and nothing has to be learned. Windows are taken behind the chain's
scaling and before any clamp.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.stream.filters import CausalChain, ChainSpec
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Channel, FloatArray, IntArray
from decode_stream.stream.units import unit_factor

from .known_noise import KnownNoise, autocovariance, decayed

__all__ = ["Forward", "IdealObserver", "Sufficient", "log_likelihood"]

_BLOCK_S = 4.0
#: Of its peak, what a response may still be where it is taken for over.
_LEAST_RESPONSE = 1e-6


class NoiseTerm(Protocol):
    """Sources of one spectrum: white noise behind `sos`, times `topographies`."""

    @property
    def sos(self) -> npt.NDArray[np.float64]:
        """Second-order sections, shape (n_sections, 6)."""
        ...

    @property
    def topographies(self) -> npt.NDArray[np.float32]:
        """What each source gives to each channel; of one dimension, a source for every channel."""
        ...


class Forward(Protocol):
    """The true model of a subject.

    Attributes
    ----------
    channels : tuple of Channel
    sfreq_hz : float
    courses : array of shape (n_components, n_times)
        Response of each component from the onset on.
    component : array of shape (n_sources,), int64
        Whose course a source has.
    topographies : array of shape (n_sources, n_channels)
    noise : sequence of NoiseTerm
        Topographies of one dimension (n_channels,) are a source for every channel; one term has such.
    """

    @property
    def channels(self) -> tuple[Channel, ...]: ...  # noqa: D102
    @property
    def sfreq_hz(self) -> float: ...  # noqa: D102
    @property
    def courses(self) -> npt.NDArray[np.float32]: ...  # noqa: D102
    @property
    def component(self) -> IntArray: ...  # noqa: D102
    @property
    def topographies(self) -> npt.NDArray[np.float32]: ...  # noqa: D102
    @property
    def noise(self) -> Sequence[NoiseTerm]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Sufficient:
    """All that windows tell of what was seen.

    Attributes
    ----------
    rows : array of shape (n,), int64
        Row of each trial in the recording's table of stimuli, or the label of a pool of trials.
    b : array of shape (n, n_sources), float64
    counts : array of shape (n, n_phases), int64
        How many windows lie at each place between two samples of the decoder's rate.
    grams : array of shape (n_phases, n_sources, n_sources), float64
        G of a window at each place.
    """

    rows: IntArray
    b: npt.NDArray[np.float64]
    counts: IntArray
    grams: npt.NDArray[np.float64]

    def pooled(self, labels: IntArray) -> "Sufficient":
        """Return what all trials of a label tell together, where they showed the same picture.

        Their noise is taken as independent: showings of one picture lie seconds apart.

        Parameters
        ----------
        labels : array of shape (n,), int64

        Returns
        -------
        Sufficient
            Its `rows` are the labels, in ascending order.
        """
        different, place = np.unique(labels, return_inverse=True)
        b = np.zeros((len(different), self.b.shape[1]))
        counts = np.zeros((len(different), self.counts.shape[1]), np.int64)
        np.add.at(b, place, self.b)
        np.add.at(counts, place, self.counts)
        return Sufficient(different, b, counts, self.grams)

    def joined(self, other: "Sufficient") -> "Sufficient":
        """Return the trials of two recordings seen by the same observer."""
        return Sufficient(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.b, other.b]),
            np.concatenate([self.counts, other.counts]),
            self.grams,
        )


class IdealObserver:
    """Somebody who knows a simulated subject and looks at it through a decoder's chain.

    Parameters
    ----------
    forward : Forward
        The subject.
    chain : ChainSpec
        The decoder's, scaling and spatial matrix included.
    n_times : int
        Samples at the decoder's rate from the onset to the end of the trial's last window.
    lead : int
        Samples before the onset that decoders see too, for a baseline.

    Attributes
    ----------
    decimation : int
        Samples of the stream for one at the decoder's rate.
    noise : KnownNoise
        Of a window, in the dimensions that the chain hands on.

    Raises
    ------
    StreamError
        If the chain does not fit the subject's channels.
    """

    def __init__(self, forward: Forward, chain: ChainSpec, n_times: int, lead: int = 0) -> None:
        self.forward, self.chain, self.n_times, self.lead = forward, chain, n_times, lead
        like = CausalChain(chain, forward.channels, forward.sfreq_hz)
        self.decimation = like.decimation
        self._settle = 2 * like.settle_samples
        self._out = _channel_matrix(like, forward.channels)
        self._offset = np.array(chain.center or 0.0) / np.array(chain.scale or 1.0)
        # A chain that hands on fewer dimensions than channels (a reference, a projection) is seen in these.
        left, sizes, _ = linalg.svd(self._out.T, full_matrices=False)
        self._basis = left[:, sizes > 1e-9 * sizes[0]]
        self._courses = decayed(like.sos, forward.courses.astype(np.float64), _LEAST_RESPONSE)
        self._topographies = forward.topographies @ self._out
        self.noise = self._known_noise(like.sos)
        maps = self._topographies @ self._basis
        filters, grams = [], []
        for phase in range(self.decimation):
            course = self._at(np.array([phase - (self.decimation - 1) // 2]))[0]
            response = course.T[forward.component][:, :, None] * maps[:, None, :]
            weighed, gram = self.noise.weigh(response)
            filters.append(weighed @ self._basis.T)
            grams.append(gram)
        self._filters = np.array(filters).reshape(self.decimation, len(maps), -1)
        self._grams = np.array(grams)

    def _known_noise(self, sos: FloatArray) -> KnownNoise:
        """Return the covariance of the noise as it is behind the chain; terms of one spectrum become one."""
        spectra: dict[bytes, int] = {}
        covariances: list[FloatArray] = []
        maps: list[list[FloatArray]] = []
        sensors = -1
        for term in self.forward.noise:
            key = np.ascontiguousarray(term.sos).tobytes()
            if key not in spectra:
                spectra[key] = len(covariances)
                both = np.concatenate([term.sos, sos])
                covariances.append(autocovariance(both, self.decimation, self.lead + self.n_times))
                maps.append([])
            topographies: FloatArray = term.topographies.astype(np.float64)
            if topographies.ndim == 1:
                topographies, sensors = np.diag(topographies), spectra[key]
            maps[spectra[key]].append(topographies @ self._out @ self._basis)
        return KnownNoise(covariances, [np.concatenate(parts) for parts in maps], sensors)

    def _at(self, offsets: IntArray) -> npt.NDArray[np.float64]:
        """Return filtered courses on a window whose onset sample lies at `offsets` after their own onset.

        Returns
        -------
        array of shape (n_offsets, n_window, n_components)
        """
        times = offsets[:, None] + self.decimation * np.arange(-self.lead, self.n_times)
        inside = (times >= 0) & (times < self._courses.shape[1])
        courses: npt.NDArray[np.float64] = self._courses.T[np.where(inside, times, 0)] * inside[:, :, None]
        return courses

    def watch(self, recording: Recording, drives: FloatArray) -> Sufficient:
        """Return what each trial tells, its neighbours known.

        Parameters
        ----------
        recording : Recording
            Of this subject, artefacts left out, without breaks.
        drives : array of shape (n_presentations, n_sources)
            What drove the sources in each row of the recording's stimuli; used for the neighbours of a trial, never
            for the trial itself.

        Returns
        -------
        Sufficient
            Of the trials that lie whole in the recording, behind the settling of the filters.

        Raises
        ------
        ValueError
            If the recording has breaks or other channels.
        """
        if recording.gaps or recording.epoch is not None or recording.sfreq_hz != self.forward.sfreq_hz:
            raise ValueError(
                "The ideal observer watches continuous recordings of its subject, without breaks."
            )
        signal_ = self._filtered(recording)
        onset, d = recording.stimuli.onset, self.decimation
        nearest = (2 * onset + d) // (2 * d)  # as `Ingest.to_decoder` places it
        whole = (nearest - self.lead >= 0) & (nearest + self.n_times <= len(signal_))
        rows = np.flatnonzero(whole & ((nearest - self.lead) * d >= self._settle))
        windows = np.empty((len(rows), self.lead + self.n_times, self._topographies.shape[1]))
        reach = self._courses.shape[1]
        for place, i in enumerate(rows):
            start, stop = nearest[i] - self.lead, nearest[i] + self.n_times
            first, last = np.searchsorted(onset, [start * d - reach, stop * d])
            near = np.array([j for j in range(first, last) if j != i], np.int64)
            around = self.responses(nearest[i] * d - onset[near], drives[near])
            windows[place] = signal_[start:stop] + self._offset - around
        return self.tell(windows, (nearest * d - onset)[rows] + (d - 1) // 2, rows)

    def tell(self, windows: FloatArray, phases: IntArray, rows: IntArray) -> Sufficient:
        """Return what single windows tell.

        Parameters
        ----------
        windows : array of shape (n, n_window, n_out)
            Behind the chain but not centred, without the responses to other pictures.
        phases : array of shape (n,), int64
            Place of the onset between two samples of the decoder's rate: samples of the stream from the onset to the
            window's onset sample, plus (decimation - 1) // 2, so that it counts from 0.
        rows : array of shape (n,), int64
            Handed on.
        """
        b = np.empty((len(windows), len(self._topographies)))
        for phase in np.unique(phases):
            mine = phases == phase
            b[mine] = windows[mine].reshape(mine.sum(), -1) @ self._filters[phase].T
        counts = np.zeros((len(windows), self.decimation), np.int64)
        counts[np.arange(len(windows)), phases] = 1
        return Sufficient(rows, b, counts, self._grams)

    def responses(self, offsets: IntArray, drives: FloatArray) -> npt.NDArray[np.float64]:
        """Return the sum of responses to pictures, as a window holds it: shape (..., n_window, n_out).

        Parameters
        ----------
        offsets : array of shape (n_pictures,), int64
            Samples of the stream from each picture's onset to the window's onset sample; below 0 for later ones.
        drives : array of shape (..., n_pictures, n_sources)
        """
        courses = self._at(offsets)
        total = np.zeros((*drives.shape[:-2], courses.shape[1], self._topographies.shape[1]))
        for j in range(courses.shape[2]):
            mine = self.forward.component == j
            total += courses[:, :, j].T @ (drives[..., mine] @ self._topographies[mine])
        return total

    def _filtered(self, recording: Recording) -> npt.NDArray[np.float32]:
        chain = CausalChain(self.chain, recording.channels, recording.sfreq_hz)
        step = round(_BLOCK_S * recording.sfreq_hz)
        blocks = [
            chain.process(recording.read(start, min(start + step, recording.n_samples)), start)
            for start in range(0, recording.n_samples, step)
        ]
        return np.concatenate(blocks)


def _channel_matrix(chain: CausalChain, channels: tuple[Channel, ...]) -> npt.NDArray[np.float64]:
    """Return what the chain does across channels, without centring: (n_channels, n_out)."""
    spec, names = chain.spec, [channel.name for channel in channels]
    picked = np.zeros((len(channels), len(spec.channels)))
    for column, (name, unit) in enumerate(zip(spec.channels, spec.units, strict=True)):
        factor = unit_factor(channels[names.index(name)].unit, unit)
        assert factor is not None  # the chain has refused what cannot be converted
        picked[names.index(name), column] = factor
    out = picked if spec.spatial is None else picked @ np.array(spec.spatial).T
    return out if spec.scale is None else out / np.array(spec.scale)


def log_likelihood(
    seen: Sufficient, drives: FloatArray, specific: FloatArray | None = None
) -> npt.NDArray[np.float64]:
    """Return the log-likelihood of every entry of a gallery, up to a constant for each trial.

    With a flat prior, its softmax is the posterior.

    Parameters
    ----------
    seen : Sufficient
    drives : array of shape (n_entries, n_sources)
        What each entry drives the sources with, or is expected to.
    specific : array of shape (n_sources,), optional
        Standard deviation of what a picture adds to that of its own, Gaussian and the same at every showing; without
        it `drives` are all there is.

    Returns
    -------
    array of shape (n, n_entries), float64
    """
    log_p = np.empty((len(seen.b), len(drives)))
    kinds, place = np.unique(seen.counts, axis=0, return_inverse=True)
    for kind, counts in enumerate(kinds):
        mine = np.flatnonzero(place == kind)
        gram, b = np.tensordot(counts, seen.grams, 1), seen.b[mine]
        known = drives @ gram
        log_p[mine] = b @ drives.T - (known * drives).sum(axis=1) / 2
        if specific is not None:
            # The rest z ~ N(0, 1) enters as drives + specific z; with r = specific (b - G drives) its integral is
            # exp(r' (1 + specific G specific)^-1 r / 2), the same determinant for all entries.
            inner = np.eye(len(gram)) + specific[:, None] * gram * specific
            half = linalg.solve_triangular(linalg.cholesky(inner, lower=True), np.diag(specific), lower=True)
            of_b, of_entry = b @ half.T, known @ half.T
            log_p[mine] += (of_entry**2).sum(axis=1) / 2 - of_b @ of_entry.T
    return log_p
