r"""A generative decoder: what a picture's embedding does to the signal, turned around by Bayes' rule. Needs no torch.

The signal of a trial is taken for the mean trial, plus a response that is linear in the picture's embedding, plus
Gaussian noise: :math:`x = \mu + B (e - \bar e) + n`. The response is learnt from all trials, under a prior that is
learnt from all dimensions of the embedding together: first one product of courses and maps (`fit_tuning`), then, where
dimensions and trials are many enough for it, maps of its own for each course (`fit_own_maps`). The noise is learnt
from what windows hold. The log-likelihood of an entry of the gallery is then linear in the signal,
:math:`(e - \bar e)' B' \Sigma^{-1} (x - \mu) - (e - \bar e)' B' \Sigma^{-1} B (e - \bar e) / 2`, and since noise is
whitened forward in time (`ForwardWhitening`) each window adds a term of its own. A regression from the signal to the
embedding has to learn the noise of all its features by heart instead, and needs many times as many trials.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import linalg

from decode_stream.decoders.gallery_projector import GalleryProjector
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.stream.windows import WindowSchedule

from .encoding_sums import (
    SOME_TRIALS,
    Trials,
    left_of_trials,
    noise_of_windows,
    some_of,
    spatial_mixtures,
    sum_trials,
)
from .lda import LinearReadout
from .own_maps import FEWEST_AXES, fit_own_maps
from .picture_noise import fit_picture_noise, shown_again
from .tuning_prior import Measured, Tuning, fit_tuning, refined_responses, smooth_courses
from .window_noise import ForwardWhitening, shrunk

__all__ = ["EncodingReadout", "fit_encoding_model"]

_FEWEST_TRIALS = 100
#: Of an embedding; a matrix of all their products is diagonalised.
_MOST_TARGET_DIMS = 4096
#: Responses rise and fall no faster than this, seconds (standard deviation of a Gaussian).
_WIDTH_S = 0.02
#: At first the courses are sought on so many mixtures of channels, then so many of them are tried on all.
_FIRST_CHANNELS, _MOST_COURSES = 60, 8
_FEWER_COURSES = (3, 4, 6)
_STEPS = 6
#: Noise is taken for so much louder than it is where all responses are learnt by one product: a prior that is learnt
#: from few dimensions believes too much. Chosen on held-out training pictures of simulated people, EEG and MEG.
_CAUTION = 1.5
#: The directions that hold this share of what tells the training pictures apart are kept, so many at most.
_SHARE, _MOST_DIMENSIONS = 0.999, 128
#: Trials that the covariance of all that is left in those directions is measured on: what the noise remembers beyond a
#: window, and what a picture does that its embedding does not tell. Of fewer trials for each axis the responses are too
#: uncertain for that: what they took from the noise of these very trials would be missing there.
_LEFT_TRIALS, _TRIALS_AN_AXIS = 10_000, 10


@dataclass(frozen=True, eq=False)
class EncodingReadout:
    """A linear decoder whose inner products with a gallery are log-likelihoods.

    The embedding of a window is what it tells of the response to the picture, in units of the noise of a whole trial's
    sum, which is alike in every direction, and as its last number how much of a whole trial's noise-free difference the
    window holds. An entry of the gallery stands there with what it is expected to do, and as its last number minus half
    its square. Their inner product, summed over the windows so far, is the log-likelihood at this latency.

    Attributes
    ----------
    linear : LinearReadout
        Its weights and biases give the embeddings.
    tuning : array of shape (dimension, target_dim), float64
        From how a picture's embedding differs from the mean one to what it is expected to do.
    center : array of shape (target_dim,), float64
        The mean embedding in training.
    rho : array of shape (dimension,), float64, or None
        Which share of the noise in each direction comes again at every showing of a picture; None where too few
        pictures are shown again in training.
    """

    linear: LinearReadout
    tuning: npt.NDArray[np.float64]
    center: npt.NDArray[np.float64]
    rho: npt.NDArray[np.float64] | None = None

    def embed(self, windows: FloatArray) -> npt.NDArray[np.float64]:
        """Return the embeddings of every window of trials.

        Parameters
        ----------
        windows : array of shape (n_trials, n_latencies, n_channels, n_times)

        Returns
        -------
        array of shape (n_trials, n_latencies, dimension + 1), float64
        """
        return self.linear.embed(windows)

    def projector(self, *, unit: bool) -> GalleryProjector:
        """Return what makes a gallery of pictures' embeddings, brought to unit length first with `unit`."""
        bias = -self.tuning @ self.center
        rho = None if self.rho is None else self.rho.astype(np.float32)
        return GalleryProjector(
            self.tuning.astype(np.float32), bias.astype(np.float32), unit, gaussian=True, rho=rho
        )


