"""Cut trials from continuous recordings by the offline recipes with which THINGS-EEG2's files of trials were made.

Epoch, subtract the mean before the onset, resample with a filter that looks ahead, draw as many repeats as every image
has, whiten by the noise of the training trials, join the sessions. None of it could run live; it is here so that the
published files can be made of a simulated subject.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray, IntArray

from .names import CHANNELS_17, CHANNELS_63
from .write_trials import CutTrials, TrialForm

__all__ = ["RECIPES", "Recipe", "cut_trials", "ledoit_wolf", "noise_whiteners"]

#: Trials in memory at once.
_BLOCK_TRIALS = 128


@dataclass(frozen=True, slots=True)
class Recipe:
    """How trials are cut.

    Attributes
    ----------
    first_s, last_s : float
        From when to when after the onset, both ends included.
    sfreq_hz : float
        Rate to resample to.
    n_dropped : int
        Samples cut from the front after that; the times keep them, as published.
    channels : tuple of str
        Channels by name, in their order.
    mixes_sessions : bool
        Whether repeats are reordered over the sessions.
    """

    first_s: float
    last_s: float
    sfreq_hz: float
    n_dropped: int
    channels: tuple[str, ...]
    mixes_sessions: bool


RECIPES: dict[TrialForm, Recipe] = {
    "osf": Recipe(-0.2, 0.8, 100.0, 0, CHANNELS_17, True),
    "250hz": Recipe(-0.2, 1.0, 250.0, 50, CHANNELS_63, True),
    "ubp": Recipe(-0.2, 1.0, 250.0, 50, CHANNELS_63, False),
    "neurobridge": Recipe(-0.2, 1.0, 250.0, 50, CHANNELS_63, False),
}


def cut_trials(
    sessions: Sequence[Sequence[Recording]],
    recipe: Recipe,
    split: str,
    *,
    n_images: int,
    n_repeats: int,
    seed: int,
    whiteners: Sequence[FloatArray] | None = None,
) -> CutTrials:
    """Return a split's trials, which are cut as they are asked for.

    Parameters
    ----------
    sessions : sequence of sequences of Recording
        The recordings of each session, in volts, with ids.
    n_images : int
        Images 1 to n_images are cut.
    n_repeats : int
        Repeats taken of an image in each session that showed it; the rest are fill trials and left out.
    seed : int
        Of the draw of repeats and of their order.
    whiteners : sequence of array of shape (n_channels, n_channels), optional
        By session, what the channels are multiplied by; see `noise_whiteners`.

    Raises
    ------
    RecordingError
        If an image was shown too rarely, or in more sessions than others, or a channel is missing.
    """
    rng = np.random.default_rng(seed)
    chosen = _choose(sessions, recipe, split, n_images, n_repeats, rng)
    order = rng.permutation(len(chosen[0])) if recipe.mixes_sessions else np.arange(len(chosen[0]))
    chosen = [[trials[at] for at in order] for trials in chosen]
    columns = [[_columns(recording, recipe) for recording in session] for session in sessions]

    def blocks() -> Iterator[FloatArray]:
        n = max(1, _BLOCK_TRIALS // len(order))
        for start in range(0, n_images, n):
            images = chosen[start : start + n]
            cut = [
                _epoch(sessions[s][r], at, recipe, columns[s][r]) for trials in images for s, r, at in trials
            ]
            block = _resampled(np.stack(cut), sessions[0][0].sfreq_hz, recipe)
            if whiteners is not None:
                order_s = [s for trials in images for s, _, _ in trials]
                block = np.stack([whiteners[s] @ trial for s, trial in zip(order_s, block, strict=True)])
            yield block[..., recipe.n_dropped :].reshape(len(images), len(order), len(recipe.channels), -1)

    n_times = _n_times(recipe)
    return CutTrials(
        shape=(n_images, len(order), len(recipe.channels), n_times - recipe.n_dropped),
        blocks=blocks(),
        names=recipe.channels,
        times_s=recipe.first_s + np.arange(n_times) / recipe.sfreq_hz,
        sessions=np.array([[s + 1 for s, _, _ in trials] for trials in chosen], dtype=np.int64),
    )


def noise_whiteners(
    sessions: Sequence[Sequence[Recording]], recipe: Recipe, split: str = "train", n_most: int = 2000
) -> list[FloatArray]:
    """Return, by session, the inverse square root of the noise covariance, as the published trials were whitened with.

    The covariance is the mean of the shrunk covariances of single trials over time, of the training trials alone: the
    variant 'epochs' of M. Guggenmos, P. Sterzer and R. M. Cichy, NeuroImage 173 (2018).

    Parameters
    ----------
    n_most : int
        Trials a session at most, evenly spread: their mean covariance has settled long before.
    """
    whiteners = []
    for session in sessions:
        trials = [
            (recording, int(at))
            for recording in session
            for at in recording.stimuli.onset[_of_split(recording, split)]
            if _inside(recording, int(at), recipe)
        ]
        if not trials:
            raise RecordingError(
                f"No {split} trial lies in {session[0].name} as a whole, so its noise is not known."
            )
        places = np.unique(np.linspace(0, len(trials) - 1, min(len(trials), n_most)).astype(int))
        mean = np.zeros((len(recipe.channels),) * 2)
        for place in places:
            recording, at = trials[place]
            epoch = _epoch(recording, at, recipe, _columns(recording, recipe))
            trial = _resampled(epoch[None], recording.sfreq_hz, recipe)[0][:, recipe.n_dropped :]
            # Channels are brought to one scale before shrinking and back after it, as the published scripts do.
            spread = trial.std(axis=1)
            spread[spread == 0] = 1
            mean += ledoit_wolf(trial.T / spread) * np.outer(spread, spread)
        values, vectors = np.linalg.eigh(mean / len(places))
        whiteners.append(vectors @ np.diag(values**-0.5) @ vectors.T)
    return whiteners


def ledoit_wolf(samples: FloatArray) -> FloatArray:
    """Return the covariance of samples, shrunk towards a multiple of the identity.

    O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
    Multivariate Analysis 88 (2004), equation 14 and lemmas 3.2 to 3.5.

    Parameters
    ----------
    samples : array of shape (n_samples, n_channels), floating
        The samples; their mean is taken off.
    """
    centred = samples - samples.mean(axis=0)
    n, p = centred.shape
    covariance = centred.T @ centred / n
    mean_variance = np.trace(covariance) / p
    distance = float(np.sum((covariance - mean_variance * np.eye(p)) ** 2))
    # the squared distance of every sample's own outer product from the covariance, summed without making the products
    error = float(np.sum(np.sum(centred**2, axis=1) ** 2) / n - np.sum(covariance**2)) / n
    weight = min(error, distance) / distance if distance else 0.0
    shrunk: FloatArray = (1 - weight) * covariance + weight * mean_variance * np.eye(p)
    return shrunk


def _of_split(recording: Recording, split: str) -> FloatArray:
    stimuli = recording.stimuli
    if stimuli.id is None or stimuli.split is None:
        raise RecordingError(
            f"{recording.name} does not say which pictures were shown; trials cannot be cut from it."
        )
    places: FloatArray = (stimuli.split == split) & (stimuli.id >= 1)
    return places


def _bounds(recording: Recording, recipe: Recipe) -> tuple[int, int]:
    return round(recipe.first_s * recording.sfreq_hz), round(recipe.last_s * recording.sfreq_hz) + 1


def _inside(recording: Recording, onset: int, recipe: Recipe) -> bool:
    first, stop = _bounds(recording, recipe)
    return onset + first >= 0 and onset + stop <= recording.n_samples


def _n_times(recipe: Recipe) -> int:
    return round((recipe.last_s - recipe.first_s) * recipe.sfreq_hz)


def _columns(recording: Recording, recipe: Recipe) -> IntArray:
    names = [channel.name for channel in recording.channels]
    if lacking := [name for name in recipe.channels if name not in names]:
        raise RecordingError(
            f"{recording.name} has no {', '.join(lacking[:10])}, which the files of trials hold."
        )
    return np.array([names.index(name) for name in recipe.channels], dtype=np.int64)


def _choose(
    sessions: Sequence[Sequence[Recording]],
    recipe: Recipe,
    split: str,
    n_images: int,
    n_repeats: int,
    rng: np.random.Generator,
) -> list[list[tuple[int, int, int]]]:
    """Return, by image, (session, recording, onset) of the trials drawn."""
    chosen: list[list[tuple[int, int, int]]] = [[] for _ in range(n_images)]
    for s, session in enumerate(sessions):
        shown: list[list[tuple[int, int, int]]] = [[] for _ in range(n_images)]
        for r, recording in enumerate(session):
            stimuli, places = recording.stimuli, _of_split(recording, split)
            assert stimuli.id is not None
            for at, image in zip(stimuli.onset[places], stimuli.id[places], strict=True):
                if image <= n_images and _inside(recording, int(at), recipe):
                    shown[image - 1].append((s, r, int(at)))
        for image, trials in enumerate(shown):
            if trials and len(trials) < n_repeats:
                raise RecordingError(
                    f"Session {s + 1} shows {split} image {image + 1} {len(trials)} times as a whole, and {n_repeats} "
                    "are due. Ask for fewer repeats."
                )
            picked = rng.permutation(len(trials))[:n_repeats]
            chosen[image] += [trials[at] for at in picked]
    counts = {len(trials) for trials in chosen}
    if len(counts) != 1 or 0 in counts:
        raise RecordingError(
            f"The {split} images were shown in different numbers of sessions: {sorted(counts)} trials each. Give the "
            "recordings of all sessions, and only the images that they show."
        )
    return chosen


def _epoch(recording: Recording, onset: int, recipe: Recipe, columns: IntArray) -> FloatArray:
    """Return one trial, channels by times, its mean up to the onset taken off."""
    first, stop = _bounds(recording, recipe)
    epoch = recording.read(onset + first, onset + stop)[:, columns].T.astype(np.float64)
    based: FloatArray = epoch - epoch[:, : 1 - first].mean(axis=1, keepdims=True)
    return based


def _resampled(trials: FloatArray, sfreq_hz: float, recipe: Recipe) -> FloatArray:
    """Return trials at the recipe's rate, as MNE-Python's Epochs.resample does, by FFT, but all rows at once."""
    n_times = _n_times(recipe)
    if sfreq_hz == recipe.sfreq_hz:
        return trials[..., :n_times]
    # SciPy's signal package takes long to import, and readers look in here, too.
    from scipy.signal import resample

    ratio, n = recipe.sfreq_hz / sfreq_hz, trials.shape[-1]
    n_padded = 1 << (n + 2 * min(n // 8, 100) - 1).bit_length()
    before = (n_padded - n) // 2
    padded = np.pad(trials, [(0, 0)] * (trials.ndim - 1) + [(before, n_padded - n - before)], "edge")
    first = round(ratio * before)
    resampled: FloatArray = resample(padded, round(ratio * n_padded), axis=-1)
    return resampled[..., first : first + n_times]
