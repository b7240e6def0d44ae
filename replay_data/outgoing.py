"""What a replay sends that a recording does not hold as such: a trigger channel, another order, telling markers."""

from bisect import bisect_left, bisect_right

import numpy as np

from decode_stream.stream.errors import UsageError
from decode_stream.stream.marker_text import MarkerText, write_marker_text
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Channel, FloatArray

__all__ = ["PermutedRecording", "TriggerRecording", "marker_texts"]

#: How long the trigger channel stays up. Seconds.
_PULSE_S = 0.05


class _Changed:
    """A recording with other channels; see `Recording` for its attributes."""

    def __init__(self, whole: Recording, channels: tuple[Channel, ...]) -> None:
        self._whole = whole
        self.channels = channels
        self.name = whole.name
        self.sfreq_hz = whole.sfreq_hz
        self.n_samples = whole.n_samples
        self.markers = whole.markers
        self.stimuli = whole.stimuli
        self.epoch = whole.epoch
        self.gaps = whole.gaps
        self.notes = whole.notes


class PermutedRecording(_Changed):
    """A recording with its channels in an order drawn at random.

    Parameters
    ----------
    whole : Recording
    seed : int
        Of the order.
    """

    def __init__(self, whole: Recording, seed: int) -> None:
        self._order = np.random.default_rng((seed, *b"channels")).permutation(len(whole.channels))
        super().__init__(whole, tuple(whole.channels[place] for place in self._order))

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels)."""
        return self._whole.read(start, stop)[:, self._order]


class TriggerRecording(_Changed):
    """A recording with one more channel, as a photodiode gives it: 0, and 1 from each onset on for 50 ms.

    Where the next onset comes in less than twice that time, a pulse ends halfway, so that every onset is a rise; onsets
    in successive samples, which leave no room for a fall, are one pulse.

    Parameters
    ----------
    whole : Recording
        Its stimuli give the onsets; its markers where it has no stimuli.
    name : str
        Name of the channel.

    Raises
    ------
    UsageError
        If a channel has that name already, or there is nothing to rise at.
    """

    def __init__(self, whole: Recording, name: str) -> None:
        if name in (channel.name for channel in whole.channels):
            raise UsageError(
                f"--trigger-channel {name}: {whole.name!r} has a channel of that name. Give another name."
            )
        onsets = whole.stimuli.onset.tolist() or [at for at, _ in whole.markers]
        self._rises = sorted({at for at in onsets if 0 <= at < whole.n_samples})
        if not self._rises:
            raise UsageError(
                f"--trigger-channel {name}: {whole.name!r} has no stimuli and no markers to rise at. Leave it out."
            )
        n_pulse = max(1, round(_PULSE_S * whole.sfreq_hz))
        following = [*self._rises[1:], self._rises[-1] + 2 * n_pulse]
        self._falls = [
            at + min(n_pulse, max(1, (after - at) // 2))
            for at, after in zip(self._rises, following, strict=True)
        ]
        super().__init__(whole, (*whole.channels, Channel(name, "stim")))

    def read(self, start: int, stop: int) -> FloatArray:
        """Return the samples [start, stop), shape (stop - start, n_channels)."""
        data = self._whole.read(start, stop)
        pulses = np.zeros((len(data), 1), dtype=data.dtype)
        for place in range(bisect_right(self._falls, start), bisect_left(self._rises, stop)):
            pulses[max(0, self._rises[place] - start) : self._falls[place] - start] = 1
        return np.hstack((data, pulses))


def marker_texts(recording: Recording, marker_format: str) -> list[str]:
    """Return what is sent for each marker of a recording.

    Parameters
    ----------
    recording : Recording
    marker_format : {"id", "json"}
        The markers as they are, or with what the table of stimuli says of each.
    """
    if marker_format == "id":
        return [label for _, label in recording.markers]
    table = recording.stimuli
    texts = []
    for (_, label), row in zip(recording.markers, table.rows_of(recording.markers), strict=True):
        said = {
            name: str(column[row])
            for name in ("concept", "image", "split")
            if row >= 0 and (column := getattr(table, name)) is not None
        }
        texts.append(write_marker_text(MarkerText(label, **said, duration_s=table.duration_at(row))))
    return texts
