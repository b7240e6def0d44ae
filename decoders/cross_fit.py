"""What decoders say about runs they were not trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.parts import Parts
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray, IntArray

from .calibration import fit_calibration, fit_repeat_correlation
from .decoded import similarity_rows
from .epochs import TrialSet, grown, shared_beyond, sharing
from .evidence import Calibration
from .fit_options import FitOptions
from .novelty import Familiar, fit_familiar
from .picture_readout import MOST_DIMENSIONS
from .recipe import Fit, Gallery, Recipe, Trained, cut, scaled
from .scoring.scores import Scores, TrialScore, hits

__all__ = [
    "N_PARTS",
    "HeldOut",
    "cross_fit",
    "distances",
    "outputs_to_read",
    "similarities",
    "similarities_of_showings",
]

_BATCH = 128
#: Into so many parts a single run is split, to hold each out once.
N_PARTS = 5


def similarities(
    trained: Trained,
    trials: TrialSet,
    gallery: Gallery,
    *,
    known: bool,
    outputs: FloatArray | None = None,
) -> FloatArray:
    """Return each window's similarity to the gallery, shape (n_trials, n_latencies, n_entries).

    Parameters
    ----------
    outputs : array of shape (n_trials, n_latencies, dimension), or None
        What the encoder gives for these windows, where it has been asked already.
    """
    entries, norm = gallery.embeddings, gallery.space.norm
    if trained.projector is not None:
        entries, norm = trained.projector.project(entries), trained.projector.norm(norm)
    given = trained.embed(trials.windows, known) if outputs is None else outputs
    return similarity_rows(given, entries, norm)


def outputs_to_read(trained: Trained, trials: TrialSet, gallery: Gallery) -> npt.NDArray[np.float32] | None:
    """Return what an encoder gives for trials, for a `PictureReadout` to be measured on.

    Returns
    -------
    array of shape (n_trials, n_latencies, dimension), float32, or None
        None where pictures are not read that way: of categories, of likelihoods, which say by themselves how much they
        tell, and of grids of tokens, which no generator here takes.
    """
    gaussian = trained.projector is not None and trained.projector.gaussian
    if gallery.space.of_categories or gaussian or gallery.space.dimension > MOST_DIMENSIONS:
        return None
    return trained.embed(trials.windows, True).astype(np.float32)


def similarities_of_showings(
    trained: Trained, trials: TrialSet, gallery: Gallery, most: int
) -> dict[int, FloatArray]:
    """Return each window's similarity to the gallery as of one of several showings of its picture.

    Parameters
    ----------
    most : int
        How often a picture is shown.

    Returns
    -------
    dict of int to array of shape (n_trials, n_latencies, n_entries)
        By numbers of showings: 2, 4, 8 and so on up to the most; empty where showings count alike in every direction.
    """
    projector = trained.projector
    if projector is None or projector.rho is None:
        return {}
    entries, embeddings = projector.project(gallery.embeddings), trained.embed(trials.windows, True)
    norm = projector.norm(gallery.space.norm)
    return {
        2**power: similarity_rows(embeddings, projector.of_showings(entries, 2**power), norm)
        for power in range(1, most.bit_length())
    }


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What decoders say about the runs they were not trained on.

    Attributes
    ----------
    known, unknown : array of shape (n_trials, n_latencies, n_entries)
        Similarities with the latency known, and as in a free-running session.
    labels, runs : array of shape (n_trials,), int64
    overlapping : bool
        Whether trials of a run share samples.
    growing : bool
        Whether windows grow.
    distances : array of shape (n_trials, n_latencies, 4) or None
        How far each window lies from what was familiar without its run; see `decode_stream.decoders.novelty`.
    pictures : bool
        Whether the entries are pictures, not categories; see `Scores`.
    of_showings : dict of int to array of shape (n_trials, n_latencies, n_entries)
        What `similarities_of_showings` returns.
    outputs : array of shape (n_trials, n_latencies, dimension), float32, or None
        What `outputs_to_read` returns; None as well where several encoders compared it in spaces of their own.
    """

    known: FloatArray
    unknown: FloatArray
    labels: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    overlapping: bool = False
    growing: bool = False
    distances: FloatArray | None = None
    pictures: bool = True
    of_showings: dict[int, FloatArray] = field(default_factory=dict)
    outputs: npt.NDArray[np.float32] | None = None

    def where(self, which: npt.NDArray[np.bool_]) -> "HeldOut":
        """Return some of the trials, chosen by a mask."""
        return replace(
            self,
            known=self.known[which],
            unknown=self.unknown[which],
            labels=self.labels[which],
            runs=self.runs[which],
            distances=None if self.distances is None else self.distances[which],
            of_showings={n: fits[which] for n, fits in self.of_showings.items()},
            outputs=None if self.outputs is None else self.outputs[which],
        )

    def calibration(self) -> Calibration:
        """Return the calibration that fits these trials."""
        # By latency first, so that the labels repeat in step.
        free = self.unknown.transpose(1, 0, 2).reshape(-1, self.unknown.shape[2])
        calibration = fit_calibration(self.known, self.labels, free, growing=self.growing)
        of_showings = {n: calibration.log_evidence(fits) for n, fits in self.of_showings.items()}
        return fit_repeat_correlation(
            calibration, calibration.log_evidence(self.known), self.labels, of_showings
        )

    @cached_property
    def scores(self) -> Scores:
        """The trials scored, in the order of the runs.

        Each run is scored by a calibration of the others, and of a single run each fifth: the evidence of the trials
        that a calibration was fitted on is too good.
        """
        evidence = np.empty((len(self.labels), self.known.shape[2]))
        names, parts = np.unique(self.runs, return_inverse=True)
        if len(names) < 2:
            parts = np.arange(len(parts)) * N_PARTS // len(parts)
        for part in np.unique(parts):
            own = parts == part
            evidence[own] = self.where(~own).calibration().log_evidence(self.known[own])
        scores = Scores(self.known.shape[2], self.overlapping, pictures=self.pictures)
        rows = zip(self.labels, evidence, self.known, self.runs, strict=True)
        for i, (label, log_evidence, similarities, run) in enumerate(rows):
            right = hits(similarities, np.full(len(similarities), label))
            scores.add(TrialScore(i, i, int(label), log_evidence, right, int(run)))
        return scores

    def numbers(self) -> dict[str, float]:
        """Return the scores as the numbers that a bundle keeps."""
        scores = self.scores
        log_p = log_softmax(scores.log_evidence(), axis=1)[np.arange(scores.n), self.labels]
        numbers = {
            "top1": float(scores.hits().mean()),
            "chance": 1 / scores.n_entries,
            "n": float(scores.n),
            "log_loss": float(-log_p.mean()),
        }
        auc = scores.auc()
        return numbers if auc is None else numbers | {"auc": auc}


