"""The command that makes a student of few steps of a diffusion pipeline that lies on this machine."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from rich.console import Console

from decode_stream.bundle_path import check_writable
from decode_stream.decoders.distillation.consistency_drawing import teacher_latents
from decode_stream.decoders.distillation.consistency_settings import ConsistencySettings, TrainingRows
from decode_stream.decoders.distillation.consistency_steps import consistency_schedule
from decode_stream.decoders.distillation.latent_consistency import distil
from decode_stream.decoders.distillation.students import LowRankStudent, Student, WholeStudent
from decode_stream.decoders.generation.diffusers_files import GENERATOR_FILE, PipelineFile
from decode_stream.decoders.generation.diffusers_weights import quiet_diffusers
from decode_stream.decoders.generation.picture_file import MOST_NUMBERS
from decode_stream.decoders.training.checkpoint import array_digest
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import DecodeStreamError, UsageError
from decode_stream.training.progress import TrainingProgress

from .config import DistillConfig
from .distillation_rows import Conditions, conditions, drawn_latents, picture_latents
from .sample_grid import SampleGrid
from .student_folder import LORA, TRAINING, UNET, picture_model, write_student
from .teacher import Teacher, prepared, read_pipeline

__all__ = ["TEACHER_STEPS", "distill_pipeline"]

#: Steps in which a teacher draws: what a student without pictures learns from, and the first row of samples.
TEACHER_STEPS = 25
_N_SAMPLES = 4


def distill_pipeline(folder: Path, source: Path, config: DistillConfig) -> int:
    """Make a student of a pipeline, and say what it came to; returns the exit code.

    Parameters
    ----------
    folder : Path
        The pipeline's, with ``model_index.json``.
    source : Path
        A folder of pictures, or a file of embeddings whose pictures the teacher draws.
    config : DistillConfig

    Raises
    ------
    DecodeStreamError
        If the pipeline lacks a part, holds pickled weights or is not conditioned on embeddings; if the adapter or the
        embeddings are of another encoder; if the training fails.
    """
    _check_out(config)
    console = Console(stderr=True)
    with TrainingProgress(console) as progress:
        progress.report(f"reading {folder}")
        family, pipeline = read_pipeline(folder, config)
        told = conditions(source, config.target, progress.pictures)
        teacher = prepared(folder, family, pipeline, told, config)
        progress.report(f"encoding pictures of {teacher.side_px} px")
        rows = _rows(teacher, source, told, config, progress)
        student = _student(teacher, config)
        work = _work(config)
        grid = SampleGrid.begun(teacher.autoencoder, _grid_rows(rows), config.steps, config.seed)
        progress.report(f"distilling {folder.name} ({config.method}) on {len(rows.latents)} pictures")
        history = distil(
            student,
            consistency_schedule(teacher.few_steps).to(teacher.device),
            teacher.condition,
            rows,
            _settings(config),
            seed=config.seed,
            precision=teacher.dtype,
            checkpoint=work,
            trained_on=_identity(teacher, rows, config),
            progress=progress.steps,
            saved=lambda done: _draw_samples(grid, teacher, student, config, work, done),
        )
        _write(teacher, student, told, rows, config, history.train_loss)
    rmtree(work)
    print(f"{config.out}: draws in {config.steps} step{'s' if config.steps > 1 else ''}", file=sys.stdout)
    return 0


def _check_out(config: DistillConfig) -> None:
    """Refuse, before hours of work, a folder that could not be written after them."""
    out = config.out
    if out.exists() and not config.overwrite:
        raise UsageError(f"{out} exists already. Give another --out, or --overwrite to replace the student.")
    if out.exists() and not (out / TRAINING).is_file():
        raise UsageError(f"{out} is no student, and --overwrite replaces nothing else. Give another --out.")
    check_writable(out)


def _work(config: DistillConfig) -> Path:
    """Return where the state of the training and its samples are until it is done."""
    return config.out.with_name(f"{config.out.name}.training")


def _rows(
    teacher: Teacher, source: Path, told: Conditions, config: DistillConfig, progress: TrainingProgress
) -> TrainingRows:
    """Return latents and embeddings to train on."""
    if source.is_dir():
        place = teacher.folder / teacher.autoencoder_name
        latents = picture_latents(source, place, teacher.side_px, progress.pictures)
        return TrainingRows(latents, told.embeddings)
    guidance = _guidance(config)
    with _told_out_of_memory():
        latents = drawn_latents(
            told.embeddings,
            teacher.latent_shape,
            lambda given, noise: teacher_latents(
                teacher.pipeline.unet,
                teacher.many_steps,
                teacher.condition,
                given,
                noise,
                TEACHER_STEPS,
                guidance,
            ),
            f"U-Net {teacher.digest[:12]}, {TEACHER_STEPS} steps, guidance {guidance:g}",
            teacher.device,
            progress.pictures,
        )
    return TrainingRows(latents, told.embeddings)


@contextmanager
def _told_out_of_memory() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DecodeStreamError(
            "The memory of the GPU is too small for the pipeline to draw pictures. Try a smaller --side-px."
        ) from error


def _student(teacher: Teacher, config: DistillConfig) -> Student:
    unet = teacher.pipeline.unet
    with torch.random.fork_rng(devices=[]), quiet_diffusers():
        torch.manual_seed(config.seed)
        if config.method == "lora":
            return LowRankStudent(unet, teacher.dtype, rank=config.rank)
        return WholeStudent(unet, teacher.dtype, takes_guidance=teacher.condition.guided is not None)


def _guidance(config: DistillConfig) -> float:
    """Return the guidance scale of samples: the middle of those that are learnt."""
    return sum(config.guidance) / 2


def _settings(config: DistillConfig) -> ConsistencySettings:
    return ConsistencySettings(
        n_steps=config.updates,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        learning_rate=config.rate,
        guidance=config.guidance,
        save_every=config.save_every,
    )


def _identity(teacher: Teacher, rows: TrainingRows, config: DistillConfig) -> dict[str, Any]:
    """Return what a training that goes on must agree in."""
    scheduler = {name: value for name, value in teacher.few_steps.config.items() if not name.startswith("_")}
    return {
        "pipeline": teacher.digest,
        "scheduler": scheduler,
        "method": config.method,
        "rank": config.rank if config.method == "lora" else None,
        "side_px": teacher.side_px,
        "latents": array_digest(rows.latents),
        "embeddings": array_digest(rows.embeddings),
    }


def _grid_rows(rows: TrainingRows) -> TrainingRows:
    """Return some rows, evenly from all."""
    n = len(rows.latents)
    some = [n * i // min(n, _N_SAMPLES) for i in range(min(n, _N_SAMPLES))]
    return TrainingRows(rows.latents[some], rows.embeddings[some])


def _draw_samples(
    grid: SampleGrid, teacher: Teacher, student: Student, config: DistillConfig, work: Path, done: int
) -> None:
    guidance = _guidance(config)
    with torch.autocast(teacher.device.type, teacher.dtype, enabled=teacher.dtype != torch.float32):
        with student.teacher() as unet:
            grid.draw_teacher(unet, teacher.many_steps, teacher.condition, TEACHER_STEPS, guidance)
        with student.average() as unet:
            told = guidance if student.takes_guidance else None
            grid.draw_student(unet, teacher.few_steps, teacher.condition, told)
    grid.save(work / "samples" / f"step-{done:06}.png")


def _write(
    teacher: Teacher,
    student: Student,
    told: Conditions,
    rows: TrainingRows,
    config: DistillConfig,
    losses: tuple[float, ...],
) -> None:
    """Write the student's folder, whole or not at all."""
    adapted = teacher.family in ("sd", "sdxl")
    runs_live = told.space.dimension <= MOST_NUMBERS and adapted == (config.ip_adapter is not None)
    said = PipelineFile(
        name=f"{teacher.folder.name}, distilled",
        recipe="lcm",
        space=told.space,
        side_px=teacher.side_px,
        steps=tuple(range(1, config.steps + 1)),
        pipeline=str(teacher.folder.resolve()),
        unet=UNET if config.method == "full" else "",
        lora=LORA if config.method == "lora" else "",
        adapter="" if config.ip_adapter is None else str(config.ip_adapter.resolve()),
        guidance=_guidance(config) if student.takes_guidance else None,
    )
    training = {
        "pipeline": str(teacher.folder),
        "unet_sha256": teacher.digest,
        "n_pictures": len(rows.latents),
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in {**asdict(config), "learning_rate": config.rate}.items()
        },
        "precision": str(teacher.dtype).removeprefix("torch."),
        "loss": [round(loss, 6) for loss in losses],
    }
    with written_whole(config.out, overwrite=config.overwrite) as place, quiet_diffusers():
        write_student(
            place,
            student,
            said if runs_live else None,
            picture_model(told.embeddings) if runs_live else None,
            training,
        )
        for samples in sorted((_work(config) / "samples").glob("*.png"))[-1:]:
            (place / "samples.png").write_bytes(samples.read_bytes())
    if not runs_live:
        print(
            f"{config.out} has no {GENERATOR_FILE}: sessions draw from pooled embeddings, and this pipeline is told "
            "grids of tokens. Load its weights with diffusers.",
            file=sys.stderr,
        )
