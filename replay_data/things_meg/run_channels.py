"""A run of THINGS-MEG with the channels that the published ones have beside the sensors."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from decode_stream.stream.recording import Epoch, Recording
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import Channel, FloatArray, Gap

__all__ = ["IMAGE_S", "LEAD_S", "RunAsPublished"]

#: How long a picture is shown, and how long before it appears the trigger comes.
IMAGE_S, LEAD_S = 0.5, 0.010
_PULSE_S = 0.025
_IMAGE_CODE, _END_CODE = 64.0, 32.0
_BRIGHT_V = 2.5
_CLOCK_START_S = 1.0  # zero would say that there is no signal

_TRIGGERS = Channel("UPPT001", "misc")
_CLOCK = Channel("SCLK01-177", "misc")
_SENSOR = Channel("UADC016-2104", "misc", "V")


@dataclass(frozen=True, eq=False)
class RunAsPublished:
    """A run, and where it lacks them trigger port, system clock and optical sensor, as a `Recording`.

    The trigger port is stored as the published files have it: as a kind of channel that MNE-Python takes for ``misc``.

    Attributes
    ----------
    source : Recording
        The run; its `stimuli` say when pictures appear.
    """

    source: Recording

    @property
    def name(self) -> str:
        """The run's name."""
        return self.source.name

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that are made here, and the run's own."""
        own = (
            replace(channel, type="misc", unit="") if channel.name == _TRIGGERS.name else channel
            for channel in self.source.channels
        )
        return (*self._made, *own)

    @cached_property
    def _made(self) -> tuple[Channel, ...]:
        held = {channel.name for channel in self.source.channels}
        return tuple(channel for channel in (_TRIGGERS, _CLOCK, _SENSOR) if channel.name not in held)

    @property
    def sfreq_hz(self) -> float:
        """The run's rate."""
        return self.source.sfreq_hz

    @property
    def n_samples(self) -> int:
        """The run's length."""
        return self.source.n_samples

    @property
    def markers(self) -> tuple[tuple[int, str], ...]:
        """The run's markers."""
        return self.source.markers

    @property
    def stimuli(self) -> StimulusTable:
        """What the run shows."""
        return self.source.stimuli

    @property
    def epoch(self) -> Epoch | None:
        """None: runs are continuous."""
        return self.source.epoch

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The run's breaks."""
        return self.source.gaps

    @property
    def notes(self) -> tuple[str, ...]:
        """The run's notes."""
        return self.source.notes

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels)."""
        at = np.arange(start, stop)
        makers = {_TRIGGERS.name: self._codes, _CLOCK.name: self._clock_s, _SENSOR.name: self._light_v}
        made = [makers[channel.name](at) for channel in self._made]
        return np.column_stack([*made, self.source.read(start, stop)])

    def _codes(self, at: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        lead, n_pulse = round(LEAD_S * self.sfreq_hz), max(2, round(_PULSE_S * self.sfreq_hz))
        triggers = np.maximum(self.stimuli.onset - lead, 0)
        codes = np.where(_since(triggers, at) < n_pulse, _IMAGE_CODE, 0.0)
        last = int(triggers[-1]) if len(triggers) else 0
        end = (last + self.n_samples) // 2
        is_end = (at >= max(end, last + n_pulse)) & (at < end + n_pulse)
        return np.where(is_end, _END_CODE, codes)

    def _clock_s(self, at: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return _CLOCK_START_S + at / self.sfreq_hz

    def _light_v(self, at: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.where(_since(self.stimuli.onset, at) < round(IMAGE_S * self.sfreq_hz), _BRIGHT_V, 0.0)


def _since(onsets: npt.NDArray[np.int64], at: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return how many samples ago the last onset was, infinite before the first."""
    ordered = np.sort(onsets)
    last = np.searchsorted(ordered, at, "right") - 1
    known = last >= 0
    return np.where(known, at - ordered[np.maximum(last, 0)] if len(ordered) else 0, np.inf)
