"""What is written of a session that has ended."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from decode_stream import BEGAN_S, __version__
from decode_stream.summary import accuracy_summary, bundle_summary, trial_rows

from .beta_pipeline import beta_summary
from .picture import progress
from .session import Session

__all__ = ["session_summary"]


def session_summary(session: Session, exit_code: int) -> dict[str, Any]:
    """Return the summary of a session that has ended.

    Parameters
    ----------
    exit_code : int
        What the command ends with.
    """
    pipeline = session.pipeline
    counts = progress(pipeline, session.n_gaps)
    info = pipeline.ingest.info if pipeline else None
    decoder = pipeline.decoder if pipeline else None
    cutter = pipeline.cutter if pipeline else None
    trials = cutter.trials if cutter else None
    onsets = pipeline.ingest.onset_channel if pipeline else None
    latency = {name: stage.summary_ms() for name, stage in session.stages.items()}
    return {
        "version": __version__,
        "modality": session.config.modality or (session.bundle.manifest.modality if session.bundle else None),
        "bundle": bundle_summary(session.bundle) if session.bundle else None,
        "provider": session.encoder.provider if session.encoder else None,
        "provider_notes": [note for note in (*session.encoder.notes, session.encoder.lost) if note]
        if session.encoder
        else [],
        "stream": {
            "name": info.name,
            "n_channels": len(info.channels),
            "sfreq_hz": info.sfreq_hz,
            "speed": info.speed,
        }
        if info
        else None,
        "began": _began(),
        "startup_s": session.startup.summary_s(),
        "duration_s": round(pipeline.duration_s, 3) if pipeline else 0.0,
        "exit": exit_code,
        "error": str(session.error) if session.error else None,
        "samples": {
            "received": counts.received,
            "lost": counts.lost,
            "duplicate": counts.duplicate,
            "reordered": counts.reordered,
            "non_finite": counts.non_finite,
        },
        "gaps": counts.gaps,
        "events": [{"time_s": round(e.time_s, 3), "kind": e.kind, "text": e.text} for e in session.events],
        "windows": {
            "due": cutter.due if cutter else 0,
            "decoded": decoder.free_decoded if decoder else 0,
            "skipped": cutter.skipped if cutter else 0,
            "withheld": cutter.withheld if cutter else 0,
            "locked": dict(decoder.windows) if decoder else {"decoded": 0, "withheld": 0, "superseded": 0},
        },
        "trials": {
            "seen": counts.trials_seen,
            "scored": counts.trials_scored,
            "withheld": decoder.withheld if decoder else 0,
            "missed": counts.markers_missed,
            "unknown": counts.markers_unknown,
            "duplicate": trials.duplicate if trials else 0,
            "unfinished": len(trials.open) + trials.waiting if trials else 0,
        },
        "onsets": onsets.summary() if onsets else None,
        "accuracy": accuracy_summary(decoder.scores) if decoder else None,
        "betas": beta_summary(decoder) if decoder else None,
        "latency_ms": {
            **latency,
            "generate": session.painter.times.summary_ms() if session.painter else None,
            "display": None,
        },
        "reconstructions": session.reconstructions(),
        "scan": session.scan_summary(),
        "per_trial": trial_rows(decoder.scores) if decoder else [],
    }


def _began() -> str:
    """Return when the program began, as ISO 8601 in UTC."""
    return (datetime.now(UTC) - timedelta(seconds=time.monotonic() - BEGAN_S)).isoformat()
