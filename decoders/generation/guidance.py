"""Structure by guidance: a drawn picture is led towards what was decoded of where things are.

Y. Lu et al., MindDiffuser: controlled image reconstruction from human brain activity with semantic and structural
diffusion, ACM Multimedia 2023. Stage 1 starts a diffusion from the decoded latents of a picture, with noise added.
Stage 2 compares shallow features of what comes out with the decoded ones, on those numbers alone that are decoded well,
and leads the gradient back through all steps of the sampler (`refinement`).

That takes minutes for a picture. Live, each step's clean picture is corrected instead, which needs no gradient of the
network and goes with one that runs by ONNX: towards a layout in closed form (`layout_guided`), or towards any features
along their gradient (`feature_guided`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .schedules import Numbers

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LayoutLift", "Structure", "feature_guided", "layout_guided"]


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """What was decoded of the structure of n pictures, and how the same is seen in a picture.

    Attributes
    ----------
    features : callable
        Takes pictures as a tensor (n, 3, height, width), sRGB 0 to 1, gives (n, dimension); differentiable.
    wanted : array of shape (n, dimension), float32
        As decoded.
    mask : array of shape (dimension,), bool
        The numbers that are decoded well; the others guide nothing.
    """

    features: Callable[[Any], Any]
    wanted: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.wanted.ndim != 2 or self.mask.shape != self.wanted.shape[1:] or not self.mask.any():
            raise ValueError(
                f"A structure is (n, dimension) with a mask (dimension,) of one number at least; got "
                f"{self.wanted.shape} and {self.mask.shape} with {int(self.mask.sum())}."
            )
        if not np.isfinite(self.wanted).all():
            raise ValueError("A decoded structure has numbers that are not finite.")

    def loss(self, pictures: "Tensor") -> "Tensor":
        """Return how far pictures (n, 3, height, width), 0 to 1, are from what was decoded, shape (n,).

        The mean squared difference over the numbers that are decoded well, over their mean square.
        """
        import torch

        kept = torch.as_tensor(self.mask, device=pictures.device)
        wanted = torch.as_tensor(self.wanted, device=pictures.device, dtype=pictures.dtype)[:, kept]
        found = self.features(pictures)[:, kept]
        loss: Tensor = ((found - wanted) ** 2).mean(dim=1) / (wanted**2).mean(dim=1).clamp(min=1e-12)
        return loss


@dataclass(frozen=True, slots=True, eq=False)
class LayoutLift:
    """Sees the layout of a picture, and raises a layout to a smooth picture that has just that layout.

    Attributes
    ----------
    seen : array of shape (cells, side_px)
        Means of the cells along one side.
    raised : array of shape (side_px, cells)
        Lines between the cells' middles; ``seen @ raised`` is the identity.
    """

    seen: Any
    raised: Any

    @classmethod
    def of(cls, side_px: int, cells: int) -> "LayoutLift":
        """Return that of pictures of `side_px` by `side_px` and as many cells a side, as numpy arrays, float32.

        Raises
        ------
        ValueError
            If cells are not of whole pixels.
        """
        if cells < 1 or side_px % cells:
            raise ValueError(f"{cells} cells a side do not divide {side_px} pixels.")
        wide = side_px // cells
        seen = np.kron(np.eye(cells), np.full(wide, 1 / wide))
        middles = wide * (np.arange(cells) + 0.5)
        lines = np.stack([np.interp(np.arange(side_px) + 0.5, middles, hat) for hat in np.eye(cells)], axis=1)
        raised = lines @ np.linalg.inv(seen @ lines)
        return cls(seen.astype(np.float32), raised.astype(np.float32))

    def correction(self, pictures: Numbers, layout: Numbers, weight: Numbers) -> Numbers:
        """Return what is to be added to pictures (n, 3, side, side) so that they have a layout (n, 3, cells, cells).

        Parameters
        ----------
        weight : array that goes with (n, 3, cells, cells)
            How much of the way is gone, 0 to 1.
        """
        short = layout - self.seen @ pictures @ self.seen.T
        raised: Numbers = self.raised @ (weight * short) @ self.raised.T
        return raised


def layout_guided(
    denoiser: Callable[[Numbers, float, float], Numbers], lift: LayoutLift, layout: Numbers, weight: Numbers
) -> Callable[[Numbers, float, float], Numbers]:
    """Return a denoiser whose clean pictures are led to a layout, in closed form: no gradient of the network is needed.

    A linear measurement is given its value and nothing else is touched (Wang et al. 2023, arXiv 2212.00490), smoothly
    instead of in blocks, and only as far as the layout is known.

    Parameters
    ----------
    denoiser : callable
        Of pixels (n, 3, side, side), -1 to 1.
    lift : LayoutLift
        Of the same kind of arrays as the pictures.
    layout : array of shape (n, 3, cells, cells)
        -1 to 1.
    weight : array that goes with the layout
        0 to 1, such as 1 less the open share, and 0 where a number is not decoded well.
    """

    def denoise(x: Numbers, t: float, r: float) -> Numbers:
        clean = denoiser(x, t, r)
        led: Numbers = clean + lift.correction(clean, layout, weight)
        return led

    return denoise


def feature_guided(
    denoiser: Callable[[Any, float, float], Any],
    structure: Structure,
    decode: Callable[[Any], Any],
    rate: float = 1.0,
) -> Callable[[Any, float, float], Any]:
    """Return a denoiser whose clean pictures are led along the gradient of a structure's loss.

    The gradient is that of the clean picture alone (backward guidance of Bansal et al. 2023, arXiv 2302.07121), so the
    network may run anywhere; its length is Polyak's, the loss over the gradient's square, which needs no scale.

    Parameters
    ----------
    denoiser : callable
        Of numpy arrays or tensors.
    structure : Structure
    decode : callable
        From a tensor of what the denoiser gives to pictures (n, 3, height, width), 0 to 1.
    rate : float
        Above 0; 1 goes where a straight line would reach a loss of 0.
    """
    if not (rate > 0 and isfinite(rate)):
        raise ValueError(f"A rate is above 0; got {rate}.")
    import torch

    def denoise(x: Any, t: float, r: float) -> Any:
        clean = denoiser(x, t, r)
        at = torch.as_tensor(clean).detach().clone().requires_grad_()
        with torch.enable_grad():
            loss = structure.loss(decode(at))
            (slope,) = torch.autograd.grad(loss.sum(), at)
        square = (slope**2).flatten(1).sum(dim=1).clamp(min=1e-20)
        off = rate * (loss.detach() / square)[:, None, None, None] * slope
        if isinstance(clean, np.ndarray):
            return clean - off.cpu().numpy()
        return clean - off

    return denoise
