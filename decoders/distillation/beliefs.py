r"""Beliefs as decoders come to them, drawn for pictures whose embeddings are known.

A generator that had only seen true embeddings would take a decoder's for the truth. So it learns from what a decoder
would believe of the picture: evidence of Gaussian noise, :math:`y = P e + P^{1/2} n` with the precision P of a decoder,
gives under the pictures' own distribution N(m, S) the belief with the precision :math:`S^{-1} + P`. In coordinates in
which S is the identity and P is diagonal, each direction j is settled by the share
:math:`r_j = g p_j / (1 + g p_j)`, at a strength g of the evidence, and the mean of the belief is
:math:`r_j e_j + \sqrt{r_j (1 - r_j)} n_j`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.generation.condition import EmbeddingBelief, PictureModel
from decode_stream.decoders.generation.embedding_belief import Posteriors
from decode_stream.decoders.generation.picture_evidence import EvidenceReader
from decode_stream.stream.types import FloatArray

__all__ = ["BeliefDraws", "Channel", "bundle_channel", "decoder_channel", "plain_channels"]

# Of a channel's evidence: from next to nothing to next to everything, by the share of variance that it settles.
_LEAST_SETTLED, _MOST_SETTLED = 0.02, 0.995


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """What one kind of evidence settles of embeddings.

    Attributes
    ----------
    axes : array of shape (dimension, n_directions), float64
        What each direction, of variance 1 over pictures, adds to an embedding.
    readout : array of shape (n_directions, dimension), float64
        Gives the directions of an embedding's difference from the mean.
    precision : array of shape (n_directions,), float64
        Of the evidence at a strength of 1; 0 where it tells nothing.
    shares : array of shape (2, n_directions), float64
        Each direction's share of the variance over pictures, of the semantic part and of the layout. Directions that
        no evidence tells of may be left out.
    """

    axes: npt.NDArray[np.float64]
    readout: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]

    def settled(self, strength: float) -> npt.NDArray[np.float64]:
        """Return which share of each direction evidence of a strength settles, shape (n_directions,)."""
        reached = strength * self.precision
        settled: npt.NDArray[np.float64] = reached / (1 + reached)
        return settled


def decoder_channel(pictures: PictureModel, precision: FloatArray) -> Channel:
    """Return the channel of a decoder.

    Parameters
    ----------
    pictures : PictureModel
        What is known without it.
    precision : array of shape (dimension, dimension)
        Of the evidence of one trial; of any rank.
    """
    root = linalg.cholesky(pictures.covariance.astype(np.float64), lower=True)
    values, turned = linalg.eigh(root.T @ precision @ root)
    return _channel(pictures, root @ turned, np.maximum(values, 0))


def _channel(
    pictures: PictureModel, axes: npt.NDArray[np.float64], precision: npt.NDArray[np.float64]
) -> Channel:
    """Return the channel of directions that are independent of each other over pictures."""
    covariance = pictures.covariance.astype(np.float64)
    readout = linalg.solve(covariance, axes, assume_a="pos").T
    start, stop = pictures.semantic
    seen = pictures.layout.weight.astype(np.float64)
    whole = np.maximum(pictures.part_variances(covariance), 1e-30)
    parts = (axes[start:stop], seen @ axes)
    shares = [(part**2).sum(axis=0) / power for part, power in zip(parts, whole, strict=True)]
    return Channel(axes, readout, precision, np.stack(shares))


def bundle_channel(bundle: Bundle, pictures: PictureModel) -> Channel:
    """Return the channel of a bundle's decoder: what its whole trials tell.

    Raises
    ------
    BundleError
        If its outputs are no likelihoods and what they tell was never measured.
    """
    reader, n_latencies = EvidenceReader(bundle), bundle.manifest.n_latencies
    nothing = reader.read(np.zeros((n_latencies, bundle.dimension), np.float32))
    # How much evidence tells does not hang on what it says.
    evidence = replace(nothing, vector=np.zeros_like(nothing.vector), strength=max(nothing.strength, 1.0))
    told = Posteriors(bundle, pictures)(evidence)
    return _channel(pictures, told.spread, told.settled / np.maximum(1 - told.settled, 1e-12))


def plain_channels(pictures: PictureModel) -> tuple[Channel, ...]:
    """Return channels of no decoder in particular: white noise on all of an embedding, or on one of its parts.

    What they settle together runs from next to nothing to nearly all, so that every belief lies near one of them.
    """
    everything = decoder_channel(pictures, np.eye(pictures.dimension))
    start, stop = pictures.semantic
    if (start, stop) == (0, pictures.dimension):
        return (everything,)
    seen = np.zeros(pictures.dimension)
    seen[start:stop] = 1
    layout = pictures.layout.weight.astype(np.float64) * (1 - seen)
    return everything, *(decoder_channel(pictures, p) for p in (np.diag(seen), layout.T @ layout))


class BeliefDraws:
    """Draws beliefs of known pictures.

    Parameters
    ----------
    pictures : PictureModel
    channels : sequence of Channel
        Which evidence there is; each as often as the others.
    known_share : float
        How many pictures are known as they are.
    """

    def __init__(self, pictures: PictureModel, channels: Sequence[Channel], known_share: float = 0.6) -> None:
        self._pictures = pictures
        self._known_share = known_share
        self._channels = [(channel, _strengths(channel)) for channel in channels]

    def draw(self, embeddings: FloatArray, rng: np.random.Generator) -> EmbeddingBelief:
        """Return a belief of each picture, drawn anew at every call.

        Parameters
        ----------
        embeddings : array of shape (n, dimension)
        rng : numpy.random.Generator
        """
        n = len(embeddings)
        mean = embeddings.astype(np.float64)
        share = np.zeros((n, 2))
        which = rng.integers(max(1, len(self._channels)), size=n)
        which[rng.random(n) < self._known_share] = -1
        for number, (channel, (least, most)) in enumerate(self._channels):
            rows = np.flatnonzero(which == number)
            if not len(rows):
                continue
            strengths = np.exp(rng.uniform(np.log(least), np.log(most), len(rows)))
            settled = np.stack([channel.settled(strength) for strength in strengths])
            true = (mean[rows] - self._pictures.mean) @ channel.readout.T
            noise = rng.standard_normal(true.shape) * np.sqrt(settled * (1 - settled))
            mean[rows] = self._pictures.mean + (settled * true + noise) @ channel.axes.T
            share[rows] = 1 - settled @ channel.shares.T
        return EmbeddingBelief(mean.astype(np.float32), np.clip(share, 0, 1).astype(np.float32))


def _strengths(channel: Channel) -> tuple[float, float]:
    """Return between which strengths a channel settles little and nearly all of what it can."""
    told = channel.precision > channel.precision.max() * 1e-9
    weight = channel.shares.sum(axis=0) * told
    weight = weight / weight.sum()

    def strength(wanted: float) -> float:
        low, high = 1e-9 / channel.precision.max(), 1e12 / channel.precision.max()
        for _ in range(80):
            middle = np.sqrt(low * high)
            low, high = (middle, high) if weight @ channel.settled(middle) < wanted else (low, middle)
        return float(np.sqrt(low * high))

    return strength(_LEAST_SETTLED), strength(_MOST_SETTLED)
