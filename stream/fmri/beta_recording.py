"""A recording of volumes as the recording of the betas that a live session would have decided on."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import floor
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError, did_you_mean
from decode_stream.stream.recording import Epoch, Recording, n_missing
from decode_stream.stream.stimuli import StimulusTable, to_hundredths
from decode_stream.stream.types import DECODED_TYPES, Channel, FloatArray, Gap

from .glm_spec import GlmSpec
from .hrf_choice import WholeRun
from .trial_betas import TrialBeta, TrialBetas, decision_volumes, shows_something

__all__ = ["BetaRecording", "beta_recording", "holds_betas", "whole_run"]

_BLOCK_BYTES = 16 << 20
#: Magnitudes are not negative: where the mean of more voxels than this part is, it was taken off.
_CENTRED = 0.1


@dataclass(frozen=True, eq=False)
class BetaRecording:
    """Betas of the trials of one run, each as it was decided, one sample a trial; see `Recording` for the rest.

    Attributes
    ----------
    volumes : Recording
        What they were made from.
    spec : GlmSpec
        How.
    onsets : tuple of float
        Of each beta's trial, in volumes.
    sfreq_hz : float
        Nominal, as betas have no times between them.
    values : array of shape (n_trials, n_voxels), float32
        Mapped from a temporary file that goes with the array.
    """

    volumes: Recording
    spec: GlmSpec
    onsets: tuple[float, ...]
    values: npt.NDArray[np.float32]
    channels: tuple[Channel, ...]
    stimuli: StimulusTable
    markers: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]
    sfreq_hz: float
    gaps: tuple[Gap, ...] = ()

    @property
    def name(self) -> str:
        """Short name for people."""
        return self.volumes.name

    @property
    def epoch(self) -> Epoch:
        """One sample a trial; those rest on common volumes of which one begins before the other is decided."""
        tr_s = 1 / self.volumes.sfreq_hz
        ends = [decision_volumes(self.spec, tr_s, onset) for onset in self.onsets]
        begun = np.searchsorted(self.onsets, ends) - np.arange(len(ends))
        return Epoch(1, 0, in_order=True, shared=int(begun.max(initial=1)))

    @property
    def n_samples(self) -> int:
        """Number of betas."""
        return len(self.values)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the betas [start, stop), shape (stop - start, n_voxels), float32."""
        return np.array(self.values[max(0, start) : max(0, stop)])


def holds_betas(recording: Recording) -> bool:
    """Return whether each sample of a recording is a trial."""
    return recording.epoch is not None and recording.epoch.n_times == 1


