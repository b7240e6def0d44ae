"""Scores a bundle on recordings: the session's own decoder, without waiting."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream import __version__
from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.decoder import Decoder, decode_recording
from decode_stream.decoders.runtime import Encoder
from decode_stream.decoders.scoring.scores import Scores
from decode_stream.replay_data.open import fingerprint, open_recording
from decode_stream.stream.errors import RecordingError, StreamError

from .config import EvaluateConfig, parse_events
from .summary import accuracy_summary, bundle_summary, check_writable, trial_rows, write_json

__all__ = ["evaluate_bundle"]


def evaluate_bundle(paths: Sequence[Path], config: EvaluateConfig) -> int:
    """Score a bundle on recordings, one a run, and print what it reached; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If bundle and recordings do not fit, or no trial could be scored.
    """
    if config.json is not None:
        check_writable(config.json)
    decoder_bundle = load_bundle(config.bundle)
    stimuli = decoder_bundle.manifest.stimuli(parse_events(config.events))
    encoder = Encoder(decoder_bundle, config.provider)
    scores = Scores(len(decoder_bundle.manifest.gallery))
    rows: list[dict[str, Any]] = []
    for run, path in enumerate(paths):
        recording = open_recording(path, marker_column=config.marker_column, mask=config.mask)
        try:
            decoder = decode_recording(
                decoder_bundle,
                encoder,
                recording,
                stimuli,
                run,
                marker_offset_s=config.marker_offset_ms / 1e3,
                onset_channel=config.onset_channel,
            )
        except StreamError as error:
            raise RecordingError(
                f"{recording.name} does not fit {decoder_bundle.manifest.name!r}. {error}"
            ) from error
        trained_on = fingerprint(path) in decoder_bundle.manifest.training.fingerprints
        rows.append({"recording": recording.name, "trained_on": trained_on, **_counts(decoder)})
        scores.overlapping |= decoder.scores.overlapping
        for trial in decoder.scores.trials:
            scores.add(replace(trial, number=scores.n))
    if not scores.n:
        raise RecordingError(
            f"No trial could be scored. {'; '.join(map(_in_words, rows))}. Check that the markers name entries of the "
            "gallery, with --events."
        )
    if used := [row["recording"] for row in rows if row["trained_on"]]:
        scores.caveat = f"NOT HELD OUT: the decoder was trained on {', '.join(used)}"
    accuracy = accuracy_summary(scores)
    _print_scores(scores, accuracy)
    if config.json is not None:
        summary = {
            "version": __version__,
            "bundle": bundle_summary(decoder_bundle),
            "provider": encoder.provider,
            "recordings": rows,
            "accuracy": accuracy,
            "per_trial": trial_rows(scores),
        }
        write_json(summary, config.json)
    return 0


def _counts(decoder: Decoder) -> dict[str, int]:
    trials = decoder.cutter.trials
    return {
        "seen": trials.seen,
        "scored": decoder.scores.n,
        "withheld": decoder.withheld,
        "missed": trials.missed,
        "unknown": trials.unknown,
        "unfinished": len(trials.open) + trials.waiting,
    }


def _in_words(row: dict[str, Any]) -> str:
    counts = [
        f"{n} {name}"
        for name, n in row.items()
        if name not in ("recording", "trained_on", "seen", "scored") and n
    ]
    return f"{row['recording']}: {row['seen']} markers{', of these ' + ', '.join(counts) if counts else ''}"


def _print_scores(scores: Scores, accuracy: dict[str, object]) -> None:
    low, high = scores.interval(scores.hits())
    auc = scores.auc()
    print(f"{accuracy['protocol']}; n = {scores.n}, chance {1 / scores.n_entries:.3f}")
    print(f"top-1 {np.mean(scores.hits()):.3f} (95 % {low:.3f} to {high:.3f}, {scores.interval_name})")
    if accuracy["top5"] is not None:
        print(f"top-5 {accuracy['top5']:.3f}")
    if auc is not None:
        print(f"AUC {auc:.3f}")
