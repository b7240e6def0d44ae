"""Protocols that say what a score is worth: shuffled labels below it, the ideal observer above."""

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from decode_stream.decoders.ideal.ideal_observer import IdealObserver, log_likelihood
from decode_stream.decoders.scoring.fraction_of_ideal import fraction_of_ideal
from decode_stream.decoders.scoring.intervals import LEAST_PICTURES
from decode_stream.decoders.scoring.measured import Measured, Number
from decode_stream.decoders.scoring.scores import hits
from decode_stream.decoders.scoring.significance import Choices, shuffled_accuracies
from decode_stream.replay_data.simulation.simulated import SimulatedRecording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import FloatArray, IntArray
from decode_stream.stream.window_chain import WindowChain

from .evaluation import Evaluation, p_text
from .measure_pictures import SINGLE, scored

__all__ = ["measure_ideal", "measure_shuffled"]

_N_SHUFFLES = 1000


def measure_shuffled(evaluation: Evaluation, says: str) -> Measured:
    """Score the same decisions against labels that were shuffled within runs."""
    scores, k = evaluation.scores, evaluation.scores.n_entries
    choices = Choices.of(scores.log_evidence()[:, None])
    null = shuffled_accuracies(
        choices, evaluation.truth, evaluation.decoded.runs, n_shuffles=_N_SHUFFLES, seed=evaluation.seed
    )[:, 0]
    right = scored(f"top-1 of {k}, labels as they are", scores.hits(), 1 / k, scores)
    p = (1 + int((null >= right.value - 1e-12).sum())) / (1 + len(null))
    low, high = (float(value) for value in np.quantile(null, [0.025, 0.975]))
    shuffled = Number(f"top-1 of {k}, labels shuffled", float(null.mean()), low, high, 1 / k, scores.n)
    return Measured(
        "shuffled",
        says,
        k,
        SINGLE,
        1 / k,
        scores.n,
        f"{scores.interval_name}; of shuffled labels, 95 % of {_N_SHUFFLES} permutations",
        (right, shuffled),
        notes=(f"p {p_text(p)}, the share of permutations that reach what the labels as they are do",),
        details={"p": p, "n_shuffles": _N_SHUFFLES, "null": sorted(float(value) for value in null)},
    )


def measure_ideal(evaluation: Evaluation, says: str) -> Measured:
    """Score the decisions as a fraction of what somebody reaches who knows the simulated person."""
    scores, k = evaluation.scores, evaluation.scores.n_entries
    ours, theirs, pictures = [], [], []
    for run, recording in enumerate(evaluation.recordings):
        if not isinstance(recording, SimulatedRecording):
            raise RecordingError(
                f"ideal needs a person whose true model is known, and {recording.name} was opened from a file that "
                "holds none. Give a simulated subject's NAME.simulation.json, of eeg or meg, from its simulation/."
            )
        own, evidence, shown = _watched(evaluation, recording, run)
        truth = evaluation.truth[own]
        ours.append(scores.hits()[own])
        theirs.append(hits(evidence, truth))
        pictures.append(shown)
    right, ideal, of = np.concatenate(ours), np.concatenate(theirs), np.concatenate(pictures)
    if not len(right):
        raise RecordingError(
            "ideal found no trial that the ideal observer sees too: leave out --marker-offset-ms and --onset-channel, "
            "a simulated person's markers stand where they belong."
        )
    every = len(np.unique(of)) >= LEAST_PICTURES
    found = fraction_of_ideal(
        right,
        ideal,
        1 / k,
        evaluation.bundle.manifest.training.n_trials,
        pictures=of if every else None,
        seed=evaluation.seed,
    )
    known = (
        (
            "the pictures were trained on, so the ideal observer knows the responses to them, not only what is usual",
        )
        if evaluation.bundle.manifest.training.knows_gallery
        else ()
    )
    return Measured(
        "ideal",
        says,
        k,
        SINGLE,
        1 / k,
        found.n,
        f"bootstrap over {'pictures' if every else 'trials'}",
        (
            Number("fraction of the ideal observer", found.value, found.low, found.high, 0.0, found.n),
            scored(f"top-1 of {k}", right, 1 / k, scores),
            scored(f"top-1 of {k}, ideal observer", ideal, 1 / k, scores),
        ),
        notes=(f"trained on {found.n_training} trials", *known, *found.caveats),
    )


def _watched(
    evaluation: Evaluation, recording: SimulatedRecording, run: int
) -> tuple[IntArray, npt.NDArray[np.float64], IntArray]:
    """Return which trials of the evaluation the ideal observer saw, its log-evidence of them, and their pictures."""
    manifest, simulation = evaluation.bundle.manifest, recording.simulation
    forward = simulation.forward
    lead = WindowChain(manifest.window, float(manifest.schedule.sfreq_hz)).lead
    observer = IdealObserver(forward, manifest.chain, manifest.schedule.stop(manifest.n_latencies - 1), lead)
    seen = observer.watch(recording.without_artefacts(), recording.drives)
    d = observer.decimation
    at = {
        int((2 * simulation.stimuli.onset[row] + d) // (2 * d)): place for place, row in enumerate(seen.rows)
    }
    own = [i for i, trial in enumerate(evaluation.scores.trials) if trial.run == run and trial.onset in at]
    places = [at[evaluation.scores.trials[i].onset] for i in own]
    likelihood, pictures = _of_pictures(evaluation, recording)
    if manifest.training.knows_gallery:
        log_p = log_likelihood(seen, forward.drives(simulation.embeddings[pictures]))[places]
    else:
        embeddings = simulation.embeddings[pictures].astype(np.float64)
        expected = embeddings @ forward.weights + forward.bias
        log_p = log_likelihood(seen, expected, forward.specific.astype(np.float64))[places]
    shown = simulation.shown[seen.rows[places]] if places else np.empty(0, np.int64)
    # Of an entry that stands for several pictures, each is as likely as the others.
    evidence = np.stack([logsumexp(log_p[:, of], axis=1) - np.log(len(of)) for of in likelihood], axis=1)
    return np.array(own, np.int64), evidence, shown


def _of_pictures(evaluation: Evaluation, recording: SimulatedRecording) -> tuple[list[IntArray], IntArray]:
    """Return the pictures of a simulation that the gallery holds, and for each entry which of these are its own."""
    gallery, table = evaluation.bundle.manifest.gallery, recording.stimuli
    held: list[set[int]] = [set() for _ in gallery]
    labels = dict(recording.markers)
    for row, onset in enumerate(table.onset.tolist()):
        concept = "" if table.concept is None else str(table.concept[row])
        entry = evaluation.stimuli.get(labels.get(onset, ""), evaluation.stimuli.get(concept))
        if entry is not None:
            held[entry].add(int(recording.simulation.shown[row]))
    embeddings = recording.simulation.embeddings
    for entry, own in enumerate(held):
        if not own and evaluation.bundle.gallery.shape[1] == embeddings.shape[1]:
            alike: FloatArray = np.abs(embeddings - evaluation.bundle.gallery[entry]).max(axis=1)
            own |= {int(picture) for picture in np.flatnonzero(alike < 1e-4)[:1]}
    if lacking := [name for name, own in zip(gallery, held, strict=True) if not own]:
        raise RecordingError(
            f"ideal needs every picture of the gallery in the simulation, and {recording.name} lacks {len(lacking)} of "
            f"{len(gallery)}: {', '.join(lacking[:10])}. Evaluate against a gallery of pictures that this person saw."
        )
    pictures = np.array(sorted(set().union(*held)), np.int64)
    return [np.searchsorted(pictures, sorted(own)) for own in held], pictures
