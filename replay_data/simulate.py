"""A small simulated experiment: somebody watches pictures while EEG is recorded."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Channel, FloatArray

from .arrays import ArrayRecording

__all__ = ["save_fif", "simulate_demo"]

#: Electrodes from the occiput on: angle from the vertex and azimuth from the right ear, in degrees.
_ELECTRODES = {
    **{
        "Oz": (92, -90),
        "O1": (92, -108),
        "O2": (92, -72),
        "PO7": (92, -126),
        "PO8": (92, -54),
        "POz": (69, -90),
    },
    **{"P7": (92, -144), "P8": (92, -36), "Pz": (46, -90), "P3": (60, -129), "P4": (60, -51)},
    **{"PO3": (74, -112), "PO4": (74, -68), "TP7": (92, -162), "TP8": (92, -18), "CPz": (23, -90)},
    **{"Cz": (0, 0), "C3": (46, 180), "C4": (46, 0), "Fz": (46, 90), "Fp1": (92, 108), "Fp2": (92, 72)},
}
_HEAD_RADIUS_M = 0.095

#: Components of the evoked response: peak (s), width (s), whether it follows layout or meaning, share.
_COMPONENTS = (
    (0.100, 0.018, "layout", 1.0),
    (0.170, 0.025, "meaning", 1.0),
    (0.240, 0.035, "meaning", 0.8),
    (0.360, 0.060, "meaning", 0.6),
)
#: Step of the simulated amplifier, about 0.12 uV; a power of two, so that a 16-bit file holds a run exactly.
_STEP_V = 2.0**-23


def simulate_demo(
    embeddings: FloatArray,
    names: Sequence[str],
    *,
    n_runs: int = 4,
    duration_s: float = 66.0,
    n_channels: int = 12,
    sfreq_hz: float = 250.0,
    n_layout: int | None = None,
    evoked_uv: float = 4.0,
    soa_s: tuple[float, float] = (0.6, 0.8),
    seed: int = 0,
) -> list[ArrayRecording]:
    """Return runs of simulated EEG in which the evoked response is linear in what is seen.

    Every stimulus adds a common evoked response and one that its embedding drives: at 100 ms the dimensions
    of layout, from 170 to 400 ms the others, each through topographies of its own over the back of the head.
    Beneath lie a 1/f background and an alpha rhythm with topographies, blinks, 50 Hz line noise, drifts and
    sensor noise.

    Parameters
    ----------
    embeddings : array of shape (n_stimuli, n_dimensions)
        What the stimuli are; finite.
    names : sequence of str
        Labels of the markers, one a stimulus.
    n_runs : int
        Recordings to make; they share the forward model.
    duration_s : float
        Length of a run.
    n_channels : int
        Electrodes, up to 22, beginning at the occiput.
    sfreq_hz : float
        Sampling rate.
    n_layout : int or None
        The first dimensions, which drive the early response; None for half of them.
    evoked_uv : float
        Root mean square over stimuli, and over the best channel's peak, of the part that tells stimuli apart.
    soa_s : tuple of float
        Shortest and longest time from onset to onset; every sample between is as likely.
    seed : int
        Same seed, same signal.

    Returns
    -------
    list of ArrayRecording
        In volts, with a marker at the onset sample of every stimulus. Every stimulus comes equally often,
        give or take one, and none twice in a row.

    Raises
    ------
    ValueError
        If there are fewer than two stimuli or more channels than electrodes, or shapes do not fit.
    """
    looks: FloatArray = np.asarray(embeddings, dtype=np.float64)
    if looks.ndim != 2 or len(looks) != len(names) or len(names) < 2:
        raise ValueError(f"{len(names)} names do not fit embeddings of shape {looks.shape}.")
    if not 1 <= n_channels <= len(_ELECTRODES):
        raise ValueError(f"1 to {len(_ELECTRODES)} electrodes can be simulated; got {n_channels}.")
    channels = tuple(
        Channel(name, "eeg", "V", _place(*angles)) for name, angles in list(_ELECTRODES.items())[:n_channels]
    )
    places = np.array([channel.position_m for channel in channels])
    root = np.random.SeedSequence(seed)
    subject, *runs = (np.random.default_rng(child) for child in root.spawn(1 + n_runs))
    n_layout = looks.shape[1] // 2 if n_layout is None else n_layout
    responses = _responses(looks, n_layout, places, sfreq_hz, evoked_uv * 1e-6, subject)
    n_samples = round(duration_s * sfreq_hz)
    recordings = []
    for number, rng in enumerate(runs, start=1):
        data = _background(n_samples, places, sfreq_hz, rng)
        markers = _schedule(len(names), n_samples, len(responses[0]), soa_s, sfreq_hz, rng)
        for onset, stimulus in markers:
            data[onset : onset + len(responses[stimulus])] += responses[stimulus]
        data = np.rint(data / _STEP_V) * _STEP_V
        labels = tuple((onset, names[stimulus]) for onset, stimulus in markers)
        recordings.append(
            ArrayRecording(data, channels, sfreq_hz, labels, name=f"simulated-run-{number:02d}")
        )
    return recordings


def _place(inclination_deg: float, azimuth_deg: float) -> tuple[float, float, float]:
    down, around = np.radians([inclination_deg, azimuth_deg])
    towards = np.array([np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), np.cos(down)])
    x, y, z = (_HEAD_RADIUS_M * towards).astype(np.float32)  # what a file holds of it
    return float(x), float(y), float(z)


def _topographies(
    n: int, places: FloatArray, centre: FloatArray, spread: float, rng: np.random.Generator
) -> FloatArray:
    """Return `n` smooth maps over the electrodes, shape (n, n_channels): dipolar blobs about `centre`."""
    spots = centre + spread * rng.standard_normal((n, 3))
    spots /= np.linalg.norm(spots, axis=1, keepdims=True)
    moments = rng.standard_normal((n, 3))
    away = places[None] / _HEAD_RADIUS_M - 0.8 * spots[:, None]
    # The potential of a current dipole at 0.8 of the radius, as in an unbounded conductor.
    maps: FloatArray = np.einsum("ncx,nx->nc", away, moments) / np.linalg.norm(away, axis=2) ** 3
    maps /= np.sqrt(np.mean(maps**2, axis=1, keepdims=True))
    return maps


def _responses(
    embeddings: FloatArray,
    n_layout: int,
    places: FloatArray,
    sfreq_hz: float,
    rms_v: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the evoked responses, shape (n_stimuli, n_times, n_channels)."""
    times_s = np.arange(round(0.6 * sfreq_hz)) / sfreq_hz
    occiput = np.array([0.0, -0.95, 0.2])
    parts = {"layout": embeddings[:, :n_layout], "meaning": embeddings[:, n_layout:]}
    told = np.zeros((len(embeddings), len(times_s), len(places)))
    common = np.zeros(told.shape[1:])
    for peak_s, width_s, part, share in _COMPONENTS:
        course = np.exp(-0.5 * ((times_s - peak_s) / width_s) ** 2)
        forward = _topographies(parts[part].shape[1], places, occiput, 0.35, rng)
        told += share * np.einsum("t,sc->stc", course, (parts[part] - parts[part].mean(axis=0)) @ forward)
        common += share * np.outer(course, _topographies(1, places, occiput, 0.35, rng)[0])
    size = np.sqrt(np.mean(told**2, axis=0)).max()
    told *= rms_v / size if size else 0.0
    return told + 1.5 * rms_v * common


