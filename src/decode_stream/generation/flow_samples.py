"""A picture of what a generator draws while it is trained: of what is known, and of what decoders would believe."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from decode_stream.decoders.distillation.beliefs import BeliefDraws
from decode_stream.decoders.distillation.flow_training import Batches
from decode_stream.decoders.distillation.flow_unet import FlowUnet, flow_denoiser
from decode_stream.decoders.generation.embedded import to_pixels
from decode_stream.decoders.generation.samplers import euler, flow_map, sample, uniform_times
from decode_stream.decoders.generation.schedules import FlowSchedule

from .generator_pictures import GeneratorPictures

__all__ = ["draw_samples"]

_N, _SEED = 16, 1 << 20
_TEACHER_STEPS = (1, 8, 32)
_STUDENT_STEPS = (1, 2, 4)


def draw_samples(
    path: Path, network: FlowUnet, pictures: GeneratorPictures, draws: BeliefDraws, *, few_steps: bool
) -> None:
    """Write rows of pictures: themselves, then as drawn in 1 step and more; for known ones, then for believed ones."""
    device = next(network.parameters()).device
    rows = []
    known = BeliefDraws(pictures.model, (), known_share=1.0)
    for beliefs in (known, draws):
        batch = Batches(pictures.source, pictures.model, beliefs, _SEED).batch(0, _N, device)
        noise = batch.noise()
        rows.append(batch.pictures)
        denoiser = flow_denoiser(network, *batch.condition)
        for n_steps in _STUDENT_STEPS if few_steps else _TEACHER_STEPS:
            step = flow_map if few_steps else euler
            with torch.no_grad():
                rows.append(sample(step, denoiser, FlowSchedule(), uniform_times(n_steps), noise))
    grid = np.concatenate([np.concatenate(list(to_pixels(row.cpu().numpy())), axis=1) for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid).save(path)
