"""What can be shown, and when it is, as the THINGS experiments showed it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

__all__ = ["PictureSet", "Spaced", "Timing", "rapid_onsets", "spaced_onsets"]

#: Signal behind the last stimulus, seconds: responses fade.
_TAIL_S = 2.0


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures that can be shown.

    Attributes
    ----------
    embeddings : array of shape (n_pictures, n_dims), float32
        The first `n_layout` dimensions say what is where, the others what it means.
    n_layout : int
    table : StimulusTable
        One row a picture, in its place in `embeddings`; `id`, `concept`, `image` and `split` are used, not `onset`.
    """

    embeddings: npt.NDArray[np.float32]
    n_layout: int
    table: StimulusTable

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.table):
            raise ValueError(
                f"{len(self.table)} rows do not fit embeddings of shape {self.embeddings.shape}."
            )

    def where(self, split: str) -> IntArray:
        """Return the places of the pictures of one split."""
        assert self.table.split is not None
        return np.flatnonzero(self.table.split == split).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Timing:
    """Rapid presentation: sequences of pictures with a pause for the answer.

    Attributes
    ----------
    soa_s : float
        From onset to onset within a sequence.
    n_sequence : int
        Pictures of a sequence.
    before_s, behind_s : float
        Silence before the first onset of a sequence, and from the end of its last picture on.
    target_share : float
        Share of the sequences that hold a target in the place of a picture.
    lead_s : float
        Signal before the first sequence, in which filters settle.
    """

    soa_s: float = 0.2
    n_sequence: int = 20
    before_s: float = 0.75
    behind_s: float = 2.75
    target_share: float = 1 / 6
    lead_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Spaced:
    """Slow presentation: one picture after the other, `soa_s` apart, give or take `jitter_s`, the first at `lead_s`."""

    soa_s: float = 1.5
    jitter_s: float = 0.2
    lead_s: float = 3.0


def rapid_onsets(n: int, timing: Timing, sfreq_hz: float) -> tuple[IntArray, int]:
    """Return the onset samples of `n` pictures in full sequences, and the length of the recording in samples."""
    place = np.arange(n)
    length_s = timing.before_s + timing.n_sequence * timing.soa_s + timing.behind_s
    starts_s = timing.lead_s + place // timing.n_sequence * length_s + timing.before_s
    onsets = np.rint((starts_s + place % timing.n_sequence * timing.soa_s) * sfreq_hz).astype(np.int64)
    return onsets, int(onsets[-1] + round((timing.soa_s + timing.behind_s + _TAIL_S) * sfreq_hz))


def spaced_onsets(n: int, timing: Spaced, sfreq_hz: float, rng: np.random.Generator) -> tuple[IntArray, int]:
    """Return the onset samples of `n` pictures, and the length of the recording in samples."""
    soa = rng.integers(
        round((timing.soa_s - timing.jitter_s) * sfreq_hz),
        round((timing.soa_s + timing.jitter_s) * sfreq_hz) + 1,
        n,
    )
    onsets = round(timing.lead_s * sfreq_hz) + np.cumsum(soa) - soa[0]
    return onsets.astype(np.int64), int(onsets[-1] + round((timing.soa_s + _TAIL_S) * sfreq_hz))
