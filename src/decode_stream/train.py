"""From recordings to a bundle: cut, cross-fit by run, calibrate, fit on all, export, save."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from scipy.special import log_softmax

from decode_stream.decoders.bundle import Bundle, EmbeddingSpace, Manifest, Training, save_bundle
from decode_stream.decoders.epochs import TrialSet, cut_trials, robust_scale
from decode_stream.decoders.evidence import Calibration, fit_calibration, similarity
from decode_stream.decoders.scoring import Scores, TrialScore
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.filters import ChainSpec, WindowSpec
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import Channel, FloatArray
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

from .chains import DECODER_HZ, design_chain, pick_channels
from .config import Modality

__all__ = ["Gallery", "Recipe", "Trained", "train", "train_bundle"]

_N_LATENCIES = 21  # the last window ends 600 ms after onset
# In robust standard deviations: blinks and movements lie far above 12, brain signals below 5.
_WINDOW = WindowSpec(clamp=5.0, reject_peak=12.0)

#: Takes trials, gallery, norm and seed and returns what decodes.
Fit = Callable[["TrialSet", "Recipe", int], "Trained"]


@dataclass(frozen=True, eq=False)
class Gallery:
    """The candidates.

    Attributes
    ----------
    names : tuple of str
    embeddings : array of shape (n_entries, dimension), float32
    labels : dict of str to str
        Name by marker label.
    thumbnails : dict of str to bytes
        PNG by name.
    """

    names: tuple[str, ...]
    embeddings: npt.NDArray[np.float32]
    space: EmbeddingSpace
    labels: dict[str, str]
    thumbnails: dict[str, bytes]


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that is fixed before a fit.

    Attributes
    ----------
    channels : tuple of Channel
        The channels picked, in order.
    schedule : WindowSchedule
        At the decoder's rate.
    """

    modality: Modality
    channels: tuple[Channel, ...]
    chain: ChainSpec
    window: WindowSpec
    schedule: WindowSchedule
    n_latencies: int
    gallery: Gallery


@dataclass(frozen=True, eq=False)
class Trained:
    """A fitted encoder.

    Attributes
    ----------
    embed : callable
        Takes windows (n_trials, n_latencies, n_channels, n_times) and whether latencies are known; returns
        embeddings (n_trials, n_latencies, dimension).
    export : callable
        Takes a few trials' windows and returns the ONNX model, compared with this encoder on them.
    """

    embed: Callable[[npt.NDArray[np.float32], bool], FloatArray]
    export: Callable[[npt.NDArray[np.float32]], bytes]


def category_gallery(recordings: Sequence[Recording], events: dict[str, str] | None) -> Gallery:
    """Return a gallery of categories: one entry a name, at right angles to each other.

    Parameters
    ----------
    events : dict of str to str, or None
        Name by marker label; without it every label is a category of its own.

    Raises
    ------
    UsageError
        If there are fewer than two categories.
    """
    if events is None:
        found = sorted({label for recording in recordings for _, label in recording.markers})
        events = {label: label for label in found}
    names = tuple(dict.fromkeys(events.values()))
    if len(names) < 2:
        raise UsageError(
            f"Decoding needs at least two categories; the markers name {len(names)} ({', '.join(names) or 'none'}). "
            "Name the codes with --events CODE=NAME,..."
        )
    space = EmbeddingSpace("categories", "one-hot", len(names), "none")
    return Gallery(names, np.eye(len(names), dtype=np.float32), space, dict(events), {})


def _design(
    recordings: Sequence[Recording], modality: Modality, names: Sequence[str] | None, gallery: Gallery
) -> Recipe:
    first = recordings[0]
    channels = pick_channels(first.channels, modality, names)
    for other in recordings[1:]:
        if abs(other.sfreq_hz - first.sfreq_hz) > 1e-6 * first.sfreq_hz:
            raise RecordingError(
                f"{first.name} runs at {first.sfreq_hz:g} Hz and {other.name} at {other.sfreq_hz:g} Hz; recordings "
                "trained on together have one rate."
            )
    chain = design_chain(channels, first.sfreq_hz, modality, at_most_hz=DECODER_HZ[modality])
    schedule = WindowSchedule(exact_sfreq(chain.sfreq_hz))
    return Recipe(modality, tuple(channels), chain, _WINDOW, schedule, _N_LATENCIES, gallery)


