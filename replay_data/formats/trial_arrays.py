"""A recording that was cut into trials and is stored as one array, mapped from its file."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from decode_stream.stream.recording import Epoch, epoch_gaps
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray, Gap

__all__ = ["TrialRecording"]


@dataclass(frozen=True, eq=False)
class TrialRecording:
    """Trials of an array, end to end, as a `Recording`.

    Attributes
    ----------
    array : array of shape (..., n_channels, n_times), floating
        The trials, in the order of the leading axes; it may be mapped, of any byte order and layout.
    kept : tuple of int
        Places of the wanted channels in `array`.
    channels : tuple of Channel
        One for each of `kept`.
    sfreq_hz : float
        Sampling rate.
    epoch : Epoch
        How the trials lie.
    stimuli : StimulusTable
        One row a trial.
    """

    name: str
    array: npt.NDArray[Any]
    kept: tuple[int, ...]
    channels: tuple[Channel, ...]
    sfreq_hz: float
    epoch: Epoch
    stimuli: StimulusTable
    notes: tuple[str, ...] = ()

    @property
    def n_trials(self) -> int:
        """How many trials there are."""
        return int(np.prod(self.array.shape[:-2]))

    @property
    def n_samples(self) -> int:
        """Length in samples, all trials together."""
        return self.n_trials * self.epoch.n_times

    @cached_property
    def markers(self) -> tuple[tuple[int, str], ...]:
        """Onset and id of every trial."""
        return self.stimuli.markers()

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """The breaks between the trials."""
        return epoch_gaps(self.n_trials, self.epoch, self.sfreq_hz)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels); float32 where stored as float16."""
        start, stop = max(0, start), min(stop, self.n_samples)
        n_times = self.epoch.n_times
        first, last = start // n_times, -(-stop // n_times)
        places = np.unravel_index(np.arange(first, max(first, last)), self.array.shape[:-2])
        trials = self.array[places]  # the wanted trials only are read from the file
        kind = np.result_type(self.array.dtype.newbyteorder("="), np.float32)
        samples = np.moveaxis(trials, -1, 1).reshape(-1, trials.shape[1])
        samples = samples[start - first * n_times : max(start, stop) - first * n_times]
        block: FloatArray = np.ascontiguousarray(samples[:, self.kept], dtype=kind)
        return block
