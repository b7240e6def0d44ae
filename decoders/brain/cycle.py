"""There and back: from a picture's embedding to voxels by an encoding model, and from these back by the decoder."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.scoring.identification import two_way
from decode_stream.decoders.scoring.scores import hits
from decode_stream.stream.types import FloatArray, IntArray

from .readout import Readout
from .what_if import row_cosines

__all__ = ["Cycle", "cycle"]


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """How well embeddings come back, of n trials.

    Attributes
    ----------
    cosine : array of shape (n,), float64
        Of the embedding that comes back with the one that was sent, each from its middle: the decoder's from what it
        gives of the mean window, the picture's from the mean of the gallery.
    right : array of shape (n,), float64
        Whether the gallery's entry that was sent matches best; ties count their share.
    two_way : array of shape (n,), float64
        Share of the other entries that match less than it.
    """

    cosine: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    two_way: npt.NDArray[np.float64]


def cycle(readout: Readout, answers: FloatArray, truth: IntArray) -> Cycle:
    """Decode answers that are taken for the mean volume of a trial's window.

    Parameters
    ----------
    answers : array of shape (n, n_voxels)
        In the decoder's units: predicted by an encoding model, or measured.
    truth : array of shape (n,), int64
        Gallery entry of each.
    """
    windows = np.repeat(np.asarray(answers, np.float32)[:, :, None], readout.shape[1], axis=2)
    if readout.clamp is not None:
        np.clip(windows, -readout.clamp, readout.clamp, out=windows)
    reading = readout.read(windows)
    middle = readout.encode(np.zeros((1, *readout.shape), np.float32))
    sent = readout.gallery[truth] - readout.gallery.mean(axis=0, dtype=np.float64)
    return Cycle(
        row_cosines(reading.embeddings - middle, sent),
        hits(reading.log_evidence, truth),
        two_way(reading.log_evidence, truth),
    )
