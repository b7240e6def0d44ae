"""Recordings of a simulated subject, generated while they are read."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray, Gap, IntArray

from .forward import ForwardModel
from .noise_blocks import ArtefactBlocks, NoiseBlocks

__all__ = ["SimulatedRecording", "Simulation"]

_BLOCK_S = 0.1
_BLOCKS_HELD = 4
_LONGEST_S = 24 * 3600


@dataclass(frozen=True, eq=False)
class Simulation:
    """All that decides a simulated recording.

    Attributes
    ----------
    forward : ForwardModel
        The subject.
    embeddings : array of shape (n_pictures, n_dims), float32
        The pictures.
    shown : array of shape (n_presentations,), int64
        Which picture stands in each row of `stimuli`.
    stimuli : StimulusTable
        What was shown, by onset.
    n_samples : int
    seed : int
        Decides noise and artefacts.
    name : str
    artefacts : bool
        Whether there are any: without them the signal is evoked responses and Gaussian noise, what the ideal observer
        is shown.

    Raises
    ------
    ValueError
        If shapes do not fit, the length is absurd, or onsets are out of order or outside the recording.
    """

    forward: ForwardModel
    embeddings: npt.NDArray[np.float32]
    shown: IntArray
    stimuli: StimulusTable
    n_samples: int
    seed: int
    name: str = "simulated"
    artefacts: bool = True

    def __post_init__(self) -> None:
        onset = self.stimuli.onset
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"A seed is a whole number from 0 to below 2^63, not {self.seed}.")
        if not 0 < self.n_samples <= _LONGEST_S * self.forward.sfreq_hz:
            raise ValueError(f"{self.n_samples} samples: a recording lasts up to {_LONGEST_S // 3600} hours.")
        if self.embeddings.ndim != 2 or self.embeddings.shape[1] != self.forward.n_dims:
            raise ValueError(
                f"Embeddings of shape {self.embeddings.shape} do not fit a subject made for {self.forward.n_dims} "
                "dimensions."
            )
        if self.shown.shape != onset.shape or (
            len(onset) and not 0 <= self.shown.min() <= self.shown.max() < len(self.embeddings)
        ):
            raise ValueError(
                f"{len(onset)} onsets need as many pictures of the {len(self.embeddings)} there are."
            )
        if len(onset) and (
            np.diff(onset).min(initial=0) < 0 or not 0 <= onset[0] <= onset[-1] < self.n_samples
        ):
            raise ValueError(f"Onsets must rise, from 0 to below the length, {self.n_samples} samples.")


class SimulatedRecording:
    """A simulated recording, as a `Recording`: signal is generated in blocks when it is read.

    The samples are the same however they are read: in any pieces, backwards, or twice. Reading on is cheap, and so is
    going back; a jump ahead generates the noise in between.

    Parameters
    ----------
    simulation : Simulation
    channels : array of int, optional
        Which channels to give; all by default.

    Attributes
    ----------
    simulation : Simulation
    markers : tuple of (int, str)
        The ids of the stimuli.
    gaps : tuple of Gap
        None.
    epoch : None
        It is continuous.

    See `Recording` for the others.
    """

    gaps: tuple[Gap, ...] = ()
    epoch = None

    def __init__(self, simulation: Simulation, channels: npt.NDArray[np.intp] | None = None) -> None:
        forward = simulation.forward
        self.simulation = simulation
        self._kept = channels
        self.channels: tuple[Channel, ...] = (
            forward.channels if channels is None else tuple(forward.channels[i] for i in channels)
        )
        self.name = simulation.name
        self.sfreq_hz = forward.sfreq_hz
        self.n_samples = simulation.n_samples
        self.stimuli = simulation.stimuli
        self.markers = simulation.stimuli.markers()
        self.notes = ("Simulated: nobody was recorded.", *forward.notes)
        self._n_block = max(1, round(_BLOCK_S * forward.sfreq_hz))
        self._held: OrderedDict[int, npt.NDArray[np.float64]] = OrderedDict()
        self._noise = NoiseBlocks(forward.noise, self._n_block, simulation.seed)
        length_s = simulation.n_samples / forward.sfreq_hz
        self._artefacts = (
            ArtefactBlocks(forward.artefacts, self._n_block, forward.sfreq_hz, length_s, simulation.seed)
            if simulation.artefacts
            else None
        )
        self._courses = forward.courses.astype(np.float64).T[:, forward.component]
        self._topographies = forward.topographies.astype(np.float64)

    @cached_property
    def drives(self) -> npt.NDArray[np.float64]:
        """How strongly each presentation drives each source, shape (n_presentations, n_sources)."""
        pictures, place = np.unique(self.simulation.shown, return_inverse=True)
        return self.simulation.forward.drives(self.simulation.embeddings[pictures])[place]

    def without_artefacts(self) -> "SimulatedRecording":
        """Return the same recording, evoked responses and Gaussian noise only, for the ideal observer."""
        return SimulatedRecording(replace(self.simulation, artefacts=False), self._kept)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels), float64."""
        start, stop = max(0, start), min(stop, self.n_samples)
        if stop <= start:
            return np.empty((0, len(self.channels)))
        first, last = start // self._n_block, (stop - 1) // self._n_block
        data = np.concatenate([self._block(number) for number in range(first, last + 1)])
        data = data[start - first * self._n_block : stop - first * self._n_block]
        return data if self._kept is None else data[:, self._kept]

    def _block(self, number: int) -> npt.NDArray[np.float64]:
        if number not in self._held:
            data = self._noise.block(number) + self._evoked(number)
            if self._artefacts is not None:
                data += self._artefacts.block(number)
            self._held[number] = data
            if len(self._held) > _BLOCKS_HELD:
                self._held.popitem(last=False)
        return self._held[number]

    def _evoked(self, number: int) -> npt.NDArray[np.float64]:
        """Return the sum of all responses in one block."""
        start, n = number * self._n_block, self._n_block
        onset, drives = self.stimuli.onset, self.drives
        activity = np.zeros((n, len(self._topographies)))
        first, last = np.searchsorted(onset, [start - len(self._courses) + 1, start + n])
        for i in range(first, last):
            at = int(onset[i]) - start
            mine = activity[max(0, at) : at + len(self._courses)]
            mine += self._courses[max(0, -at) :][: len(mine)] * drives[i]
        return activity @ self._topographies
