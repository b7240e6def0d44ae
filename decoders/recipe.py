"""What is fixed before a fit: the gallery, the channels, the chain and the windows; and what a fit returns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import UsageError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.parts import Parts
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Channel, FloatArray, IntArray, Modality
from decode_stream.stream.window_chain import WindowChain, WindowSpec
from decode_stream.stream.windows import WindowSchedule

from .epochs import TrialSet, cut_trials, whole_windows
from .fit_options import FitOptions, Weights
from .gallery_projector import GalleryProjector
from .manifest import CATEGORIES, EmbeddingSpace, PublicWeights
from .onnx_model import OnnxModel
from .scaling import robust_scale, tested_volumes, training_samples
from .targets.captions import CaptionEmbeddings
from .voxels import VoxelSurvey

__all__ = [
    "Check",
    "Fit",
    "Gallery",
    "Recipe",
    "Trained",
    "category_gallery",
    "cut",
    "scaled",
]

#: Takes trials to train on and returns what decodes.
Fit = Callable[["TrialSet", "Recipe", "FitOptions"], "Trained"]
#: Makes a network as it begins, so that what does not fit is refused at once; returns where its weights are from.
Check = Callable[["Recipe", "FitOptions"], PublicWeights | None]


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
    captions : CaptionEmbeddings or None
        What else may stand for each entry in training, where it has captions.
    """

    names: tuple[str, ...]
    embeddings: npt.NDArray[np.float32]
    space: EmbeddingSpace
    labels: dict[str, str]
    thumbnails: dict[str, bytes]
    concepts: tuple[str, ...] = ()
    structure: npt.NDArray[np.float32] | None = None
    structure_space: EmbeddingSpace | None = None
    captions: CaptionEmbeddings | None = None

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
            captions=None if self.captions is None else self.captions.rows(places),
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
    export: Callable[[npt.NDArray[np.float32]], OnnxModel]
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


def scaled(
    recipe: Recipe,
    recordings: Sequence[Recording],
    which: Callable[[IntArray], npt.NDArray[np.bool_]] | None = None,
    report: Callable[[str], None] | None = None,
) -> Recipe:
    """Return the recipe with location and spread of these recordings, the training ones, and no others.

    Voxels without data in some of them are silent from here on, in training, in scores and live. Where a sample is a
    trial, those of stimuli that the gallery lacks, such as a test set's, tell nothing.

    Parameters
    ----------
    which : callable or None
        Takes the indices of samples, and returns which are for training; see `robust_scale`.
    report : callable or None
        Is told of voxels that hold no data, and of volumes that are not trained on, a line at a time.

    Raises
    ------
    RecordingError
        If the recordings hold too little; see `robust_scale`.
    """
    stimuli, fmri = recipe.gallery.stimuli(), recipe.modality == "fmri"
    own = {id(recording): training_samples(recording, stimuli) for recording in recordings}

    def wanted(recording: Recording, samples: IntArray) -> npt.NDArray[np.bool_]:
        mask = np.ones(len(samples), np.bool_) if which is None else which(samples)
        trials = own[id(recording)]
        return mask if trials is None else mask & np.isin(samples, trials)

    survey = VoxelSurvey(recipe.chain.channels, len(recordings)) if fmri else None
    center, scale = robust_scale(recordings, recipe.chain, wanted, survey)
    silent, notes = ((), ()) if survey is None else survey.silent()
    if report is not None:
        for note in filter(None, (*notes, tested_volumes(recordings, stimuli) if fmri else "")):
            report(note)
    return replace(recipe, chain=replace(recipe.chain, center=center, scale=scale, silent=silent))


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