def beta_recording(
    recording: Recording,
    spec: GlmSpec,
    *,
    voxels: Sequence[str] | None = None,
    sfreq_hz: float | None = None,
    marker_offset_s: float = 0.0,
    report: Callable[[str], None] | None = None,
) -> BetaRecording:
    """Lead a recording of volumes through the model of a run, volume by volume, as a live session does.

    Every marker that stands for a stimulus has its part in the model, whether its trial is decoded or not. A trial
    without a beta is left out and counted in the notes.

    Parameters
    ----------
    recording : Recording
        One run.
    voxels : sequence of str or None
        Channels of which betas are made, in this order; by default all voxels.
    sfreq_hz : float or None
        Nominal rate of the betas; by default that of the volumes.
    marker_offset_s : float
        Added to the time of every marker.
    report : callable or None
        Is told of each recording when it is done.

    Raises
    ------
    RecordingError
        If it holds no volumes, lacks a confound of the model, holds values that are not numbers in most volumes, there
        is no beta of any trial, or its mean was taken off, of which betas are told in percent.
    """
    columns, confounds = _columns(recording, spec, voxels)
    lost_before = _lost_before(recording)
    n_volumes = recording.n_samples + sum(n_missing(gap, recording.sfreq_hz) for gap in recording.gaps)
    glm = TrialBetas(spec, len(columns), 1 / recording.sfreq_hz, n_volumes, refines=False)
    trials = _shown(recording, lost_before, marker_offset_s)
    inside = [number for number, trial in enumerate(trials) if 0 <= floor(trial.onset + 0.5) < n_volumes]
    for number in inside:
        glm.add_trial(number, trials[number].onset, trials[number].duration_s)
    left_out: Counter[str] = Counter({"outside the run": len(trials) - len(inside)})
    numbers = list[int]()
    with TemporaryFile() as file:
        for beta in _decided(glm, recording, columns, confounds):
            if beta.state == "withheld":
                left_out[beta.reason] += 1
                continue
            file.write(beta.value.data)
            numbers.append(beta.trial)
        left_out["not decided at the end of the run"] = (
            len(inside) - len(numbers) - left_out["too few volumes"]
        )
        values = _mapped(file, (len(numbers), len(columns)))
    told = ", ".join(f"{n} {why}" for why, n in (+left_out).items())
    if not numbers:
        raise RecordingError(
            f"{recording.name}: no trial of {len(trials)} has a beta{': ' + told if told else ''}. "
            "Is it a run of volumes with its events, long enough for them?"
        )
    if spec.percent and (centred := float((glm.mean() < 0).mean())) > _CENTRED:
        raise RecordingError(
            f"{recording.name}: {100 * centred:.0f} % of the voxels have a mean below 0, and betas are told in percent "
            "of it. The volumes were centred or standardised; give them as they were before, with their level."
        )
    notes = [*recording.notes, f"{len(numbers)} betas, each as it stood {spec.decide_s:g} s after its onset."]
    if told:
        notes.append(f"{len(trials) - len(numbers)} trials without a beta: {told}.")
    if glm.n_lost:
        notes.append(f"{glm.n_lost} of {n_volumes} volumes are missing or hold values that are not numbers.")
    if report is not None:
        report(f"{recording.name}: {len(numbers)} betas of {n_volumes} volumes")
    told_of = [trials[number] for number in numbers]
    return BetaRecording(
        recording,
        spec,
        tuple(trial.onset for trial in told_of),
        values,
        tuple(replace(recording.channels[i], unit=_unit(spec, recording.channels[i])) for i in columns),
        _renumbered(recording.stimuli, [trial.row for trial in told_of]),
        tuple((i, trial.label) for i, trial in enumerate(told_of)),
        tuple(notes),
        sfreq_hz or recording.sfreq_hz,
    )


def _unit(spec: GlmSpec, channel: Channel) -> str:
    return "%" if spec.percent else channel.unit


def whole_run(recording: Recording, spec: GlmSpec, marker_offset_s: float = 0.0) -> WholeRun:
    """Return a recording of volumes as a run that is over, lost volumes in their places.

    Parameters
    ----------
    marker_offset_s : float
        Added to the time of every marker.

    Raises
    ------
    RecordingError
        As `beta_recording`.
    """
    columns, confounds = _columns(recording, spec, None)
    lost_before = _lost_before(recording)
    values = recording.read(0, recording.n_samples)
    places = np.array([sample + lost_before(sample) for sample in range(recording.n_samples)])
    n_volumes = int(places[-1]) + 1 if len(places) else 0
    volumes = np.full((n_volumes, len(columns)), np.nan, np.float32)
    beside = np.full((n_volumes, len(confounds)), np.nan, np.float32)
    volumes[places], beside[places] = values[:, columns], values[:, confounds]
    shown = _shown(recording, lost_before, marker_offset_s)
    lasting_s = {trial.onset: spec.lasting_s(trial.duration_s) for trial in shown}
    inside = [onset for onset in lasting_s if 0 <= floor(onset + 0.5) < n_volumes]
    return WholeRun(volumes, beside, inside, [lasting_s[onset] for onset in inside])