@dataclass(frozen=True, eq=False)
class _Fold:
    """A run that is held out.

    Attributes
    ----------
    name : str
    recipe : Recipe
        Scaled by the others.
    training, held : TrialSet
        Trials of the others, and its own.
    left_out : set of str
        Why trials were not cut, or not trained on.
    note : str
        What is to be told of it.
    """

    name: str
    recipe: Recipe
    training: TrialSet
    held: TrialSet
    left_out: set[str]
    note: str = ""


def cross_fit(
    recipe: Recipe,
    recordings: Sequence[Recording],
    fit: Fit,
    options: FitOptions,
    parts: Parts | None = None,
) -> HeldOut:
    """Fit without each run in turn and decode that run; scaling, too, comes from the other runs only.

    Parameters
    ----------
    recipe : Recipe
        Not scaled yet.
    recordings : sequence of Recording
        One a run.
    parts : Parts or None
        Of a single recording: each is a run. The recording is filtered as a whole; trials of the others that share
        samples with those held out are left out of the fit, and samples that these rest on out of the scaling.

    Raises
    ------
    RecordingError
        If no run has a trial that could be decoded, or a category is shown in one run alone.
    """
    folds = _by_recording(recipe, recordings) if parts is None else _by_part(recipe, recordings[0], parts)
    held, left_out = list[HeldOut](), set[str]()
    for run, fold in enumerate(folds):
        left_out |= fold.left_out
        if not len(fold.held.labels):
            options.report(f"{fold.name} has no trial to hold out")
            continue
        _check_left(fold, recipe.gallery, left_out)
        if fold.note:
            options.report(fold.note)
        options.report(f"fitting without {fold.name}")
        trained = fit(fold.training, fold.recipe, options.of(f"without-{run + 1}"))
        outputs = outputs_to_read(trained, fold.held, recipe.gallery) if trained.projector is None else None
        known = similarities(trained, fold.held, recipe.gallery, known=True, outputs=outputs)
        unknown = similarities(trained, fold.held, recipe.gallery, known=False)
        out = distances(fit_familiar(fold.training.windows), fold.held, recipe)
        runs = np.full(len(fold.held.labels), run)
        most = int(np.bincount(np.concatenate([fold.training.labels, fold.held.labels])).max())
        again = similarities_of_showings(trained, fold.held, recipe.gallery, most)
        held.append(
            HeldOut(
                known,
                unknown,
                fold.held.labels,
                runs,
                fold.held.overlapping,
                distances=out,
                of_showings=again,
                outputs=outputs,
            )
        )
    if not held:
        raise RecordingError(_nothing("in these recordings", left_out))
    return HeldOut(
        np.concatenate([p.known for p in held]),
        np.concatenate([p.unknown for p in held]),
        np.concatenate([p.labels for p in held]),
        np.concatenate([p.runs for p in held]),
        any(p.overlapping for p in held),
        recipe.schedule.first_s is not None,
        np.concatenate([p.distances for p in held if p.distances is not None]),
        not recipe.gallery.space.of_categories,
        {
            n: np.concatenate([p.of_showings[n] for p in held])
            for n in held[0].of_showings
            if all(n in p.of_showings for p in held)
        },
        _joined([p.outputs for p in held]),
    )


