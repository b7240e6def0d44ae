"""What is fixed before a fit: the gallery, the channels, the chain and the windows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.parts import Parts
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Channel, FloatArray, IntArray, Modality
from decode_stream.stream.window_chain import WindowChain, WindowSpec
from decode_stream.stream.windows import WindowSchedule

from .chains import DECODER_HZ, design_chain, pick_channels, volume_schedule, whole_chain
from .epochs import TrialSet, cut_trials, whole_windows
from .fit_options import FitOptions, Weights
from .gallery_projector import GalleryProjector
from .manifest import EmbeddingSpace
from .scaling import robust_scale
from .trial_spec import TrialSpec, trial_schedule, trial_window

__all__ = [
    "CATEGORIES",
    "Fit",
    "Gallery",
    "Recipe",
    "Trained",
    "category_gallery",
    "check_alike",
    "cut",
    "design",
    "scaled",
]

# Of thousands of voxels, one at an edge goes far out whenever the head moves: that withholds no trial.
_VOLUMES = WindowSpec(clamp=5.0)

#: What the embeddings of a gallery of categories are said to be made by.
CATEGORIES = "categories"

#: Takes trials to train on and returns what decodes.
Fit = Callable[["TrialSet", "Recipe", "FitOptions"], "Trained"]


@dataclass(frozen=True, eq=False)
class Gallery:
    """The candidates.

    Attributes
    ----------
    names : tuple of str
    embeddings : array of shape (n_entries, dimension), float32
    labels : dict of str to str
        Name by marker label.
    thumbnails : dict of str to bytes
        PNG by name.
    concepts : tuple of str
        What each entry shows, where that is known; empty otherwise.
    structure : array of shape (n_entries, structure_dim), float32, or None
        Embeddings that say where things are and what they look like, for an encoder with a second head.
    structure_space : EmbeddingSpace or None
        Where those live.
    """

    names: tuple[str, ...]
    embeddings: npt.NDArray[np.float32]
    space: EmbeddingSpace
    labels: dict[str, str]
    thumbnails: dict[str, bytes]
    concepts: tuple[str, ...] = ()
    structure: npt.NDArray[np.float32] | None = None
    structure_space: EmbeddingSpace | None = None

    @property
    def structure_dim(self) -> int:
        """Dimension of the second head; 0 where there is none."""
        return 0 if self.structure is None else self.structure.shape[1]

    def stimuli(self) -> dict[str, int]:
        """Return the gallery index for every marker label: the names themselves, and `labels` on top."""
        index = {name: i for i, name in enumerate(self.names)}
        return index | {label: index[name] for label, name in self.labels.items()}

    def rows(self, places: IntArray) -> "Gallery":
        """Return some of the entries, in the order of their places."""
        names = tuple(self.names[i] for i in places)
        chosen = set(names)
        return replace(
            self,
            names=names,
            embeddings=self.embeddings[places],
            labels={label: name for label, name in self.labels.items() if name in chosen},
            thumbnails={name: png for name, png in self.thumbnails.items() if name in chosen},
            concepts=tuple(self.concepts[i] for i in places) if self.concepts else (),
            structure=None if self.structure is None else self.structure[places],
        )


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that is fixed before a fit.

    Attributes
    ----------
    channels : tuple of Channel
        The channels picked, in order.
    schedule : WindowSchedule
        At the decoder's rate.
    """

    modality: Modality
    channels: tuple[Channel, ...]
    chain: ChainSpec
    window: WindowSpec
    schedule: WindowSchedule
    n_latencies: int
    gallery: Gallery
    marker_offset_s: float = 0.0
    onset_channel: str | None = None

    @property
    def reach(self) -> tuple[int, int]:
        """Samples that a trial rests on before its onset and from it on, at the decoder's rate."""
        schedule, n_latencies = whole_windows(self.schedule, self.n_latencies)
        lead = WindowChain(self.window, float(schedule.sfreq_hz)).lead
        return lead, schedule.stop(n_latencies - 1)


@dataclass(frozen=True, eq=False)
class Trained:
    """A fitted encoder.

    Attributes
    ----------
    embed : callable
        Takes windows (n_trials, n_latencies, n_channels, n_times) and whether latencies are known; returns
        embeddings (n_trials, n_latencies, dimension).
    export : callable
        Takes a few trials' windows and returns the ONNX model, compared with this encoder on them.
    weights : mapping of str to array, or None
        Of a network, by the names of its parameters, for a later training to begin with.
    structure : callable or None
        Takes windows and returns what the second head gives of each whole trial, (n_trials, structure_dim): of its last
        window where they grow, else the mean over them.
    projector : GalleryProjector or None
        What leads entries of a gallery into the space where they are compared with the embeddings, where the encoder
        has learnt one.
    """

    embed: Callable[[npt.NDArray[np.float32], bool], FloatArray]
    export: Callable[[npt.NDArray[np.float32]], bytes]
    weights: Weights | None = None
    projector: GalleryProjector | None = None
    structure: Callable[[npt.NDArray[np.float32]], FloatArray] | None = None


def category_gallery(recordings: Sequence[Recording], events: dict[str, str] | None) -> Gallery:
    """Return a gallery of categories: one entry a name, at right angles to each other.

    Parameters
    ----------
    events : dict of str to str, or None
        Name by marker label; without it every label is a category of its own.

    Raises
    ------
    UsageError
        If there are fewer than two categories.
    """
    if events is None:
        found = sorted({label for recording in recordings for _, label in recording.markers})
        events = {label: label for label in found}
    names = tuple(dict.fromkeys(events.values()))
    if len(names) < 2:
        raise UsageError(
            f"Decoding needs at least two categories; the markers name {len(names)} ({', '.join(names) or 'none'}). "
            "Name the codes with --events CODE=NAME,..."
        )
    space = EmbeddingSpace(CATEGORIES, "one-hot", len(names), "none")
    return Gallery(names, np.eye(len(names), dtype=np.float32), space, dict(events), {})


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


def scaled(
    recipe: Recipe,
    recordings: Sequence[Recording],
    which: Callable[[IntArray], npt.NDArray[np.bool_]] | None = None,
) -> Recipe:
    """Return the recipe with location and spread of these recordings, the training ones, and no others.

    Parameters
    ----------
    which : callable or None
        Which of their samples are for training, see `robust_scale`.
    """
    center, scale = robust_scale(recordings, recipe.chain, which)
    return replace(recipe, chain=replace(recipe.chain, center=center, scale=scale))


def cut(recipe: Recipe, recordings: Sequence[Recording], parts: Parts | None = None) -> TrialSet:
    """Cut all whole and sound trials of the gallery's stimuli; of a single recording's parts each is a run."""
    stimuli = recipe.gallery.stimuli()
    return cut_trials(
        recordings,
        recipe.chain,
        recipe.window,
        recipe.schedule,
        recipe.n_latencies,
        stimuli,
        marker_offset_s=recipe.marker_offset_s,
        onset_channel=recipe.onset_channel,
        parts=parts,
    )
