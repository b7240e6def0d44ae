"""Short runs of a simulated person with EEG at a few electrodes, whose answers are large."""

from collections.abc import Sequence

import numpy as np

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.simulation.schedules import PictureSet, Spaced
from decode_stream.replay_data.simulation.simulate_run import simulate_run
from decode_stream.replay_data.simulation.subjects import eeg_subject, enlarged
from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import FloatArray

_ELECTRODES = ("Oz", "O1", "O2", "PO7", "PO8", "POz", "P7", "P8")


def simulated_runs(
    embeddings: FloatArray,
    names: Sequence[str],
    *,
    n_runs: int,
    n_trials: int,
    n_channels: int,
    soa_s: float = 0.7,
    seed: int = 0,
) -> list[ArrayRecording]:
    """Return runs in memory at 250 Hz, with the pictures' names for markers."""
    n, half = len(names), embeddings.shape[1] // 2
    table = StimulusTable(np.full(n, -1), np.arange(n), np.array(names))
    pictures = PictureSet(np.asarray(embeddings, np.float32), half, table)
    person = eeg_subject(pictures.embeddings, half, seed, sfreq_hz=250.0, names=_ELECTRODES[:n_channels])
    person = enlarged(person, 8.0)
    runs = []
    for number in range(1, n_runs + 1):
        rng = np.random.default_rng((seed, number))
        shown = np.concatenate([rng.permutation(n) for _ in range(-(-n_trials // n))])[:n_trials]
        timing = Spaced(soa_s, 0.1 if soa_s > 0.3 else 0.0, lead_s=1.5)
        run = simulate_run(pictures, person, shown, timing=timing, seed=number)
        markers = tuple((at, names[int(label)]) for at, label in run.markers)
        data = run.read(0, run.n_samples).astype(np.float64)
        runs.append(ArrayRecording(data, run.channels, run.sfreq_hz, markers, name=f"run-{number:02d}"))
    return runs
