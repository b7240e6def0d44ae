"""From a block of signal to the points of stacked traces. Plain numpy: no Qt here."""

import math

import numpy as np
import numpy.typing as npt

__all__ = ["SPACINGS", "block_means", "envelope", "fitting_spacing", "stack"]

#: Spacings between neighbouring traces: 1, 2 and 5 in every decade, in the unit of the signal.
SPACINGS = tuple(digit * 10.0**decade for decade in range(-18, 10) for digit in (1.0, 2.0, 5.0))

# A trace that leaves its row by more than this is cut off there, so that one bad channel does not bury all.
_CLIP_ROWS = 1.5


def envelope(
    data: npt.NDArray[np.float32], start: int, max_points: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Return at most about `max_points` points a channel that keep every peak and every break.

    Bins lie on multiples of their width in the stream, so that a scrolling trace does not shimmer.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels), float32
        The signal; NaN where samples never came.
    start : int
        Sample index of ``data[0]``.
    max_points : int
        Most points a channel; two for each bin, its minimum and its maximum.

    Returns
    -------
    offset : array of shape (n_points,), float64
        Place of each point in `data`, in samples.
    values : array of shape (n_points, n_channels), float32
        A bin with a NaN is NaN, so that even a break of one sample is seen.
    """
    n_samples = len(data)
    width = math.ceil(2 * n_samples / max(max_points, 2))
    if width <= 2:
        return np.arange(n_samples, dtype=np.float64), data
    edges = np.arange(-start % width, n_samples, width)
    if not len(edges) or edges[0] > 0:
        edges = np.concatenate([[0], edges])
    values = np.empty((2 * len(edges), data.shape[1]), np.float32)
    np.minimum.reduceat(data, edges, axis=0, out=values[0::2])
    np.maximum.reduceat(data, edges, axis=0, out=values[1::2])
    offset = np.empty(2 * len(edges))
    offset[0::2] = edges
    offset[1::2] = (edges + np.append(edges[1:], n_samples) - 1) / 2
    return offset, values


def block_means(
    data: npt.NDArray[np.float32], n_blocks: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Return the means over `n_blocks` blocks of neighbouring channels, as even as can be.

    Parameters
    ----------
    data : array of shape (n_samples, n_channels), float32
        The signal; NaN where samples never came.
    n_blocks : int
        At most the number of channels.

    Returns
    -------
    means : array of shape (n_samples, n_blocks), float32
        NaN where a channel of the block is.
    edges : array of shape (n_blocks + 1,), int
        Block k holds the channels [edges[k], edges[k + 1]).
    """
    edges = np.linspace(0, data.shape[1], n_blocks + 1).round().astype(np.intp)
    sums = np.add.reduceat(data, edges[:-1], axis=1)
    return (sums / np.diff(edges)).astype(np.float32), edges


def stack(
    offset: npt.NDArray[np.float64], values: npt.NDArray[np.float32], spacing: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return one joined curve that holds every channel around its own row, with NaN between channels.

    Parameters
    ----------
    offset : array of shape (n_points,), float64
        Horizontal place of each point.
    values : array of shape (n_points, n_channels), float32
        Signal; each channel is drawn around its mean.
    spacing : float
        Height of a row, in the unit of `values`.

    Returns
    -------
    x, y : arrays of shape (n_channels * (n_points + 1),), float64
        Row k is at height -k.
    """
    n_points, n_channels = values.shape
    known = np.isfinite(values)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    y = np.full((n_channels, n_points + 1), np.nan)
    np.clip((values - mean).T / spacing, -_CLIP_ROWS, _CLIP_ROWS, out=y[:, :-1])
    y -= np.arange(n_channels)[:, None]
    x = np.empty((n_channels, n_points + 1))
    x[:, :-1] = offset
    x[:, -1] = np.nan
    return x.ravel(), y.ravel()


def fitting_spacing(values: npt.NDArray[np.float32]) -> float | None:
    """Return the round spacing at which the typical channel fills its row, or None for a flat signal.

    Half of the channels may be dead or wild: the median over channels of each one's median distance from its
    median decides.

    Parameters
    ----------
    values : array of shape (n_samples, n_channels), float32
        Signal; NaN where samples never came.
    """
    whole = values[np.isfinite(values).all(axis=1)]
    if not len(whole):
        return None
    distance = np.median(np.abs(whole - np.median(whole, axis=0)), axis=0)
    alive = distance[distance > 0]
    if not len(alive):
        return None
    # Six standard deviations of a normal signal, 1.4826 median distances each.
    wanted = 6 * 1.4826 * float(np.median(alive))
    return min(SPACINGS, key=lambda spacing: abs(math.log(spacing / wanted)))
