"""A picture of what a student draws while it is trained, beside its teacher's and the pictures themselves."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from decode_stream.decoders.distillation.conditioning import Conditioning
from decode_stream.decoders.distillation.consistency_drawing import student_latents, teacher_latents
from decode_stream.decoders.distillation.consistency_settings import TrainingRows

__all__ = ["SampleGrid"]

_SIDE_PX = 192


@dataclass
class SampleGrid:
    """Rows of pictures: themselves, as the teacher draws them, and as the student does in 1, 2, ... steps.

    Attributes
    ----------
    autoencoder
        Makes pictures of latents.
    embeddings, noise : Tensor
        What is drawn, a column each.
    counts : tuple of int
        Steps of the student.
    """

    autoencoder: Any
    embeddings: Tensor
    noise: Tensor
    counts: tuple[int, ...]
    _rows: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)

    @classmethod
    def begun(cls, autoencoder: Any, rows: TrainingRows, most_steps: int, seed: int) -> "SampleGrid":
        """Return a grid of some rows, with the pictures as the autoencoder gives them back."""
        device = next(autoencoder.parameters()).device
        latents = torch.from_numpy(np.array(rows.latents)).to(device)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(device)
        counts = tuple(sorted({1, max(1, most_steps // 2), most_steps}))
        grid = cls(autoencoder, torch.from_numpy(np.array(rows.embeddings)).to(device), noise, counts)
        grid._rows["picture"] = grid._pictures(latents)
        return grid

    def draw_teacher(
        self, unet: Any, scheduler: Any, condition: Conditioning, n_steps: int, guidance: float
    ) -> None:
        """Draw the teacher's row, once."""
        if "teacher" not in self._rows:
            drawn = teacher_latents(
                unet, scheduler, condition, self.embeddings, self.noise, n_steps, guidance
            )
            self._rows["teacher"] = self._pictures(drawn)

    def draw_student(
        self, unet: Any, scheduler: Any, condition: Conditioning, guidance: float | None
    ) -> None:
        """Draw the student's rows."""
        for n_steps in self.counts:
            drawn = student_latents(
                unet, scheduler, condition, self.embeddings, self.noise, n_steps, guidance
            )
            self._rows[f"student {n_steps}"] = self._pictures(drawn)

    def save(self, path: Path) -> None:
        """Write all rows as a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [np.concatenate(list(row), axis=1) for row in self._rows.values()]
        Image.fromarray(np.concatenate(rows, axis=0)).save(path)

    def _pictures(self, latents: Tensor) -> npt.NDArray[np.uint8]:
        """Return pictures of latents, shape (n, side, side, 3)."""
        shown = []
        with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
            for one in latents.float():
                decoded = _decoded(self.autoencoder, one[None])[0].permute(1, 2, 0)
                levels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().nan_to_num().byte().cpu().numpy()
                shown.append(np.asarray(Image.fromarray(levels).resize((_SIDE_PX, _SIDE_PX))))
        return np.stack(shown)


def _decoded(autoencoder: Any, latents: Tensor) -> Tensor:
    """Return pictures (n, 3, height, width), -1 to 1."""
    if type(autoencoder).__name__ == "VQModel":
        decoded: Tensor = autoencoder.decode(latents, force_not_quantize=True).sample
        return decoded
    shift = getattr(autoencoder.config, "shift_factor", None) or 0.0
    decoded = autoencoder.decode(latents / autoencoder.config.scaling_factor + shift).sample
    return decoded