def _scaled(recipe: Recipe, recordings: Sequence[Recording]) -> Recipe:
    """Return the recipe with location and spread of these recordings, the training ones, and no others."""
    center, scale = robust_scale(recordings, recipe.chain)
    return replace(recipe, chain=replace(recipe.chain, center=center, scale=scale))


def _cut(recipe: Recipe, recordings: Sequence[Recording]) -> TrialSet:
    index = {name: i for i, name in enumerate(recipe.gallery.names)}
    stimuli = index | {label: index[name] for label, name in recipe.gallery.labels.items()}
    return cut_trials(recordings, recipe.chain, recipe.window, recipe.schedule, recipe.n_latencies, stimuli)


def _similarities(trained: Trained, trials: TrialSet, gallery: Gallery, *, known: bool) -> FloatArray:
    embeddings = trained.embed(trials.windows, known)
    flat = similarity(embeddings.reshape(-1, embeddings.shape[-1]), gallery.embeddings, gallery.space.norm)
    return flat.reshape(*embeddings.shape[:2], -1)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What decoders say about the runs they were not trained on.

    Attributes
    ----------
    known, unknown : array of shape (n_trials, n_latencies, n_entries)
        Similarities with the latency known, and as in a free-running session.
    labels, runs : array of shape (n_trials,), int64
    """

    known: FloatArray
    unknown: FloatArray
    labels: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]


def cross_fit(
    recipe: Recipe, recordings: Sequence[Recording], fit: Fit, seed: int, report: Callable[[str], None]
) -> HeldOut:
    """Fit without each run in turn and decode that run; scaling, too, comes from the other runs only."""
    parts = []
    for run, recording in enumerate(recordings):
        report(f"fitting without {recording.name}")
        others = [other for other in recordings if other is not recording]
        scaled = _scaled(recipe, others)
        trained = fit(_cut(scaled, others), scaled, seed)
        trials = _cut(scaled, [recording])
        known, unknown = (_similarities(trained, trials, recipe.gallery, known=k) for k in (True, False))
        parts.append(HeldOut(known, unknown, trials.labels, np.full(len(trials.labels), run)))
    return HeldOut(
        np.concatenate([p.known for p in parts]),
        np.concatenate([p.unknown for p in parts]),
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.runs for p in parts]),
    )


def held_out_scores(held_out: HeldOut, calibration: Calibration) -> tuple[Scores, dict[str, float]]:
    """Return the scores of held-out trials, as an object and as the numbers a bundle keeps."""
    evidence = np.einsum("nlk,l->nk", held_out.known, np.array(calibration.weights))
    scores = Scores(held_out.known.shape[2])
    rows = zip(held_out.labels, evidence, held_out.known, held_out.runs, strict=True)
    for i, (label, log_evidence, by_latency, run) in enumerate(rows):
        scores.add(TrialScore(i, i, int(label), log_evidence, by_latency, int(run)))
    log_p = log_softmax(evidence, axis=1)[np.arange(scores.n), held_out.labels]
    numbers = {
        "top1": float(scores.hits().mean()),
        "chance": 1 / scores.n_entries,
        "n": float(scores.n),
        "log_loss": float(-log_p.mean()),
    }
    auc = scores.auc()
    return scores, numbers if auc is None else numbers | {"auc": auc}


def train(
    recordings: Sequence[Recording],
    *,
    name: str,
    modality: Modality,
    model: str,
    gallery: Gallery,
    channels: Sequence[str] | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[Bundle, HeldOut]:
    """Train a decoder.

    Parameters
    ----------
    recordings : sequence of Recording
        At least two, one a run.
    model : {"channel-attention", "lda"}
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
        raise UsageError(
            "Training needs at least two recordings, one a run: each is held out once to calibrate the evidence. "
            "Give another RECORDING, or split this one."
        )
    fit = _fitter(model)
    recipe = _design(recordings, modality, channels, gallery)
    held_out = cross_fit(recipe, recordings, fit, seed, report)
    _check_enough(held_out, gallery)
    shuffled = held_out.unknown.transpose(1, 0, 2).reshape(-1, held_out.unknown.shape[2])
    calibration = fit_calibration(held_out.known, held_out.labels, shuffled)
    _, numbers = held_out_scores(held_out, calibration)
    report("fitting on all runs")
    recipe = _scaled(recipe, recordings)
    trials = _cut(recipe, recordings)
    trained = fit(trials, recipe, seed)
    report("exporting")
    encoder = trained.export(trials.windows[:4])
    protocol = (
        f"leave one of {len(recordings)} runs out, single trial, {len(gallery.names)}-way; weights of latencies fitted "
        "on the same held-out trials"
    )
    manifest = Manifest(
        name=name,
        modality=modality,
        chain=recipe.chain,
        window=recipe.window,
        length_s=float(recipe.schedule.length_s),
        step_s=float(recipe.schedule.step_s),
        n_latencies=recipe.n_latencies,
        space=gallery.space,
        gallery=gallery.names,
        labels=gallery.labels,
        calibration=calibration,
        training=Training(
            model, tuple(r.name for r in recordings), len(trials.labels), seed, protocol, numbers
        ),
        versions=_versions(),
    )
    return Bundle(manifest, encoder, gallery.embeddings, gallery.thumbnails), held_out


