"""From recordings to a bundle: cut, cross-fit by run, calibrate, fit on all, export, save."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from decode_stream.decoders.bundle import Bundle, save_bundle
from decode_stream.decoders.cross_fit import HeldOut, cross_fit, held_out_scores
from decode_stream.decoders.manifest import Manifest, Training
from decode_stream.decoders.novelty import fit_familiar, fit_novelty
from decode_stream.decoders.recipe import Fit, Gallery, category_gallery, cut, design, scaled
from decode_stream.replay_data.open import fingerprint, open_recording
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.parts import RecordingPart, split
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray

from .bundle_path import check_out
from .config import Modality, Model, TrainConfig, parse_events

__all__ = ["fitter", "train", "train_bundle"]

#: Into so many parts a single recording is split, to hold each out once.
_N_PARTS = 5


def train(
    recordings: Sequence[Recording],
    *,
    name: str,
    modality: Modality,
    model: Model,
    gallery: Gallery,
    channels: Sequence[str] | None = None,
    marker_offset_s: float = 0.0,
    onset_channel: str | None = None,
    lag_s: float | None = None,
    width_s: float | None = None,
    seed: int = 0,
    fingerprints: Sequence[str] = (),
    report: Callable[[str], None] = lambda text: None,
) -> tuple[Bundle, HeldOut]:
    """Train a decoder.

    Parameters
    ----------
    recordings : sequence of Recording
        One a run: each is held out once to calibrate the evidence. A single one is split into five successive parts.
    model : {"channel-attention", "lda", "ridge"}
    lag_s, width_s : float or None
        fMRI: when the window of a trial begins after its onset, and how long it is; see `volume_schedule`.
    fingerprints : sequence of str
        What tells each recording from others, where they come from files.
    report : callable
        Is told what happens.

    Returns
    -------
    Bundle
        Not yet saved.
    HeldOut
        What was decoded of each run by the decoder trained without it.

    Raises
    ------
    DecodeStreamError
        If the recordings do not go together or hold too little.
    """
    if len(recordings) < 2:
        recordings = _parts(recordings[0])
    fit = fitter(model)
    recipe = design(
        recordings,
        modality,
        channels,
        gallery,
        marker_offset_s=marker_offset_s,
        onset_channel=onset_channel,
        lag_s=lag_s,
        width_s=width_s,
    )
    _check_enough(_marked(recordings, gallery), recordings, gallery)
    held_out = cross_fit(recipe, recordings, fit, seed, report)
    _check_enough(held_out.labels, recordings, gallery)
    calibration = held_out.calibration()
    _, numbers = held_out_scores(held_out, calibration)
    report("fitting on all runs")
    recipe = scaled(recipe, recordings)
    trials = cut(recipe, recordings)
    trained = fit(trials, recipe, seed)
    report("exporting")
    encoder = trained.export(trials.windows[:4])
    protocol = (
        f"leave one of {len(recordings)} {_word(recordings)} out, single trial, {len(gallery.names)}-way; evidence "
        "calibrated on the same held-out trials"
    )
    manifest = Manifest(
        name=name,
        modality=modality,
        chain=recipe.chain,
        window=recipe.window,
        length_s=float(recipe.schedule.length_s),
        step_s=float(recipe.schedule.step_s),
        lag_s=float(recipe.schedule.lag_s),
        first_s=None if recipe.schedule.first_s is None else float(recipe.schedule.first_s),
        n_latencies=recipe.n_latencies,
        space=gallery.space,
        gallery=gallery.names,
        labels=gallery.labels,
        calibration=calibration,
        training=Training(
            model=model,
            recordings=tuple(r.name for r in recordings),
            fingerprints=tuple(fingerprints),
            n_trials=len(trials.labels),
            seed=seed,
            protocol=protocol,
            scores=numbers,
        ),
        versions=_versions(),
    )
    assert held_out.distances is not None
    novelty = fit_novelty(fit_familiar(trials.windows), held_out.distances)
    return Bundle(manifest, encoder, gallery.embeddings, gallery.thumbnails, novelty=novelty), held_out


def _parts(recording: Recording) -> tuple[RecordingPart, ...]:
    if len(recording.stimuli) < _N_PARTS:
        raise RecordingError(
            f"{recording.name} holds {len(recording.stimuli)} stimuli. A single recording is split into {_N_PARTS} "
            "parts, each of which is held out once. Give a longer one, or several."
        )
    return split(recording, _N_PARTS)


def _word(recordings: Sequence[Recording]) -> str:
    return "parts" if isinstance(recordings[0], RecordingPart) else "runs"


def _marked(recordings: Sequence[Recording], gallery: Gallery) -> IntArray:
    """Return the gallery index of every marker that has one."""
    stimuli = gallery.stimuli()
    labels = [label for recording in recordings for _, label in recording.markers]
    return np.array([stimuli[label] for label in labels if label in stimuli], dtype=np.int64)


def _check_enough(labels: IntArray, recordings: Sequence[Recording], gallery: Gallery) -> None:
    counts = np.bincount(labels, minlength=len(gallery.names))
    if counts.min() < 2:
        few = gallery.names[int(counts.argmin())]
        found = sorted({label for recording in recordings for _, label in recording.markers})
        raise RecordingError(
            f"{few!r} has {counts.min()} trials in these recordings, and each gallery entry needs at least 2; the "
            f"markers found are {', '.join(found[:20]) or 'none at all'}. Record more, or name the codes with --events "
            "CODE=NAME,..."
        )


def _versions() -> dict[str, str]:
    found = {}
    for package in (
        "decode-stream",
        "numpy",
        "scipy",
        "torch",
        "onnx",
        "onnxscript",
        "scikit-learn",
        "himalaya",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def fitter(model: Model) -> Fit:
    """Return what fits a model; its libraries are loaded here, so that nothing else waits for torch."""
    try:
        if model == "lda":
            from .fit_lda import fit_lda_encoder

            return fit_lda_encoder
        if model == "ridge":
            from .fit_ridge import fit_ridge_encoder

            return fit_ridge_encoder
        from .fit_channel_attention import fit_channel_attention

        return fit_channel_attention
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Training needs {missing.name}, which is not installed. "
            "Install it with: pip install 'decode-stream[train]'"
        ) from missing


def _check_different(paths: Sequence[Path]) -> None:
    """Refuse a run that would be held out and trained on at once."""
    resolved = [path.resolve() for path in paths]
    for path in resolved:
        if resolved.count(path) > 1:
            raise UsageError(
                f"{path.name} is given {resolved.count(path)} times; every run is held out from the others once, so "
                "each can be given only once."
            )


def _check_no_copies(paths: Sequence[Path], fingerprints: Sequence[str]) -> None:
    first = dict[str, Path]()
    for path, print_ in zip(paths, fingerprints, strict=True):
        if print_ in first:
            raise UsageError(
                f"{path} is a copy of {first[print_]}; every run is held out from the others once, so each can be "
                "given only once."
            )
        first[print_] = path


def train_bundle(paths: Sequence[Path], config: TrainConfig) -> int:
    """Train on files, save the bundle, and say what it reached; returns the exit code."""
    console = Console(stderr=True)
    out = config.out
    check_out(out, config.overwrite)
    _check_different(paths)
    recordings = [
        open_recording(path, marker_column=config.marker_column, mask=config.mask) for path in paths
    ]
    fingerprints = [fingerprint(path) for path in paths]
    _check_no_copies(paths, fingerprints)
    for recording in recordings:
        for note in recording.notes:
            console.print(f"{recording.name}: {note}", highlight=False, soft_wrap=True)
    gallery = category_gallery(recordings, parse_events(config.events))
    n_steps = (len(recordings) if len(recordings) > 1 else _N_PARTS) + 2
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=n_steps)

        def report(text: str) -> None:
            bar.update(task, description=text, advance=1)

        bundle, held_out = train(
            recordings,
            name=out.name.removesuffix(".zip").removesuffix(".bundle"),
            modality=config.modality,
            model=config.encoder,
            gallery=gallery,
            channels=config.channel_names,
            marker_offset_s=config.marker_offset_ms / 1e3,
            onset_channel=config.onset_channel,
            lag_s=config.lag_s,
            width_s=config.width_s,
            seed=config.seed,
            fingerprints=fingerprints,
            report=report,
        )
    bundle = save_bundle(bundle, out, overwrite=config.overwrite)
    scores, numbers = held_out_scores(held_out, bundle.manifest.calibration)
    low, high = scores.interval(scores.hits())
    runs = f"{len(recordings)} runs" if len(recordings) > 1 else f"{_N_PARTS} parts of {recordings[0].name}"
    auc = f", AUC {numbers['auc']:.3f}" if "auc" in numbers else ""
    print(
        f"{out}: {config.encoder}, {bundle.manifest.training.n_trials} trials of {runs}, "
        f"{len(bundle.encoder) / 1e3:.0f} kB\n"
        f"held out in turn: top-1 {numbers['top1']:.3f} (95 % {low:.3f} to {high:.3f}, {scores.interval_name}; chance "
        f"{numbers['chance']:.3f}; n = {scores.n}){auc}, log loss {numbers['log_loss']:.3f}"
    )
    return 0
