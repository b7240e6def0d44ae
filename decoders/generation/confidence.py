"""How much a picture may say: faded as far as the belief is open, with a map of what is imagined, or none at all."""

from dataclasses import dataclass
from math import exp, isnan, log

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

from .condition import EmbeddingBelief, PictureModel
from .generator import Generator, Pictures

__all__ = [
    "ContrastBounds",
    "NoveltyGate",
    "confidence",
    "contrast_bounds",
    "draw_several",
    "fade",
    "mean_picture",
    "rms_contrast",
    "variance_map",
]


#: Luminance of red, green and blue (ITU-R BT.709).
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
#: Pictures between these percentiles of contrast are ordinary; how much contrast may be raised.
_ORDINARY, _MOST_RAISED = (1.0, 99.0), 2.0
#: Grey levels below which a picture is flat.
_FLAT = 1.0


def confidence(belief: EmbeddingBelief, pictures: PictureModel) -> npt.NDArray[np.float64]:
    """Return which share of the variance over pictures beliefs settle, shape (n,), from 0 to 1.

    What is seen and where count as much as pictures vary in either.
    """
    start, stop = pictures.semantic
    variances = np.diag(pictures.covariance).astype(np.float64)
    semantic = variances[start:stop].sum()
    parts = np.array([semantic, variances.sum() - semantic])
    settled: npt.NDArray[np.float64] = 1 - belief.open_share.astype(np.float64) @ (parts / parts.sum())
    return np.clip(settled, 0, 1)


def draw_several(generator: Generator, belief: EmbeddingBelief, seed: int, n: int, n_steps: int) -> Pictures:
    """Return what a generator draws of one belief from several noises, shape (n, side_px, side_px, 3), uint8.

    Raises
    ------
    GeneratorError
        If it cannot draw.
    """
    repeated = EmbeddingBelief(np.repeat(belief.mean, n, axis=0), np.repeat(belief.open_share, n, axis=0))
    return generator.draw(generator.pictures.condition(repeated), generator.noise(seed, n), n_steps)


def mean_picture(generator: Generator, seed: int, n_steps: int, n: int = 32) -> Pictures:
    """Return the mean of what a generator draws of nothing known, shape (side_px, side_px, 3), uint8.

    Parameters
    ----------
    n : int
        Noises that are drawn from.

    Raises
    ------
    GeneratorError
        If it cannot draw.
    """
    nothing = generator.pictures.condition(generator.pictures.nothing())
    # One at a time, as a session draws: a large generator has no room for all of them at once.
    drawn = [generator.draw(nothing, noise[None], n_steps)[0] for noise in generator.noise(seed, n)]
    mean: Pictures = np.rint(np.mean(drawn, axis=0)).astype(np.uint8)
    return mean


def fade(drawn: Pictures, prior: Pictures, confident: FloatArray) -> Pictures:
    """Return pictures moved towards the mean picture, as far as their beliefs are open.

    A picture drawn of a belief has its mean in common with what was seen, and the rest by chance: the least squared
    error has the mean picture plus its difference from this times the share of the variance that the belief settles.

    Parameters
    ----------
    drawn : array of shape (n, side_px, side_px, 3), uint8
    prior : array of shape (side_px, side_px, 3), uint8
        See `mean_picture`.
    confident : array of shape (n,)
        See `confidence`: of 0 the mean picture is returned, of 1 the picture itself.
    """
    before = prior.astype(np.float64)
    share = np.clip(confident, 0, 1)[:, None, None, None]
    faded: Pictures = np.rint(before + share * (drawn - before)).astype(np.uint8)
    return faded


def variance_map(drawn: Pictures) -> npt.NDArray[np.uint8]:
    """Return how far pictures of one belief are apart at each place: what no evidence tells is drawn by chance.

    Parameters
    ----------
    drawn : array of shape (n, side_px, side_px, 3), uint8
        From several noises, at least two.

    Returns
    -------
    array of shape (side_px, side_px), uint8
        Root mean square, over noises and colours, of the difference from their mean, doubled: 255 where half of them
        are black and half of them white.
    """
    if len(drawn) < 2:
        raise ValueError(f"Of {len(drawn)} pictures none is apart from another; draw two or more.")
    spread = np.sqrt(drawn.astype(np.float64).var(axis=0).mean(axis=2))
    doubled: npt.NDArray[np.uint8] = np.rint(2 * spread).astype(np.uint8)
    return doubled


