r"""From evidence to a belief over embeddings: the posterior under what pictures are taken to be, in closed form.

Pictures have the prior :math:`e \sim N(m, S)`. Evidence is :math:`\log p = v'\mu - \frac{s}{2} \mu' D \mu` with
:math:`\mu = W e / L + b` (`picture_evidence`), so that the posterior has the precision
:math:`S^{-1} + (s / L^2) W' D W`. In the singular directions of :math:`D^{1/2} W S^{1/2}`, which no evidence changes,
it is a product of as many one-dimensional ones: they are found once, and a belief takes a few products with a matrix
of (dimension, directions).

Where a projector brings embeddings to unit length first, L is their length. Over pictures it varies little (of the
demos' by a tenth), so that it is taken for its root mean square under the belief itself, which is found by turns.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.stream.types import FloatArray

from .condition import EmbeddingBelief, PictureModel
from .picture_evidence import PictureEvidence

__all__ = ["EmbeddingPosterior", "Posteriors"]

#: Turns between a belief and the length of its embeddings; each makes what is left ten times smaller.
_TURNS = 4
#: Numbers of showings whose directions are held at a time.
_MOST_SHOWINGS = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Directions:
    """The directions in which evidence of some number of showings settles embeddings.

    Attributes
    ----------
    spread : array of shape (dimension, n), float64
        What one standard deviation of the prior along each of them does to an embedding.
    squares : array of shape (n,), float64
        Squared lengths of these.
    strength : array of shape (n,), float64
        How much evidence of strength 1 tells along each, in units of the prior's precision.
    reads : array of shape (n, n_outputs), float64
        Leads evidence, less what the mean picture accounts for, to these directions.
    discount : array of shape (n_outputs,), float64
        Of each output, for what comes again at every showing.
    settles : array of shape (n, 2), float64
        How much variance is settled, of what is seen and of the layout, by all that can be known along each.
    """

    spread: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]
    strength: npt.NDArray[np.float64]
    reads: npt.NDArray[np.float64]
    discount: npt.NDArray[np.float64]
    settles: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingPosterior:
    """What is known of one picture's embedding.

    Attributes
    ----------
    mean : array of shape (dimension,), float64
    settled : array of shape (n,), float64
        Which share of the prior's variance is settled along each of some directions, 0 to 1.
    spread : array of shape (dimension, n), float64
        What one standard deviation of the prior along each of these does to an embedding.
    open_share : array of shape (2,), float32
        As `EmbeddingBelief` has it.
    """

    mean: npt.NDArray[np.float64]
    settled: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    open_share: npt.NDArray[np.float32]

    @property
    def belief(self) -> EmbeddingBelief:
        """The belief that is drawn."""
        return EmbeddingBelief(self.mean[None].astype(np.float32), self.open_share[None])

    def covariance(self, pictures: PictureModel) -> npt.NDArray[np.float64]:
        """Return the covariance, shape (dimension, dimension), under the prior that it was made with."""
        told: npt.NDArray[np.float64] = pictures.covariance - self.settled * self.spread @ self.spread.T
        return told


class Posteriors:
    """Makes beliefs of evidence.

    Parameters
    ----------
    bundle : Bundle
        Whose evidence it is.
    pictures : PictureModel
        What pictures are taken to be; of the space of the bundle.

    Raises
    ------
    ValueError
        If embeddings have another dimension there.
    """

    def __init__(self, bundle: Bundle, pictures: PictureModel) -> None:
        dimension = bundle.manifest.space.dimension
        if pictures.dimension != dimension:
            raise ValueError(
                f"{bundle.manifest.name!r} has embeddings of {dimension} numbers, the generator of "
                f"{pictures.dimension}."
            )
        projector, readout = bundle.projector, bundle.readout
        self._unit = projector is not None and projector.unit
        self._weight = np.eye(dimension) if projector is None else projector.weight.astype(np.float64)
        self._bias = np.zeros(dimension) if projector is None else projector.bias.astype(np.float64)
        gaussian = projector is not None and projector.gaussian
        self._metric = np.ones(len(self._weight))
        if not gaussian and readout is not None:
            self._metric = 1 / readout.variance.astype(np.float64)
        rho = None if projector is None else projector.rho
        self._rho = np.zeros(len(self._weight)) if rho is None else rho.astype(np.float64)
        repeats = bundle.manifest.calibration.repeat_correlation
        self._repeats = 1.0 if repeats is None else repeats
        self._mean = pictures.mean.astype(np.float64)
        self._prior_square = float(self._mean @ self._mean + np.trace(pictures.covariance))
        self._root = _root(pictures.covariance)
        self._prior_parts = _part_squares(pictures, self._root).sum(axis=0)
        self._pictures = pictures
        self._directions = lru_cache(_MOST_SHOWINGS)(self._directions_of)

    def __call__(self, evidence: PictureEvidence) -> EmbeddingPosterior:
        """Return the posterior of a picture's embedding.

        Raises
        ------
        ValueError
            If the evidence is of another bundle, or not finite.
        """
        if evidence.vector.shape != self._bias.shape:
            raise ValueError(
                f"Evidence of {evidence.vector.shape} where the bundle's has {self._bias.shape}."
            )
        if not (np.isfinite(evidence.vector).all() and np.isfinite(evidence.strength)):
            raise ValueError("The evidence has numbers that are not finite.")
        on = self._directions(evidence.n_showings)
        mean, settled, length = self._mean, np.zeros(len(on.strength)), 1.0
        for _ in range(_TURNS if self._unit else 1):
            if self._unit:
                square = mean @ mean + self._prior_square - self._mean @ self._mean - settled @ on.squares
                length = float(np.sqrt(square))
            accounted = self._metric * (self._bias + self._weight @ self._mean / length)
            told = on.reads @ (on.discount * (evidence.vector - evidence.strength * accounted)) / length
            strength = evidence.strength / length**2 * on.strength
            settled = strength / (1 + strength)
            mean = self._mean + on.spread @ (told * (1 - settled))
        left = self._prior_parts - settled @ on.settles
        shares = np.where(self._prior_parts > 0, left / np.maximum(self._prior_parts, 1e-30), 1.0)
        return EmbeddingPosterior(mean, settled, on.spread, np.clip(shares, 0, 1).astype(np.float32))

    def _directions_of(self, n_showings: int) -> _Directions:
        discount = 1 / ((1 + (n_showings - 1) * self._rho) * (1 + (n_showings - 1) * self._repeats))
        reached = self._weight @ self._root
        _, sizes, axes = np.linalg.svd(
            np.sqrt(discount * self._metric)[:, None] * reached, full_matrices=False
        )
        kept = sizes > 1e-9 * sizes[0]
        spread = self._root @ axes[kept].T
        return _Directions(
            spread,
            (spread**2).sum(axis=0),
            sizes[kept] ** 2,
            axes[kept] @ reached.T,
            discount,
            _part_squares(self._pictures, spread),
        )


def _root(covariance: FloatArray) -> npt.NDArray[np.float64]:
    """Return a matrix whose product with its transpose is the covariance."""
    variances, axes = np.linalg.eigh(covariance.astype(np.float64))
    root: npt.NDArray[np.float64] = axes * np.sqrt(np.maximum(variances, 0))
    return root


def _part_squares(pictures: PictureModel, spread: FloatArray) -> npt.NDArray[np.float64]:
    """Return how much variance each column of `spread` makes, of what is seen and of the layout, shape (n, 2)."""
    start, stop = pictures.semantic
    layout = pictures.layout.weight.astype(np.float64) @ spread
    return np.stack([(spread[start:stop] ** 2).sum(axis=0), (layout**2).sum(axis=0)], axis=1)
