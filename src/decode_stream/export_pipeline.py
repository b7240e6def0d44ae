"""The networks of a generator of diffusers as ONNX files; needs torch and diffusers."""

import json
from pathlib import Path

import numpy as np

from decode_stream.decoders.bundle_files import write_whole
from decode_stream.decoders.generation.diffusers_conditions import embeddings_told
from decode_stream.decoders.generation.diffusers_generator import DiffusersGenerator, load_diffusers
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.export.diffusion import export_autoencoder, export_unet
from decode_stream.export.metadata import described
from decode_stream.export.onnx_file import plain
from decode_stream.export.parity import TOLERANCE
from decode_stream.export.sample_inputs import drawn_conditions
from decode_stream.stream.errors import UsageError

from .export_config import ExportConfig
from .export_table import Row, print_table
from .library_versions import library_versions

__all__ = ["export_pipeline"]

_N_PICTURES = 2
#: Each file of a U-Net holds all of its weights.
_MOST_STEPS = 4


def export_pipeline(folder: Path, config: ExportConfig) -> int:
    """Write the U-Net at each step of the quickest way to a picture, and the decoder of latents; returns the exit code.

    Parameters
    ----------
    folder : Path
        Of a generator whose `generator.json` names diffusers.
    config : ExportConfig

    Raises
    ------
    DecodeStreamError
        If something else than ``onnx`` is asked for, the generator is damaged, or a network differs from PyTorch's.
    """
    if config.to != "onnx":
        raise UsageError(
            f"A generator of diffusers is run by PyTorch, which computes in float16 on a GPU by itself: --to "
            f"{config.to} would make what no session runs. --to onnx writes its U-Net and its decoder of latents."
        )
    if config.recording is not None:
        raise UsageError(f"--recording is what a bundle decodes, and {folder} is a generator. Leave it out.")
    assert config.out is not None
    generator = load_diffusers(folder)
    files, rows = dict[str, bytes](), list[Row]()
    for name, model in _models(generator).items():
        said = {
            "name": generator.name,
            "space": f"{generator.space.model} {generator.space.layer}, {generator.space.dimension} numbers",
            "precision": "fp32",
            "exported_with": json.dumps(library_versions()),
        }
        own = plain(described(model, said), name)
        files |= own
        size = sum(map(len, own.values()))
        rows.append(Row(name, next(iter(own)), 0, size, f"at most {TOLERANCE:g}"))
    write_whole(files, config.out)
    print_table(rows)
    print(f"compared with PyTorch on {_N_PICTURES} pictures' noise and conditions")
    print(f"{config.out}: {', '.join(row.file for row in rows)}")
    return 0


def _models(generator: DiffusersGenerator) -> dict[str, OnnxModel]:
    """Return the models by their names, each compared with PyTorch."""
    networks, said = generator.networks, generator.said
    condition = drawn_conditions(generator.pictures, _N_PICTURES)
    start, stop = generator.pictures.semantic
    means = (condition.semantic + generator.pictures.mean[start:stop]) * np.float32(said.embedding_scale)
    told = embeddings_told(networks, means, condition.open_share[:, 0]).numpy()
    # Latents have a spread of about 1 at every step, as their noise has.
    latents = generator.noise(0, _N_PICTURES)[:, 0]
    steps = said.how.table_steps(min(said.n_steps), len(networks.schedule.betas), said.start)
    if len(steps) > _MOST_STEPS:
        raise UsageError(
            f"{generator.name} takes {len(steps)} steps to a picture, and its U-Net is written once for each: that is "
            f"for generators of at most {_MOST_STEPS}. Export a student of it, which decode-stream distill makes."
        )
    models = {f"unet-step-{step:04d}": export_unet(networks, step, latents, told) for step in steps}
    return models | {"decoder": export_autoencoder(networks, latents)}
