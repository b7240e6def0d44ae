"""``decode-stream brain encode``: how well embeddings predict each voxel, beside what noise allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.brain.noise_ceiling import ceiling_correlation, noise_ceiling
from decode_stream.decoders.brain.voxel_encoding import VoxelEncoding, encode_voxels
from decode_stream.stream.errors import UsageError
from decode_stream.stream.recording import Recording

from .config import EncodeConfig
from .embeddings import category_embeddings, target_embeddings
from .figure import Panel, draw, draw_bars, draw_scatter
from .maps import Space, check_nifti, chosen_regions, known_ncsnr, space_of, write_map
from .output import check_outputs, print_table, without_data, write_told
from .trials import VoxelTrials, open_recordings, voxel_trials

__all__ = ["tell_encoding"]

#: Voxels, those to learn from standardised, and what a part makes of them.
_COPIES, _DIMENSION = 4.0, 1024
#: A voxel whose ceiling is lower has no share of it that could be told.
_LEAST_CEILING = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """What is told of a region: means over its voxels, and the share of the summed ceiling that is reached."""

    name: str
    n_voxels: int
    n_known: int
    correlation: float
    ceiling: float
    share: float


def tell_encoding(paths: Sequence[Path], config: EncodeConfig) -> int:
    """Fit encoding models, score them on held-out runs and print them region by region; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If recordings, pictures and regions do not go together, there are too few trials, or too many for the memory.
    """
    check_outputs(config.json, config.figure, config)
    recordings = open_recordings(paths, config)
    space = space_of(paths[0], recordings[0])
    chosen = chosen_regions(config.region, space)
    if config.nifti is not None:
        check_nifti(config.nifti, space)
    trials = voxel_trials(
        recordings, config, lag_s=config.lag_s, width_s=config.width_s, copies=_COPIES, dimension=_DIMENSION
    )
    found = _encoded(trials, recordings, config, paths)
    ceiling, of_ceiling = _ceiling(trials, config, space)
    rows = _rows(found.correlation, ceiling, chosen)
    print_table(
        f"Encoding by {config.target or 'category'}: correlation with single trials held out, n = {found.n_trials}, "
        f"{found.n_parts} parts",
        ("region", "voxels", "with data", "correlation", "ceiling", "share"),
        [(r.name, r.n_voxels, r.n_known, r.correlation, r.ceiling, r.share) for r in rows],
    )
    values = found.correlation if config.map == "correlation" else _normalised(found.correlation, ceiling)
    if config.nifti is not None:
        write_map(config.nifti, values, space)
    if config.figure is not None:
        draw(_panels(rows, found, ceiling), ", ".join(r.name for r in recordings[:3]), config.figure)
    told = {
        "recordings": [r.name for r in recordings],
        "target": config.target,
        "n_trials": found.n_trials,
        "n_parts": found.n_parts,
        "regions": rows,
    }
    notes = (
        "Categories are learnt from other trials of the same ones."
        if config.target is None
        else "No trial is learnt from whose picture is in the part held out.",
        of_ceiling,
        *trials.notes,
        *without_data(found.correlation),
    )
    write_told(told, notes, config.json)
    return 0


def _encoded(
    trials: VoxelTrials, recordings: Sequence[Recording], config: EncodeConfig, paths: Sequence[Path]
) -> VoxelEncoding:
    """Score encoding models from categories, or from the pictures' embeddings."""
    if config.target is None:
        labels = category_embeddings(trials.labels)
    else:
        target, images, captions = config.target, config.images, config.captions
        labels = target_embeddings(recordings, trials.labels, target, images, captions, paths)
    shown = labels.known[trials.pictures]
    pictures = trials.pictures[shown]
    return encode_voxels(
        labels.embeddings[pictures],
        trials.voxels[shown],
        trials.runs[shown],
        trials.sessions[shown],
        None if config.target is None else pictures,
    )


def _ceiling(trials: VoxelTrials, config: EncodeConfig, space: Space) -> tuple[npt.NDArray[np.float64], str]:
    """Return the highest correlation that noise allows, NaN where it is not known, and where it is from."""
    if config.ncsnr is not None:
        return ceiling_correlation(
            known_ncsnr(config.ncsnr, space)
        ), f"The ceiling is that of {config.ncsnr}."
    try:
        found = noise_ceiling(trials.voxels, trials.pictures, trials.sessions)
    except UsageError as error:
        if config.map == "normalised" and config.nifti is not None:
            raise
        return np.full(trials.voxels.shape[1], np.nan), f"There is no ceiling to compare with. {error}"
    return ceiling_correlation(found.ncsnr), (
        f"The ceiling is told from {found.n_pictures} pictures shown again, {found.n_trials} trials; share is that of "
        "the sums over voxels."
    )


def _rows(
    correlation: npt.NDArray[np.float64],
    ceiling: npt.NDArray[np.float64],
    chosen: Mapping[str, npt.NDArray[np.bool_]],
) -> list[_Row]:
    rows = []
    for name, mask in chosen.items():
        r, high = correlation[mask], ceiling[mask]
        told = np.isfinite(r)
        both = told & np.isfinite(high)
        total = float(high[both].sum())
        rows.append(
            _Row(
                name,
                len(r),
                int(np.count_nonzero(told)),
                float(r[told].mean()) if told.any() else np.nan,
                total / int(np.count_nonzero(both)) if both.any() else np.nan,
                float(r[both].sum()) / total if total > 0 else np.nan,
            )
        )
    return rows


def _normalised(
    correlation: npt.NDArray[np.float64], ceiling: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return each voxel's share of its ceiling; NaN where that is too low to tell one."""
    high = np.where(ceiling >= _LEAST_CEILING, ceiling, np.nan)
    return np.asarray(correlation / high, np.float64)


def _panels(rows: Sequence[_Row], found: VoxelEncoding, ceiling: npt.NDArray[np.float64]) -> list[Panel]:
    names, values = [r.name for r in rows], np.array([r.correlation for r in rows])
    panels: list[Panel] = [
        partial(draw_bars, names=names, values=values, label="correlation with single trials held out, mean")
    ]
    if np.isfinite(ceiling).any():
        panels.append(
            partial(
                draw_scatter,
                x=ceiling,
                y=found.correlation,
                x_label="highest correlation that noise allows, a voxel",
                y_label="correlation with single trials held out",
            )
        )
    return panels
