"""What a distillation writes: a generator's folder, with the student's own weights and where the rest of it lies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.torch import save_file

from decode_stream.decoders.distillation.students import LowRankStudent, Student
from decode_stream.decoders.generation.condition import LayoutMap, PictureModel
from decode_stream.decoders.generation.diffusers_files import PipelineFile, write_pipeline_file
from decode_stream.decoders.generation.picture_file import pack_pictures
from decode_stream.decoders.targets.target import Embeddings

__all__ = ["LORA", "TRAINING", "UNET", "picture_model", "write_student"]

LORA, UNET = "lora.safetensors", "unet"
TRAINING = "training.json"
_PICTURES = "pictures.safetensors"


def picture_model(embeddings: Embeddings) -> PictureModel:
    """Return what a generator takes pictures to be: mean and covariance of the embeddings it was trained on.

    The covariance is shrunk towards a sphere by as much as their number asks for (Ledoit and Wolf 2004), so that few
    pictures make one that can be inverted too.
    """
    from sklearn.covariance import ledoit_wolf

    rows = np.asarray(embeddings, np.float64)
    covariance, _ = ledoit_wolf(rows)
    dimension = rows.shape[1]
    # These embeddings do not tell where colours are.
    grey = LayoutMap(np.zeros((3, dimension), np.float32), np.full(3, 0.5, np.float32), 1, 1)
    mean = rows.mean(axis=0).astype(np.float32)
    return PictureModel(mean, covariance.astype(np.float32), (0, dimension), grey)


def write_student(
    folder: Path,
    student: Student,
    said: PipelineFile | None,
    pictures: PictureModel | None,
    training: Mapping[str, Any],
) -> None:
    """Write a student's folder: the moving average of what was learnt, as safetensors.

    Parameters
    ----------
    folder : Path
        Made here.
    said : PipelineFile or None
        With `LORA` or `UNET` for its weights; None where it is no generator that a session can run.
    pictures : PictureModel or None
    training : mapping
        How it was made, for people.
    """
    folder.mkdir()
    if isinstance(student, LowRankStudent):
        additions = {f"unet.{name}": value.contiguous() for name, value in student.additions().items()}
        save_file(additions, folder / LORA, metadata={"format": "pt"})
    else:
        with student.average() as unet:
            _without_adapter(unet).save_pretrained(folder / UNET, safe_serialization=True)
    if pictures is not None:
        (folder / _PICTURES).write_bytes(pack_pictures(pictures))
    if said is not None:
        write_pipeline_file(folder, said)
    (folder / TRAINING).write_bytes(msgspec.json.format(msgspec.json.encode(training), indent=1))


def _without_adapter(unet: Any) -> Any:
    """Return a U-Net as it is without an IP-Adapter, which is a file of its own."""
    import torch

    with torch.device("meta"):
        plain = type(unet).from_config(dict(unet.config))
    names = plain.state_dict().keys()
    plain.load_state_dict({name: v for name, v in unet.state_dict().items() if name in names}, assign=True)
    return plain