def _joined(parts: Sequence[npt.NDArray[np.float32] | None]) -> npt.NDArray[np.float32] | None:
    """Return arrays one after the other; None where one is missing."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


def _by_recording(recipe: Recipe, recordings: Sequence[Recording]) -> Iterator[_Fold]:
    """Hold out each recording in turn."""
    for recording in recordings:
        others = [other for other in recordings if other is not recording]
        fold = scaled(recipe, others)
        training, held = cut(fold, others), cut(fold, [recording])
        yield _Fold(recording.name, fold, training, held, {*training.left_out, *held.left_out})


def _by_part(recipe: Recipe, recording: Recording, parts: Parts) -> Iterator[_Fold]:
    """Hold out each part of a recording in turn."""
    lead, tail = recipe.reach
    decimation = round(recording.sfreq_hz / recipe.chain.sfreq_hz)
    # A trial that was cut before lies in its part.
    shifts = (0, lead * decimation, -tail * decimation) if recording.epoch is None else (0,)
    for part in range(parts.n):

        def beside(samples: IntArray, part: int = part) -> npt.NDArray[np.bool_]:
            """Tell which samples no trial of the part rests on."""
            numbers = np.stack([parts.number(samples + shift) for shift in shifts])
            return np.asarray((numbers != part).all(axis=0))

        fold = scaled(recipe, [recording], beside)
        trials = cut(fold, [recording], parts)
        assert trials.onsets is not None
        own = trials.runs == part
        shared = ~own & sharing(trials.onsets, trials.onsets[own], lead + tail + shared_beyond(recording))
        trial = "1 trial that shares" if shared.sum() == 1 else f"{shared.sum()} trials that share"
        note = f"leaving out {trial} samples with part {part + 1}" if shared.any() else ""
        name = f"part {part + 1} of {parts.n} of {recording.name}"
        left_out = {*trials.left_out, *(["sharing samples with what is held out"] if shared.any() else [])}
        yield _Fold(name, fold, trials.where(~own & ~shared), trials.where(own), left_out, note)


def _check_left(fold: _Fold, gallery: Gallery, left_out: set[str]) -> None:
    """Refuse to fit on nothing, and to decode categories that were never seen: embeddings may be new, these not."""
    if not len(fold.training.labels):
        raise RecordingError(_nothing(f"without {fold.name}", left_out))
    unseen = np.setdiff1d(fold.held.labels, fold.training.labels)
    if len(unseen) and gallery.space.of_categories:
        names = ", ".join(repr(gallery.names[i]) for i in unseen[:10])
        raise RecordingError(
            f"Without {fold.name} no trial of {names} is left to train on: each is held out once, so every category "
            "must be shown in two runs, or in two fifths of a single recording. Mix the categories within the runs."
        )


def _nothing(where: str, left_out: set[str]) -> str:
    reasons = ", ".join(sorted(left_out)) or "none is marked"
    return f"No trial is left {where}: {reasons}. Give longer or cleaner recordings."


def distances(familiar: Familiar, trials: TrialSet, recipe: Recipe) -> npt.NDArray[np.float64]:
    """Return how far the windows of trials lie from what is familiar, shape (n_trials, n_latencies, 4)."""
    windows, schedule = trials.windows, recipe.schedule
    out = np.empty((len(windows), recipe.n_latencies, 4))
    for start in range(0, len(windows), _BATCH):
        some = windows[start : start + _BATCH]
        for k in range(recipe.n_latencies):
            part = some[:, k] if schedule.first_s is None else grown(some, schedule, k)
            out[start : start + _BATCH, k] = familiar.distances(part)
    return out
