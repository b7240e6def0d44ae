"""``decode-stream brain interpolate``: what is decoded on the way from one scan to another."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from decode_stream.decoders.brain.interpolation import interpolate
from decode_stream.stream.errors import UsageError

from .config import InterpolateConfig
from .decoded import decoded_trials
from .figure import draw, draw_lines
from .output import check_outputs, print_table, write_told

__all__ = ["tell_interpolation"]

_COPIES = 0.0


def tell_interpolation(paths: Sequence[Path], config: InterpolateConfig) -> int:
    """Decode between two trials, and print what is decoded on the way; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If bundle and recordings do not go together, or there is no such trial.
    """
    check_outputs(config.json, config.figure)
    trials = decoded_trials(paths, config, config.bundle, config.provider, _COPIES)
    first, last = (trials.trial(number) for number in config.between)
    if first == last:
        raise UsageError(f"--between names trial {config.between[0]} twice; give two trials.")
    found = interpolate(trials.readout, trials.windows[first], trials.windows[last], config.steps)
    names, p = trials.bundle.manifest.gallery, found.reading.probability
    shown = [
        names[entry] if (entry := int(trials.entries[place])) >= 0 else trials.labels[trials.pictures[place]]
        for place in (first, last)
    ]
    of_ends = [
        p[:, entry] if (entry := int(trials.entries[place])) >= 0 else np.full(len(p), np.nan)
        for place in (first, last)
    ]
    best = p.argmax(axis=1)
    print_table(
        f"From trial {first + 1} ({shown[0]}) to trial {last + 1} ({shown[1]})",
        ("t", "best match", "probability", f"p({shown[0]})", f"p({shown[1]})", "cosine first", "cosine last"),
        [
            (
                f"{t:.2f}",
                names[i],
                float(p[row, i]),
                *(float(end[row]) for end in of_ends),
                float(a),
                float(b),
            )
            for row, (t, i, a, b) in enumerate(
                zip(found.t, best, found.cosine_first, found.cosine_last, strict=True)
            )
        ],
    )
    if config.figure is not None:
        curves = [(f"p({name})", end) for name, end in zip(shown, of_ends, strict=True)]
        cosines = [("first", found.cosine_first), ("last", found.cosine_last)]
        panels = [
            partial(
                draw_lines, x=found.t, curves=curves, x_label="way from first to last", y_label="probability"
            ),
            partial(
                draw_lines, x=found.t, curves=cosines, x_label="way from first to last", y_label="cosine with"
            ),
        ]
        draw(panels, f"{trials.bundle.manifest.name}, trials {first + 1} and {last + 1}", config.figure)
    told = {
        "bundle": trials.bundle.manifest.name,
        "trials": [first + 1, last + 1],
        "shown": shown,
        "gallery": list(names),
        "t": found.t.tolist(),
        "best": [names[i] for i in best],
        "probability": p.tolist(),
        "cosine_first": found.cosine_first.tolist(),
        "cosine_last": found.cosine_last.tolist(),
        "changes": found.changes.tolist(),
    }
    write_told(told, trials.notes, config.json)
    return 0
