"""Location and spread of training recordings, for the end of a chain."""

from collections.abc import Callable, Container, Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.ingest import Ingest
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray

from .epochs import BLOCK_S, play_into, stream_info
from .voxels import VoxelSurvey

__all__ = ["robust_scale", "tested_volumes", "training_samples"]

#: Samples, and values of all channels, over all recordings, that location and spread are told from.
_SCALE_SAMPLES, _SCALE_VALUES = 100_000, 40_000_000


def robust_scale(
    recordings: Sequence[Recording],
    chain: ChainSpec,
    which: Callable[[Recording, IntArray], npt.NDArray[np.bool_]] | None = None,
    survey: VoxelSurvey | None = None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the median and the spread (interquartile range / 1.349) of each output channel of a chain.

    Parameters
    ----------
    recordings : sequence of Recording
        Training recordings only.
    chain : ChainSpec
        Without scaling.
    which : callable or None
        Takes a recording and the indices of samples as a stream counts them, missing ones included, and returns which
        of them are for training; by default all.
    survey : VoxelSurvey or None
        Is shown every such sample, which recordings of volumes are short enough for.

    Returns
    -------
    center, scale : tuple of float
        In the chain's units; for Gaussian data `scale` is the standard deviation. A channel that never changes
        gets the scale 1.

    Raises
    ------
    RecordingError
        If the recordings hold no sound sample, or voxels no data; see `VoxelSurvey`.
    """
    kept, settle_s = [], 0.0
    for recording in recordings:
        ingest = Ingest(stream_info(recording), chain, hold_s=4 * BLOCK_S)
        settle_s = ingest.chain.settle_samples / recording.sfreq_hz
        cursor = ingest.ring.reader()
        # Every n-th sample is plenty for a quantile and bounds the memory.
        n_out = recording.n_samples * len(recordings) / ingest.chain.decimation
        thin = max(1, round(n_out / min(_SCALE_SAMPLES, _SCALE_VALUES / chain.n_out)))
        step = thin if survey is None else 1
        for _ in play_into(ingest, recording):
            for piece in cursor.read():
                start = cursor.position - len(piece)
                # One grid over the whole recording, or short pieces would all be looked at in the same place.
                first = -start % step
                places = np.arange(start + first, cursor.position, step, dtype=np.int64)
                piece = piece[first::step]
                if which is not None:
                    wanted = which(recording, places * ingest.chain.decimation)
                    places, piece = places[wanted], piece[wanted]
                reasons = [ingest.flags.reason(i, i + 1) for i in places.tolist()]
                sound = np.array([reason is None for reason in reasons], dtype=bool)
                if survey is not None:
                    survey.add(piece[sound], reasons.count("not finite"))
                kept.append(piece[sound & (places % thin == 0)])
        if survey is not None:
            survey.close(recording.name, ingest.chain.non_finite_by_channel)
    values = np.concatenate(kept) if kept else np.empty((0, chain.n_out))
    if not len(values):
        names = ", ".join(recording.name for recording in recordings)
        raise RecordingError(
            f"{names}: every sample lies in a gap, is not finite, or falls to the settling of the filters, "
            f"which takes {settle_s:.1f} s. Give longer recordings."
        )
    low, center, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / 1.349
    return tuple(float(c) for c in center), tuple(float(s) if s > 0 else 1.0 for s in scale)


def training_samples(recording: Recording, labels: Container[str]) -> IntArray | None:
    """Return the samples that are trials to train on, where every sample is a trial; None where all may be used.

    Parameters
    ----------
    labels : container of str
        Of the markers that may be trained on. Where a recording has none of them all samples are left to it, as it is
        refused when its trials are cut.
    """
    if recording.epoch is None or recording.epoch.n_times != 1:
        return None
    own = [at for at, label in recording.markers if label in labels]
    return np.array(own, np.int64) if own else None


def tested_volumes(recordings: Sequence[Recording], labels: Container[str]) -> str:
    """Return in words whose volumes tell level and spread although their pictures are a test set's.

    Parameters
    ----------
    labels : container of str
        Of the markers that may be trained on.

    Returns
    -------
    str
        Empty where there are none. Betas of test pictures are left out.
    """
    n_tested = 0
    for recording in recordings:
        split, epoch = recording.stimuli.split, recording.epoch
        if split is None or (epoch is not None and epoch.n_times == 1):
            continue
        out = [at for at, label in recording.markers if label not in labels]
        n_tested += int(np.count_nonzero(np.isin(recording.stimuli.onset[split == "test"], out)))
    if not n_tested:
        return ""
    return (
        f"Volumes of {n_tested} trials of test pictures, which are not trained on, still tell level and spread of "
        "voxels, as they lie between the others."
    )
