"""``decode-stream refine``: recorded trials are drawn, and the pictures led to the structure decoded of them."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.progress import Progress

from decode_stream import __version__
from decode_stream.betas import decoded_recording
from decode_stream.decoded_trials import decoded_trials
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.decoded import Decoded
from decode_stream.decoders.generation.condition import Condition
from decode_stream.decoders.generation.diffusers_generator import DiffusersGenerator
from decode_stream.decoders.generation.embedding_belief import EmbeddingPosterior, Posteriors
from decode_stream.decoders.generation.generator import Generator
from decode_stream.decoders.generation.load import load_generator
from decode_stream.decoders.generation.picture_evidence import EvidenceReader
from decode_stream.decoders.generation.refinement import Refined, RefineSettings, refine
from decode_stream.decoders.runtime import Encoder
from decode_stream.evaluation.evaluation import check_pictures
from decode_stream.replay_data.open import fingerprint, open_recording
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import IntArray
from decode_stream.summary import write_json

from .config import RefineConfig
from .refine_structure import DecodedStructure, decoded_structure, structure_of

__all__ = ["refine_trials"]


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """What was decoded of the trials asked for."""

    posteriors: list[EmbeddingPosterior]
    structures: npt.NDArray[np.float32] | None
    names: list[str]


def refine_trials(bundle_path: Path, recording: Path, config: RefineConfig) -> int:
    """Draw and refine, write the pictures and how the losses fell, and say so; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If bundle, recording and generator do not go together, or a picture cannot be drawn.
    """
    if config.out.exists():
        raise UsageError(f"{config.out} exists already. Give another --out, or remove it first.")
    bundle, generator = load_bundle(bundle_path), load_generator(config.generator, config.provider)
    _check_space(bundle, generator)
    trials = _decoded(bundle, generator, recording, config)
    told = list[dict[str, Any]]()
    rows = list[npt.NDArray[np.uint8]]()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for place, (number, name) in enumerate(zip(config.trials, trials.names, strict=True)):
            task = progress.add_task(f"trial {number}", total=config.iterations)
            found = None if trials.structures is None else trials.structures[place]
            posterior = trials.posteriors[place]
            aim = structure_of(bundle, found, posterior, generator.pictures, config)

            def report(done: int, loss: float, task: Any = task, number: int = number) -> None:
                progress.update(task, completed=done, description=f"trial {number}: {loss:.4f}")

            refined = _refined(generator, posterior, aim, config, report)
            _save(config.out, number, refined)
            rows.append(_row(bundle, name, posterior, generator, refined))
            told.append(_summary(number, name, aim, refined))
            progress.remove_task(task)
    Image.fromarray(np.concatenate(rows)).save(config.out / "refined.png")
    _write(told, bundle, generator, recording, config)
    for one in told:
        print(
            f"trial {one['trial']} ({one['shown']}): structure {one['structure_loss'][0]:.4f} -> "
            f"{one['structure_loss'][-1]:.4f}, condition at a cosine of {one['cosine'][-1]:.3f}"
        )
    print(f"{config.out}: refined.png has a row a trial: seen, where known; layout; stage 1; stage 2")
    return 0


def _check_space(bundle: Bundle, generator: Generator) -> None:
    ours, theirs = bundle.manifest.space, generator.space
    if ours != theirs:
        raise UsageError(
            f"{bundle.manifest.name!r} decodes {ours.model} {ours.layer} of {ours.dimension} numbers, and "
            f"{generator.name!r} draws {theirs.model} {theirs.layer} of {theirs.dimension}. Give a generator of the "
            "same space."
        )


def _decoded(bundle: Bundle, generator: Generator, path: Path, config: RefineConfig) -> _Trials:
    """Decode the recording as a session would, and keep the trials asked for."""
    manifest = bundle.manifest
    opened = open_recording(path, marker_column=config.marker_column, mask=config.mask)
    recording, offset_s = decoded_recording(opened, manifest, config)
    if config.events is None:
        check_pictures(recording, bundle)
    encoder = Encoder(bundle)
    windows = manifest.structure is not None
    decoded = decoded_trials(bundle, encoder, recording, offset_s, config, windows=windows)
    which = _which(config, decoded)
    if fingerprint(path) in manifest.training.fingerprints:
        print(f"NOT HELD OUT: the decoder was trained on {recording.name}.")
    reader, posteriors = EvidenceReader(bundle), Posteriors(bundle, generator.pictures)
    return _Trials(
        [posteriors(reader.read(decoded.embeddings[trial])) for trial in which],
        None if manifest.structure is None else decoded_structure(decoded, encoder, which),
        [manifest.gallery[entry] for entry in decoded.truth[which]],
    )


def _which(config: RefineConfig, decoded: Decoded) -> IntArray:
    n = decoded.scores.n
    if (largest := max(config.trials)) > n:
        raise UsageError(f"There is no trial {largest}; the recording's scored trials are 1 to {n}.")
    return np.array(config.trials, np.int64) - 1


def _refined(
    generator: Generator,
    posterior: EmbeddingPosterior,
    aim: DecodedStructure,
    config: RefineConfig,
    report: Callable[[int, float], None],
) -> Refined:
    condition = generator.pictures.condition(posterior.belief)
    noise = generator.noise(config.seed)
    start, told, paint = _stage(generator, condition, noise, aim, config)
    settings = RefineSettings(config.iterations, config.learning_rate, config.decay, config.semantic_weight)
    first, last = generator.pictures.semantic
    spread = generator.pictures.covariance[first:last, first:last]
    unit = float(np.sqrt(np.trace(spread) / (last - first)))
    return refine(paint, start, told, aim.structure, settings, report, unit=unit)


def _stage(
    generator: Generator,
    condition: Condition,
    noise: npt.NDArray[np.float32],
    aim: DecodedStructure,
    config: RefineConfig,
) -> tuple[Any, Any, Callable[[Any, Any], Any]]:
    """Return the start, the condition and what draws of them, by either back-end."""
    if isinstance(generator, DiffusersGenerator):
        from decode_stream.decoders.generation.diffusers_refining import diffusers_stage, usual_steps

        return diffusers_stage(
            generator,
            condition,
            noise,
            strength=config.strength,
            n_steps=config.steps or usual_steps(generator),
            latents=aim.latents,
        )
    if aim.latents is not None:
        raise UsageError(
            f"The bundle decodes latents of an autoencoder, and {generator.name!r} draws pixels. Give a generator of "
            "diffusers, or a bundle without a second head or with --structure colour-layout."
        )
    from decode_stream.decoders.distillation.flow_refining import flow_stage

    return flow_stage(
        config.generator,
        condition,
        noise,
        strength=config.strength,
        n_steps=config.steps or generator.n_steps[-1],
    )


def _save(out: Path, number: int, refined: Refined) -> None:
    # Not before there is something to write: what fails leaves no folder in the way.
    out.mkdir(parents=True, exist_ok=True)
    for stage, pictures in (("stage-1", refined.first), ("stage-2", refined.pictures)):
        Image.fromarray(pictures[0]).save(out / f"trial-{number:04d}-{stage}.png")


def _row(
    bundle: Bundle, name: str, posterior: EmbeddingPosterior, generator: Generator, refined: Refined
) -> npt.NDArray[np.uint8]:
    """Return what was seen, the decoded layout and both stages, side by side."""
    side = generator.side_px
    seen = Image.new("RGB", (side, side), "white")
    if name in bundle.thumbnails:
        seen = Image.open(io.BytesIO(bundle.thumbnails[name])).convert("RGB").resize((side, side))
    (layout,) = generator.pictures.layout.layout(posterior.mean[None])
    large = Image.fromarray(np.rint(255 * layout).astype(np.uint8)).resize(
        (side, side), Image.Resampling.NEAREST
    )
    parts = [np.asarray(seen), np.asarray(large), refined.first[0], refined.pictures[0]]
    return np.concatenate(parts, axis=1)


def _summary(number: int, name: str, aim: DecodedStructure, refined: Refined) -> dict[str, Any]:
    return {
        "trial": number,
        "shown": name,
        "led_by": aim.words,
        "structure_loss": refined.structure_loss[:, 0].tolist(),
        "cosine": refined.cosine[:, 0].tolist(),
    }


def _write(
    told: list[dict[str, Any]], bundle: Bundle, generator: Generator, recording: Path, config: RefineConfig
) -> None:
    summary = {
        "version": __version__,
        "bundle": bundle.manifest.name,
        "generator": generator.name,
        "recording": recording.name,
        "strength": config.strength,
        "iterations": config.iterations,
        "learning_rate": config.learning_rate,
        "decay": config.decay,
        "semantic_weight": config.semantic_weight,
        "seed": config.seed,
        "trials": told,
    }
    write_json(summary, config.out / "refined.json")
