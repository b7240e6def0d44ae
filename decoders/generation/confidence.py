"""How much a picture may say: faded as far as the belief is open, with a map of what is imagined, or none at all."""

from dataclasses import dataclass
from math import exp, isnan, log

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

from .condition import EmbeddingBelief
from .generator import Generator, Pictures

__all__ = ["NoveltyGate", "Unknown", "confidence", "draw_unknown", "fade", "variance_map"]


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """What a generator draws of nothing known.

    Attributes
    ----------
    mean : array of shape (side_px, side_px, 3), uint8
        Of its pictures.
    layout_share : float
        Which part of the variance of their pixels is that of layouts, 0 to 1; the rest is in what is seen.
    chance_share : float
        How much of what is not known is drawn by chance, 0 to 1: 1 of a generator whose pictures of nothing differ as
        pictures do, 0 of one that draws the mean of all that may be.
    """

    mean: Pictures
    layout_share: float
    chance_share: float = 1.0


def draw_unknown(generator: Generator, seed: int, n_steps: int, n: int) -> Unknown:
    """Draw of nothing known.

    Parameters
    ----------
    n : int
        Noises that are drawn from, two or more.

    Raises
    ------
    GeneratorError
        If it cannot draw.
    """
    if n < 2:
        raise ValueError(f"Pictures vary from two on; got {n}.")
    model = generator.pictures
    nothing, total, squares = model.condition(model.nothing()), np.float64(0), np.float64(0)
    coarse = []
    # One at a time, as a session draws: a large generator has no room for all of them at once.
    for noise in generator.noise(seed, n):
        drawn = generator.draw(nothing, noise[None], n_steps)[0].astype(np.float64)
        total, squares = total + drawn, squares + drawn**2
        coarse.append(_cells(drawn, model.layout.rows, model.layout.columns))
    mean = total / n
    variance = float((squares / n - mean**2).mean()) * n / (n - 1)
    of_layouts = 255**2 * float(model.layout.variances(model.covariance).mean())
    by_chance = (
        float(np.var(coarse, axis=0, ddof=1).mean()) if coarse[0].size and of_layouts > 0 else of_layouts
    )
    return Unknown(
        np.rint(mean).astype(np.uint8),
        min(of_layouts / max(variance, 1e-9), 1.0),
        min(by_chance / of_layouts, 1.0) if of_layouts > 0 else 1.0,
    )


def _cells(picture: npt.NDArray[np.float64], rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Return the mean colours of a picture's cells; none where they do not cut it evenly."""
    height, width, _ = picture.shape
    if height % rows or width % columns:
        return np.empty(0)
    cells: npt.NDArray[np.float64] = picture.reshape(rows, height // rows, columns, width // columns, 3).mean(
        axis=(1, 3)
    )
    return cells


def confidence(belief: EmbeddingBelief, layout_share: float) -> npt.NDArray[np.float64]:
    """Return which share of the variance of pixels over pictures beliefs settle, shape (n,), from 0 to 1.

    What is seen and its layout count as much as each makes pictures differ, whatever room they have in an embedding:
    most of a picture is its layout.

    Parameters
    ----------
    layout_share : float
        See `Unknown`.
    """
    parts = np.array([1 - layout_share, layout_share])
    settled: npt.NDArray[np.float64] = np.clip(1 - belief.open_share.astype(np.float64) @ parts, 0, 1)
    return settled


def fade(drawn: Pictures, prior: Pictures, confident: FloatArray, chance_share: float = 1.0) -> Pictures:
    """Return pictures moved towards the mean picture, as far as their beliefs are open.

    A picture drawn of a belief has its mean in common with what was seen, and the rest by chance: the least squared
    error has the mean picture plus its difference from this times the share s of the variance that the belief settles.
    Beyond 2 s the picture errs more than the mean picture does, so that no livelier rule, such as the root of s, serves
    weak beliefs. Of a generator that draws only a share c of what is open by chance, and the mean of the rest, the
    factor is s / (s + c (1 - s)): what it draws of a weak belief is pale already.

    Parameters
    ----------
    drawn : array of shape (n, side_px, side_px, 3), uint8
    prior : array of shape (side_px, side_px, 3), uint8
        See `Unknown`.
    confident : array of shape (n,)
        See `confidence`: of 0 the mean picture is returned, of 1 the picture itself.
    chance_share : float
        See `Unknown`.
    """
    before = prior.astype(np.float32)  # exact for grey levels, and a large picture is faded in half the time
    settled = np.clip(confident, 0, 1)
    factor = settled / np.maximum(settled + chance_share * (1 - settled), 1e-9)
    share = factor.astype(np.float32)[:, None, None, None]
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
