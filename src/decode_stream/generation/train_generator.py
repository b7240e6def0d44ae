"""The command that makes an embedded generator: its parts, a teacher by flow matching, a student, and the files."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from shutil import rmtree

import numpy as np
import torch
from rich.console import Console

from decode_stream.bundle_path import check_writable
from decode_stream.decoders.bundle import load_bundle
from decode_stream.decoders.distillation.beliefs import BeliefDraws, bundle_channel, plain_channels
from decode_stream.decoders.distillation.flow_student import StudentSettings, consistency_loss, pairs_loss
from decode_stream.decoders.distillation.flow_training import (
    Batches,
    FlowSettings,
    Learning,
    Loss,
    flow_loss,
    learn,
    learning_state,
    painted_parts_loss,
)
from decode_stream.decoders.distillation.flow_unet import FlowUnet, FlowUnetConfig
from decode_stream.decoders.distillation.flow_weights import flow_weights
from decode_stream.decoders.generation.embedded_files import (
    EmbeddedManifest,
    EmbeddedParts,
    GeneratorTraining,
    is_generator,
    save_parts,
)
from decode_stream.decoders.generation.nearest import nearest_files
from decode_stream.decoders.training.checkpoint import module_digest
from decode_stream.export.generator import export_generator
from decode_stream.library_versions import library_versions
from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import UsageError
from decode_stream.training.progress import TrainingProgress

from .config import TrainGeneratorConfig
from .flow_samples import draw_samples
from .generator_pictures import GeneratorPictures, folder_pictures, own_scenes

__all__ = ["train_generator"]

#: Pictures that tell what it learnt from, and the side of their copies.
_N_NEAREST, _COPY_PX = 2000, 32
_N_CHECKED = 8
#: Parts are a small network: they learn from larger batches, in larger steps.
_QUICK_BATCH, _QUICK_RATE = 4, 6
_STAGES = ("parts", "teacher", "pairs", "consistency")


def train_generator(folder: Path | None, config: TrainGeneratorConfig) -> int:
    """Make a generator, and say what it came to; returns the exit code.

    Parameters
    ----------
    folder : Path or None
        Of pictures; by default the scenes that come with the program.
    config : TrainGeneratorConfig

    Raises
    ------
    DecodeStreamError
        If the pictures or a bundle cannot be had, or the training fails.
    """
    _check_out(config)
    bundles = [load_bundle(path) for path in config.bundle]
    with TrainingProgress(Console(stderr=True)) as progress:
        progress.report("reading the pictures")
        pictures = _pictures(folder, config, progress)
        channels, words = list(plain_channels(pictures.model)), ["white noise on each part and on both"]
        for path, bundle in zip(config.bundle, bundles, strict=True):
            if bundle.manifest.space != pictures.space:
                raise UsageError(
                    f"{path} decodes {bundle.manifest.space.model} {bundle.manifest.space.layer}, and the pictures "
                    f"have embeddings of {pictures.space.model} {pictures.space.layer}. Give bundles of the same "
                    "target."
                )
            channels.append(bundle_channel(bundle, pictures.model))
            words.append(bundle.manifest.name)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        draws = BeliefDraws(pictures.model, channels)
        trainer = _Trainer(pictures, draws, config, device, progress)
        student, teacher = trainer.train()
        progress.report("writing the generator")
        with _kept(teacher, config):
            _write(student.cpu(), pictures, draws, config, trainer.batch_size, words)
    rmtree(trainer.work)
    print(f"{config.out}: draws {pictures.side_px} px in 1, 2 or 4 steps")
    return 0


def _check_out(config: TrainGeneratorConfig) -> None:
    if config.out.exists() and not (config.overwrite and is_generator(config.out)):
        raise UsageError(
            f"{config.out} exists already. Give another --out, or --overwrite to replace a generator."
        )
    teacher = config.keep_teacher
    if teacher is not None and teacher.exists() and not (config.overwrite and teacher.is_file()):
        raise UsageError(
            f"{teacher} exists already. Give another --keep-teacher, or --overwrite to replace the file."
        )
    for path in (config.out, teacher):
        if path is not None:
            check_writable(path)


@contextmanager
def _kept(teacher: FlowUnet, config: TrainGeneratorConfig) -> Iterator[None]:
    """Keep a teacher where it is asked for, once what is made of it is written too."""
    if config.keep_teacher is None:
        yield
        return
    with written_whole(config.keep_teacher, overwrite=config.overwrite) as part:
        part.write_bytes(flow_weights(teacher.cpu()))
        yield


def _pictures(
    folder: Path | None, config: TrainGeneratorConfig, progress: TrainingProgress
) -> GeneratorPictures:
    if folder is None:
        if config.target not in (None, "objects"):
            raise UsageError(
                f"--target is {config.target!r} without a folder of pictures; the program's own scenes have the target "
                "objects. Give the folder first."
            )
        return own_scenes()
    return folder_pictures(folder, config.target, config.side_px, progress.pictures)


class _Trainer:
    """Trains teacher and student, each from where it was stopped."""

    def __init__(
        self,
        pictures: GeneratorPictures,
        draws: BeliefDraws,
        config: TrainGeneratorConfig,
        device: torch.device,
        progress: TrainingProgress,
    ) -> None:
        self._pictures, self._draws, self._config = pictures, draws, config
        self._device, self._progress = device, progress
        self.batch_size = config.batch_size or (16 if device.type == "cpu" else 256)
        self.work = config.out.with_name(f"{config.out.name}.training")

    def train(self) -> tuple[FlowUnet, FlowUnet]:
        """Return the student and its teacher."""
        config, taught = self._config, StudentSettings(self._config.guidance)
        settings = FlowSettings(
            config.teacher_updates, self.batch_size, config.learning_rate, save_every=config.save_every
        )
        quick = replace(
            settings,
            n_steps=config.parts_updates,
            batch_size=_QUICK_BATCH * self.batch_size,
            learning_rate=_QUICK_RATE * config.learning_rate,
        )
        parts = self._learn("parts", self._new(), lambda _: painted_parts_loss, quick)
        teacher = self._learn("teacher", parts, lambda _: flow_loss(settings), settings)
        gentle = replace(settings, learning_rate=config.learning_rate / 4)
        told = {"teacher": module_digest(teacher), "taught": asdict(taught)}
        student = teacher
        if config.pairs_updates:
            by_pairs = replace(gentle, n_steps=config.pairs_updates)
            student = self._learn("pairs", student, lambda _: pairs_loss(teacher, taught), by_pairs, told)
        if config.consistency_updates:
            by_itself = replace(gentle, n_steps=config.consistency_updates)
            student = self._learn(
                "consistency", student, partial(_by_itself, teacher, taught), by_itself, told
            )
        return student, teacher

    def _new(self) -> FlowUnet:
        model = self._pictures.model
        start, stop = model.semantic
        scale = float(np.sqrt(np.trace(model.covariance[start:stop, start:stop]) / (stop - start)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._config.seed)
            return FlowUnet(FlowUnetConfig(stop - start, self._pictures.side_px), scale)

    def _learn(
        self,
        name: str,
        network: FlowUnet,
        loss: Callable[[Learning], Loss],
        settings: FlowSettings,
        told: Mapping[str, object] | None = None,
    ) -> FlowUnet:
        """Return the moving average of a copy of a network that has learnt."""
        learner = FlowUnet(network.config)
        learner.load_state_dict(network.state_dict())
        learner.to(self._device).to(memory_format=torch.channels_last)
        # What lies under the painting stays as it was learnt: painting over it would undo it.
        learner.parts.requires_grad_(name == _STAGES[0])
        learning = learning_state(learner)
        seed = len(_STAGES) * self._config.seed + _STAGES.index(name)
        batches = Batches(self._pictures.source, self._pictures.model, self._draws, seed)
        self._progress.report(f"training: {name}")
        learn(
            learning,
            loss(learning),
            batches,
            settings,
            checkpoint=self.work / name,
            trained_on={"pictures": self._pictures.words, "part": name, **(told or {})},
            progress=self._progress.steps,
            saved=self._samples(name, learning.average, few_steps=told is not None),
        )
        return learning.average

    def _samples(self, name: str, network: FlowUnet, *, few_steps: bool) -> Callable[[int], None]:
        def save(done: int) -> None:
            path = self.work / "samples" / f"{name}-{done:06d}.png"
            draw_samples(path, network, self._pictures, self._draws, few_steps=few_steps)

        return save


def _by_itself(teacher: FlowUnet, taught: StudentSettings, learning: Learning) -> Loss:
    return consistency_loss(teacher, learning.average, taught)


def _write(
    network: FlowUnet,
    pictures: GeneratorPictures,
    draws: BeliefDraws,
    config: TrainGeneratorConfig,
    batch: int,
    words: list[str],
) -> None:
    rng = np.random.default_rng(config.seed)
    drawn = pictures.source.some(_N_NEAREST, rng)
    shown, embeddings = drawn.pictures, drawn.embeddings
    side = pictures.side_px // _COPY_PX
    copies = shown.reshape(len(shown), _COPY_PX, side, _COPY_PX, side, 3).mean(axis=(2, 4))
    manifest = EmbeddedManifest(
        config.out.name.removesuffix(".zip"),
        pictures.space,
        pictures.side_px,
        (1, 2, 4),
        GeneratorTraining(
            pictures.words,
            {
                "parts": _QUICK_BATCH * batch * config.parts_updates,
                "teacher": batch * config.teacher_updates,
                "pairs": batch * config.pairs_updates,
                "consistency": batch * config.consistency_updates,
            },
            config.seed,
            config.guidance,
            tuple(words),
            torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            versions=library_versions(),
        ),
    )
    condition = pictures.model.condition(draws.draw(embeddings[:_N_CHECKED], rng))
    model = export_generator(network.to(memory_format=torch.contiguous_format), condition)
    nearest = nearest_files(pictures.model.mean, embeddings, np.rint(copies).astype(np.uint8))
    save_parts(
        EmbeddedParts(manifest, model, pictures.model, nearest, flow_weights(network)),
        config.out,
        overwrite=config.overwrite,
    )
    print(f"the network is {len(model) / 1e6:.1f} MB", file=sys.stderr)
