"""Cut trials from continuous runs by the offline recipe with which THINGS-MEG's preprocessed files were made.

Band-pass without delay, epoch, baseline in standard deviations, every sixth sample (Hebart et al. 2023, eLife
12:e82580, and its public scripts). None of it could run live; it is here so that the published files can be made of a
simulated subject.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import RecordingError
from decode_stream.stream.recording import Epoch, Recording
from decode_stream.stream.types import IntArray

__all__ = ["EPOCH", "SFREQ_HZ", "cut_things_meg"]

#: The published trials: 281 samples at 200 Hz, from 100 ms before the onset to 1.3 s behind it.
EPOCH, SFREQ_HZ = Epoch(281, 20, in_order=True), 200.0
_FIRST_S, _LAST_S = -0.1, 1.3
_BAND_HZ = (0.1, 40.0)
#: Filtering makes copies in float64, a quarter of a gigabyte each of so many values: 70 channels of a published run. To
#: design the filter takes as long as to filter a few channels, so a short run is filtered in one go.
_VALUES_AT_ONCE = 2**25


def cut_things_meg(runs: Sequence[Recording]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the trials of each run, in standard deviations of their baseline.

    Parameters
    ----------
    runs : sequence of Recording
        Continuous MEG at 1200 Hz or another multiple of 200 Hz.

    Yields
    ------
    array of shape (n_trials, n_channels, 281), float32
        A run's. One run is in memory at a time.

    Raises
    ------
    RecordingError
        If a run's rate is none of these, or a trial is cut off by its end.
    """
    for run in runs:
        step = round(run.sfreq_hz / SFREQ_HZ)
        if step * SFREQ_HZ != run.sfreq_hz:
            raise RecordingError(
                f"{run.name} runs at {run.sfreq_hz:g} Hz, which is no multiple of {SFREQ_HZ:g} Hz."
            )
        first, stop = round(_FIRST_S * run.sfreq_hz), round(_LAST_S * run.sfreq_hz) + 1
        onsets = run.stimuli.onset
        if len(onsets) and (onsets[0] + first < 0 or onsets[-1] + stop > run.n_samples):
            raise RecordingError(
                f"{run.name} ends within a trial. Record from 0.1 s before the first to 1.3 s after."
            )
        yield _cut(run, onsets, first, stop, step)


def _cut(run: Recording, onsets: IntArray, first: int, stop: int, step: int) -> npt.NDArray[np.float32]:
    from mne.filter import filter_data

    signal = np.empty((len(run.channels), run.n_samples), np.float32)
    block = max(1, round(10 * run.sfreq_hz))
    for start in range(0, run.n_samples, block):
        signal[:, start : start + block] = run.read(start, min(start + block, run.n_samples)).T
    places = onsets[:, None] + np.arange(first, stop)
    trials = np.empty((len(onsets), len(run.channels), EPOCH.n_times), np.float32)
    n_at_once = max(1, _VALUES_AT_ONCE // run.n_samples)
    for first_channel in range(0, len(signal), n_at_once):
        some = slice(first_channel, first_channel + n_at_once)
        filtered = filter_data(signal[some].astype(np.float64), run.sfreq_hz, *_BAND_HZ, verbose="error")
        epochs = filtered[:, places]
        baseline = epochs[..., : 1 - first]
        epochs = (epochs - baseline.mean(axis=-1, keepdims=True)) / baseline.std(axis=-1, keepdims=True)
        trials[:, some] = epochs[..., ::step].swapaxes(0, 1)
    return trials
