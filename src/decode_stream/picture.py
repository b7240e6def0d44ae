"""Turns the state of a session into what views draw."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from decode_stream.decoders.decoder import Belief, Decoder
from decode_stream.decoders.scoring import Scores, wilson
from decode_stream.gui.snapshot import Accuracy, Match, Progress, SignalView
from decode_stream.stream.types import Event

from .pipeline import Pipeline

__all__ = ["AccuracyTrace", "best_matches", "progress", "protocol", "signal_view"]

_N_MATCHES = 5
_MAX_POINTS = 300
#: A trial's belief is shown for so long after its last window before free-running ones take over. Seconds.
_TRIAL_SHOWN_S = 1.0


def protocol(scores: Scores) -> str:
    """Return in words what the accuracy counts."""
    return f"single trial, {scores.n_entries}-way, each trial after its last window"


class AccuracyTrace:
    """The accuracy as it developed, worked out anew only when a trial was added."""

    def __init__(self) -> None:
        self._accuracy = Accuracy()
        self._design_effect = (0, 1.0)

    def of(self, decoder: Decoder | None) -> Accuracy:
        """Return the trace of all trials scored so far."""
        if decoder is None or decoder.scores.n == self._accuracy.n:
            return self._accuracy
        # The decoding thread goes on adding trials meanwhile.
        scores = replace(decoder.scores, trials=list(decoder.scores.trials))
        hits = scores.hits()
        n = len(hits)
        at = np.unique(np.linspace(1, n, min(n, _MAX_POINTS)).round().astype(np.int64))
        right = np.cumsum(hits)[at - 1]
        low, high = self._band(scores, right / at, at, hits)
        schedule = decoder.cutter.schedule
        ends = [schedule.stop(k) / schedule.sfreq_hz for k in range(decoder.manifest.n_latencies)]
        self._accuracy = Accuracy(
            protocol=protocol(scores),
            k=scores.n_entries,
            n=n,
            top1=right / at,
            trials=at,
            low=low,
            high=high,
            interval=scores.interval_name,
            latency_s=np.array([float(end) for end in ends]),
            top1_by_latency=scores.by_latency(),
            auc=scores.auc(),
        )
        return self._accuracy

    def _band(
        self, scores: Scores, p: np.ndarray, at: np.ndarray, hits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the interval at each point.

        Overlapping trials are not independent. One block bootstrap says how much wider than Wilson's the interval
        of their mean is; every point of the trace is widened by that (its number of trials divided by the design
        effect). The bootstrap is repeated when a tenth more trials are in.
        """
        n = len(hits)
        effect = 1.0
        if scores.overlapping:
            if n >= 1.1 * self._design_effect[0]:
                low, high = scores.interval(hits)
                plain = np.subtract(*wilson(float(hits.sum()), n)[::-1])
                self._design_effect = (n, max(1.0, float((high - low) / plain) ** 2))
            effect = self._design_effect[1]
        effective = np.maximum(at / effect, 1.0)
        return wilson(p * effective, effective)


def best_matches(decoder: Decoder | None) -> tuple[tuple[Match, ...], str, str]:
    """Return the best matches, what they speak of, and the name of the stimulus if it is known."""
    belief = _newest(decoder)
    if decoder is None or belief is None:
        return (), "", ""
    names = decoder.manifest.gallery
    best = np.argsort(-belief.probability, kind="stable")[:_N_MATCHES]
    matches = tuple(Match(names[i], float(belief.probability[i])) for i in best)
    if belief.trial is None:
        return matches, "free-running, latency unknown", ""
    of = f"trial {belief.trial.number + 1}, up to {1e3 * belief.end_s:.0f} ms after onset"
    return matches, of, names[belief.trial.stimulus]


def _newest(decoder: Decoder | None) -> Belief | None:
    if decoder is None:
        return None
    trial, free = decoder.trial_belief, decoder.free_belief
    if trial is None or free is None:
        return trial or free
    fresh = free.stop - trial.stop < _TRIAL_SHOWN_S * float(decoder.cutter.schedule.sfreq_hz)
    return trial if fresh else free


def progress(pipeline: Pipeline | None, events: Sequence[Event]) -> Progress:
    """Return the counts so far."""
    if pipeline is None:
        return Progress()
    ingest, cutter, decoder = pipeline.ingest, pipeline.cutter, pipeline.decoder
    continuity, trials = ingest.continuity, cutter.trials
    return Progress(
        received=continuity.received,
        lost=continuity.lost,
        duplicate=continuity.duplicate,
        reordered=continuity.reordered,
        non_finite=ingest.chain.non_finite,
        gaps=sum(event.kind == "gap" for event in events),
        windows_due=cutter.due,
        windows_decoded=decoder.free_decoded if decoder else 0,
        windows_skipped=cutter.skipped,
        windows_withheld=cutter.withheld,
        trials_seen=trials.seen,
        trials_scored=decoder.scores.n if decoder else 0,
        markers_missed=trials.missed,
        markers_unknown=trials.unknown if decoder else 0,
    )


def signal_view(pipeline: Pipeline, seconds: float, onsets: tuple[tuple[int, str], ...]) -> SignalView | None:
    """Return a copy of the newest seconds of the filtered signal, or None before the first sample."""
    ring, spec = pipeline.ingest.ring, pipeline.ingest.chain.spec
    stop = ring.stop
    start = max(ring.start, stop - round(seconds * spec.sfreq_hz))
    view = ring.view(start, stop)
    if view is None:
        return None
    names = spec.channels if spec.spatial is None else tuple(f"component {i + 1}" for i in range(spec.n_out))
    units = set(spec.units)
    unit = "scaled" if spec.scale is not None else units.pop() if len(units) == 1 else ""
    return SignalView(
        data=view.copy(),
        names=names,
        unit=unit,
        sfreq_hz=spec.sfreq_hz,
        stop=stop,
        onsets=tuple((at, label) for at, label in onsets if at >= start),
    )
