"""``decode-stream brain what-if``: what would have been decoded with a region silent, or raised."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.brain.what_if import RegionEffect, region_effects, what_if
from decode_stream.decoders.ranking import largest

from .config import WhatIfConfig
from .decoded import DecodedTrials, decoded_trials
from .figure import draw, draw_bars
from .maps import chosen_regions
from .output import check_outputs, mean_interval, print_table, write_told

__all__ = ["tell_what_if"]

_N_MATCHES = 5
_COPIES = 1.0


def tell_what_if(paths: Sequence[Path], config: WhatIfConfig) -> int:
    """Silence or raise regions, and print what is decoded then; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If bundle, recordings and regions do not go together, or there is no such trial.
    """
    check_outputs(config.json, config.figure)
    trials = decoded_trials(paths, config, config.bundle, config.provider, _COPIES)
    chosen = chosen_regions(config.region, trials.space)
    done = "silenced" if config.raise_sd is None else f"raised by {config.raise_sd:g} SD"
    if config.trial is not None:
        told = _of_trial(trials, chosen, config, trials.trial(config.trial), done)
    else:
        told = _of_all(trials, chosen, config, done)
    notes = list(trials.notes)
    if config.raise_sd is None:
        notes.append("A silent region answers as to the mean picture of the training.")
    elif trials.readout.clamp is not None:
        notes.append(f"No voxel is raised beyond {trials.readout.clamp:g} SD, where training ended.")
    write_told(
        {"bundle": trials.bundle.manifest.name, "raise_sd": config.raise_sd, **told}, notes, config.json
    )
    return 0


def _of_all(
    trials: DecodedTrials,
    chosen: Mapping[str, npt.NDArray[np.bool_]],
    config: WhatIfConfig,
    done: str,
) -> dict[str, object]:
    """Tell what each region does to all trials whose picture the gallery holds."""
    known = trials.known()
    truth = trials.entries[known]
    windows = trials.windows if len(known) == len(trials.windows) else trials.windows[known]
    effects = region_effects(trials.readout, windows, truth, chosen, config.raise_sd)
    intervals = [mean_interval(effect.evidence, truth) for effect in effects]
    print_table(
        f"{trials.bundle.manifest.name} with each region {done}: log-posterior of what was shown (nats), and top-1; "
        f"n = {len(truth)} trials, {len(trials.bundle.gallery)}-way",
        ("region", "voxels", "change, nats", "95 % low", "high", "top-1 before", "after", "cosine"),
        [
            (e.name, e.n_voxels, float(e.evidence.mean()), *interval, *_means(e))
            for e, interval in zip(effects, intervals, strict=True)
        ],
    )
    if config.figure is not None:
        low, high = (np.array(side) for side in zip(*intervals, strict=True))
        values = np.array([e.evidence.mean() for e in effects])
        label = "change of the log-posterior of what was shown, nats"
        names = [e.name for e in effects]
        panel = partial(draw_bars, names=names, values=values, label=label, low=low, high=high)
        draw([panel], f"{trials.bundle.manifest.name}, each region {done}", config.figure)
    return {
        "n_trials": len(truth),
        "regions": [
            {
                "name": e.name,
                "n_voxels": e.n_voxels,
                "change_nats": float(e.evidence.mean()),
                "change_interval": list(interval),
                **dict(zip(("top1_before", "top1_after", "cosine"), _means(e), strict=True)),
            }
            for e, interval in zip(effects, intervals, strict=True)
        ],
    }


def _means(effect: RegionEffect) -> tuple[float, float, float]:
    return (
        float(effect.right_before.mean()),
        float(effect.right_after.mean()),
        float(effect.cosine.mean()),
    )


def _of_trial(
    trials: DecodedTrials,
    chosen: Mapping[str, npt.NDArray[np.bool_]],
    config: WhatIfConfig,
    place: int,
    done: str,
) -> dict[str, object]:
    """Tell of one trial the matches before and after, region by region."""
    names, window = trials.bundle.manifest.gallery, trials.windows[place : place + 1]
    entry = int(trials.entries[place])
    shown = names[entry] if entry >= 0 else trials.labels[trials.pictures[place]]
    told = []
    for region, mask in chosen.items():
        found = what_if(trials.readout, window, mask, config.raise_sd)
        before, after = found.before.probability[0], found.after.probability[0]
        best = (largest(p, _N_MATCHES) for p in (before, after))
        rows = [(names[i], float(before[i]), names[j], float(after[j])) for i, j in zip(*best, strict=True)]
        print_table(
            f"Trial {place + 1}, shown: {shown}; {region} {done}, {np.count_nonzero(mask)} voxels, cosine "
            f"{found.cosine[0]:.3f}",
            ("before", "probability", "after", "probability"),
            rows,
        )
        told.append(
            {
                "name": region,
                "n_voxels": int(np.count_nonzero(mask)),
                "cosine": float(found.cosine[0]),
                "similarity_change": (found.after.similarities - found.before.similarities)[0].tolist(),
                "before": before.tolist(),
                "after": after.tolist(),
            }
        )
    return {"trial": place + 1, "shown": shown, "gallery": list(names), "regions": told}
