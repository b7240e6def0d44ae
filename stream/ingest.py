"""From what a source hands over to samples that have an index, a place in the ring, and flags."""

from collections.abc import Callable, Iterable
from math import ceil

import numpy as np
import numpy.typing as npt

from .continuity import Continuity
from .errors import UsageError, did_you_mean
from .filters import CausalChain, ChainSpec
from .flags import Flags
from .onsets import OnsetChannel
from .ring import RingBuffer
from .types import DECODED_TYPES, Chunk, FloatArray, Gap, StreamInfo

__all__ = ["Ingest"]

#: Samples held at least: at one volume in seconds, ten seconds would not hold a trial.
_LEAST_HELD = 64


class Ingest:
    """Everything between the inlet and the windows, without threads and without a clock of its own.

    Parameters
    ----------
    info : StreamInfo
        The stream.
    spec : ChainSpec
        The decoder's causal chain.
    hold_s : float
        Seconds of signal held for late markers; of volumes, which come seconds apart, no fewer than 64.
    counter_channel : str or None
        Channel that carries a running sample number, if there is one: losses are then exact.
    onset_channel : str or None
        Photodiode or trigger channel whose edges correct the markers.

    Attributes
    ----------
    ring : RingBuffer
        The filtered signal at the decoder's rate.
    flags : Flags
        Spans at the decoder's rate that lie in a gap, in the settling of the filters, or on values that were
        not finite.
    next_sample : int
        Index of the next input sample.
    ended : bool
        Whether the stream was flushed: no sample comes any more.
    counter_channel : str or None
        What was given.
    onset_channel : OnsetChannel or None
        Is shown the samples as they come, to find stimulus onsets in one of their channels.
    onsets_between : bool
        Whether onsets may lie between samples: of volumes, which come seconds apart.
    watch : callable or None
        Is shown every piece of the stream, samples or break, once it is in the ring.

    Raises
    ------
    StreamError
        If the stream does not fit the chain.
    UsageError
        If a channel named here is not there.
    """

    def __init__(
        self,
        info: StreamInfo,
        spec: ChainSpec,
        hold_s: float = 10.0,
        *,
        counter_channel: str | None = None,
        onset_channel: str | None = None,
    ) -> None:
        self.info = info
        self.chain = CausalChain(spec, info.channels, info.sfreq_hz)
        counter = self._column(counter_channel) if counter_channel is not None else None
        self.counter_channel = counter_channel
        self.continuity = Continuity(info.sfreq_hz, speed=info.speed, counter_channel=counter)
        self.ring = RingBuffer(max(ceil(hold_s * spec.sfreq_hz), _LEAST_HELD), spec.n_out)
        self.flags = Flags()
        self.next_sample = 0
        self.ended = False
        self.onsets_between = any(channel.type in DECODED_TYPES["fmri"] for channel in info.channels)
        self.watch: Callable[[Chunk | Gap], None] | None = None
        self.onset_channel = self._onset_channel(onset_channel) if onset_channel is not None else None
        places = {channel.name: place for place, channel in enumerate(info.channels)}
        self._columns = [places[name] for name in spec.channels]
        self._settle = ceil(self.chain.settle_samples / self.chain.decimation)
        if self._settle:
            self.flags.add(0, self._settle, "settling")

    def _onset_channel(self, name: str) -> OnsetChannel:
        column = self._column(name)
        digital = self.info.channels[column].type == "stim"
        return OnsetChannel(column, self.info.sfreq_hz, digital=digital)

    def _column(self, name: str) -> int:
        names = [channel.name for channel in self.info.channels]
        if name not in names:
            raise UsageError(
                f"{self.info.name!r} has no channel {name!r}; it has: {', '.join(names[:40])}."
                f"{did_you_mean(name, names)}"
            )
        return names.index(name)

    def feed(self, data: FloatArray, stamps_s: npt.NDArray[np.float64], arrived_s: float) -> list[Gap]:
        """Take samples from the source.

        Parameters
        ----------
        data : array of shape (n_samples, n_stream_channels)
            Values in the stream's units.
        stamps_s : array of shape (n_samples,), float64
            LSL time of each sample on this machine's clock.
        arrived_s : float
            LSL time at which they were in hand.

        Returns
        -------
        list of Gap
            Breaks found, in order.
        """
        return self.take(self.continuity.admit(data, stamps_s, arrived_s))

    def flush(self) -> list[Gap]:
        """Take what was held back to tell jitter from loss; for the end of a stream."""
        gaps = self.take(self.continuity.flush())
        self.ended = True
        return gaps

    def take(self, pieces: Iterable[Chunk | Gap]) -> list[Gap]:
        """Take samples whose index is known already, such as a recording's; returns the breaks among them."""
        gaps = []
        for piece in pieces:
            if isinstance(piece, Gap):
                self._break(piece)
                gaps.append(piece)
            else:
                self._append(piece)
            if self.watch is not None:
                self.watch(piece)
        self.flags.forget(self.ring.start)
        return gaps

    def _append(self, chunk: Chunk) -> None:
        if self.onset_channel is not None:
            self.onset_channel.feed(chunk.data[:, self.onset_channel.index], chunk.start)
        bad_before = self.chain.non_finite
        filtered = self.chain.process(chunk.data, chunk.start)
        if self.chain.non_finite > bad_before:
            self._flag_non_finite(chunk)
        self.ring.write(filtered)
        self.next_sample = chunk.stop

    def _flag_non_finite(self, chunk: Chunk) -> None:
        """Flag every bad sample with the echo that the values put in its place leave in the filters.

        Each is flagged by itself, so that what is withheld does not depend on the chunks.
        """
        d = self.chain.decimation
        bad = chunk.start + np.flatnonzero(~np.isfinite(chunk.data[:, self._columns]).all(axis=1))
        # What only picks remembers nothing, and what decimates has filters, which reach at least one sample on.
        for run in np.split(bad, np.flatnonzero(np.diff(bad) > 1) + 1):
            stop = ceil((int(run[-1]) + 1) / d)
            self.flags.add(ceil(int(run[0]) / d), stop + self._settle, "not finite")

    def _break(self, gap: Gap) -> None:
        at = self.ring.stop
        stop = ceil(gap.stop / self.chain.decimation)
        self.chain.reset()
        # Flagged before they can be seen: other threads cut windows meanwhile. A break that lost nothing is flagged on
        # its first sample, so that no window runs across it.
        self.flags.add(at, max(stop + self._settle, at + 1), "gap")
        self.ring.write_missing(stop - at)
        self.next_sample = gap.stop

    def onset(self, time_s: float) -> float | None:
        """Return the sample index at the decoder's rate that lies nearest to a stimulus onset; of volumes its place.

        Parameters
        ----------
        time_s : float
            LSL time of the marker.

        Returns
        -------
        int or None
            Corrected by the onset channel if there is one; None while an edge that belongs to the marker may still
            come.
        """
        if not self.continuity.clock.ready:
            return None
        return self.place(self.continuity.clock.index_at(time_s))

    def place(self, index: float) -> float | None:
        """Return the onset at the decoder's rate of a marker at an input sample, as `onset` does for a time."""
        channel = self.onset_channel
        if channel is None and self.onsets_between:
            return index / self.chain.decimation
        sample = int(np.floor(index + 0.5))
        if channel is not None:
            last = sample if self.ended else sample + channel.tolerance
            if self.to_decoder(last) >= self.ring.stop:
                return None
            edge = channel.nearest(sample)
            sample = sample if edge is None else edge
        return self.to_decoder(sample)

    def to_decoder(self, sample: int) -> int:
        """Return the index at the decoder's rate nearest to an input sample index."""
        d = self.chain.decimation
        return (2 * sample + d) // (2 * d)

    def samples_until(self, stop: int) -> int:
        """Return how many input samples are missing until the ring ends at or behind `stop`."""
        return max(0, (stop - 1) * self.chain.decimation + 1 - self.next_sample)
