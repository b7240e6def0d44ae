"""How a ridge regression of fMRI is set up: ours, and those of the literature."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from decode_stream.decoders.manifest import EmbeddingSpace

__all__ = ["OURS", "PENALTIES", "PublishedRidge", "RidgeSettings", "TargetKind", "published", "target_kind"]

PublishedRidge = Literal["takagi", "brain-diffuser", "minddiffuser"]
TargetKind = Literal["latent", "text", "vision"]

#: Penalties tried, as multiples of the number of voxels: the mean eigenvalue of a trial's standardised voxels.
PENALTIES = tuple(float(10.0**power) for power in np.arange(-3.0, 4.01, 0.5))


@dataclass(frozen=True, slots=True)
class RidgeSettings:
    """How a ridge regression is set up. Its voxels are always standardised by the training trials alone.

    Attributes
    ----------
    penalties : tuple of float
        In ascending order; a single one is not chosen but taken.
    relative : bool
        Whether penalties are multiples of the number of voxels.
    per_target : bool
        Whether every dimension has the penalty of the least squared error of its own, or all have that whose
        predictions correlate most with the truth, over trials left out.
    ddof : {0, 1}
        What is taken from the number of trials where the spread of a voxel is computed.
    n_selected : int or None
        Of each dimension only so many voxels are used, those that correlate most with it in training (either sign);
        None for all.
    rescaled : bool
        Whether predictions are blown up to the spread that the dimension has in training, by the spread of the
        predictions for trials left out.
    """

    penalties: tuple[float, ...] = PENALTIES
    relative: bool = False
    per_target: bool = False
    ddof: Literal[0, 1] = 0
    n_selected: int | None = None
    rescaled: bool = False

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0 or list(self.penalties) != sorted(self.penalties):
            raise ValueError(f"Penalties are above 0 and in ascending order; got {self.penalties}.")
        if self.n_selected is not None and (self.n_selected < 1 or len(self.penalties) > 1 or self.rescaled):
            raise ValueError(f"Selected voxels go with one penalty and without rescaling; got {self}.")


#: One penalty for all dimensions, chosen by the order of the gallery that it gives.
OURS = RidgeSettings(relative=True)

#: yu-takagi/StableDiffusionReconstruction: z and c, and all that was decoded in the later report.
_TAKAGI_SMALL = tuple(float(10.0**power) for power in range(-6, 1))
_TAKAGI_LARGE = (1e4, 2e4, 4e4)
#: Ozcelik & VanRullen (2023), Scientific Reports 13:15666.
_BRAIN_DIFFUSER: dict[TargetKind, float] = {"latent": 5e4, "text": 1e5, "vision": 6e4}
#: Lu et al. (2023), MindDiffuser: VQ-VAE latents, text and the structure of CLIP's image tower.
_MIND_DIFFUSER: dict[TargetKind, int] = {"latent": 4000, "text": 250, "vision": 350}
_MIND_DIFFUSER_PENALTY = 0.15


def target_kind(space: EmbeddingSpace) -> TargetKind:
    """Return what an embedding space is of, as the published set-ups tell spaces apart.

    Latents of an autoencoder and embeddings of captions are known by what made them; everything else, a file of
    embeddings or categories too, counts as vision.
    """
    if space.model.startswith("vae "):
        return "latent"
    return "text" if space.layer == "text embedding" else "vision"


def published(model: PublishedRidge, kind: TargetKind) -> RidgeSettings:
    """Return the set-up of a paper.

    Parameters
    ----------
    model : str
        ``takagi`` (Takagi & Nishimoto, CVPR 2023): a penalty for each dimension, of the grid 1e-6 to 1 for the latents
        z and the text embedding c, and of 1e4, 2e4, 4e4 for everything else, as in its later report.
        ``brain-diffuser`` (Ozcelik & VanRullen 2023): one penalty by kind, predictions rescaled; the paper takes the
        spread of predictions of its test set, here it is that of training trials left out.
        ``minddiffuser`` (Lu et al. 2023): FastL2LiR, which adds .15 to the diagonal of the voxels' sums of products, on
        the voxels that correlate most with a dimension: 4000, 250 or 350, as in the paper.
    kind : {"latent", "text", "vision"}
        See `target_kind`.
    """
    if model == "takagi":
        return RidgeSettings(_TAKAGI_LARGE if kind == "vision" else _TAKAGI_SMALL, per_target=True)
    if model == "brain-diffuser":
        return RidgeSettings((_BRAIN_DIFFUSER[kind],), ddof=1, rescaled=True)
    return RidgeSettings((_MIND_DIFFUSER_PENALTY,), n_selected=_MIND_DIFFUSER[kind])
