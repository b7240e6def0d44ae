"""The decoder at work: windows in, beliefs and scored trials out. Live and offline are the same object."""

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from decode_stream.stream.cutter import Cutter, CutWindow, WindowCutter, held_s
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.recording import Recording
from decode_stream.stream.trials import Trials
from decode_stream.stream.types import Trial

from .bundle import Bundle
from .candidates import Candidates
from .epochs import overlap, play_into, shared_beyond, stream_info
from .evidence import Evidence
from .revisions import Revisions
from .runtime import UNKNOWN_LATENCY, Encoder
from .scoring.scores import Scores, TrialScore, hits
from .trial_news import TrialNews

__all__ = ["BatchTimes", "Belief", "Decoder", "Keep", "decode_recording"]

#: Takes a window and its embedding, float32 (dimension,).
Keep = Callable[[CutWindow, npt.NDArray[np.float32]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What the newest evidence says.

    Attributes
    ----------
    probability : array of shape (n_entries,), float64
        Posterior over the gallery.
    stop : int
        Sample index at the decoder's rate up to which the signal was used.
    trial : Trial or None
        The trial it speaks of; None for a free-running window.
    end_s : float
        End of the last window after stimulus onset, seconds; 0 for a free-running window.
    """

    probability: npt.NDArray[np.float64]
    stop: int
    trial: Trial | None
    end_s: float


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """When a batch of windows was where, on the clock of the decoder.

    Attributes
    ----------
    oldest_stop : int
        Where the oldest of its windows ends, sample index at the decoder's rate.
    """

    oldest_stop: int
    began_s: float
    encoded_s: float
    believed_s: float


class Decoder:
    """Takes the windows that are due through the encoder and gathers their evidence.

    Parameters
    ----------
    bundle : Bundle
        What decodes.
    encoder : Encoder
        The bundle's encoder, running.
    cutter : Cutter
        Where the windows come from.
    run : int
        Number of the run, kept with every scored trial.
    clock : callable
        Gives the time in seconds, to tell how long the stages take.
    score_until : int or None
        Trials from this sample on, at the decoder's rate, are decoded but not scored.
    keep : callable or None
        Is handed every trial-locked window with what was decoded from it.
    supersede : bool
        Of windows that grow, decode only the newest of each trial that is due: an encoder slower than they come would
        fall ever further behind. The last of a trial, which decides, is always decoded.

    Attributes
    ----------
    scores : Scores
        Every trial decided so far.
    trial_belief, free_belief : Belief or None
        The newest of each kind.
    decided_belief : Belief or None
        The newest of a trial after its last window.
    windows : dict of str to int
        Trial-locked windows ``decoded``, ``withheld`` and ``superseded`` by a later one of their trial.
    withheld : int
        Trials that were not scored because a window of theirs was withheld.
    repeated : int
        Trials that were decoded but not scored, because a looping replay had shown them before.
    batch : BatchTimes or None
        When the last batch was where.
    novelty : float or None
        How far the newest trial-locked window lies from those of the training, from 0 to 1; None before the first, or
        where the bundle does not tell.
    news : list of TrialNews
        What the last step said of trials, in the order in which it came to say so.
    revisions : Revisions
        What was said anew of trials that were decided before; it does not touch the scores.
    """

    def __init__(
        self,
        bundle: Bundle,
        encoder: Encoder,
        cutter: Cutter,
        run: int = 0,
        clock: Callable[[], float] = time.monotonic,
        score_until: int | None = None,
        keep: Keep | None = None,
        *,
        supersede: bool = False,
    ) -> None:
        manifest = bundle.manifest
        self.manifest = manifest
        self.cutter = cutter
        self.scores = Scores(len(manifest.gallery), pictures=not manifest.space.of_categories)
        self.trial_belief: Belief | None = None
        self.free_belief: Belief | None = None
        self.decided_belief: Belief | None = None
        self.windows = {"decoded": 0, "withheld": 0, "superseded": 0}
        self.free_decoded = 0
        self.withheld = self.repeated = 0
        self.batch: BatchTimes | None = None
        self.novelty: float | None = None
        self.news = list[TrialNews]()
        self.revisions = Revisions(manifest.calibration, self.scores, run)
        self._clock = clock
        self._score_until = score_until
        self._keep = keep
        self._supersede = supersede
        self._encoder = encoder
        self._candidates = Candidates(bundle.gallery, bundle.norm)
        of_showings = bundle.of_showings if bundle.weighs_showings else None
        self._evidence = Evidence(manifest.calibration, len(manifest.gallery), of_showings)
        self._familiar = bundle.novelty
        self._novelties: dict[int, list[float]] = {}
        self._broken: set[int] = set()
        self._run = run
        self._onsets: list[int] = []

    def step(self, *, free_running: bool = True) -> bool:
        """Decode, as one batch, the windows that have ended since the last call.

        Returns
        -------
        bool
            Whether any window was decoded.
        """
        self.news = []
        locked = self.cutter.locked(supersede=self._supersede)
        revised = self.cutter.revised()
        free = self.cutter.free() if free_running else []
        sound = [window for window in (*locked, *revised, *free) if window.data is not None]
        began_s = self._clock()
        said = self._decoded(sound)
        encoded_s = self._clock()
        self._tell_novelty(locked)
        for window in locked:
            self._count(window, said.get(id(window)))
        self._revise(revised, said)
        self.free_decoded += sum(window.data is not None for window in free)
        for window in free:
            if window.data is not None:
                p = self._evidence.free_belief(said[id(window)][1])
                self.free_belief = Belief(p, window.stop, None, 0.0)
        still_open = {trial.number for trial in self.cutter.trials.open}
        self._evidence.keep(still_open)
        self._novelties = {trial: told for trial, told in self._novelties.items() if trial in still_open}
        if sound:
            oldest = min(window.stop for window in sound)
            self.batch = BatchTimes(oldest, began_s, encoded_s, self._clock())
        return bool(sound)

    def finish(self) -> None:
        """Decode anew, once no sample comes any more, the trials of which the whole run says more."""
        self.news = []
        final = self.cutter.finish()
        self._revise(final, self._decoded(final))

    def _revise(
        self,
        windows: Sequence[CutWindow],
        said: Mapping[int, tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]],
    ) -> None:
        for window in windows:
            assert window.locked is not None
            assert window.revises
            trial = window.locked.trial
            belief = self.revisions.add(trial, window.revises, said[id(window)][1])
            self.news.append(TrialNews(trial, window.revises, belief))

    def _decoded(
        self, windows: Iterable[CutWindow]
    ) -> dict[int, tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]]:
        """Return the embedding of each window and its similarity to the gallery."""
        windows = list(windows)
        if not windows:
            return {}
        # As in training, whenever the answer was read.
        schedule = self.manifest.schedule
        latencies = [schedule.latency_s(w.locked.k) if w.locked else UNKNOWN_LATENCY for w in windows]
        batch = np.stack([w.data for w in windows if w.data is not None])
        embeddings = self._encoder.encode(batch, np.array(latencies, dtype=np.float32))
        if self._keep is not None:
            for window, embedding in zip(windows, embeddings, strict=True):
                if window.locked is not None and not window.revises:
                    self._keep(window, embedding)
        rows = self._candidates.similarity(embeddings)
        return {id(w): (embedding, row) for w, embedding, row in zip(windows, embeddings, rows, strict=True)}

    def _tell_novelty(self, locked: Sequence[CutWindow]) -> None:
        """Tell of trial-locked windows how unlike the training they are, and keep it with their trials."""
        told = [(w.locked, w.data) for w in locked if w.locked is not None and w.data is not None]
        if self._familiar is None or not told:
            return
        latencies = np.array([place.k for place, _ in told])
        scores = self._familiar.score(np.stack([data for _, data in told]), latencies)
        for (place, _), score in zip(told, scores.tolist(), strict=True):
            self._novelties.setdefault(place.trial.number, []).append(score)
            self.novelty = score

    def repeated_belief(self, label: str) -> npt.NDArray[np.float64]:
        """Return the posterior from all whole showings of a stimulus so far, shape (n_entries,).

        Parameters
        ----------
        label : str
            What the stimulus's markers say.
        """
        return self._evidence.repeated_belief(label)

    def _count(
        self, window: CutWindow, said: tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]] | None
    ) -> None:
        """Add one trial-locked window to its trial, and score the trial after its last one."""
        assert window.locked is not None
        trial, k = window.locked.trial, window.locked.k
        if window.reason == "superseded":
            self.windows["superseded"] += 1
            return
        last = k + 1 == self.manifest.n_latencies
        if said is None:
            self.windows["withheld"] += 1
            self._broken.add(trial.number)
            self.news.append(TrialNews(trial, "withheld", None, window.reason))
        else:
            self.windows["decoded"] += 1
            embedding, similarities = said
            self._evidence.add(trial.number, k, similarities, embedding)
            end_s = (window.stop - trial.onset) / float(self.cutter.schedule.sfreq_hz)
            self.trial_belief = Belief(self._evidence.belief(trial.number), window.stop, trial, end_s)
            if trial.number not in self._broken:
                self.news.append(
                    TrialNews(trial, "decided" if last else "rising", self.trial_belief.probability)
                )
        if last:
            if said is not None:
                self.decided_belief = self.trial_belief
            self._score(trial)

    def _score(self, trial: Trial) -> None:
        if trial.number in self._broken:
            self._broken.discard(trial.number)
            self.withheld += 1
            return
        if self._score_until is not None and trial.onset >= self._score_until:
            self.repeated += 1
            return
        insort(self._onsets, trial.onset)
        at = bisect_left(self._onsets, trial.onset)
        self.scores.overlapping |= overlap(
            self._onsets[max(0, at - 1) : at + 2], self.cutter.trial_samples(self.manifest.n_latencies)
        )
        similarities = self._evidence.by_latency(trial.number)
        right = hits(similarities, np.full(len(similarities), trial.stimulus))
        log_evidence = self._evidence.log_evidence(trial.number)
        showing = self._evidence.show(trial.label, trial.number, log_evidence)
        repeated = self._evidence.repeated_log_evidence(trial.label)
        score = TrialScore(
            trial.number,
            trial.onset,
            trial.stimulus,
            log_evidence,
            right,
            self._run,
            float(np.mean(self._novelties.get(trial.number, nan))),
            showing,
            float(hits(repeated[None], np.array([trial.stimulus]))[0]),
            float(logsumexp(repeated) - repeated[trial.stimulus]),
        )
        self.scores.add(score)


def decode_recording(
    bundle: Bundle,
    encoder: Encoder,
    recording: Recording,
    stimuli: dict[str, int],
    run: int = 0,
    *,
    marker_offset_s: float = 0.0,
    onset_channel: str | None = None,
    keep: Keep | None = None,
) -> Decoder:
    """Decode every window of every trial of a recording as a live session would, without waiting.

    Parameters
    ----------
    stimuli : dict of str to int
        Gallery index by marker label.
    run : int
        Number kept with every trial.
    marker_offset_s : float
        Added to the time of every marker.
    onset_channel : str or None
        Photodiode or trigger channel that corrects the markers.
    keep : callable or None
        Is handed every window with what was decoded from it.

    Returns
    -------
    Decoder
        With the scores of all trials.
    """
    manifest = bundle.manifest
    hold_s = held_s(manifest.schedule, manifest.n_latencies, manifest.window)
    ingest = Ingest(stream_info(recording), manifest.chain, hold_s, onset_channel=onset_channel)
    trials = Trials(manifest.schedule, manifest.n_latencies, stimuli)
    cutter = WindowCutter(ingest, manifest.schedule, manifest.window, trials)
    decoder = Decoder(bundle, encoder, cutter, run, keep=keep)
    for _ in play_into(ingest, recording, trials, marker_offset_s):
        decoder.step(free_running=False)
    onsets = [trial.onset for trial in decoder.scores.trials]
    decoder.scores.overlapping |= overlap(sorted(onsets), 1 + shared_beyond(recording))
    return decoder
