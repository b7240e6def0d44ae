"""What decoders say about runs they were not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from decode_stream.stream.recording import Recording
from decode_stream.stream.types import FloatArray

from .calibration import fit_calibration, fit_repeat_correlation
from .epochs import TrialSet, grown
from .evidence import Calibration, similarity
from .fit_options import FitOptions
from .novelty import Familiar, fit_familiar
from .recipe import Fit, Gallery, Recipe, Trained, cut, scaled
from .scoring.scores import Scores, TrialScore, hits

__all__ = ["HeldOut", "cross_fit", "distances", "held_out_scores", "similarities"]

_BATCH = 128
#: A single run is scored in so many parts.
_N_PARTS = 5


def similarities(trained: Trained, trials: TrialSet, gallery: Gallery, *, known: bool) -> FloatArray:
    """Return each window's similarity to the gallery, shape (n_trials, n_latencies, n_entries)."""
    embeddings, entries = trained.embed(trials.windows, known), gallery.embeddings
    norm = gallery.space.norm
    if trained.projector is not None:
        entries, norm = trained.projector.project(entries), trained.projector.norm(norm)
    flat = similarity(embeddings.reshape(-1, embeddings.shape[-1]), entries, norm)
    return flat.reshape(*embeddings.shape[:2], -1)


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
    """

    known: FloatArray
    unknown: FloatArray
    labels: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    overlapping: bool = False
    growing: bool = False
    distances: FloatArray | None = None

    def where(self, which: npt.NDArray[np.bool_]) -> "HeldOut":
        """Return some of the trials, chosen by a mask."""
        return replace(
            self,
            known=self.known[which],
            unknown=self.unknown[which],
            labels=self.labels[which],
            runs=self.runs[which],
            distances=None if self.distances is None else self.distances[which],
        )

    def calibration(self) -> Calibration:
        """Return the calibration that fits these trials."""
        # By latency first, so that the labels repeat in step.
        free = self.unknown.transpose(1, 0, 2).reshape(-1, self.unknown.shape[2])
        calibration = fit_calibration(self.known, self.labels, free, growing=self.growing)
        return fit_repeat_correlation(calibration, calibration.log_evidence(self.known), self.labels)


def cross_fit(recipe: Recipe, recordings: Sequence[Recording], fit: Fit, options: FitOptions) -> HeldOut:
    """Fit without each run in turn and decode that run; scaling, too, comes from the other runs only."""
    parts = []
    for run, recording in enumerate(recordings):
        options.report(f"fitting without {recording.name}")
        others = [other for other in recordings if other is not recording]
        fold = scaled(recipe, others)
        training = cut(fold, others)
        trained = fit(training, fold, options.of(f"without-{run + 1}"))
        trials = cut(fold, [recording])
        known, unknown = (similarities(trained, trials, recipe.gallery, known=k) for k in (True, False))
        runs = np.full(len(trials.labels), run)
        out = distances(fit_familiar(training.windows), trials, recipe)
        parts.append(HeldOut(known, unknown, trials.labels, runs, trials.overlapping, distances=out))
    return HeldOut(
        np.concatenate([p.known for p in parts]),
        np.concatenate([p.unknown for p in parts]),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.runs for p in parts]),
        any(p.overlapping for p in parts),
        recipe.schedule.first_s is not None,
        np.concatenate([p.distances for p in parts if p.distances is not None]),
    )


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


def held_out_scores(held_out: HeldOut) -> tuple[Scores, dict[str, float]]:
    """Return the scores of held-out trials, as an object and as the numbers a bundle keeps.

    Each run is scored by a calibration of the others, and of a single run each fifth: the evidence of the trials that a
    calibration was fitted on is too good.
    """
    evidence = np.empty((len(held_out.labels), held_out.known.shape[2]))
    names, parts = np.unique(held_out.runs, return_inverse=True)
    if len(names) < 2:
        parts = np.arange(len(parts)) * _N_PARTS // len(parts)
    for part in np.unique(parts):
        own = parts == part
        evidence[own] = held_out.where(~own).calibration().log_evidence(held_out.known[own])
    scores = Scores(held_out.known.shape[2], held_out.overlapping)
    rows = zip(held_out.labels, evidence, held_out.known, held_out.runs, strict=True)
    for i, (label, log_evidence, similarities, run) in enumerate(rows):
        right = hits(similarities, np.full(len(similarities), label))
        scores.add(TrialScore(i, i, int(label), log_evidence, right, int(run)))
    log_p = log_softmax(evidence, axis=1)[np.arange(scores.n), held_out.labels]
    numbers = {
        "top1": float(scores.hits().mean()),
        "chance": 1 / scores.n_entries,
        "n": float(scores.n),
        "log_loss": float(-log_p.mean()),
    }
    auc = scores.auc()
    return scores, numbers if auc is None else numbers | {"auc": auc}