def _check_enough(held_out: HeldOut, gallery: Gallery) -> None:
    counts = np.bincount(held_out.labels, minlength=len(gallery.names))
    if counts.min() < 2:
        few = gallery.names[int(counts.argmin())]
        raise RecordingError(
            f"{few!r} has {counts.min()} whole trials in these recordings; each gallery entry needs at least 2. "
            "Record more, or leave it out of --events."
        )


def _versions() -> dict[str, str]:
    found = {}
    for package in ("decode-stream", "numpy", "scipy", "torch", "onnx", "onnxscript", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _fitter(model: str) -> Fit:
    """Return what fits a model; its libraries are loaded here, so that nothing else waits for torch."""
    try:
        if model == "lda":
            from .fit_lda import fit_lda_encoder

            return fit_lda_encoder
        from .fit_channel_attention import fit_channel_attention

        return fit_channel_attention
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Training needs {missing.name}, which is not installed. "
            "Install it with: pip install 'decode-stream[train]'"
        ) from missing


def train_bundle(
    paths: Sequence[Path],
    *,
    modality: Modality,
    out: Path,
    events: dict[str, str] | None,
    model: str,
    marker_column: str | None,
    channels: Sequence[str] | None,
    seed: int,
    overwrite: bool,
) -> int:
    """Train on files, save the bundle, and say what it reached; returns the exit code."""
    console = Console(stderr=True)
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already. Give another --out, or --overwrite to replace the bundle.")
    recordings = [open_recording(path, marker_column=marker_column) for path in paths]
    for recording in recordings:
        for note in recording.notes:
            console.print(f"{recording.name}: {note}", highlight=False, soft_wrap=True)
    gallery = category_gallery(recordings, events)
    n_steps = len(recordings) + 2
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("reading", total=n_steps)

        def report(text: str) -> None:
            bar.update(task, description=text, advance=1)

        bundle, held_out = train(
            recordings,
            name=out.name.removesuffix(".zip").removesuffix(".bundle"),
            modality=modality,
            model=model,
            gallery=gallery,
            channels=channels,
            seed=seed,
            report=report,
        )
    bundle = save_bundle(bundle, out, overwrite=overwrite)
    scores, numbers = held_out_scores(held_out, bundle.manifest.calibration)
    low, high = scores.interval(scores.hits())
    auc = f", AUC {numbers['auc']:.3f}" if "auc" in numbers else ""
    print(
        f"{out}: {model}, {bundle.manifest.training.n_trials} trials of {len(recordings)} runs, "
        f"{len(bundle.encoder) / 1e3:.0f} kB\n"
        f"held-out runs: top-1 {numbers['top1']:.3f} (95 % {low:.3f} to {high:.3f}, {scores.interval_name}; chance "
        f"{numbers['chance']:.3f}; n = {scores.n}){auc}, log loss {numbers['log_loss']:.3f}"
    )
    return 0