def _background(n: int, places: FloatArray, sfreq_hz: float, rng: np.random.Generator) -> FloatArray:
    """Return what is there without stimuli, shape (n, n_channels), in volts."""
    n_channels = len(places)
    everywhere = _topographies(24, places, np.zeros(3), 1.0, rng) / np.sqrt(24)
    occipital = _topographies(3, places, np.array([0.0, -0.9, 0.4]), 0.2, rng) / np.sqrt(3)
    times_s = np.arange(n) / sfreq_hz
    data: FloatArray = (
        8e-6 * _noise(n, 24, lambda f: 1 / np.sqrt(np.maximum(f, 0.5)), sfreq_hz, rng) @ everywhere
    )
    data += 5e-6 * _noise(n, 3, lambda f: np.exp(-0.5 * ((f - 10) / 0.8) ** 2), sfreq_hz, rng) @ occipital
    data += 15e-6 * _noise(n, n_channels, lambda f: np.where((f > 0) & (f < 0.15), 1.0, 0.0), sfreq_hz, rng)
    data += np.outer(np.sin(2 * np.pi * 50 * times_s), rng.uniform(0.5e-6, 1.5e-6, n_channels))
    # Blinks come from the eyes and fade towards the back.
    eyes = np.array([0.0, 0.09, -0.03])
    fading: FloatArray = np.exp(-np.linalg.norm(places - eyes, axis=1) / 0.05)
    for blink_s in np.cumsum(rng.exponential(5.0, int(n / sfreq_hz))):
        data += 150e-6 * np.outer(np.exp(-0.5 * ((times_s - blink_s) / 0.08) ** 2), fading)
    data += 1e-6 * rng.standard_normal(data.shape)
    return data


