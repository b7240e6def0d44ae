"""``decode-stream brain weights``: what a decoder makes of each voxel."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.brain.weight_maps import (
    RegionSummary,
    activation_pattern,
    entry_pattern,
    sensitivity,
    summaries,
)
from decode_stream.stream.errors import UsageError, did_you_mean

from .config import WeightsConfig
from .decoded import DecodedTrials, decoded_trials
from .figure import Panel, draw, draw_bars
from .maps import check_nifti, chosen_regions, write_map
from .output import check_outputs, print_table, write_told

__all__ = ["tell_weights"]

#: Trials and their answers, and these once more while the pattern is computed, as float64.
_COPIES = 6.0


def tell_weights(paths: Sequence[Path], config: WeightsConfig) -> int:
    """Measure what a decoder makes of each voxel and print it region by region; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If bundle, recordings and regions do not go together.
    """
    check_outputs(config.json, config.figure, config)
    trials = decoded_trials(paths, config, config.bundle, config.provider, _COPIES)
    chosen = chosen_regions(config.region, trials.space)
    if config.nifti is not None:
        check_nifti(config.nifti, trials.space)
    pattern = _pattern(trials, config.entry)
    places = np.linspace(0, len(trials.windows) - 1, min(config.around, len(trials.windows))).astype(np.int64)
    listened = sensitivity(trials.readout.encode, trials.windows[places])
    what = "all that is decoded" if config.entry is None else f"the score of {config.entry}"
    rows = list(zip(summaries(pattern, chosen), summaries(listened.norm, chosen), strict=True))
    print_table(
        f"{trials.bundle.manifest.name}: activation pattern of {what}, and sensitivity; {len(trials.windows)} trials",
        ("region", "voxels", "pattern, mean", "90th percentile", "sensitivity, mean", "90th percentile"),
        [(a.name, a.n_voxels, a.mean, a.high, f"{b.mean:.3g}", f"{b.high:.3g}") for a, b in rows],
    )
    if config.nifti is not None:
        write_map(config.nifti, pattern if config.map == "pattern" else listened.norm, trials.space)
    if config.figure is not None:
        draw(_panels(rows), trials.bundle.manifest.name, config.figure)
    linear = "the encoder is linear: sensitivity is the norm of its weights"
    notes = (
        "The pattern is what voxels do, in training standard deviations, when that is decoded (Haufe et al. 2014).",
        f"Sensitivity is around {listened.n_windows} trials{'; ' + linear if listened.linear else ''}.",
        *trials.notes,
    )
    told = {
        "bundle": trials.bundle.manifest.name,
        "entry": config.entry,
        "n_trials": len(trials.windows),
        "linear": listened.linear,
        "regions": [
            {"name": a.name, "n_voxels": a.n_voxels, "pattern": a, "sensitivity": b} for a, b in rows
        ],
    }
    write_told(told, notes, config.json)
    return 0


def _panels(rows: Sequence[tuple[RegionSummary, RegionSummary]]) -> list[Panel]:
    names = [pattern.name for pattern, _ in rows]
    told = (
        ([pattern.mean for pattern, _ in rows], "activation pattern, mean, training SD"),
        ([listened.mean for _, listened in rows], "sensitivity, mean, embedding a training SD"),
    )
    return [partial(draw_bars, names=names, values=np.array(values), label=label) for values, label in told]


def _pattern(trials: DecodedTrials, entry: str | None) -> npt.NDArray[np.float64]:
    """Return the activation pattern of all that is decoded, or of one entry's score."""
    gallery = trials.bundle.manifest.gallery
    if entry is not None and entry not in gallery:
        raise UsageError(
            f"The gallery of {trials.bundle.manifest.name!r} has no entry {entry!r}.{did_you_mean(entry, gallery)}"
        )
    embeddings = trials.readout.read(trials.windows).embeddings
    if entry is None:
        return activation_pattern(trials.answers(), embeddings)
    return entry_pattern(trials.answers(), embeddings, trials.bundle.gallery, gallery.index(entry))
