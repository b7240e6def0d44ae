"""Turns the state of a session into what views draw."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.decoder import Belief, Decoder
from decode_stream.decoders.ranking import largest
from decode_stream.decoders.scoring.intervals import wilson
from decode_stream.decoders.scoring.scores import Scores
from decode_stream.gui.snapshot import Accuracy, Match, Progress, SignalView, Stimulus
from decode_stream.stream.filters import CausalChain
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.types import MOTION, FloatArray, IntArray, Modality, Trial

from .pipeline import Pipeline
from .timing import duration_text

__all__ = [
    "AccuracyTrace",
    "best_matches",
    "chain_notes",
    "progress",
    "shown_now",
    "signal_view",
    "trial_name",
]

_N_MATCHES = 5
_MAX_POINTS = 300
#: A trial's belief is shown for so long after its last window before free-running ones take over, and for as long as
#: the longest time from its onset to a window's end. Seconds.
_TRIAL_SHOWN_S = 1.0
#: Probabilities that differ by less order nothing.
_NOTHING_TOLD = 1e-9
#: No marker tells when a picture goes. It is taken to be gone after so long, if no other came: THINGS shows a picture
#: for 0.1 or 0.5 s, NSD for 3 s. Seconds.
_STIMULUS_SHOWN_S = {"eeg": 1.0, "meg": 1.0, "fmri": 3.0}


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
            protocol=scores.protocol,
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
        self, scores: Scores, p: FloatArray, at: IntArray, hits: FloatArray
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the interval at each point of the trace.

        The design effect of trials that overlap or show a picture again is that of all so far, for every point; it is
        worked out anew when a twentieth more trials are in.
        """
        n, effect = self._design_effect
        if scores.n >= 1.05 * n:
            effect = scores.design_effect(hits)
            self._design_effect = (scores.n, effect)
        effective = np.maximum(at / effect, 1.0)
        return wilson(p * effective, effective)


def best_matches(decoder: Decoder | None) -> tuple[tuple[Match, ...], str, str]:
    """Return the best matches, what they speak of, and the name of the stimulus if it is known."""
    belief = _newest(decoder)
    if decoder is None or belief is None:
        return (), "", ""
    names = decoder.manifest.gallery
    best = largest(belief.probability, _N_MATCHES)
    matches = tuple(Match(names[i], float(belief.probability[i])) for i in best)
    if belief.trial is None:
        return matches, "free-running, latency unknown", ""
    of = f"trial {belief.trial.number + 1}, up to {duration_text(belief.end_s)} after onset"
    return matches, of, names[belief.trial.stimulus]


def trial_name(trial: Trial, bundle: Bundle | None) -> str:
    """Return what a trial shows: its name in the gallery, or what its marker says where the gallery lacks it."""
    return trial.label if bundle is None or trial.stimulus < 0 else bundle.manifest.gallery[trial.stimulus]


def shown_now(
    trial: Trial | None, bundle: Bundle | None, now_s: float, speed: float, modality: Modality | None
) -> Stimulus | None:
    """Return the stimulus of the newest trial, or None where there is none or it is gone.

    Parameters
    ----------
    now_s : float
        LSL time.
    speed : float
        How much faster than recorded a replay runs.
    """
    if trial is None or (now_s - trial.onset_s) * speed > _STIMULUS_SHOWN_S[modality or "eeg"]:
        return None
    return Stimulus(trial_name(trial, bundle), bundle is not None and trial.stimulus >= 0)


def _newest(decoder: Decoder | None) -> Belief | None:
    if decoder is None:
        return None
    trial, free = decoder.trial_belief, decoder.free_belief
    if free is not None and np.ptp(free.probability) < _NOTHING_TOLD:
        # Linear decoders say nothing of a window without an onset: no entry is the best then.
        free = None
    if decoder.scores.overlapping and decoder.decided_belief is not None:
        # Where trials overlap the newest window belongs to another of them every few milliseconds.
        trial = decoder.decided_belief
    if trial is None or free is None:
        return trial or free
    schedule = decoder.cutter.schedule
    shown = max(_TRIAL_SHOWN_S * schedule.sfreq_hz, schedule.stop(decoder.manifest.n_latencies - 1))
    fresh = free.stop - trial.stop < shown
    return trial if fresh else free


def chain_notes(ingest: Ingest) -> tuple[str, ...]:
    """Return in sentences what is done to the stream's channels and what it costs."""
    chain, channels = ingest.chain, ingest.info.channels
    spec = chain.spec
    names = [channel.name for channel in channels]
    used = set(spec.channels)
    unit = {channel.name: channel.unit for channel in channels}
    notes = [_filter_note(chain)]
    if [name for name in names if name in used] != list(spec.channels):
        notes.append(f"The stream's {len(spec.channels)} channels were put into the decoder's order.")
    # What counts the samples, and the head's movement, is used by the session, whatever is decoded.
    signals = [name for name in names if name != ingest.counter_channel and name not in MOTION]
    if unused := len(set(signals) - used):
        notes.append(f"{unused} of {len(signals)} channels are not used.")
    converted = {(unit[n], u) for n, u in zip(spec.channels, spec.units, strict=True) if unit[n] != u}
    notes += [f"{old} converted to {new}." for old, new in sorted(converted)]
    return tuple(notes)


def _filter_note(chain: CausalChain) -> str:
    settled = f"settled {chain.settle_samples / chain.sfreq_hz:.1f} s after a start or a gap"
    if chain.spec.running_mean_s is not None:
        return f"A mean that fades over {chain.spec.running_mean_s:g} s is taken off each channel, {settled}."
    if not chain.has_filters:
        return "No filters."
    return f"Filters: {1e3 * chain.group_delay_s(10.0):.0f} ms late at 10 Hz, {settled}."


def progress(pipeline: Pipeline | None, n_gaps: int) -> Progress:
    """Return the counts so far."""
    if pipeline is None:
        return Progress()
    ingest, cutter, decoder = pipeline.ingest, pipeline.cutter, pipeline.decoder
    continuity, trials = ingest.continuity, cutter.trials
    due, decoded, withheld = cutter.due, decoder.free_decoded if decoder else 0, cutter.withheld
    if decoder is not None and (cutter.schedule.n_windows is not None or not due):
        decoded, withheld = decoder.windows["decoded"], decoder.windows["withheld"]
        due = sum(decoder.windows.values())
    return Progress(
        received=continuity.received,
        lost=continuity.lost,
        duplicate=continuity.duplicate,
        reordered=continuity.reordered,
        non_finite=ingest.chain.non_finite,
        gaps=n_gaps,
        windows_due=due,
        windows_decoded=decoded,
        windows_skipped=cutter.skipped,
        windows_withheld=withheld,
        windows_superseded=decoder.windows["superseded"] if decoder else 0,
        trials_seen=trials.seen,
        trials_scored=decoder.scores.n if decoder else 0,
        markers_missed=trials.missed,
        markers_unknown=trials.unknown if decoder else 0,
    )


def signal_view(pipeline: Pipeline, seconds: float, onsets: tuple[tuple[int, str], ...]) -> SignalView | None:
    """Return a copy of the newest seconds of the filtered signal, or None before the first sample."""
    ring, spec = pipeline.ingest.ring, pipeline.ingest.chain.spec
    stop = ring.stop
    start = max(ring.start, stop - max(1, round(seconds * spec.sfreq_hz)))
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
        kind="voxels"
        if any(channel.type == "voxel" for channel in pipeline.ingest.info.channels)
        else "channels",
    )