def _noise(
    n: int,
    n_sources: int,
    gain: Callable[[FloatArray], FloatArray],
    sfreq_hz: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return Gaussian noise whose amplitude over frequency is `gain`, shape (n, n_sources), unit variance."""
    frequencies_hz: FloatArray = np.fft.rfftfreq(n, 1 / sfreq_hz)
    spectrum = np.fft.rfft(rng.standard_normal((n, n_sources)), axis=0) * gain(frequencies_hz)[:, None]
    noise: FloatArray = np.fft.irfft(spectrum, n, axis=0)
    noise /= np.sqrt(np.mean(noise**2))
    return noise


def _schedule(
    n_stimuli: int,
    n_samples: int,
    n_response: int,
    soa_s: tuple[float, float],
    sfreq_hz: float,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Return (onset sample, stimulus): in shuffled rounds of all stimuli, none twice in a row."""
    shortest, longest = (round(soa * sfreq_hz) for soa in soa_s)
    onset, last, shown = round(2 * sfreq_hz), -1, list[tuple[int, int]]()
    while True:
        order = rng.permutation(n_stimuli)
        if order[0] == last:
            order = np.roll(order, 1)
        for stimulus in order:
            if onset + n_response > n_samples:
                return shown
            shown.append((onset, int(stimulus)))
            onset += int(rng.integers(shortest, longest + 1))
        last = int(order[-1])


def save_fif(recording: Recording, path: Path) -> None:
    """Write an EEG recording in volts as a 16-bit FIF file, markers as annotations.

    A value is held to 0.12 uV, what the simulated amplifier resolves; `open_recording` reads a simulated run
    back as it was.

    Parameters
    ----------
    recording : Recording
        Channels in volts, values within 3.9 mV.
    path : Path
        The file; its name ends in ``_eeg.fif`` or ``_raw.fif``.
    """
    import mne

    data = recording.read(0, recording.n_samples)
    if (largest := float(np.abs(data).max())) > 32767 * _STEP_V:
        raise ValueError(f"16 bits hold up to 3.9 mV; the recording reaches {largest * 1e3:.3g} mV.")
    info = mne.create_info([channel.name for channel in recording.channels], recording.sfreq_hz, "eeg")
    for described, channel in zip(info["chs"], recording.channels, strict=True):
        described["cal"] = _STEP_V
        if channel.position_m is not None:
            described["loc"][:3] = channel.position_m
    raw = mne.io.RawArray(data.T, info, verbose="error")
    onsets_s = [sample / recording.sfreq_hz for sample, _ in recording.markers]
    raw.set_annotations(mne.Annotations(onsets_s, 0.0, [label for _, label in recording.markers]))
    raw.save(path, fmt="short", overwrite=True, verbose="error")
