r"""How like drawn pictures are to those that were seen: by their pixels, and by what an image encoder makes of them.

PixCorr and SSIM are counted as Brain-Diffuser (Ozcelik and VanRullen 2023, Scientific Reports 13:15666) and MindEye
(Scotti et al. 2023, NeurIPS) count them, so that figures can stand beside theirs. Two-way identification is MindEye's,
by the correlation of features; `picture_identification` gives it in both directions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

from decode_stream.stream.types import FloatArray, IntArray

from .identification import correlations, drawn_k_way, two_way
from .intervals import LEAST_PICTURES, bootstrap_interval, picture_means

__all__ = [
    "Identification",
    "Spanned",
    "difference_of_means",
    "picture_identification",
    "pixel_correlation",
    "ratio_of_means",
    "structural_similarity",
]

Picture = npt.NDArray[np.uint8]
_SIDE_PX = 425
# Wang et al. 2004: a window of 11 by 11, a Gaussian of 1.5 pixels; constants for values from 0 to 1.
_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2
# What red, green and blue count in lightness: ITU-R BT.709, with the digits of the papers' library.
_GREY = np.array([0.2125, 0.7154, 0.0721])


def pixel_correlation(
    drawn: Sequence[Picture], seen: Sequence[Picture], *, side_px: int = _SIDE_PX
) -> npt.NDArray[np.float64]:
    """Return Pearson's correlation over pixels and colours of each drawn picture with the seen one: PixCorr.

    Parameters
    ----------
    drawn, seen : sequence of array of shape (height, width, 3), uint8
        RGB; the same number of both. Each is scaled to `side_px` by `side_px` pixels (bilinear, smoothed where it gets
        smaller), 425 as in the papers.

    Returns
    -------
    array of shape (n,), float64
        0 where one of the two is of one colour only.
    """
    return _each(_correlation, drawn, seen, side_px)


def structural_similarity(
    drawn: Sequence[Picture], seen: Sequence[Picture], *, side_px: int = _SIDE_PX
) -> npt.NDArray[np.float64]:
    r"""Return the structural similarity of each drawn picture to the seen one: SSIM.

    Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Transactions on Image Processing 13:600. On grey pictures (0.2125 red,
    0.7154 green, 0.0721 blue, of sRGB as it is stored) from 0 to 1,

    .. math:: \frac{(2 m_x m_y + C_1) (2 s_{xy} + C_2)}{(m_x^2 + m_y^2 + C_1) (s_x^2 + s_y^2 + C_2)}

    with means m and covariances s under a Gaussian of 1.5 pixels in a window of 11 by 11, C1 = .01^2 and C2 = .03^2,
    averaged over all windows that lie in the picture.

    Parameters
    ----------
    drawn, seen : sequence of array of shape (height, width, 3), uint8
    side_px : int
        As in `pixel_correlation`; 11 or more.

    Returns
    -------
    array of shape (n,), float64
        1 for the same picture.
    """
    if side_px <= 2 * _RADIUS:
        raise ValueError(
            f"A window of {2 * _RADIUS + 1} pixels does not fit into pictures of {side_px} pixels."
        )
    return _each(_ssim, drawn, seen, side_px)


def _each(
    measure: Callable[[FloatArray, FloatArray], float],
    drawn: Sequence[Picture],
    seen: Sequence[Picture],
    side_px: int,
) -> npt.NDArray[np.float64]:
    if len(drawn) != len(seen):
        raise ValueError(f"{len(drawn)} drawn pictures cannot be compared with {len(seen)} seen ones.")
    pairs = zip(drawn, seen, strict=True)
    return np.array([measure(_scaled(one, side_px), _scaled(other, side_px)) for one, other in pairs])


def _scaled(picture: Picture, side_px: int) -> npt.NDArray[np.float64]:
    scaled = Image.fromarray(picture).resize((side_px, side_px), Image.Resampling.BILINEAR)
    return np.asarray(scaled, np.float64) / 255


def _correlation(one: FloatArray, other: FloatArray) -> float:
    return float(correlations(one.reshape(1, -1), other.reshape(1, -1))[0, 0])


def _ssim(one: FloatArray, other: FloatArray) -> float:
    x, y = one @ _GREY, other @ _GREY
    mean_x, mean_y = _smoothed(x), _smoothed(y)
    # Weights add up to one, so a covariance is the mean product less the product of means.
    variances = _smoothed(x * x) - mean_x**2 + _smoothed(y * y) - mean_y**2
    covariance = _smoothed(x * y) - mean_x * mean_y
    like = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return float(np.mean(like / ((mean_x**2 + mean_y**2 + _C1) * (variances + _C2))))


def _smoothed(grey: FloatArray) -> npt.NDArray[np.float64]:
    """Return the weighted mean of every window that lies in the picture."""
    smoothed: npt.NDArray[np.float64] = gaussian_filter(grey, _SIGMA, radius=_RADIUS)
    return smoothed[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """Whether drawn pictures are known again by what an image encoder makes of them, trial by trial.

    Attributes
    ----------
    fits : array of shape (n, n_pictures), float64
        Correlation of the features of each drawn picture with those of every seen one.
    truth : array of shape (n,), int64
        Which was seen.
    forward : array of shape (n,), float64
        From the drawn picture: share of the other seen pictures that it is less like than its own.
    backward : array of shape (n,), float64
        From the seen picture: share of what was drawn of other pictures that is less like it than what was drawn of it.
    """

    fits: npt.NDArray[np.float64]
    truth: IntArray
    forward: npt.NDArray[np.float64]
    backward: npt.NDArray[np.float64]

    def k_way(self, k: int, seeds: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return whether each trial's picture was found among k, by draw: shape (n_seeds, n).

        Every draw takes, for each trial, its picture and k - 1 others at random; `identification.k_way` is the mean
        over all draws. Of n_pictures, k may be as many at most.
        """
        if not 2 <= k <= self.fits.shape[1]:
            raise ValueError(f"k is {k}; it lies between 2 and the {self.fits.shape[1]} pictures.")
        return drawn_k_way(self.fits, self.truth, k, seeds)


