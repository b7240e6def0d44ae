"""What sessions and evaluations say in JSON, under stable keys."""

from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.scoring.calibration_scores import calibration_scores
from decode_stream.decoders.scoring.scores import Scores
from decode_stream.decoders.scoring.showings import showings
from decode_stream.stream.errors import UsageError

__all__ = ["accuracy_summary", "bundle_summary", "check_writable", "trial_rows", "write_json"]

#: A trial whose windows lie, on the mean, farther out than this share of the training's is unlike it.
_NOVEL = 0.95


def accuracy_summary(scores: Scores) -> dict[str, Any]:
    """Return what is known of the accuracy, with chance, n and interval."""
    hits = scores.hits()
    low, high = scores.interval(hits)
    n = scores.n
    summary: dict[str, Any] = {
        "protocol": scores.protocol,
        "k": scores.n_entries,
        "chance": 1.0 / scores.n_entries,
        "n": n,
        "top1": float(hits.mean()) if n else None,
        "top1_interval": [low, high],
        "interval": scores.interval_name,
        "top5": float(scores.hits(5).mean()) if n and scores.n_entries > 5 else None,
        "top1_by_latency": [round(float(a), 4) for a in scores.by_latency()],
    }
    if scores.n_entries == 2:
        summary["auc"] = scores.auc()
    runs = np.array([trial.run for trial in scores.trials], np.int64)
    summary["calibration"] = (
        calibration_scores(scores.log_evidence(), scores.truth(), runs, repeating=scores.repeating)
        if n and scores.n_entries > 1
        else None
    )
    repeats = showings(scores)
    summary["repeats"] = repeats if repeats.n else None
    summary["novelty"] = _novelty(scores)
    return summary


def _novelty(scores: Scores) -> dict[str, Any] | None:
    """Return how unlike the training the trials were, over those of which it is told."""
    told = np.array([trial.novelty for trial in scores.trials])
    told = told[np.isfinite(told)]
    if not len(told):
        return None
    return {"n": len(told), "mean": float(told.mean()), "above_0.95": float((told > _NOVEL).mean())}


def bundle_summary(bundle: Bundle) -> dict[str, str]:
    """Return name and hash of a bundle."""
    return {"name": bundle.manifest.name, "sha256": bundle.sha256}


def trial_rows(scores: Scores) -> list[dict[str, Any]]:
    """Return one row a scored trial."""
    return [
        {
            "trial": trial.number,
            "onset": trial.onset,
            "run": trial.run,
            "stimulus": trial.stimulus,
            "showing": trial.showing,
            "novelty": trial.novelty if isfinite(trial.novelty) else None,
            "log_evidence": [float(e) for e in trial.log_evidence],
        }
        for trial in scores.trials
    ]


def check_writable(path: Path) -> None:
    """Refuse, before hours of work, a summary that could not be written after them.

    Raises
    ------
    UsageError
        If the file's folder is not there, or it is a folder itself.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(
            f"--json {path} cannot be written: its folder must exist and it must not be one itself."
        )


def write_json(summary: dict[str, Any], path: Path) -> None:
    """Write a summary.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=1))
    except OSError as error:
        raise UsageError(
            f"The summary cannot be written to {path}: {error.strerror}. Give another --json."
        ) from error
