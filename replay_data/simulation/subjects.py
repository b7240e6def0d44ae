"""Simulated subjects: who they are is drawn, how loud their brains are is fixed.

Early sources lie in V1 to V3 about the calcarine sulcus and follow layout, later ones in lateral and ventral
occipitotemporal cortex and follow meaning. Beneath lies noise with a 1/f spectrum from dipoles all over the brain, an
occipital alpha rhythm and sensor noise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import Channel, FloatArray

from .forward import Artefacts, ForwardModel, Noise
from .head_models import (
    CENTRE_M,
    RADIUS_M,
    brain_dipoles,
    eeg_channels,
    eeg_lead_field,
    meg_channels,
    meg_lead_field,
)
from .noise_blocks import variance

__all__ = ["eeg_subject", "enlarged", "meg_subject"]

_LeadField = Callable[[tuple[Channel, ...], FloatArray, FloatArray], npt.NDArray[np.float64]]

#: Parts of the evoked response: peak (s), width (s), what drives it, size.
_COMPONENTS = {
    "C1": (0.075, 0.012, "layout", 0.7),
    "P1": (0.110, 0.016, "layout", 1.0),
    "N170": (0.170, 0.022, "meaning", 1.0),
    "P2": (0.225, 0.028, "meaning", 0.8),
    "N300": (0.300, 0.042, "meaning", 0.7),
    "N400": (0.390, 0.055, "meaning", 0.6),
}
_N_TIMES_S = 0.6
_SOURCES_EACH = 16
#: Where they lie, seen from the centre of the head: degrees sideways from the occiput and up, share of the radius.
_REGIONS = {
    "layout": ((4.0, 35.0), (-15.0, 20.0), (0.62, 0.85)),
    "meaning": ((30.0, 80.0), (-35.0, 10.0), (0.60, 0.85)),
}
#: The response common to all pictures, in standard deviations of what tells them apart.
_COMMON = 1.5
_N_BRAIN_DIPOLES = 2000
#: Background: poles and zeros by turns give 1/f from 0.3 Hz on, and steeper from 60 Hz.
_POLES_HZ, _ZEROS_HZ = (0.3, 2.4, 19.0, 60.0), (0.85, 6.8, 54.0)
_ALPHA_HZ, _ALPHA_WIDTH_HZ = 10.0, 1.6
_N_ALPHA = 8


@dataclass(frozen=True)
class _Loudness:
    """How large everything is, in the channels' units: microvolts or femtotesla.

    Set once, by `benchmarks/simulated_subjects.py`, so that a ridge regression on all channels reaches what is
    published for linear decoders of THINGS-EEG2 and THINGS-MEG, single trials and averages alike, and not touched
    since. `evoked` and `specific` decide it: the former single trials, the latter at what many repeats saturate. It
    reaches, among 200 unseen images: EEG single trials 1.5 % (top-5 6.0 %), 80 averaged 13.5 % (38.5 %); MEG single
    trials 1.9 % (7.9 %), 12 averaged 9.5 % (31.5 %).

    Attributes
    ----------
    evoked : float
        Standard deviation over pictures of the largest component's peak, at the channel where it is largest.
    specific : float
        Share of that variance which the embedding does not tell.
    background, alpha, sensor : float
        Standard deviation of the noise, root mean square over channels.
    """

    evoked: float
    specific: float
    background: float
    alpha: float
    sensor: float
    blink: float
    line: float
    drift: float
    bad: float
    line_hz: float


_EEG = _Loudness(1.9, 0.6, 12.0, 7.0, 1.0, 150.0, 1.5, 15.0, 25.0, 50.0)
_MEG = _Loudness(55.0, 0.4, 250.0, 200.0, 120.0, 1500.0, 100.0, 500.0, 3000.0, 60.0)

_NOTES = (
    "The head is a sphere; responses add up and do not vary from showing to showing; noise is Gaussian and stationary.",
)


def eeg_subject(
    embeddings: FloatArray,
    n_layout: int,
    seed: int,
    *,
    sfreq_hz: float = 1000.0,
    names: tuple[str, ...] | None = None,
) -> ForwardModel:
    """Return a subject with EEG in microvolts, referenced to Fz.

    Parameters
    ----------
    embeddings : array of shape (n_pictures, n_dims)
        Pictures that are typical of what will be shown: sizes of responses are relative to their spread.
    n_layout : int
        The first dimensions, which say what is where.
    seed : int
        Who it is.
    names : tuple of str, optional
        Electrodes of the 10-05 montage; the 63 of THINGS-EEG2 by default.

    Returns
    -------
    ForwardModel
    """
    channels = eeg_channels() if names is None else eeg_channels(names)
    return _subject("eeg", channels, eeg_lead_field, _EEG, embeddings, n_layout, seed, sfreq_hz)


def meg_subject(
    embeddings: FloatArray,
    n_layout: int,
    seed: int,
    *,
    sfreq_hz: float = 1200.0,
    n_channels: int = 271,
) -> ForwardModel:
    """Return a subject with MEG in femtotesla from CTF axial gradiometers; parameters as for `eeg_subject`."""
    channels = meg_channels(n_channels)
    return _subject("meg", channels, meg_lead_field, _MEG, embeddings, n_layout, seed, sfreq_hz)


def enlarged(forward: ForwardModel, times: float) -> ForwardModel:
    """Return a subject whose responses are so many times as large, above the same noise; its notes say so.

    For showing: what is measured on such a subject says nothing of people.
    """
    note = f"Responses are {times:g} times as large as those of people, for showing; no score of them speaks of people."
    return replace(
        forward, topographies=(times * forward.topographies).astype(np.float32), notes=(*forward.notes, note)
    )


def _subject(
    modality: str,
    channels: tuple[Channel, ...],
    lead_field: _LeadField,
    loudness: _Loudness,
    embeddings: FloatArray,
    n_layout: int,
    seed: int,
    sfreq_hz: float,
) -> ForwardModel:
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    component = np.repeat(np.arange(len(_COMPONENTS)), _SOURCES_EACH)
    times_s = np.arange(round(_N_TIMES_S * sfreq_hz)) / sfreq_hz
    courses = np.array(
        [np.exp(-0.5 * ((times_s - peak) / width) ** 2) for peak, width, _, _ in _COMPONENTS.values()]
    )
    parts = [_sources(part, rng) for _, _, part, _ in _COMPONENTS.values()]
    n_noise = _N_BRAIN_DIPOLES
    brain = brain_dipoles(n_noise, rng)
    alpha = _sources("layout", rng, _N_ALPHA)
    # One call for all: most of its time goes into setting up.
    groups = [*parts, brain, alpha, _eyes()]
    places, moments = (np.concatenate(column) for column in zip(*groups, strict=True))
    field = np.split(
        lead_field(channels, places, moments), np.cumsum([len(group[0]) for group in groups])[:-1]
    )
    weights, bias = _weights(np.asarray(embeddings, np.float64), n_layout, component, loudness.specific, rng)
    topographies = np.concatenate(field[: len(parts)])
    for j, (_, _, _, size) in enumerate(_COMPONENTS.values()):
        mine = component == j
        topographies[mine] *= size * loudness.evoked / np.sqrt((topographies[mine] ** 2).sum(axis=0).max())
    noise = _noise(loudness, field[-3], field[-2], modality, sfreq_hz)
    specific = np.full(len(component), np.sqrt(loudness.specific), np.float32)
    return ForwardModel(
        modality,
        channels,
        sfreq_hz,
        n_layout,
        tuple(_COMPONENTS),
        courses.astype(np.float32),
        component.astype(np.int64),
        topographies.astype(np.float32),
        weights,
        bias,
        specific,
        noise,
        _artefacts(loudness, channels, field[-1].sum(axis=0), rng),
        seed,
        _NOTES,
    )


def _sources(part: str, rng: np.random.Generator, n: int = _SOURCES_EACH) -> tuple[FloatArray, FloatArray]:
    """Return dipoles of a region, as many on the left as on the right: places (n, 3) in metres, moments (n, 3)."""
    sideways, up, share = (rng.uniform(*span, n) for span in _REGIONS[part])
    sideways, up = np.radians(sideways), np.radians(up)
    side = np.where(np.arange(n) % 2, -1.0, 1.0)
    towards = np.stack(
        [side * np.sin(sideways) * np.cos(up), -np.cos(sideways) * np.cos(up), np.sin(up)], axis=1
    )
    moments = rng.standard_normal((n, 3))
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    return np.array(CENTRE_M) + RADIUS_M * share[:, None] * towards, moments


def _eyes() -> tuple[FloatArray, FloatArray]:
    # The eyeball is positive in front, and a lid that closes leads that to the forehead.
    towards = np.array([[-0.35, 0.85, -0.3], [0.35, 0.85, -0.3]])
    return np.array(CENTRE_M) + 0.87 * RADIUS_M * towards, np.array([[0.0, 1.0, 0.0]] * 2)


def _weights(
    embeddings: FloatArray,
    n_layout: int,
    component: npt.NDArray[np.int64],
    specific: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return weights and bias with which the drives of all sources have the same spread over pictures."""
    parts = [part for _, _, part, _ in _COMPONENTS.values()]
    follows = np.array([parts[j] == "layout" for j in component])
    is_layout = np.arange(embeddings.shape[1]) < n_layout
    weights = rng.standard_normal((embeddings.shape[1], len(component))) * (is_layout[:, None] == follows)
    mean = embeddings.mean(axis=0)
    spread = (embeddings - mean) @ weights
    size = np.sqrt((spread**2).mean(axis=0))
    # A part with no dimensions, or one that all pictures share, tells nothing.
    weights *= np.sqrt(1 - specific) / np.where(size > 1e-9, size, np.inf)
    common = _COMMON * rng.standard_normal(len(component))
    return weights.astype(np.float32), (common - mean @ weights).astype(np.float32)


