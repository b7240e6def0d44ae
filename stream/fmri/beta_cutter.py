"""Volumes out of the ring, betas to the decoder: each trial's one window is its beta."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from decode_stream.stream.cutter import CutWindow
from decode_stream.stream.errors import StreamError, did_you_mean
from decode_stream.stream.filters import CausalChain, ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.trials import Trials, TrialWindow
from decode_stream.stream.types import DECODED_TYPES, Channel, StreamInfo, Trial
from decode_stream.stream.units import handy_unit
from decode_stream.stream.window_chain import WindowChain, WindowSpec
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

from .glm_spec import GlmSpec
from .running_scale import RunningScale
from .trial_betas import TrialBeta, TrialBetas, decision_volumes, shows_something

__all__ = ["BetaCutter", "decision_schedule", "volume_chain"]


def decision_schedule(spec: GlmSpec, sfreq_hz: float) -> WindowSchedule:
    """Return when a trial is decided after a whole onset, as the schedule of one window: its last volume.

    Parameters
    ----------
    sfreq_hz : float
        Volumes per second.
    """
    rate = exact_sfreq(sfreq_hz)
    return WindowSchedule(rate, 1 / rate, 1 / rate, (decision_volumes(spec, float(1 / rate)) - 1) / rate)


def volume_chain(spec: GlmSpec, voxels: Sequence[str], info: StreamInfo) -> ChainSpec:
    """Return the chain that picks the voxels out of a stream of volumes, and the confounds of the model behind them.

    Raises
    ------
    StreamError
        If the stream lacks a confound.
    """
    channels = {channel.name: channel for channel in info.channels}
    if missing := [name for name in spec.confounds if name not in channels]:
        raise StreamError(
            f"{info.name!r} lacks {len(missing)} confounds of the model that makes its betas: {', '.join(missing)}."
            f"{did_you_mean(missing[0], channels)} Let the stream send them as channels of type misc; give a recording "
            "that has its motion estimates beside it; or train with --confounds none. --watch estimates motion, but "
            "not of thin volumes, nor with --no-motion-correction."
        )
    names = (*voxels, *spec.confounds)
    # Voxels that the stream lacks are named by the chain.
    units = tuple(handy_unit(channels[name].unit) if name in channels else "" for name in names)
    return ChainSpec(names, units, info.sfreq_hz)


class BetaCutter:
    """Makes a beta of each trial out of the volumes in the ring; see `Cutter`.

    The window of a trial is its beta at its moment, through the bundle's chain, exactly as a recording of betas gives
    it. What the volumes after that say of it comes again as a revision.

    Parameters
    ----------
    ingest : Ingest
        Its chain is that of `volume_chain`.
    spec : GlmSpec
        The model.
    chain : ChainSpec
        The bundle's, for betas.
    window : WindowSpec
        What is done to each beta after that.
    trials : Trials
        On the schedule of `decision_schedule`.
    planned_volumes : int
        Length of the run as planned.
    running : RunningScale or None
        What standardises betas in the place of the bundle's level and spread.

    Attributes
    ----------
    betas : TrialBetas
        The model of the run so far.
    withheld_for : Counter of str
        Trials that were not decided, by reason.
    longer : bool
        Whether the run is longer than it was planned.
    """

    def __init__(
        self,
        ingest: Ingest,
        spec: GlmSpec,
        chain: ChainSpec,
        window: WindowSpec,
        trials: Trials,
        planned_volumes: int,
        running: RunningScale | None = None,
    ) -> None:
        self.ingest = ingest
        self.trials = trials
        self.schedule = decision_schedule(spec, ingest.info.sfreq_hz)
        self.running = running
        self.betas = TrialBetas(spec, len(chain.channels), 1 / ingest.info.sfreq_hz, planned_volumes)
        self.withheld_for: Counter[str] = Counter()
        self.due = self.withheld = self.skipped = 0
        self._next = ingest.ring.stop
        self._first = ingest.ring.stop
        self._n_voxels = len(chain.channels)
        # The mean and spread of betas, if these are those of the session, stand in the place of the bundle's.
        spec_of_betas = chain if running is None else replace(chain, center=None, scale=None)
        self._chain = CausalChain(spec_of_betas, _beta_channels(spec, chain, ingest), chain.sfreq_hz)
        self._window = WindowChain(window, chain.sfreq_hz)
        self._seen: dict[int, Trial] = {}
        # What a beta says is worked out when its volume is taken: a running statistic then does not depend on how
        # many volumes came at once.
        self._decided: dict[int, CutWindow] = {}
        self._revised: dict[int, CutWindow] = {}
        trials.told = self._see
        trials.ended = lambda trial, stop: int(stop >= self._decided_at(trial))

    @property
    def longer(self) -> bool:
        """Whether the run has gone on beyond what was planned."""
        return self.betas.n_volumes > self.betas.planned_volumes

    def trial_samples(self, n_latencies: int) -> int:
        """Return how many volumes a beta rests on: those from its onset to its decision."""
        return self.schedule.stop(0)

    def next_stop(self, after: int) -> int:
        """Return the next volume: each is worked on when it comes."""
        return after + 1

    def free(self) -> list[CutWindow]:
        """Return nothing: without an onset there is no beta."""
        return []

    def locked(self, *, supersede: bool = False) -> list[CutWindow]:
        """Take the volumes that have come, and return the betas of the trials that are decided by them."""
        self._take_volumes()
        windows = []
        for place in self.trials.due(0, self._next):
            number = place.trial.number
            outside = "its marker shows nothing, or came before the run"
            window = self._decided.pop(number, None) or CutWindow(place.stop, place, None, outside)
            window = replace(window, stop=self._decided_at(place.trial))
            if window.data is None:
                self.withheld_for[window.reason] += 1
            windows.append(window)
        return windows

    def revised(self) -> list[CutWindow]:
        """Return the newest betas of trials that were decided before and whose response goes on."""
        revised, self._revised = self._revised, {}
        return list(revised.values())

    def finish(self) -> list[CutWindow]:
        """Return the betas of all trials with the whole run."""
        self._take_volumes()
        final = [self._window_of(beta) for beta in self.betas.finish() if beta.trial in self._seen]
        return [replace(window, revises="final") for window in final if window.data is not None]

    def _onset(self, trial: Trial) -> float:
        """Return where the onset of a trial lies in the run, in volumes."""
        return trial.onset + trial.fraction - self._first

    def _decided_at(self, trial: Trial) -> int:
        """Return behind which sample a trial is decided."""
        return self._first + self.betas.decided_at(self._onset(trial))

    def _see(self, trial: Trial) -> None:
        if trial.stimulus >= 0:
            self._seen[trial.number] = trial
        # A recording tells nothing of what was shown before its first volume, so a session does not either.
        if shows_something(trial.label) and trial.onset >= self._first:
            late = self.betas.add_trial(trial.number, self._onset(trial), trial.duration_s)
            if late is not None:
                self._take(late)

    def _take_volumes(self) -> None:
        """Take the volumes that came before markers were placed last: whose trials those are is known by then."""
        ring, stop = self.ingest.ring, self.trials.placed_until
        while self._next < stop:
            # A volume that others wait behind is not worth a belief of its own.
            newest = self._next + 1 == stop
            view = ring.view(self._next, self._next + 1)
            row = None if view is None else view[0].copy()
            if row is None or not ring.is_intact(self._next) or not self._is_sound(row):
                told = self.betas.skip(refine=newest)
            else:
                told = self.betas.add(row[: self._n_voxels], row[self._n_voxels :], refine=newest)
            self._next += 1
            for beta in told:
                self._take(beta)

    def _is_sound(self, row: npt.NDArray[np.float32]) -> bool:
        """Return whether a volume came, with numbers alone; a jump of the stamps takes none of it away."""
        reason = self.ingest.flags.reason(self._next, self._next + 1)
        return reason != "not finite" and bool(np.isfinite(row).all())

    def _take(self, beta: TrialBeta) -> None:
        if self.running is not None and beta.state == "decided":
            # Of what the gallery lacks as well: it is as much of the session.
            self.running.add(self._picked(beta)[0])
        if beta.trial not in self._seen:
            return
        if beta.state == "refined":
            window = self._window_of(beta)
            if window.data is not None:
                self._revised[beta.trial] = replace(window, revises="refined")
            return
        self._decided[beta.trial] = self._window_of(beta)

    def _window_of(self, beta: TrialBeta) -> CutWindow:
        """Return a beta as the decoder takes it, or why it is withheld."""
        trial, stop = self._seen[beta.trial], self._first + beta.stop
        place = TrialWindow(trial, 0, trial.onset, stop)
        if beta.state == "withheld":
            return CutWindow(stop, place, None, beta.reason)
        if self.running is None:
            scaled = self._picked(beta)
        elif self.running.ready:
            scaled = self.running.apply(self._picked(beta)[0])[None]
        else:
            return CutWindow(stop, place, None, "warm-up")
        data = self._window.apply(scaled, None)
        return CutWindow(stop, place, data, "" if data is not None else "artefact")

    def _picked(self, beta: TrialBeta) -> npt.NDArray[np.float32]:
        """Return a beta through the chain, shape (1, n_voxels)."""
        return self._chain.process(beta.value[None], 0)


def _beta_channels(spec: GlmSpec, chain: ChainSpec, ingest: Ingest) -> tuple[Channel, ...]:
    """Return the channels of betas, in the order of the voxels of the ring."""
    unit = dict(zip(ingest.chain.spec.channels, ingest.chain.spec.units, strict=True))
    kind = DECODED_TYPES["fmri"][0]
    return tuple(Channel(name, kind, "%" if spec.percent else unit[name]) for name in chain.channels)
