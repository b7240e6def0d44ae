"""Scores a bundle on recordings: the session's own decoder, without waiting."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from decode_stream import __version__
from decode_stream.betas import decoded_recording
from decode_stream.config import EvaluateConfig, NsdSplit, parse_events
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.decoded import Decoded, Keeper
from decode_stream.decoders.decoder import Decoder, decode_recording
from decode_stream.decoders.manifest import Training
from decode_stream.decoders.runtime import OFFLINE_BATCHES, Encoder
from decode_stream.decoders.scoring.measured import Measured
from decode_stream.decoders.scoring.scores import Scores
from decode_stream.replay_data.nsd.splits import SPLITS, leaves_out, split_recording
from decode_stream.replay_data.open import fingerprint, open_recording
from decode_stream.replay_data.subject import subject_of
from decode_stream.stream.errors import RecordingError, StreamError, UsageError
from decode_stream.stream.recording import Recording
from decode_stream.summary import accuracy_summary, bundle_summary, check_writable, trial_rows, write_json

from .evaluation import Evaluation, check_pictures
from .figure import check_figure, draw_figure
from .join import is_summary, join_summaries
from .measure_categories import check_learner
from .measure_combined import check_galleries
from .picture_categories import open_categories
from .protocols import PROTOCOLS, TRANSDUCTIVE, chosen, list_protocols
from .table import print_measured, print_notes

__all__ = ["evaluate_bundle", "told_of_providers"]


def evaluate_bundle(paths: Sequence[Path], config: EvaluateConfig) -> int:
    """Score a bundle on recordings, one a run, and print what it reached; returns the exit code.

    Parameters
    ----------
    paths : sequence of Path
        Recordings, or summaries of evaluations, which are joined.

    Raises
    ------
    DecodeStreamError
        If bundle and recordings do not fit, or no trial could be scored.
    """
    if config.protocol == "list":
        print("--protocol:\n" + list_protocols(PROTOCOLS.items()))
        print("--transductive, never possible live:\n" + list_protocols(TRANSDUCTIVE.items()))
        return 0
    asked = chosen(config.protocol, PROTOCOLS, "--protocol")
    transductive = chosen(config.transductive, TRANSDUCTIVE, "--transductive")
    if config.others and "combined" not in asked:
        asked = (*asked, "combined")
    if not paths:
        raise UsageError("evaluate needs recordings: decode-stream evaluate RECORDING... --bundle PATH")
    if config.json is not None:
        check_writable(config.json)
    if config.figure is not None:
        check_figure(config.figure)
    if any(map(is_summary, paths)):
        return join_summaries(paths, config)
    if config.bundle is None:
        raise UsageError("evaluate requires the decoder: give --bundle PATH, a bundle's folder or .zip.")
    evaluation, rows = _decode_by_all(paths, config, asked)
    measured = {name: PROTOCOLS[name].measure(evaluation, PROTOCOLS[name].says) for name in asked}
    beyond = {name: TRANSDUCTIVE[name].measure(evaluation, TRANSDUCTIVE[name].says) for name in transductive}
    accuracy = accuracy_summary(evaluation.scores)
    notes = [
        *_other_people(rows, evaluation.bundle.manifest.training),
        *_of_split(config.nsd_split, len(paths), len(rows)),
    ]
    _print_scores(evaluation.scores, accuracy)
    print_notes([*notes, *told_of_providers(evaluation)])
    for name, one in (measured | beyond).items():
        if name != "exact":
            print_measured(one)
    if config.json is not None:
        write_json(_summary(evaluation, rows, notes, accuracy, measured, beyond), config.json)
    if config.figure is not None:
        caveat = evaluation.scores.caveat
        draw_figure([*measured.values(), *beyond.values()], _title(evaluation, rows), caveat, config.figure)
    return 0


def _decode_by_all(
    paths: Sequence[Path], config: EvaluateConfig, asked: Sequence[str]
) -> tuple[Evaluation, list[dict[str, Any]]]:
    """Decode every recording by the decoder and by those that it is combined with."""
    assert config.bundle is not None
    if "combined" in asked and not config.others:
        raise UsageError("combined puts several decoders together: give the others with --with BUNDLE.")
    if "categories" in asked:
        check_learner()
    centres = None if config.centres is None else load_bundle(config.centres)
    categories_of = None if config.categories is None else open_categories(config.categories, paths)
    every = [load_bundle(path) for path in (config.bundle, *config.others)]
    for path, other in zip(config.others, every[1:], strict=True):
        check_galleries(every[0], other, str(path))
    if config.nsd_split is not None and every[0].manifest.modality != "fmri":
        raise UsageError(f"--nsd-split divides recordings of NSD; {every[0].manifest.name!r} is not of fMRI.")
    windows = any(PROTOCOLS[name].needs_windows for name in asked)
    evaluation, rows = _decode(paths, config, every[0], windows=windows)
    others = [_decode(paths, config, other, windows=False)[0] for other in every[1:]]
    return replace(evaluation, centres=centres, others=others, categories_of=categories_of), rows


def _decode(
    paths: Sequence[Path], config: EvaluateConfig, bundle: Bundle, *, windows: bool
) -> tuple[Evaluation, list[dict[str, Any]]]:
    """Decode every recording as a session would, and keep what was decoded."""
    stimuli = bundle.manifest.stimuli(parse_events(config.events))
    encoder = Encoder(bundle, config.provider, warm=OFFLINE_BATCHES)
    scores = Scores(len(bundle.manifest.gallery), pictures=not bundle.manifest.space.of_categories)
    rows: list[dict[str, Any]] = []
    recordings: list[Recording] = []
    with Keeper(bundle, windows=windows) as keeper:
        for run, (path, recording, offset_s) in enumerate(_opened(paths, config, bundle)):
            if config.events is None:
                check_pictures(recording, bundle)
            decoder = _decoded_recording(
                bundle, encoder, recording, stimuli, run, offset_s, config.onset_channel, keeper
            )
            print_ = fingerprint(path)
            trained_on = print_ in bundle.manifest.training.fingerprints
            rows.append(
                {
                    "recording": recording.name,
                    "subject": subject_of(path),
                    "trained_on": trained_on,
                    **_counts(decoder),
                    "fingerprint": print_,
                }
            )
            recordings.append(recording)
            scores.overlapping |= decoder.scores.overlapping
            for trial in decoder.scores.trials:
                scores.add(replace(trial, number=scores.n))
        if not scores.n:
            raise RecordingError(
                f"No trial could be scored. {'; '.join(map(_in_words, rows))}. Check that the markers name entries of "
                "the gallery, with --events."
            )
        decoded: Decoded = keeper.decoded(scores)
    used = [row["recording"] for row in rows if row["trained_on"]]
    people = list(dict.fromkeys(row["subject"] for row in rows))
    scores.caveat = _caveat(bundle.manifest.training, config.nsd_split, used, people)
    return Evaluation(decoded, encoder, recordings, stimuli, seed=config.seed), rows


def _opened(
    paths: Sequence[Path], config: EvaluateConfig, bundle: Bundle
) -> list[tuple[Path, Recording, float]]:
    """Open the recordings as the bundle decodes them, each with what is to be added to its markers [s].

    Where a split of NSD is asked for, those that it tests on are there, without their other trials.
    """
    found = list[tuple[Path, Recording, float]]()
    for path in paths:
        opened = open_recording(path, marker_column=config.marker_column, mask=config.mask)
        recording: Recording | None
        # Before the split: what it leaves out was shown, and is part of the model that makes betas.
        recording, offset_s = decoded_recording(opened, bundle.manifest, config)
        if config.nsd_split is not None:
            recording = split_recording(recording, path, config.nsd_split, "test")
        if recording is not None:
            found.append((path, recording, offset_s))
    if not found:
        assert config.nsd_split is not None
        raise UsageError(
            f"--nsd-split {config.nsd_split} tests on no trial of these {len(paths)} recordings: "
            f"{SPLITS[config.nsd_split].says}. Give others, or another split."
        )
    return found


def _caveat(
    training: Training, nsd_split: NsdSplit | None, used: Sequence[str], people: Sequence[str]
) -> str:
    """Return what keeps scores from being held-out ones, where there is anything.

    Parameters
    ----------
    used : sequence of str
        Recordings that the decoder was trained on: on all their trials, or on those that a split trains on.
    people : sequence of str
        Of whom recordings are scored.
    """
    own, whose = training.asked.get("nsd-split", ""), ", ".join(training.subjects)
    if nsd_split is not None:
        known = [person for person in people if not leaves_out(own, nsd_split, whose, person)]
        if not known:
            return ""
        if own:
            of = f" of {', '.join(known)}" if own == nsd_split else ""
            return f"NOT HELD OUT: trained on the split {own}, and {nsd_split} tests on pictures of that training{of}"
    if used:
        return f"NOT HELD OUT: the decoder was trained on {', '.join(used)}"
    if nsd_split is not None:
        # Pictures of one session come again in others.
        return f"NOT HELD OUT: trained without --nsd-split, and may know pictures that {nsd_split} tests on"
    return ""


def _decoded_recording(
    bundle: Bundle,
    encoder: Encoder,
    recording: Recording,
    stimuli: dict[str, int],
    run: int,
    marker_offset_s: float,
    onset_channel: str | None,
    keeper: Keeper,
) -> Decoder:
    try:
        decoder = decode_recording(
            bundle,
            encoder,
            recording,
            stimuli,
            run,
            marker_offset_s=marker_offset_s,
            onset_channel=onset_channel,
            keep=keeper,
        )
    except StreamError as error:
        raise RecordingError(f"{recording.name} does not fit {bundle.manifest.name!r}. {error}") from error
    keeper.end(decoder)
    return decoder


def _summary(
    evaluation: Evaluation,
    rows: list[dict[str, Any]],
    notes: list[str],
    accuracy: dict[str, Any],
    measured: dict[str, Measured],
    beyond: dict[str, Measured],
) -> dict[str, Any]:
    training = evaluation.bundle.manifest.training
    return {
        "version": __version__,
        "bundle": bundle_summary(evaluation.bundle),
        "training": {
            "model": training.model,
            "subjects": training.subjects,
            "seed": training.seed,
            "n_trials": training.n_trials,
        },
        "with": [bundle_summary(other.bundle) for other in evaluation.others],
        "provider": evaluation.encoder.provider,
        "provider_notes": told_of_providers(evaluation),
        "recordings": rows,
        "notes": notes,
        "accuracy": accuracy,
        "protocols": measured,
        "transductive": beyond,
        "per_trial": trial_rows(evaluation.scores),
    }


def _other_people(rows: list[dict[str, Any]], training: Training) -> list[str]:
    """Return a note where recordings are known to be of others than the decoder is known to be made for."""
    others = dict[str, list[str]]()
    for row in rows:
        if training.subjects and row["subject"] and row["subject"] not in training.subjects:
            others.setdefault(row["subject"], []).append(row["recording"])
    if not others:
        return []
    found = ", ".join(f"{subject} ({', '.join(names)})" for subject, names in others.items())
    made_for = ", ".join(training.subjects)
    return [f"the decoder was made for {made_for}, and is scored on somebody else: {found}"]


def _of_split(nsd_split: NsdSplit | None, n_given: int, n_scored: int) -> list[str]:
    """Return a note where a split of NSD says what is scored."""
    if nsd_split is None:
        return []
    return [
        f"of NSD's trials only those are scored that {nsd_split} tests on ({SPLITS[nsd_split].says}); "
        f"{n_given - n_scored} of {n_given} recordings hold none of them"
    ]


def told_of_providers(evaluation: Evaluation) -> list[str]:
    """Return, once each, why decoders were not run by anything better, and which provider was lost on the way."""
    encoders = [one.encoder for one in (evaluation, *evaluation.others)]
    told = [note for encoder in encoders for note in (*encoder.notes, encoder.lost) if note]
    return list(dict.fromkeys(told))


def _title(evaluation: Evaluation, rows: list[dict[str, Any]]) -> str:
    names = [str(row["recording"]) for row in rows]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{evaluation.bundle.manifest.name} on {shown}"


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
    counts = [f"{row[name]} {name}" for name in ("withheld", "missed", "unknown", "unfinished") if row[name]]
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
