"""Which captions of a picture are worth learning from, and what they make a target of.

S. Lin, T. Sprague and A. Singh, Mind Reader: reconstructing complex images from brain activities, NeurIPS 2022: people
caption pictures more or less well, so a caption is kept only if a model of pictures and texts finds it more than half
as likely as the best one of its picture. Training takes one of those at random at every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from decode_stream.stream.types import FloatArray, IntArray

from .target import Embeddings, limited

__all__ = ["CaptionEmbeddings", "concept_sentences", "match_probabilities", "vet", "vetted"]


@dataclass(frozen=True, slots=True, eq=False)
class CaptionEmbeddings:
    """The captions that were kept, picture after picture.

    Attributes
    ----------
    embeddings : array of shape (n_kept, dimension), float32
        Of unit length, clamped before that where the space says so.
    starts : array of shape (n_pictures + 1,), int64
        Picture i has the rows [starts[i], starts[i + 1]), one at least.
    """

    embeddings: Embeddings
    starts: IntArray

    def mean(self) -> Embeddings:
        """Return the mean of each picture's captions, shape (n_pictures, dimension): the target that stays."""
        sums = np.add.reduceat(self.embeddings, self.starts[:-1], axis=0)
        means: Embeddings = (sums / np.diff(self.starts)[:, None]).astype(np.float32)
        return means

    def rows(self, pictures: IntArray) -> "CaptionEmbeddings":
        """Return the captions of some pictures, shape (n,), int64, in the order of their places."""
        places = [np.arange(self.starts[i], self.starts[i + 1]) for i in pictures]
        starts = np.cumsum([0, *(len(some) for some in places)], dtype=np.int64)
        return CaptionEmbeddings(
            self.embeddings[np.concatenate(places)] if places else self.embeddings[:0], starts
        )


def match_probabilities(
    picture: FloatArray, captions: FloatArray, logit_scale: float
) -> npt.NDArray[np.float64]:
    """Return how likely each caption of a picture is among them, by a contrastive model.

    Parameters
    ----------
    picture : array of shape (dimension,)
        The picture's embedding, of any length.
    captions : array of shape (n_captions, dimension)
    logit_scale : float
        By what the model multiplies a cosine.

    Returns
    -------
    array of shape (n_captions,), float64
    """
    cosines = _unit(captions.astype(np.float64)) @ _unit(picture.astype(np.float64)[None])[0]
    probabilities: npt.NDArray[np.float64] = softmax(logit_scale * cosines)
    return probabilities


def vetted(probabilities: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which captions are kept: those more than half as likely as the best."""
    kept: npt.NDArray[np.bool_] = probabilities > probabilities.max() / 2
    return kept


def vet(
    pictures: Embeddings,
    captions: Embeddings,
    n_captions: Sequence[int],
    logit_scale: float,
    clamp: float | None = None,
) -> CaptionEmbeddings:
    """Keep the captions that match their picture.

    Parameters
    ----------
    pictures : array of shape (n_pictures, dimension), float32
        As the image encoder gives them.
    captions : array of shape (n, dimension), float32
        As the text encoder gives them, picture after picture.
    n_captions : sequence of int
        How many each picture has, one at least.
    logit_scale : float
    clamp : float or None
        To which the captions are limited once they have been compared; see `clamped`.

    Raises
    ------
    ValueError
        If the counts do not go with the arrays, or one is below 1.
    """
    if len(n_captions) != len(pictures) or sum(n_captions) != len(captions) or min(n_captions, default=1) < 1:
        raise ValueError(
            f"{len(pictures)} pictures, {len(captions)} captions and counts of {n_captions} differ."
        )
    ends = np.cumsum(n_captions, dtype=np.int64)
    keep = [
        vetted(match_probabilities(picture, captions[end - n : end], logit_scale))
        for picture, end, n in zip(pictures, ends, n_captions, strict=True)
    ]
    kept = captions[np.concatenate(keep)] if keep else captions
    starts = np.concatenate([[0], np.cumsum([mask.sum() for mask in keep], dtype=np.int64)])
    return CaptionEmbeddings(_unit(limited(kept, clamp)).astype(np.float32), starts.astype(np.int64))


def concept_sentences(concepts: Sequence[str]) -> list[str]:
    """Return a sentence for each concept: ``This picture is aircraft carrier``.

    ATM-S learns from their embeddings by one part in a hundred, beside the pictures' (Li et al., NeurIPS 2024).
    """
    return [f"This picture is {concept.replace('_', ' ')}" for concept in concepts]


def _unit(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    unit: npt.NDArray[np.floating] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