def fit_encoding_model(
    windows: FloatArray,
    embeddings: FloatArray,
    schedule: WindowSchedule,
    n_latencies: int,
    pictures: IntArray | None = None,
) -> EncodingReadout:
    """Fit the model on whole trials. All that is chosen is chosen by the evidence of the training trials.

    Trials are read in blocks, four times, and once more where pictures are shown again; beside a block, only sums over
    trials are held, and what they tell in the end.

    Parameters
    ----------
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
        May be mapped from a file.
    embeddings : array of shape (n_trials, target_dim)
        The embedding of each trial's picture.
    schedule : WindowSchedule
        Of windows that slide.
    n_latencies : int
    pictures : array of shape (n_trials,), int, or None
        What each trial shows; None where every trial shows a picture of its own.

    Raises
    ------
    UsageError
        If there are fewer than 100 trials, embeddings are all alike or of more than 4096 numbers, or windows leave
        samples out.
    """
    _check(windows, embeddings, schedule, n_latencies)
    trials = Trials(windows, schedule, n_latencies, spatial_mixtures(windows, schedule))
    center = embeddings.mean(axis=0, dtype=np.float64)
    shown = embeddings - center
    sums = sum_trials(trials, shown)
    spread, axes = linalg.eigh(sums.products)
    kept = spread > 1e-6 * spread[-1]
    spread, axes = spread[kept], axes[:, kept]
    found = (axes.T @ sums.cross / spread[:, None]).reshape(-1, trials.n_samples, trials.n_out)
    window = shrunk(noise_of_windows(trials, sums, found, spread), sums.n_windows)
    whitening = ForwardWhitening.of(window, schedule.n_times, trials.stops)
    measured = Measured(whitening.whiten(found), spread)
    tuning = _courses(measured, whitening, window, float(schedule.sfreq_hz))
    readout, expected = _directions(axes, tuning.responses, spread / len(windows))
    left = partial(left_of_trials, trials, whitening, sums.mean, shown)
    some = left(readout, expected, some_of(len(shown), SOME_TRIALS))
    # It would be 1 if noise had no memory longer than a window.
    noise = float(some.var(axis=0).mean())
    measured = replace(measured, precision=spread / noise)
    responses = _responses(measured, whitening, tuning)
    readout, expected = _directions(axes, responses, spread / len(windows))
    rho = None
    if len(windows) >= _TRIALS_AN_AXIS * len(spread):
        some = left(readout, expected, some_of(len(shown), _LEFT_TRIALS))
        readout, expected = _white(readout, expected, some)
        if pictures is not None and len(again := shown_again(pictures)):
            turned, rho = fit_picture_noise(left(readout, expected, again), pictures[again])
            readout, expected = turned @ readout, turned @ expected
    else:
        readout, expected = readout / np.sqrt(noise), expected / np.sqrt(noise)
    share = [(spread @ responses[:, part] ** 2).sum() for part in whitening.parts()]
    linear = _linear(trials, whitening.by_window(readout), sums.mean, np.array(share) / np.sum(share))
    return EncodingReadout(linear, expected, center, rho)


def _linear(trials: Trials, weights: FloatArray, mean: FloatArray, share: FloatArray) -> LinearReadout:
    """Return weights on mixtures of channels, (n_latencies, dimension, n_times, n_out), as those on the channels."""
    bias = [
        -np.einsum("dtk,tk->d", of_window, trials.part(mean[None], k)[0])
        for k, of_window in enumerate(weights)
    ]
    by_channel = np.einsum("ldtk,ck->ldct", weights, trials.spatial, optimize=True)
    constant = np.zeros((len(weights), 1, *by_channel.shape[2:]))
    return LinearReadout(
        np.concatenate([by_channel, constant], axis=1),
        np.concatenate([np.stack(bias), share[:, None]], axis=1),
        float(trials.schedule.step_s),
    )