def _noise(
    loudness: _Loudness, brain: FloatArray, occipital: FloatArray, modality: str, sfreq_hz: float
) -> tuple[Noise, ...]:
    white = np.array([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
    n_channels = brain.shape[1]
    parts = [
        # All brain dipoles share one spectrum, so as many sources as their field has dimensions say the same.
        Noise("background", _one_over_f(sfreq_hz), _to_size(_compact(brain), loudness.background)),
        Noise("alpha", _rhythm(sfreq_hz), _to_size(occipital, loudness.alpha)),
        Noise("sensors", white, np.full(n_channels, loudness.sensor, np.float32)),
    ]
    if modality == "eeg":  # the reference electrode's own noise is in every channel
        parts.append(Noise("reference", white, np.full((1, n_channels), -loudness.sensor, np.float32)))
    return tuple(parts)


def _compact(field: FloatArray) -> npt.NDArray[np.float64]:
    """Return fewer sources that give the channels the same covariance, but for one part in 10^6."""
    _, sizes, axes = np.linalg.svd(field, full_matrices=False)
    kept = sizes > 1e-3 * sizes[0]
    compact: npt.NDArray[np.float64] = sizes[kept, None] * axes[kept]
    return compact


def _to_size(topographies: FloatArray, size: float) -> npt.NDArray[np.float32]:
    rms = np.sqrt((topographies**2).sum(axis=0).mean())
    sized: npt.NDArray[np.float32] = (topographies * size / rms).astype(np.float32)
    return sized


def _one_over_f(sfreq_hz: float) -> npt.NDArray[np.float64]:
    poles = np.exp(-2 * np.pi * np.array(_POLES_HZ) / sfreq_hz)
    zeros = np.append(np.exp(-2 * np.pi * np.array(_ZEROS_HZ) / sfreq_hz), 0.0)
    sos = np.array([[1.0, -zero, 0.0, 1.0, -pole, 0.0] for zero, pole in zip(zeros, poles, strict=True)])
    return _of_unit_variance(sos)


def _rhythm(sfreq_hz: float) -> npt.NDArray[np.float64]:
    radius, angle = np.exp(-np.pi * _ALPHA_WIDTH_HZ / sfreq_hz), 2 * np.pi * _ALPHA_HZ / sfreq_hz
    return _of_unit_variance(np.array([[1.0, 0.0, -1.0, 1.0, -2 * radius * np.cos(angle), radius**2]]))


def _of_unit_variance(sos: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sos = sos.copy()
    sos[0, :3] /= np.sqrt(variance(sos))
    return sos


def _artefacts(
    loudness: _Loudness, channels: tuple[Channel, ...], blink: FloatArray, rng: np.random.Generator
) -> Artefacts:
    n = len(channels)
    bad = np.zeros(n, np.float32)
    # Bad contacts lie in front, so that no decoder hinges on which channels they happen to be.
    front = [i for i, channel in enumerate(channels) if channel.position_m and channel.position_m[1] > 0.03]
    if front:
        bad[rng.choice(front, min(2, len(front)), replace=False)] = loudness.bad
    return Artefacts(
        blink=(blink / np.abs(blink).max() * loudness.blink).astype(np.float32),
        line=(loudness.line * rng.lognormal(0.0, 0.5, n)).astype(np.float32),
        line_phase=rng.normal(rng.uniform(0, 2 * np.pi), 0.3, n).astype(np.float32),
        drift=(loudness.drift * rng.lognormal(0.0, 0.4, n)).astype(np.float32),
        bad=bad,
        blinks_per_minute=12.0,
        line_hz=loudness.line_hz,
    )
