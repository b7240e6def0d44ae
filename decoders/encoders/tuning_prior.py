"""What responses to pictures may look like, learnt from all dimensions of an embedding together.

Every dimension of an embedding has a response of its own, channels by times, and each is known badly. But all come from
one brain: they share their courses over time and their maps over channels. A Gaussian prior whose covariance is a
product of one over time and one over channels is fitted to all of them (type II maximum likelihood, MacKay's fixed
point: Neural Computation 4:448-472, 1992), and each response is its posterior mean under it.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.stream.types import FloatArray

from .window_noise import ForwardWhitening

__all__ = ["Measured", "Tuning", "fit_tuning", "refined_responses", "smooth_courses", "whitened_products"]

#: Directions that hold less than this share of the largest one's variance are left out.
_LEAST_SHARE = 1e-8
#: Added to the number of responses that tell of a direction, and to what they say: a direction that none of them
#: tells of keeps the variance that it had.
_CAUTION = 0.3
_SCALES = 10.0 ** np.arange(-6, 3.1, 0.25)


@dataclass(frozen=True, eq=False)
class Measured:
    """Responses to the axes of an embedding, as least squares tells them.

    Attributes
    ----------
    responses : array of shape (n_axes, n_numbers), float64
        Whitened: each number has noise of variance ``1 / precision`` of its axis.
    precision : array of shape (n_axes,), float64
    """

    responses: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tuning:
    """A prior over the response to a unit of an embedding, and what it makes of measured responses.

    Attributes
    ----------
    courses : array of shape (n_samples, n_courses)
        The covariance over time is ``courses @ courses.T``.
    maps : array of shape (n_channels, n_maps)
        That over channels is ``maps @ maps.T``.
    responses : array of shape (n_axes, n_numbers), float64
        Posterior mean of each whitened response.
    log_evidence : float
        Of the measured responses, against there being none; nats.
    """

    courses: npt.NDArray[np.float64]
    maps: npt.NDArray[np.float64]
    responses: npt.NDArray[np.float64]
    log_evidence: float

    def ordered(self, n_courses: int | None = None) -> "Tuning":
        """Return the same prior with courses and maps at right angles, largest first, the first courses only."""
        courses, maps = (_principal(factor) for factor in (self.courses, self.maps))
        return replace(self, courses=courses[:, :n_courses], maps=maps)


def _principal(factor: FloatArray) -> npt.NDArray[np.float64]:
    left, sizes, _ = linalg.svd(factor, full_matrices=False)
    columns: npt.NDArray[np.float64] = left * sizes
    return columns


def smooth_courses(n_samples: int, sfreq_hz: float, width_s: float) -> npt.NDArray[np.float64]:
    """Return courses whose covariance over time is a Gaussian of a width, shape (n_samples, n_courses)."""
    times_s = np.arange(n_samples) / sfreq_hz
    apart = np.subtract.outer(times_s, times_s) / width_s
    values, vectors = linalg.eigh(np.exp(-0.5 * apart**2))
    kept = values > 1e-2 * values[-1]
    courses: npt.NDArray[np.float64] = (vectors[:, kept] * np.sqrt(values[kept]))[:, ::-1]
    return courses


def fit_tuning(
    measured: Measured, whitening: ForwardWhitening, courses: FloatArray, maps: FloatArray, n_steps: int
) -> Tuning:
    """Fit the prior, beginning at some courses and maps.

    Parameters
    ----------
    courses : array of shape (n_samples, n_courses)
    maps : array of shape (n_channels, n_maps)
        Both span what the prior can become; their common size is fitted first.
    n_steps : int
        Steps of the fixed point.

    Returns
    -------
    Tuning
    """
    basis = whitened_products(whitening, courses, maps)
    gram, seen = basis @ basis.T, measured.responses @ basis.T
    over_time, over_maps = np.eye(courses.shape[1]), np.eye(maps.shape[1])
    for step in range(n_steps + 1):
        root = np.kron(over_time, over_maps)
        variances, axes = linalg.eigh(root.T @ gram @ root, overwrite_a=True, check_finite=False)
        kept = variances > _LEAST_SHARE * max(variances[-1], 1e-300)
        variances, axes = variances[kept], axes[:, kept]
        found = (seen @ root) @ axes / np.sqrt(variances)
        scales = _SCALES if step == 0 else np.ones(1)
        evidences = [_log_evidence(found, scale * variances, measured.precision) for scale in scales]
        best = int(np.argmax(evidences))
        over_time *= np.sqrt(scales[best])
        root *= np.sqrt(scales[best])
        variances = scales[best] * variances
        known = _known(variances, measured.precision)
        estimate = found * known / np.sqrt(variances)
        if step < n_steps:
            over_time, over_maps = _step(over_time, over_maps, axes, estimate, known)
    responses = (estimate @ axes.T @ root.T) @ basis
    return Tuning(courses @ over_time, maps @ over_maps, responses, evidences[best])


def refined_responses(
    measured: Measured, whitening: ForwardWhitening, tuning: Tuning, n_steps: int
) -> npt.NDArray[np.float64]:
    """Return responses under a prior that may leave the product of a covariance over time and one over channels.

    Each course then has maps of its own. The covariance is fitted by expectation maximisation, and drawn towards the
    product with the weight of as many responses as were measured (an inverse Wishart prior).

    Returns
    -------
    array of shape (n_axes, n_numbers), float64
        Posterior mean of each whitened response.
    """
    basis = whitened_products(whitening, tuning.courses, tuning.maps)
    precision, n_axes = measured.precision, len(measured.precision)
    for step in range(n_steps + 1):
        variances, axes = linalg.eigh(basis @ basis.T, overwrite_a=True, check_finite=False)
        kept = variances > 1e-6 * max(variances[-1], 1e-300)
        variances, basis = variances[kept], axes[:, kept].T @ basis
        known = _known(variances, precision)
        estimate = (measured.responses @ basis.T) * known / variances
        if step < n_steps:
            # What was an identity covariance becomes the mean of the prior's and of what the responses say.
            new = (estimate.T @ estimate + np.diag((1 - known).sum(axis=0))) / n_axes
            basis = _root((np.eye(len(new)) + new) / 2).T @ basis
    responses: npt.NDArray[np.float64] = estimate @ basis
    return responses


def whitened_products(
    whitening: ForwardWhitening, courses: FloatArray, maps: FloatArray
) -> npt.NDArray[np.float64]:
    """Return every course with every map, whitened: (n_courses * n_maps, n_numbers)."""
    return np.concatenate(
        [whitening.whiten(course[None, :, None] * maps.T[:, None, :]) for course in courses.T]
    )


def _known(variances: FloatArray, precision: FloatArray) -> npt.NDArray[np.float64]:
    """Return which share of the variance of each number is told by the data: (n_axes, n_directions)."""
    ratio = precision[:, None] * variances
    share: npt.NDArray[np.float64] = ratio / (1 + ratio)
    return share


def _log_evidence(found: FloatArray, variances: FloatArray, precision: FloatArray) -> float:
    known = _known(variances, precision)
    return float(0.5 * (precision[:, None] * found**2 * known + np.log1p(-known)).sum())


def _step(
    over_time: FloatArray, over_maps: FloatArray, axes: FloatArray, estimate: FloatArray, known: FloatArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the roots of both covariances after one step of MacKay's fixed point.

    In the coordinates of the present prior its covariance is the identity; what the data make of it is brought to the
    nearest product of two covariances (in the sense of maximum likelihood, Dutilleul 1999) by turns.
    """
    told = known.sum(axis=0) + _CAUTION
    n = len(told)
    change = (estimate.T @ estimate + _CAUTION * np.eye(n)) / np.sqrt(np.outer(told, told)) - np.eye(n)
    n_courses, n_maps = len(over_time), len(over_maps)
    # Directions that were left out stay as they are.
    new = (axes @ change @ axes.T + np.eye(n_courses * n_maps)).reshape(n_courses, n_maps, n_courses, n_maps)
    time = np.einsum("iaja->ij", new) / n_maps
    for _ in range(3):
        space = np.einsum("iajb,ij->ab", new, linalg.inv(time)) / n_courses
        time = np.einsum("iajb,ab->ij", new, linalg.inv(space)) / n_maps
    return over_time @ _root(time), over_maps @ _root(space)


def _root(covariance: FloatArray) -> npt.NDArray[np.float64]:
    jitter = 1e-10 * np.trace(covariance) * np.eye(len(covariance))
    root: npt.NDArray[np.float64] = linalg.cholesky((covariance + covariance.T) / 2 + jitter, lower=True)
    return root
