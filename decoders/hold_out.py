"""Fit a decoder, and hear what it says of what it was not trained on: runs in turn, or concepts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.parts import Parts, split
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray

from .cross_fit import (
    N_PARTS,
    HeldOut,
    cross_fit,
    distances,
    outputs_to_read,
    similarities,
    similarities_of_showings,
)
from .decoded import unit_rows
from .epochs import TrialSet
from .evidence import Calibration
from .fit_options import FitOptions, Start, Validation
from .novelty import Familiar, fit_familiar
from .picture_readout import FEWEST_TRIALS, PictureReadout, fit_picture_readout
from .recipe import Fit, Gallery, Recipe, Trained, cut, scaled
from .targets.selection import best_decoded, decoded_correlation

__all__ = [
    "Fitted",
    "among",
    "fit_on_concepts",
    "fit_on_runs",
    "fit_others",
    "left_out_told",
    "split_concepts",
]

#: Of the concepts so many are held out; a tenth of them would cost more training than it tells.
_SHARE = 0.05
#: Held-out pictures that the calibration chooses among: as many as the test sets of the field have.
_MOST_PICTURES = 200
#: Held out in turn, every entry has a similarity with every window of every trial: of more they fill the memory.
_MOST_ENTRIES = 1000
_LEAST_TRIALS = 20


@dataclass(frozen=True, eq=False)
class Fitted:
    """An encoder, and what it says about what it was not trained on.

    Attributes
    ----------
    trained : Trained
    recipe : Recipe
        With the scaling that it was trained with, and the gallery that was chosen among.
    trials : TrialSet
        Those that it was trained on.
    held_out : HeldOut
    familiar : Familiar
        What their windows look like.
    left_out : Counter of str
        Number of trials that could not be cut, by reason.
    features : array of shape (structure_dim,), bool, or None
        The numbers of the structure that are decoded best of what was held out.
    learnt : Gallery or None
        Where concepts were held out: the pictures trained on, whose rows the labels of `trials` are.
    validation : Validation or None
        Where concepts were held out: their trials and embeddings.
    """

    trained: Trained
    recipe: Recipe
    trials: TrialSet
    held_out: HeldOut
    familiar: Familiar
    left_out: Counter[str]
    features: npt.NDArray[np.bool_] | None = None
    learnt: Gallery | None = None
    validation: Validation | None = None

    def readout(self, calibration: Calibration) -> PictureReadout | None:
        """Return what the encoder's outputs tell of pictures, measured on what was held out.

        Returns
        -------
        PictureReadout or None
            None where pictures are not read that way (see `outputs_to_read`), and of too few trials.
        """
        outputs, labels = self.held_out.outputs, self.held_out.labels
        if outputs is None or len(outputs) < FEWEST_TRIALS:
            return None
        entries, norm = self.recipe.gallery.embeddings, self.recipe.gallery.space.norm
        if (projector := self.trained.projector) is not None:
            entries, norm = projector.project(entries), projector.norm(norm)
        rows = unit_rows(outputs, norm)
        after = [calibration.log_evidence(rows, k) for k in range(outputs.shape[1])]
        return fit_picture_readout(np.stack(after, axis=1), labels, entries)


def fit_on_runs(recipe: Recipe, recordings: Sequence[Recording], fit: Fit, options: FitOptions) -> Fitted:
    """Fit without each run in turn and decode that run, then fit on all of them.

    Parameters
    ----------
    recipe : Recipe
        Not scaled yet.
    recordings : sequence of Recording
        One a run; a single one is split into `N_PARTS`, each of which is a run, and filtered as a whole.

    Raises
    ------
    RecordingError
        If an entry of the gallery has fewer than two trials, or there are more entries than this can hold.
    """
    gallery = recipe.gallery
    if len(gallery.names) > _MOST_ENTRIES:
        raise RecordingError(
            f"{len(gallery.names)} pictures are too many to hold runs out in turn, which compares every trial with "
            f"every picture: {_MOST_ENTRIES} at most. Train with --protocol concepts."
        )
    _check_enough(_marked(recordings, gallery), recordings, gallery)
    parts = _parts(recordings[0]) if len(recordings) == 1 else None
    # What is wrong with a recording is told before anything is fitted.
    whole = scaled(recipe, recordings, report=options.report)
    held_out = cross_fit(recipe, recordings, fit, options, parts)
    _check_enough(held_out.labels, recordings, gallery)
    options.report("fitting on all runs" if parts is None else "fitting on all parts")
    trials = cut(whole, recordings, parts)
    trained = fit(trials, whole, options.of("all"))
    return Fitted(trained, whole, trials, held_out, fit_familiar(trials.windows), trials.left_out)


def _parts(recording: Recording) -> Parts:
    if len(recording.stimuli) < N_PARTS:
        raise RecordingError(
            f"{recording.name} holds {len(recording.stimuli)} stimuli. A single recording is split into {N_PARTS} "
            "parts, each of which is held out once. Give a longer one, or several."
        )
    return split(recording, N_PARTS)


def fit_others(
    recipes: Mapping[str, Recipe],
    others: Mapping[str, Sequence[Recording]],
    fit: Fit,
    options: FitOptions,
) -> Start:
    """Fit on the trials of other people, each scaled by their own recordings, for a fine-tuning to begin with.

    Parameters
    ----------
    recipes : mapping of str to Recipe
        By person; not scaled. They differ in the channels at most, and the fit gets that of who has most. Their gallery
        holds what may be trained on.
    others : mapping of str to sequence of Recording
        Recordings by person.

    Raises
    ------
    RecordingError
        If a recording shows nothing of the gallery.
    """
    parts = []
    for name, recordings in others.items():
        options.report(f"reading {name}")
        parts.append(cut(scaled(recipes[name], recordings, report=options.report), recordings))
        if left_out := parts[-1].left_out:
            told = left_out_told(left_out)
            options.report(f"{name}: {len(parts[-1].labels)} trials read; left out or held out: {told}")
    people = "another person" if len(others) == 1 else f"{len(others)} other people"
    options.report(f"fitting on {people} first")
    widest = max(recipes.values(), key=lambda recipe: recipe.chain.n_out)
    trained = fit(TrialSet.joined(parts), widest, options.of("others"))
    return Start(trained.weights)


def left_out_told(left_out: Counter[str]) -> str:
    """Return how many trials were left out for what, the most frequent reason first."""
    return ", ".join(f"{n} {reason}" for reason, n in left_out.most_common())


def _marked(recordings: Sequence[Recording], gallery: Gallery) -> IntArray:
    """Return the gallery index of every marker that has one."""
    stimuli = gallery.stimuli()
    labels = [label for recording in recordings for _, label in recording.markers]
    return np.array([stimuli[label] for label in labels if label in stimuli], dtype=np.int64)


def _check_enough(labels: IntArray, recordings: Sequence[Recording], gallery: Gallery) -> None:
    counts = np.bincount(labels, minlength=len(gallery.names))
    if counts.min() < 2:
        few = gallery.names[int(counts.argmin())]
        found = sorted({label for recording in recordings for _, label in recording.markers})
        raise RecordingError(
            f"{few!r} has {counts.min()} trials in these recordings, and each gallery entry needs at least 2; the "
            f"markers found are {', '.join(found[:20]) or 'none at all'}. Record more, or name the codes with --events "
            "CODE=NAME,..."
        )


def split_concepts(gallery: Gallery, seed: int) -> tuple[IntArray, IntArray]:
    """Return the entries to train on and those to hold out, as places: whole concepts, drawn by a seed.

    Where the concepts are not known every picture is one of its own.

    Raises
    ------
    RecordingError
        If there are fewer than four concepts.
    """
    _, which = np.unique(gallery.concepts or gallery.names, return_inverse=True)
    n_concepts = int(which.max()) + 1
    if n_concepts < 4:
        raise RecordingError(
            f"The pictures show {n_concepts} concepts; to hold some out there must be four at least. Give more "
            "recordings, or --protocol runs."
        )
    n_out = max(2, round(_SHARE * n_concepts))
    out = np.isin(which, np.random.default_rng(seed).choice(n_concepts, n_out, replace=False))
    return np.flatnonzero(~out), np.flatnonzero(out)


def fit_on_concepts(recipe: Recipe, recordings: Sequence[Recording], fit: Fit, options: FitOptions) -> Fitted:
    """Fit without some of the concepts and decode these: the decoder never saw a picture of what it names.

    Parameters
    ----------
    recipe : Recipe
        Its gallery holds every picture that may be trained on; not scaled yet.
    options : FitOptions
        The trials of the held-out concepts become those that a fit may choose by, so what it reaches on them is not a
        test: the best of several was taken. The pictures of a test set are for that.

    Raises
    ------
    RecordingError
        If there are too few concepts, or too few trials of those held out.
    """
    gallery = recipe.gallery
    kept, out = split_concepts(gallery, options.seed)
    options.report("reading")
    recipe = scaled(recipe, recordings, report=options.report)
    trials = cut(recipe, recordings)
    pictures = np.sort(np.random.default_rng(options.seed).permutation(out)[:_MOST_PICTURES])
    training, held = among(trials, kept), among(trials, pictures)
    if len(held.labels) < _LEAST_TRIALS or len(np.unique(held.labels)) < 2:
        raise RecordingError(
            f"{len(held.labels)} trials of {len(np.unique(held.labels))} pictures are left to hold out, and "
            f"{_LEAST_TRIALS} of two at least are needed to calibrate the evidence. Give more recordings, or "
            "--protocol runs."
        )
    options.report("fitting")
    shown = gallery.rows(pictures)
    valid = Validation(held, shown.embeddings, shown.structure)
    learnt = gallery.rows(kept)
    trained = fit(training, replace(recipe, gallery=learnt), options.of("concepts", valid))
    recipe = replace(recipe, gallery=shown)
    outputs = outputs_to_read(trained, held, shown)
    known = similarities(trained, held, shown, known=True, outputs=outputs)
    unknown = similarities(trained, held, shown, known=False)
    familiar = fit_familiar(training.windows)
    growing = recipe.schedule.first_s is not None
    out_of = distances(familiar, held, recipe)
    again = similarities_of_showings(trained, held, recipe.gallery, int(np.bincount(held.labels).max()))
    held_out = HeldOut(
        known,
        unknown,
        held.labels,
        held.runs,
        trials.overlapping,
        growing,
        out_of,
        of_showings=again,
        outputs=outputs,
    )
    features = None
    if trained.structure is not None and shown.structure is not None:
        told = decoded_correlation(trained.structure(held.windows), shown.structure[held.labels])
        features = best_decoded(told)
    return Fitted(trained, recipe, training, held_out, familiar, trials.left_out, features, learnt, valid)


def among(trials: TrialSet, places: IntArray) -> TrialSet:
    """Return the trials of some entries, numbered as these are."""
    part = trials.where(np.isin(trials.labels, places))
    return replace(part, labels=np.searchsorted(places, part.labels).astype(np.int64))