def _check(windows: FloatArray, embeddings: FloatArray, schedule: WindowSchedule, n_latencies: int) -> None:
    if (
        windows.shape[1] != n_latencies
        or len(embeddings) != len(windows)
        or windows.shape[3] != schedule.n_times
    ):
        raise ValueError(
            f"Windows of shape {windows.shape} do not fit {len(embeddings)} embeddings and {n_latencies} latencies of "
            f"{schedule.n_times} samples."
        )
    if schedule.step_s > schedule.length_s:
        raise UsageError(
            f"Windows of {float(schedule.length_s):g} s every {float(schedule.step_s):g} s leave samples out; an "
            "encoding model needs windows that follow each other without a gap."
        )
    if len(windows) < _FEWEST_TRIALS:
        raise UsageError(
            f"An encoding model needs {_FEWEST_TRIALS} trials at least, and there are {len(windows)}. Train on more "
            "recordings."
        )
    if embeddings.shape[1] > _MOST_TARGET_DIMS:
        raise UsageError(
            f"An encoding model takes embeddings of up to {_MOST_TARGET_DIMS} numbers; these have "
            f"{embeddings.shape[1]}. Take a pooled layer of the target's model."
        )
    if not np.ptp(embeddings, axis=0).any():
        raise UsageError("All trials show pictures with one embedding; there is nothing to tell apart.")


def _courses(measured: Measured, whitening: ForwardWhitening, window: FloatArray, sfreq_hz: float) -> Tuning:
    """Return a prior with a few courses, found among all smooth ones.

    Maps are first taken for those of the brain's own noise: where that is louder than the sensors' lies what the brain
    can answer with.
    """
    n = whitening.n_channels
    variances = np.diagonal(window)[:n]
    floor = 0.9 * variances.min()
    maps = np.diag(np.sqrt(np.maximum(variances - floor, 0.02 * floor)))
    maps *= np.sqrt(n) / linalg.norm(maps)
    courses = smooth_courses(whitening.stops[-1], sfreq_hz, _WIDTH_S)
    tuning = fit_tuning(measured, whitening, courses, maps[:, :_FIRST_CHANNELS], _STEPS).ordered(
        _MOST_COURSES
    )
    return fit_tuning(measured, whitening, tuning.courses, maps, _STEPS)


def _responses(measured: Measured, whitening: ForwardWhitening, tuning: Tuning) -> npt.NDArray[np.float64]:
    """Return the posterior mean of each response, from a first prior whose courses span all there can be."""
    cautious = replace(measured, precision=measured.precision / _CAUTION)
    product = _fewest_courses(cautious, whitening, tuning)
    if len(measured.precision) >= FEWEST_AXES:
        own = fit_own_maps(measured, whitening, tuning.courses, product)
        # Of few trials maps of their own are not worth their penalty: nothing would be left of the responses.
        if own.log_evidence > fit_tuning(measured, whitening, product.courses, product.maps, 0).log_evidence:
            return own.responses
    return refined_responses(cautious, whitening, product, _STEPS)


def _fewest_courses(measured: Measured, whitening: ForwardWhitening, tuning: Tuning) -> Tuning:
    """Return the prior with as many courses as the evidence asks for."""
    tuning = tuning.ordered()
    numbers = [n for n in _FEWER_COURSES if n < tuning.courses.shape[1]]
    tried = [
        fit_tuning(measured, whitening, tuning.courses[:, :n], tuning.maps, _STEPS)
        for n in (*numbers, tuning.courses.shape[1])
    ]
    return max(tried, key=lambda one: one.log_evidence)


def _directions(
    axes: FloatArray, responses: FloatArray, variances: FloatArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the directions of whitened trials that tell pictures apart, and what pictures are expected to do there.

    Parameters
    ----------
    axes : array of shape (target_dim, n_axes)
    responses : array of shape (n_axes, n_numbers)
        Whitened.
    variances : array of shape (n_axes,)
        Of the training pictures' embeddings along each axis.

    Returns
    -------
    array of shape (dimension, n_numbers), float64
        At right angles, of unit length.
    array of shape (dimension, target_dim), float64
    """
    _, sizes, directions = linalg.svd(np.sqrt(variances)[:, None] * responses, full_matrices=False)
    told = np.cumsum(sizes**2) / np.sum(sizes**2)
    directions = directions[: min(_MOST_DIMENSIONS, int(np.searchsorted(told, _SHARE)) + 1)]
    return directions, directions @ responses.T @ axes.T


def _white(
    readout: FloatArray, expected: FloatArray, left: FloatArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return directions, and what pictures are expected to do there, in which what was left of trials is white."""
    left = left - left.mean(axis=0)
    root = linalg.cholesky(shrunk(left.T @ left / len(left), len(left)), lower=True)
    white = linalg.solve_triangular(root, readout, lower=True)
    return white, linalg.solve_triangular(root, expected, lower=True)