def rms_contrast(pictures: Pictures) -> npt.NDArray[np.float64]:
    """Return the standard deviation of the luminance of pictures (Peli 1990), in grey levels, shape (n,)."""
    contrast: npt.NDArray[np.float64] = (pictures @ _LUMINANCE).std(axis=(1, 2))
    return contrast


@dataclass(frozen=True, slots=True)
class ContrastBounds:
    """Between which contrasts pictures are ordinary, in grey levels; see `rms_contrast`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < np.inf:
            raise ValueError(f"Contrast lies between two numbers from 0, the lower one first; got {self}.")

    def kept(self, pictures: Pictures) -> Pictures:
        """Return pictures whose contrast lies within the bounds, changed about the mean colour of each.

        What is flat stays flat, and contrast is at most doubled: what is hardly there is not made to show.

        Parameters
        ----------
        pictures : array of shape (n, side_px, side_px, 3), uint8
            As drawn, before they are faded.
        """
        contrast = np.maximum(rms_contrast(pictures), 1e-9)
        factor = np.minimum(np.clip(contrast, self.low, self.high) / contrast, _MOST_RAISED)
        factor = np.where(contrast < _FLAT, 1.0, factor)[:, None, None, None]
        middle = pictures.mean(axis=(1, 2), keepdims=True)
        kept: Pictures = np.rint(np.clip(middle + factor * (pictures - middle), 0, 255)).astype(np.uint8)
        return kept


def contrast_bounds(pictures: Pictures) -> ContrastBounds:
    """Return between which contrasts all but two in a hundred pictures lie.

    Parameters
    ----------
    pictures : array of shape (n, side_px, side_px, 3), uint8
        Those that a generator learnt from.
    """
    low, high = np.percentile(rms_contrast(pictures), _ORDINARY)
    return ContrastBounds(float(low), float(high))


#: Time constant of the mean surprise, and above and below which of it drawing stops and goes on.
_MEAN_S, _STOP, _GO_ON = 0.15, 4.0, 2.0
#: Of a window beyond all that were held out.
_MOST_SURPRISE = -log(1 / 512)


class NoveltyGate:
    """Stops drawing while the signal is unlike the training.

    A window's novelty is the share s of held-out windows that lie less far out (see `Novelty`). Its surprise is
    -log(1 - s): 1 on average of ordinary windows, and rarely large. Drawing stops when the mean surprise of the last
    tenths of a second is above 4, and goes on when it is below 2, so that it does not flutter.

    Parameters
    ----------
    window_s : float
        Length of the windows: one counts no more than this, however long nothing came before it.
    """

    def __init__(self, window_s: float = 0.1) -> None:
        self._window_s = window_s
        self._mean = 1.0
        self._time_s = -np.inf
        self._open = True

    @property
    def open(self) -> bool:
        """Whether pictures may be drawn."""
        return self._open

    def add(self, score: float | None, time_s: float) -> bool:
        """Return whether pictures may be drawn now that a window has come.

        Parameters
        ----------
        score : float or None
            Its novelty, 0 to 1; NaN is as far out as can be. None where a bundle does not tell: nothing changes.
        time_s : float
            End of the window, in seconds of the recording; what is not later than before counts nothing.
        """
        step_s = min(time_s - self._time_s, self._window_s)
        if score is None or not step_s > 0:
            return self._open
        surprise = _MOST_SURPRISE
        if not isnan(score) and score < 1:
            surprise = min(-log(1 - max(score, 0.0)), _MOST_SURPRISE)
        self._mean += (1 - exp(-step_s / _MEAN_S)) * (surprise - self._mean)
        self._time_s = time_s
        self._open = self._mean < (_STOP if self._open else _GO_ON)
        return self._open