def picture_identification(drawn: FloatArray, seen: FloatArray, truth: IntArray) -> Identification:
    """Compare what an image encoder makes of drawn pictures and of seen ones.

    Parameters
    ----------
    drawn : array of shape (n, n_features)
    seen : array of shape (n_pictures, n_features)
        At least two pictures, of each of which there is a drawn one or more.
    truth : array of shape (n,), int
        Row of `seen` for each drawn picture.

    Raises
    ------
    ValueError
        If there are fewer than two pictures, or features are not finite.
    """
    if len(np.unique(truth)) < 2:
        raise ValueError("Identification needs drawings of two pictures at least.")
    if not (np.isfinite(drawn).all() and np.isfinite(seen).all()):
        raise ValueError("Features are not finite.")
    fits = correlations(drawn, seen)
    places = truth.astype(np.int64)
    return Identification(fits, places, two_way(fits, places), _backward(fits, places))


def _backward(fits: FloatArray, truth: IntArray) -> npt.NDArray[np.float64]:
    """Return two-way identification from the seen picture; ties count half."""
    shares = np.empty(len(truth))
    for picture in np.unique(truth):
        own = truth == picture
        others = np.sort(fits[~own, picture])
        below = np.searchsorted(others, fits[own, picture], "left")
        upto = np.searchsorted(others, fits[own, picture], "right")
        shares[own] = (below + upto) / 2 / len(others)
    return shares


@dataclass(frozen=True, slots=True)
class Spanned:
    """A figure with its 95 % bootstrap interval over pictures.

    Attributes
    ----------
    value, low, high : float
    n, n_pictures : int
        Trials and pictures that it rests on.
    """

    value: float
    low: float
    high: float
    n: int
    n_pictures: int


def difference_of_means(
    ours: FloatArray, theirs: FloatArray, pictures: IntArray, *, seed: int = 0
) -> Spanned:
    """Return how much larger a score is than another of the same trials, drawn together with their pictures.

    Parameters
    ----------
    ours, theirs : array of shape (n,)
        Scores of any range.
    pictures : array of shape (n,), int
        What each trial showed, of eight pictures at least.

    Raises
    ------
    ValueError
        If the two differ in number, or pictures are too few.
    """
    return _of_means(lambda our, their: our - their, ours, theirs, pictures, seed)


def ratio_of_means(ours: FloatArray, theirs: FloatArray, pictures: IntArray, *, seed: int = 0) -> Spanned:
    """Return a mean score over another's, both of the same trials, as `difference_of_means`.

    Raises
    ------
    ValueError
        As there, or if a mean of `theirs` is not above 0.
    """
    return _of_means(_ratio, ours, theirs, pictures, seed)


def _ratio(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    if not (theirs > 0).all():
        raise ValueError("A ratio needs means above 0.")
    return ours / theirs


def _of_means(
    compare: Callable[[FloatArray, FloatArray], FloatArray],
    ours: FloatArray,
    theirs: FloatArray,
    pictures: IntArray,
    seed: int,
) -> Spanned:
    n_pictures = len(np.unique(pictures))
    if len(ours) != len(theirs) or len(ours) != len(pictures):
        raise ValueError(
            f"{len(ours)} and {len(theirs)} scores of {len(pictures)} trials cannot be compared."
        )
    if n_pictures < LEAST_PICTURES:
        raise ValueError(
            f"{n_pictures} pictures say nothing about others; {LEAST_PICTURES} are needed at least."
        )
    both = np.stack([ours, theirs], axis=1).astype(np.float64)
    means = picture_means(both, pictures, seed=seed)
    low, high = bootstrap_interval(compare(means[:, 0], means[:, 1]))
    value = compare(both[:, 0].mean(keepdims=True), both[:, 1].mean(keepdims=True))
    return Spanned(float(value[0]), low, high, len(ours), n_pictures)