def _columns(
    recording: Recording, spec: GlmSpec, wanted: Sequence[str] | None
) -> tuple[list[int], list[int]]:
    """Return the places of the voxels and of the model's confounds among a recording's channels."""
    if holds_betas(recording):
        raise RecordingError(f"{recording.name} holds betas already; give its volumes, or leave out --hrf.")
    if recording.epoch is not None:
        raise RecordingError(
            f"{recording.name} was cut into trials; betas are made from the volumes of a whole run."
        )
    voxels = [i for i, channel in enumerate(recording.channels) if channel.type in DECODED_TYPES["fmri"]]
    if not voxels:
        raise RecordingError(f"{recording.name} has no voxels; betas are made from volumes of fMRI.")
    if wanted is not None:
        places = {recording.channels[i].name: i for i in voxels}
        if n_missing_voxels := sum(name not in places for name in wanted):
            raise RecordingError(
                f"{recording.name} lacks {n_missing_voxels} of the {len(wanted)} voxels of which betas are made: it is "
                "of another person or space, or another mask was given. Give that of the training with --mask, or "
                "'all'."
            )
        voxels = [places[name] for name in wanted]
    others = {c.name: i for i, c in enumerate(recording.channels) if c.type not in DECODED_TYPES["fmri"]}
    if missing := [name for name in spec.confounds if name not in others]:
        raise RecordingError(
            f"{recording.name} lacks {len(missing)} confounds of the model: {', '.join(missing)}."
            f"{did_you_mean(missing[0], others)} Put its motion estimates beside it, as fMRIPrep's "
            "*_desc-confounds_timeseries.tsv or mcflirt's NAME.par, or train with --confounds none."
        )
    return voxels, [others[name] for name in spec.confounds]


def _lost_before(recording: Recording) -> Callable[[int], int]:
    """Return what tells how many samples are missing before one of a recording's own."""
    starts = [gap.start for gap in recording.gaps]
    lost = [n_missing(gap, recording.sfreq_hz) for gap in recording.gaps]
    return lambda sample: sum(n for start, n in zip(starts, lost, strict=True) if start <= sample)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A stimulus: its onset in volumes of the run, and its row in the table of stimuli, -1 where it has none."""

    onset: float
    label: str
    duration_s: float | None
    row: int


def _shown(recording: Recording, lost_before: Callable[[int], int], marker_offset_s: float) -> list[_Shown]:
    """Return each marker that stands for a stimulus, of those at the same moment with the same label the first."""
    table, offset = recording.stimuli, marker_offset_s * recording.sfreq_hz
    found: dict[tuple[float, str], _Shown] = {}
    for (sample, label), row in zip(recording.markers, table.rows_of(recording.markers), strict=True):
        if shows_something(label):
            onset = to_hundredths(table.onset_at(sample, row) + lost_before(sample) + offset)
            found.setdefault((onset, label), _Shown(onset, label, table.duration_at(row), row))
    return list(found.values())


def _decided(
    glm: TrialBetas, recording: Recording, voxels: Sequence[int], confounds: Sequence[int]
) -> Iterator[TrialBeta]:
    """Yield what is decided or withheld, in order."""
    gaps = sorted(recording.gaps, key=lambda gap: gap.start)
    block = max(1, _BLOCK_BYTES // (4 * len(recording.channels)))
    edges = sorted({*range(0, recording.n_samples, block), recording.n_samples, *(gap.start for gap in gaps)})
    bad = np.zeros(len(voxels), np.int64)
    for start, stop in pairwise(edges):
        while gaps and gaps[0].start <= start:
            for _ in range(n_missing(gaps.pop(0), recording.sfreq_hz)):
                yield from glm.skip()
        for row in recording.read(start, stop):
            volume, beside = row[voxels], row[confounds]
            if np.isfinite(volume).all() and np.isfinite(beside).all():
                yield from glm.add(volume, beside)
            else:
                bad += ~np.isfinite(volume)
                yield from glm.skip()
    if 2 * glm.n_lost > glm.n_volumes:
        worst = [recording.channels[voxels[i]].name for i in np.flatnonzero(bad > glm.n_volumes / 4)[:5]]
        raise RecordingError(
            f"{recording.name}: {glm.n_lost} of {glm.n_volumes} volumes are missing or hold values that are not "
            f"numbers{', in ' + ', '.join(worst) if worst else ''}; no trial can rest on these. Leave the voxels out "
            "with a --mask of those that hold data, or leave out the recording."
        )


def _renumbered(table: StimulusTable, rows: Sequence[int]) -> StimulusTable:
    """Return the rows of a table that belong to betas, by the number of the beta."""
    found = [(i, row) for i, row in enumerate(rows) if row >= 0]
    if not found:
        return StimulusTable()
    places = np.array([row for _, row in found], np.int64)
    return table.rows(places).at(np.array([i for i, _ in found], np.int64))


def _mapped(file: IO[bytes], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return what was written to a file without a name; it goes with the array."""
    file.flush()
    return np.memmap(file, np.float32, "r", shape=shape) if shape[0] else np.empty(shape, np.float32)
