"""Which numbers of an embedding can be decoded at all.

Y. Lu et al., MindDiffuser: controlled image reconstruction from human brain activity with semantic and structural
diffusion, ACM Multimedia 2023: of a shallow layer of CLIP only the quarter that is decoded best is let guide a
generator. How well a number is decoded is told on trials of the training set that the decoder was not fitted on.
"""

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

__all__ = ["best_decoded", "decoded_correlation"]


def best_decoded(correlation: FloatArray, share: float = 0.25) -> npt.NDArray[np.bool_]:
    """Return which numbers are decoded best.

    Parameters
    ----------
    correlation : array of shape (dimension,)
        How well each is decoded; of equal ones the first are kept.
    share : float
        How many of all, above 0 and up to 1; one is always kept.

    Returns
    -------
    array of shape (dimension,), bool
    """
    if not 0 < share <= 1:
        raise ValueError(f"A share lies above 0 and up to 1; got {share}.")
    best = np.argsort(-np.asarray(correlation), kind="stable")[: max(1, round(share * len(correlation)))]
    kept = np.zeros(len(correlation), np.bool_)
    kept[best] = True
    return kept


def decoded_correlation(decoded: FloatArray, wanted: FloatArray) -> npt.NDArray[np.float64]:
    """Return the correlation of each number over trials; 0 where one of the two does not vary.

    Parameters
    ----------
    decoded, wanted : array of shape (n_trials, dimension)

    Returns
    -------
    array of shape (dimension,), float64
    """
    decoded, wanted = (rows - rows.mean(axis=0, dtype=np.float64) for rows in (decoded, wanted))
    lengths = np.sqrt((decoded**2).sum(axis=0) * (wanted**2).sum(axis=0))
    products = (decoded * wanted).sum(axis=0)
    correlation: npt.NDArray[np.float64] = np.divide(
        products, lengths, out=np.zeros(len(products)), where=lengths > 1e-12
    )
    return correlation
