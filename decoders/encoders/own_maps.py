r"""Responses whose courses over time have maps over channels of their own.

One part of the brain answers early and another late, so one covariance over channels does not serve all courses. Here
the response to axis k of an embedding is a sum over a few courses, :math:`b_k = \sum_c a_c \otimes L_c z_{kc}` with
standard normal :math:`z_{kc}`: a Gaussian prior whose covariance is a sum of products,
:math:`\sum_c a_c a_c' \otimes L_c L_c'`. Courses and maps are those of the largest

.. math:: \log p(\text{measured} \mid a, L) - \frac{\nu}{2} \sum_c \operatorname{tr} L_c' L_c.

There are more such covariances than a few hundred axes can tell apart: the evidence alone goes on rising long after the
responses have become worse. The penalty is what keeps the maps few, as a trace does that stands for a rank (Fazel,
Hindi and Boyd 2001, Proc. American Control Conference, 4734-4739). Its maps are those of a product that was fitted
first (`fit_tuning`), each in units of its size there. The gradient is the expected one of the joint density, given the
measured responses (Fisher's identity).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.optimize import minimize

from decode_stream.stream.types import FloatArray

from .tuning_prior import Measured, Tuning, whitened_products
from .window_noise import ForwardWhitening

__all__ = ["FEWEST_AXES", "OwnMaps", "fit_own_maps"]

#: Fewer axes tell less of each course's maps than a product of two covariances does.
FEWEST_AXES = 50
#: Strength of the penalty. Chosen on held-out training pictures of simulated people, EEG and MEG: from 30 to 60 all is
#: as good.
_PENALTY = 40.0
#: Maps of the product that those of the courses are made of, and how many each course may have.
_MOST_MAPS, _MAPS_EACH = 64, 24
_STEPS = 60


@dataclass(frozen=True, eq=False)
class OwnMaps:
    """What a prior with maps of its own for each course makes of measured responses.

    Attributes
    ----------
    responses : array of shape (n_axes, n_numbers), float64
        Posterior mean of each whitened response.
    log_evidence : float
        Of the measured responses, against there being none, less the penalty; nats.
    """

    responses: npt.NDArray[np.float64]
    log_evidence: float


@dataclass(frozen=True, eq=False)
class _Posterior:
    """What measured responses say under a prior.

    Attributes
    ----------
    mean : array of shape (n_axes, n_factors)
        Of each axis's standard normal numbers.
    products : array of shape (n_factors, n_factors)
        Sum over axes of precision times the second moment of those numbers.
    log_evidence : float
    """

    mean: npt.NDArray[np.float64]
    products: npt.NDArray[np.float64]
    log_evidence: float


@dataclass(frozen=True, eq=False)
class _Problem:
    """Measured responses in the span of some courses and maps.

    Attributes
    ----------
    gram : array of shape (n_span * n_maps, n_span * n_maps)
        Products of whitened courses with maps.
    seen : array of shape (n_axes, n_span * n_maps)
        Products of those with the measured responses.
    precision : array of shape (n_axes,)
    shape : tuple of int
        n_span, n_maps, n_courses and maps of each course.
    """

    gram: npt.NDArray[np.float64]
    seen: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    shape: tuple[int, int, int, int]

    def unpacked(self, numbers: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return courses (n_span, n_courses) of unit length, their lengths, and maps (n_courses, n_maps, n_each)."""
        n_span, n_maps, n_courses, n_each = self.shape
        courses, maps = np.split(numbers, [n_span * n_courses])
        courses = courses.reshape(n_span, n_courses)
        lengths = np.sqrt((courses**2).sum(axis=0))
        return courses / lengths, lengths, maps.reshape(n_courses, n_maps, n_each)

    def factor(self, courses: FloatArray, maps: FloatArray) -> npt.NDArray[np.float64]:
        """Return a root of the prior's covariance, (n_span * n_maps, n_factors)."""
        products: npt.NDArray[np.float64] = np.einsum("pc,cmr->pmcr", courses, maps)
        return products.reshape(len(self.gram), -1)

    def posterior(self, factor: FloatArray) -> _Posterior:
        """Return what the measured responses say under a prior."""
        variances, axes = linalg.eigh(factor.T @ (self.gram @ factor), check_finite=False)
        told = (self.seen @ factor) @ axes
        precision = self.precision[:, None]
        unknown = 1 / (1 + precision * np.maximum(variances, 0))
        mean = precision * told * unknown
        second = (precision * mean).T @ mean + np.diag((precision * unknown).sum(axis=0))
        evidence = 0.5 * (precision * told * mean + np.log(unknown)).sum()
        return _Posterior(mean @ axes.T, axes @ second @ axes.T, float(evidence))

    def loss(self, numbers: FloatArray) -> tuple[float, npt.NDArray[np.float64]]:
        """Return the penalised log-evidence of courses and maps, and its gradient, both with the sign turned."""
        courses, lengths, maps = self.unpacked(numbers)
        factor = self.factor(courses, maps)
        known = self.posterior(factor)
        slope = self.seen.T @ (self.precision[:, None] * known.mean) - self.gram @ (factor @ known.products)
        n_span, n_maps, n_courses, n_each = self.shape
        by_part = slope.reshape(n_span, n_maps, n_courses, n_each)
        of_maps = np.einsum("pmcr,pc->cmr", by_part, courses, optimize=True) - _PENALTY * maps
        of_courses = np.einsum("pmcr,cmr->pc", by_part, maps, optimize=True)
        # Only the direction of a course counts.
        of_courses = (of_courses - courses * (courses * of_courses).sum(axis=0)) / lengths
        penalised = known.log_evidence - 0.5 * _PENALTY * float((maps**2).sum())
        return -penalised, -np.concatenate([of_courses.ravel(), of_maps.ravel()])


