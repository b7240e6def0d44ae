"""Short recordings: CSV files with markers and a face/house difference in Oz, and pieces of longer ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.recording import Recording, epoch_gaps

SFREQ_HZ = 256


def write_csv(
    path: Path,
    *,
    n_samples: int = 2048,
    codes: tuple[int, ...] = (1, 2),
    channels: tuple[str, ...] = ("Oz", "Pz", "Cz"),
    seed: int = 0,
) -> Path:
    """Write noise in which code 2 lifts the first channel and code 1 lowers it, every 170 samples."""
    rng = np.random.default_rng(seed)
    data = 10 * rng.standard_normal((n_samples, len(channels)))
    marks = np.zeros(n_samples, dtype=int)
    for i, onset in enumerate(range(500, n_samples - 160, 170)):
        if codes:
            marks[onset] = codes[i % len(codes)]
            data[onset + 30 : onset + 100, 0] += 8 * (2 * marks[onset] - 3)
    rows = np.column_stack([50 + np.arange(n_samples) / SFREQ_HZ, data, marks])
    formats = ["%.6f", *["%.3f"] * len(channels), "%d"]
    header = ",".join(["timestamps", *channels, "Marker0"])
    np.savetxt(path, rows, fmt=formats, delimiter=",", header=header, comments="")
    return path


def pieces_of(whole: Recording, pieces: Sequence[tuple[int, int]]) -> ArrayRecording:
    """Return stretches [start, stop) of a recording without gaps, or trials of one that was cut, end to end."""
    starts = np.array([start for start, _ in pieces])
    stops = np.array([stop for _, stop in pieces])
    before = np.cumsum([0, *(stops - starts)])

    def own(at: np.ndarray) -> np.ndarray:
        place = np.maximum(np.searchsorted(starts, at, side="right") - 1, 0)
        return np.where((starts[place] <= at) & (at < stops[place]), at - starts[place] + before[place], -1)

    onset = own(whole.stimuli.onset)
    at = own(np.array([sample for sample, _ in whole.markers], np.int64)).tolist()
    markers = [(i, label) for i, (_, label) in zip(at, whole.markers, strict=True) if i >= 0]
    epoch = whole.epoch
    return ArrayRecording(
        np.concatenate([whole.read(*piece) for piece in pieces]),
        whole.channels,
        whole.sfreq_hz,
        tuple(markers),
        () if epoch is None else epoch_gaps(int(before[-1]) // epoch.n_times, epoch, whole.sfreq_hz),
        whole.name,
        whole.notes,
        whole.stimuli.rows(onset >= 0).at(onset[onset >= 0]),
        epoch,
    )
