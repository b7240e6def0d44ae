"""Channels, chain and windows for recordings of one layout and rate."""

from collections.abc import Sequence
from dataclasses import replace

from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Channel, Modality
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule

from .chains import DECODER_HZ, design_chain, pick_channels, volume_schedule, whole_chain
from .recipe import Gallery, Recipe
from .trial_spec import TrialSpec, trial_schedule, trial_window

__all__ = ["check_alike", "design", "redesign"]

# Of thousands of voxels, one at an edge goes far out whenever the head moves: that withholds no trial.
_VOLUMES = WindowSpec(clamp=5.0)


def design(
    recordings: Sequence[Recording],
    modality: Modality,
    names: Sequence[str] | None,
    gallery: Gallery,
    *,
    spec: TrialSpec | None = None,
    marker_offset_s: float = 0.0,
    onset_channel: str | None = None,
    lag_s: float | None = None,
    width_s: float | None = None,
) -> Recipe:
    """Return the recipe for recordings of one rate, without scaling.

    Parameters
    ----------
    names : sequence of str or None
        Channels to use; by default all of the modality.
    spec : TrialSpec or None
        EEG and MEG: what the model asks of a trial; windows that slide by default.
    marker_offset_s, onset_channel : float, str or None
        How the markers are corrected, see `cut_trials`.
    lag_s, width_s : float or None
        fMRI: when the window of a trial begins and how long it is, see `volume_schedule`.

    Raises
    ------
    UsageError
        If the channels are not there, or something is asked that the modality has not.
    RecordingError
        If the recordings are not alike, or their trials were cut shorter than a window.
    """
    first = recordings[0]
    channels = pick_channels(first.channels, modality, names)
    check_alike(first, recordings[1:], channels, modality)
    spec = spec or TrialSpec()
    if first.epoch is None:
        at_most_hz = spec.sfreq_hz or DECODER_HZ[modality]
        chain = design_chain(channels, first.sfreq_hz, modality, at_most_hz=at_most_hz, band_hz=spec.band_hz)
    else:
        chain = whole_chain(channels, first.sfreq_hz)
    if modality == "fmri":
        schedule, n_latencies, window = _volumes(first, chain.sfreq_hz, lag_s, width_s), 1, _VOLUMES
    else:
        if lag_s is not None or width_s is not None:
            raise UsageError(
                f"--lag-s and --width-s belong to fmri; the windows of {modality} begin at the onset."
            )
        schedule, n_latencies = _trial_windows(first, chain.sfreq_hz, spec)
        window = trial_window(spec, chain.sfreq_hz, first.epoch)
    return Recipe(
        modality,
        tuple(channels),
        chain,
        window,
        schedule,
        n_latencies,
        gallery,
        marker_offset_s,
        onset_channel,
    )


def redesign(recipe: Recipe, recordings: Sequence[Recording], names: Sequence[str] | None) -> Recipe:
    """Return a recipe for recordings of other channels, such as of another person's voxels; all else stays.

    Parameters
    ----------
    recipe : Recipe
        Not scaled yet.
    recordings : sequence of Recording
        Of the same layout and rate.
    names : sequence of str or None
        As for `design`.

    Raises
    ------
    UsageError
        If the channels are not there.
    RecordingError
        If the recordings do not all have them.
    """
    channels = pick_channels(recordings[0].channels, recipe.modality, names)
    check_alike(recordings[0], recordings[1:], channels, recipe.modality)
    picked = whole_chain(channels, recordings[0].sfreq_hz)
    chain = replace(recipe.chain, channels=picked.channels, units=picked.units)
    return replace(recipe, channels=tuple(channels), chain=chain)


def check_alike(
    first: Recording, others: Sequence[Recording], channels: Sequence[Channel], modality: Modality
) -> None:
    """Refuse recordings that cannot be trained on together with the first.

    Raises
    ------
    RecordingError
        If layout or rate differ, or a channel is not in all of them.
    """
    for other in others:
        if other.epoch != first.epoch:
            raise RecordingError(
                f"{first.name} and {other.name} are not laid out alike: {_layout(first)}, and {_layout(other)}. "
                "Train on recordings of one layout."
            )
        if abs(other.sfreq_hz - first.sfreq_hz) > 1e-6 * first.sfreq_hz:
            raise RecordingError(
                f"{first.name} runs at {first.sfreq_hz:g} Hz and {other.name} at {other.sfreq_hz:g} Hz; recordings "
                "trained on together have one rate."
            )
        have = {channel.name for channel in other.channels}
        if missing := [channel.name for channel in channels if channel.name not in have]:
            some = f"{', '.join(missing[:10])}{', ...' if len(missing) > 10 else ''}"
            way = (
                "give one mask for all with --mask"
                if modality == "fmri"
                else "name those that all have with --channels"
            )
            what = f"{len(missing)} channels" if len(missing) > 1 else "1 channel"
            raise RecordingError(
                f"{other.name} lacks {what} that {first.name} has: {some}. Leave the recording out, or {way}."
            )


def _volumes(
    recording: Recording, sfreq_hz: float, lag_s: float | None, width_s: float | None
) -> WindowSchedule:
    """Return the one window of a trial of fMRI."""
    epoch = recording.epoch
    # A beta is the answer to its picture already, whenever that was given.
    betas = epoch is not None and epoch.n_times == 1
    if betas and (lag_s is not None or width_s is not None):
        raise UsageError(f"{recording.name} holds betas, one a trial: leave out --lag-s and --width-s.")
    schedule = volume_schedule(sfreq_hz, *((0.0, 1 / sfreq_hz) if betas else (lag_s, width_s)))
    if epoch is not None and (epoch.onset < 0 or schedule.stop(0) > epoch.n_times - epoch.onset):
        raise RecordingError(
            f"{recording.name} holds {_layout(recording)}; a trial must hold a window of "
            f"{float(schedule.length_s):g} s from {float(schedule.lag_s):g} s after the onset on."
        )
    return schedule


def _trial_windows(recording: Recording, sfreq_hz: float, spec: TrialSpec) -> tuple[WindowSchedule, int]:
    """Return the windows of a trial of EEG or MEG and their number."""
    try:
        return trial_schedule(spec, sfreq_hz, recording.epoch)
    except ValueError as error:
        raise RecordingError(f"{recording.name} holds {_layout(recording)}; {error}.") from error


def _layout(recording: Recording) -> str:
    epoch = recording.epoch
    if epoch is None:
        return "a continuous signal"
    return f"trials of {epoch.n_times} samples with the onset at sample {epoch.onset}"
