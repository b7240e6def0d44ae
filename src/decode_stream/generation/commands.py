"""The commands that make generators and refine. Heavy imports happen inside them, so that ``--help`` is quick."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from decode_stream.flag_groups import FLAT

from .config import DistillConfig, RefineConfig, TrainGeneratorConfig

__all__ = ["distill", "refine", "train_generator"]


def train_generator(
    pictures: Annotated[Path | None, Parameter(negative=())] = None,
    /,
    *,
    config: Annotated[TrainGeneratorConfig, FLAT],
) -> int:
    """Train the generator that draws what is decoded, and write it as a folder or .zip.

    Parameters
    ----------
    pictures
        A folder of pictures; by default the scenes that come with the program.
    """
    from .train_generator import train_generator as made

    return made(pictures, config)


def distill(pipeline: Path, source: Path, /, *, config: Annotated[DistillConfig, FLAT]) -> int:
    """Make a student of 1 to 4 steps of a diffusion pipeline that lies on this machine, by latent consistency.

    Parameters
    ----------
    pipeline
        Folder of a diffusers pipeline that draws from embeddings.
    source
        A folder of pictures to learn from, or a file of embeddings, whose pictures the pipeline then draws itself.
    """
    from .distill import distill_pipeline

    return distill_pipeline(pipeline, source, config)


def refine(bundle: Path, recording: Path, /, *, config: Annotated[RefineConfig, FLAT]) -> int:
    """Draw recorded trials and lead the pictures to the decoded structure, slowly and exactly: MindDiffuser's stages.

    Parameters
    ----------
    bundle
        The decoder: a bundle's folder or .zip.
    recording
        A recording with trials that it can decode.
    """
    from .refine import refine_trials

    return refine_trials(bundle, recording, config)
