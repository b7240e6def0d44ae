"""What an encoder of whole trials is asked for: both of its heads, against the targets of the pictures seen."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from decode_stream.stream.types import IntArray

from .batches import TrialArray
from .embedding_losses import Mixture
from .loss_spec import make_loss
from .whole_trial_settings import WholeTrialSettings

__all__ = ["Objective", "half_precision", "on_device"]


def half_precision(device: torch.device, choice: str) -> torch.dtype | None:
    """Return what to compute in instead of float32, None for nothing: half precision is for GPUs."""
    if choice == "off" or device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def on_device(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """Return an array as a tensor; on its way to a GPU it waits for nothing."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Objective(nn.Module):
    """The losses of both heads; what they learn are its parameters.

    Parameters
    ----------
    settings : WholeTrialSettings
    targets, text_targets : array-like of shape (n_pictures, dimension), or None
        Read for a batch's pictures alone.
    device : device
        Of the encoder.
    """

    def __init__(
        self,
        settings: WholeTrialSettings,
        targets: TrialArray,
        text_targets: TrialArray | None,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.semantic, self.head = make_loss(settings.loss), settings.structure
        self.structural = None if self.head is None else make_loss(self.head.loss)
        self.targets, self.text_targets, self.device = targets, text_targets, device
        self.dtype = half_precision(device, settings.mixed_precision)
        self.to(device)

    def begin_epoch(self, epoch: int, n_epochs: int) -> bool:
        """Take the state of an epoch, from 1; returns whether another loss begins with it."""
        self.semantic.begin_epoch(epoch, n_epochs)
        return self.semantic.begins

    @property
    def mixes(self) -> bool:
        """Whether the inputs of this epoch's batches are to be mixed."""
        return self.semantic.mixes

    def embed(self, module: nn.Module, epochs: Tensor, subjects: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what a module gives for contrast, and for regression: the same, unless it has heads for both.

        Parameters
        ----------
        epochs : Tensor of shape (n, n_channels, n_times), float32
        subjects : Tensor of shape (n,), int64, or None

        Returns
        -------
        Two Tensors of shape (n, dimension), float32
            With the structural part.
        """
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            if self.semantic.spec.name == "clip-mse" and hasattr(module, "heads"):
                contrasted, regressed = module.heads(epochs, subjects)  # type: ignore[operator]
            else:
                contrasted = regressed = module(epochs, subjects)
        return contrasted.float(), regressed.float()

    def semantic_targets(self, module: nn.Module, pictures: IntArray) -> Tensor:
        """Return targets where the module's embeddings are compared with them, shape (n, dimension)."""
        whole = self._read(self.targets, pictures)
        return _projected(module, whole[:, : whole.shape[1] - self._structure_dim])

    def semantic_part(self, embeddings: Tensor) -> Tensor:
        """Return embeddings without their structural part."""
        return embeddings[:, : embeddings.shape[1] - self._structure_dim]

    def forward(
        self,
        module: nn.Module,
        embeddings: tuple[Tensor, Tensor],
        pictures: IntArray,
        mixture: Mixture | None = None,
    ) -> Tensor:
        """Return the loss of a batch's embeddings.

        Parameters
        ----------
        embeddings : tuple of Tensor
            As `embed` gives them.
        pictures : array of shape (n,), int64
            Row of the targets of each trial.
        mixture : Mixture, optional
            How the trials were mixed.
        """
        contrasted, regressed = (self.semantic_part(each) for each in embeddings)
        target = self.semantic_targets(module, pictures)
        if contrasted.shape != target.shape:
            raise ValueError(
                f"The module gives embeddings of {embeddings[0].shape[1]} dimensions where the targets have "
                f"{target.shape[1] + self._structure_dim}."
            )
        loss: Tensor = self.semantic(contrasted, target, regressed=regressed, mixture=mixture)
        weight = self.semantic.spec.text_weight
        if weight and self.text_targets is not None:
            text = _projected(module, self._read(self.text_targets, pictures))
            said = self.semantic(contrasted, text, regressed=regressed, mixture=mixture)
            loss = (1 - weight) * loss + weight * said
        if self.head is not None and self.structural is not None:
            n = self.head.dimension
            structure = self._read(self.targets, pictures)[:, -n:]
            # Of a mixture of trials, the structure is the mixture of theirs.
            structure = structure if mixture is None else mixture.of(structure)
            found = self.structural(embeddings[0][:, -n:], structure, regressed=embeddings[1][:, -n:])
            loss = loss + self.head.weight * found
        return loss

    @property
    def _structure_dim(self) -> int:
        return 0 if self.head is None else self.head.dimension

    def _read(self, targets: TrialArray, pictures: IntArray) -> Tensor:
        return on_device(np.asarray(targets[pictures], dtype=np.float32), self.device)


def _projected(module: nn.Module, targets: Tensor) -> Tensor:
    return module.project_targets(targets) if hasattr(module, "project_targets") else targets  # type: ignore[operator]
