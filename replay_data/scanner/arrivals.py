"""When each file of a volume arrives, and what goes wrong with it on purpose."""

from dataclasses import dataclass, field

import numpy as np

from decode_stream.stream.errors import UsageError

from .series import VolumeFile

__all__ = ["Arrivals", "ScanFaults", "Write"]

#: A file that grows comes in so many writes, over so much of a repetition time.
_N_PIECES = 4
_GROWS_TR = 0.25
#: How much of a file that is cut off arrives.
_CUT_AT = 0.6


@dataclass(frozen=True, slots=True)
class ScanFaults:
    """What is to go wrong in a scan. Times are those of the clock on the wall, whatever the speed.

    Attributes
    ----------
    drop : float
        Fraction of the volumes that never arrive, each by itself. The first and the last always do, so that every loss
        lies between volumes that came.
    drop_volumes : tuple of int
        Volumes that never arrive, by their number from 1.
    delay_ms : float
        How long every file takes to arrive.
    shuffle_ms : float
        How much longer a file may take, drawn evenly for each: longer than a repetition time changes the order of the
        volumes.
    partial : bool
        Whether files grow in four writes over a quarter of a repetition time.
    truncate_volumes : tuple of int
        Volumes of which the first file stays cut off, at three fifths of its length.
    second_series : bool
        Whether each volume is written once more, as of another series: what a scanner does that corrects motion
        itself.
    seed : int
        Of everything random; each fault draws from numbers of its own.

    Raises
    ------
    UsageError
        If a number makes no sense.
    """

    drop: float = 0.0
    drop_volumes: tuple[int, ...] = field(default=())
    delay_ms: float = 0.0
    shuffle_ms: float = 0.0
    partial: bool = False
    truncate_volumes: tuple[int, ...] = field(default=())
    second_series: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.drop < 1:
            raise UsageError(f"--drop is {self.drop:g}; it is a fraction, from 0 to below 1.")
        for word, value in (("delay", self.delay_ms), ("shuffle", self.shuffle_ms)):
            if not 0 <= value <= 1e6:
                raise UsageError(f"--{word}-ms is {value:g}; it lies between 0 and 1000000 milliseconds.")
        if self.seed < 0:
            raise UsageError(f"--seed is {self.seed}; it must be 0 or more.")

    def told(self) -> tuple[str, ...]:
        """Return what goes wrong, in phrases."""
        words = []
        if self.drop:
            words.append(f"{100 * self.drop:g} % of the volumes are lost")
        if self.drop_volumes:
            words.append(f"lost are volumes {', '.join(map(str, self.drop_volumes))}")
        if self.delay_ms:
            words.append(f"files come {self.delay_ms:g} ms late")
        if self.shuffle_ms:
            words.append(f"each file comes up to {self.shuffle_ms:g} ms later")
        if self.partial:
            words.append(f"files grow in {_N_PIECES} writes")
        if self.truncate_volumes:
            words.append(f"a file of volumes {', '.join(map(str, self.truncate_volumes))} stays cut off")
        if self.second_series:
            words.append("a second series lies in the folder")
        return tuple(words)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that are added to a file at a time.

    Attributes
    ----------
    after_s : float
        Since the volume was whole, by the clock on the wall.
    name : str
        Of the file.
    content : bytes
    first, last : bool
        Whether they are the file's first, and its last.
    """

    after_s: float
    name: str
    content: bytes
    first: bool
    last: bool


class Arrivals:
    """Draws when the files of one scan arrive, volume by volume in their order, the same for the same seed.

    Parameters
    ----------
    faults : ScanFaults
    n_volumes : int
        Of the scan.
    step_s : float
        From a volume to the next, by the clock on the wall.

    Raises
    ------
    UsageError
        If a volume is named that the scan does not have.
    """

    def __init__(self, faults: ScanFaults, n_volumes: int, step_s: float) -> None:
        for flag, numbers in (
            ("--drop-volumes", faults.drop_volumes),
            ("--truncate-volumes", faults.truncate_volumes),
        ):
            if beyond := [number for number in numbers if not 1 <= number <= n_volumes]:
                raise UsageError(f"{flag} names volume {beyond[0]}; the scan has volumes 1 to {n_volumes}.")
        self._faults = faults
        self._step_s = step_s
        lost = np.random.default_rng((faults.seed, *b"drop")).random(n_volumes) < faults.drop
        lost[[0, -1]] = False
        lost[np.array(faults.drop_volumes, dtype=np.int64) - 1] = True
        self._lost = lost
        self._shuffle = np.random.default_rng((faults.seed, *b"shuffle"))
        self._cuts = np.random.default_rng((faults.seed, *b"partial"))

    def is_lost(self, number: int) -> bool:
        """Return whether a volume never arrives, by its number from 1."""
        return bool(self._lost[number - 1])

    def writes(self, files: tuple[VolumeFile, ...], number: int) -> list[Write]:
        """Return how the files of a volume are written; nothing of one that is lost."""
        # Drawn for lost volumes too, so that to lose one does not move the others.
        more_s = 1e-3 * self._faults.shuffle_ms * self._shuffle.random(len(files))
        if self.is_lost(number):
            return []
        writes = []
        for place, file in enumerate(files):
            content = file.content
            if place == 0 and number in self._faults.truncate_volumes:
                content = content[: int(_CUT_AT * len(content))]
            after_s = 1e-3 * self._faults.delay_ms + float(more_s[place])
            writes += self._pieces(file.name, content, after_s)
        return writes

    def _pieces(self, name: str, content: bytes, after_s: float) -> list[Write]:
        if not self._faults.partial:
            return [Write(after_s, name, content, True, True)]
        cuts = np.sort(self._cuts.integers(1, max(2, len(content)), _N_PIECES - 1)).tolist()
        edges = [0, *cuts, len(content)]
        pause_s = _GROWS_TR * self._step_s / (_N_PIECES - 1)
        return [
            Write(
                after_s + piece * pause_s,
                name,
                content[edges[piece] : edges[piece + 1]],
                piece == 0,
                piece == _N_PIECES - 1,
            )
            for piece in range(_N_PIECES)
        ]
