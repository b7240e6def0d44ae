"""Short recordings as CSV files, with markers and a face/house difference in Oz."""

from pathlib import Path

import numpy as np

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