def fit_own_maps(
    measured: Measured, whitening: ForwardWhitening, span: FloatArray, tuning: Tuning
) -> OwnMaps:
    """Fit a prior that is a sum of products, beginning at a product.

    Parameters
    ----------
    span : array of shape (n_samples, n_span)
        Courses may become any mixture of these.
    tuning : Tuning
        The product: as many courses as it has, in the span, and its maps.
    """
    tuning = tuning.ordered()
    span = linalg.qr(span, mode="economic")[0]
    courses = span.T @ _shortest(tuning.courses)
    sizes = linalg.norm(courses, axis=0)
    maps = tuning.maps[:, :_MOST_MAPS]
    # One map more would do nothing: its size in the product is nought.
    maps = maps[:, linalg.norm(maps, axis=0) > 1e-6 * linalg.norm(maps[:, 0])] * sizes.mean()
    basis = whitened_products(whitening, span, maps)
    n_each = min(_MAPS_EACH, maps.shape[1])
    shape = (span.shape[1], maps.shape[1], len(sizes), n_each)
    problem = _Problem(basis @ basis.T, measured.responses @ basis.T, measured.precision, shape)
    begin = np.eye(maps.shape[1])[:, :n_each] * (sizes / sizes.mean())[:, None, None]
    start = np.concatenate([(courses / sizes).ravel(), begin.ravel()])
    options = {"maxiter": _STEPS, "maxcor": 20}
    best = minimize(problem.loss, start, jac=True, method="L-BFGS-B", options=options)
    own_courses, _, own_maps = problem.unpacked(best.x)
    factor = problem.factor(own_courses, own_maps)
    return OwnMaps(problem.posterior(factor).mean @ factor.T @ basis, -float(best.fun))


def _shortest(courses: FloatArray, n_steps: int = 100) -> npt.NDArray[np.float64]:
    """Return courses mixed so that each is large at few samples: varimax (Kaiser 1958, Psychometrika 23:187-200)."""
    mixing = np.eye(courses.shape[1])
    for _ in range(n_steps):
        mixed = courses @ mixing
        left, _, right = linalg.svd(courses.T @ (mixed**3 - mixed * (mixed**2).mean(axis=0)))
        mixing = left @ right
    turned: npt.NDArray[np.float64] = courses @ mixing
    return turned
