"""``decode-stream brain ceiling``: how much of each voxel's variance the pictures can explain."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from decode_stream.decoders.brain.noise_ceiling import noise_ceiling
from decode_stream.decoders.brain.weight_maps import summaries

from .config import CeilingConfig
from .figure import draw, draw_bars
from .maps import check_nifti, chosen_regions, space_of, write_map
from .output import check_outputs, print_table, without_data, write_told
from .trials import open_recordings, voxel_trials

__all__ = ["tell_ceiling"]


def tell_ceiling(paths: Sequence[Path], config: CeilingConfig) -> int:
    """Estimate the noise ceiling of every voxel and print it region by region; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If the recordings do not go together, show no picture twice, or do not fit into memory.
    """
    check_outputs(config.json, config.figure, config)
    recordings = open_recordings(paths, config)
    space = space_of(paths[0], recordings[0])
    chosen = chosen_regions(config.region, space)
    if config.nifti is not None:
        check_nifti(config.nifti, space)
    trials = voxel_trials(recordings, config, lag_s=config.lag_s, width_s=config.width_s)
    found = noise_ceiling(trials.voxels, trials.pictures, trials.sessions)
    percent = found.percent(config.repeats)
    rows = summaries(percent, chosen)
    of = "a trial" if config.repeats == 1 else f"the mean of {config.repeats} trials"
    title = (
        f"Noise ceiling of {of}, % of variance; {found.n_pictures} pictures shown again, {found.n_trials} trials of "
        f"{len(recordings)} recording{'s' if len(recordings) > 1 else ''}"
    )
    print_table(
        title,
        ("region", "voxels", "with data", "mean", "median", "90th percentile"),
        [(r.name, r.n_voxels, r.n_known, r.mean, r.median, r.high) for r in rows],
    )
    if config.nifti is not None:
        write_map(config.nifti, percent, space)
    if config.figure is not None:
        names, medians = [r.name for r in rows], np.array([r.median for r in rows])
        label = f"median noise ceiling of {of}, % of variance"
        draw(
            [partial(draw_bars, names=names, values=medians, label=label)],
            ", ".join(r.name for r in recordings[:3]),
            config.figure,
        )
    told = {
        "recordings": [r.name for r in recordings],
        "n_pictures": found.n_pictures,
        "n_trials": found.n_trials,
        "repeats": config.repeats,
        "regions": rows,
    }
    write_told(told, (*trials.notes, *without_data(percent)), config.json)
    return 0
