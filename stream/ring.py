"""One copy of the recent signal, read through views."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["Cursor", "RingBuffer"]


class RingBuffer:
    """The last `capacity` samples; a write costs the chunk, a read costs nothing.

    Every sample is stored twice, `capacity` rows apart, so that any run of up to `capacity` samples lies in one
    piece and is handed out as a view. One thread writes; any number read.

    Parameters
    ----------
    capacity : int
        Number of samples held.
    n_channels : int
        Number of channels.

    Notes
    -----
    A reader that may be slow calls `is_intact` after it has used a view: the writer does not wait for readers.
    """

    def __init__(self, capacity: int, n_channels: int) -> None:
        if capacity < 1 or n_channels < 1:
            raise ValueError(f"A ring needs samples and channels; got {capacity=} and {n_channels=}.")
        self.capacity = capacity
        self.n_channels = n_channels
        # Filled at once: pages of memory that are first touched in a write cost that write milliseconds.
        self._rows = np.full((2 * capacity, n_channels), np.nan, dtype=np.float32)
        # Written in this order: `_claimed` rises before the rows change and `_stop` after, so that a reader
        # which looks at `_claimed` after its work knows whether a row it used was being written meanwhile.
        self._claimed = 0
        self._stop = 0
        self._start = 0

    @property
    def start(self) -> int:
        """Sample index of the oldest sample that was ever written and is still held."""
        return max(self._start, self._stop - self.capacity)

    @property
    def stop(self) -> int:
        """Sample index behind the newest sample."""
        return self._stop

    def begin(self, index: int) -> None:
        """Name the sample index of the first sample to be written; only before the first write.

        Raises
        ------
        RuntimeError
            If samples were written already.
        """
        if self._stop != self._start:
            raise RuntimeError(
                f"The ring already holds samples up to {self._stop}; it cannot begin at {index}."
            )
        self._start = self._stop = self._claimed = index

    def write(self, data: npt.NDArray[np.float32]) -> None:
        """Append samples.

        Parameters
        ----------
        data : array of shape (n_samples, n_channels), float32
            The newest samples, oldest first. Of more than `capacity` samples only the last are kept.
        """
        n = len(data)
        stop = self._stop + n
        # A long run of missing samples has claimed more than this piece of it.
        self._claimed = max(self._claimed, stop)
        if n > self.capacity:
            data = data[n - self.capacity :]
            n = self.capacity
        at = (stop - n) % self.capacity
        until_edge = min(n, self.capacity - at)
        rows = self._rows
        rows[at : at + until_edge] = data[:until_edge]
        rows[at + self.capacity : at + self.capacity + until_edge] = data[:until_edge]
        if until_edge < n:
            rows[: n - until_edge] = data[until_edge:]
            rows[self.capacity : self.capacity + n - until_edge] = data[until_edge:]
        self._stop = stop

    def write_missing(self, n_samples: int) -> None:
        """Append `n_samples` samples that never came; they read as NaN."""
        rest = min(n_samples, self.capacity)
        skipped = n_samples - rest
        self._claimed = self._stop + n_samples
        self._stop += skipped
        missing = np.full((min(rest, 4096), self.n_channels), np.nan, dtype=np.float32)
        while rest > 0:
            n = min(rest, len(missing))
            self.write(missing[:n])
            rest -= n

    def view(self, start: int, stop: int) -> npt.NDArray[np.float32] | None:
        """Return the samples [start, stop) without a copy, or None if they are not held.

        Returns
        -------
        array of shape (stop - start, n_channels), float32, or None
            Read-only. None if a sample is not yet written or already overwritten.
        """
        if not self.start <= start < stop <= self._stop or stop - start > self.capacity:
            return None
        at = start % self.capacity
        rows = self._rows[at : at + stop - start]
        rows.flags.writeable = False
        return rows if self.is_intact(start) else None

    def is_intact(self, start: int) -> bool:
        """Return whether a view from `start` on still shows what it showed when it was taken."""
        return start >= self._claimed - self.capacity

    def reader(self) -> "Cursor":
        """Return a cursor of its own that begins with the next sample to be written."""
        return Cursor(self, self._stop)


class Cursor:
    """One reader's place in a ring: every sample once, or counted as overflow.

    Attributes
    ----------
    position : int
        Sample index of the next sample to be read.
    overflow : int
        Number of samples that were overwritten before this reader came to them.
    """

    def __init__(self, ring: RingBuffer, position: int) -> None:
        self._ring = ring
        self.position = position
        self.overflow = 0

    def read(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the samples that are new to this reader, as copies, oldest first."""
        while self.position < self._ring.stop:
            oldest = self._ring.start
            if self.position < oldest:
                self.overflow += oldest - self.position
                self.position = oldest
            # Pieces of a quarter of the ring leave the writer room while one is copied.
            stop = min(self._ring.stop, self.position + max(1, self._ring.capacity // 4))
            view = self._ring.view(self.position, stop)
            if view is None:
                continue
            piece = view.copy()
            if self._ring.is_intact(self.position):
                self.position = stop
                yield piece
