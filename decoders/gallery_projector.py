"""The learned map from a target's space into the one where pictures and recordings are compared. Needs no torch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from decode_stream.stream.errors import BundleError
from decode_stream.stream.types import FloatArray

__all__ = ["GalleryProjector", "load_projector", "same_projector", "save_projector"]


@dataclass(frozen=True, eq=False)
class GalleryProjector:
    """A linear map of pictures' embeddings, learnt together with an encoder.

    Where an encoder has one, a gallery is made of projected embeddings; new pictures are projected in the same way.

    Attributes
    ----------
    weight : array of shape (shared_dim, target_dim), float32
    bias : array of shape (shared_dim,), float32
    unit : bool
        Whether embeddings are brought to unit length first.
    gaussian : bool
        Whether an entry gets minus half its square as one more number, so that its inner product with an embedding is
        a Gaussian log-likelihood; entries and embeddings are then compared by inner product, whatever the space says.
    rho : array of shape (shared_dim,), float32, or None
        Of a Gaussian likelihood: which share of the noise of a single trial comes again, in each direction, at every
        showing of the same picture; from 0 to 1. None where it is not known.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    unit: bool = False
    gaussian: bool = False
    rho: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                "A projector has a weight of shape (shared_dim, target_dim) and a bias of shape (shared_dim,); got "
                f"{self.weight.shape} and {self.bias.shape}."
            )
        if self.rho is None:
            return
        if (
            not self.gaussian
            or self.rho.shape != self.bias.shape
            or not ((self.rho >= 0) & (self.rho <= 1)).all()
        ):
            raise ValueError(
                f"What comes again is told by a Gaussian projector, as {len(self.bias)} numbers from 0 to 1; got "
                f"{self.rho.shape} from {self.rho.min(initial=1):g} to {self.rho.max(initial=0):g}."
            )

    @property
    def dimension(self) -> int:
        """Dimension of a projected embedding."""
        return len(self.weight) + self.gaussian

    def norm(self, norm: str) -> str:
        """Return the rule of similarity where the target's space has the rule `norm`."""
        return "none" if self.gaussian else norm

    def project(self, embeddings: FloatArray) -> npt.NDArray[np.float32]:
        """Return embeddings in the learned space.

        Parameters
        ----------
        embeddings : array of shape (n_pictures, target_dim)
            As the target's image encoder gives them.

        Returns
        -------
        array of shape (n_pictures, dimension), float32

        Raises
        ------
        ValueError
            If they are of another dimension.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.weight.shape[1]:
            raise ValueError(
                f"The projector takes embeddings of {self.weight.shape[1]} dimensions; got {embeddings.shape}."
            )
        entries = embeddings.astype(np.float32)
        if self.unit:
            entries /= np.maximum(np.linalg.norm(entries, axis=1, keepdims=True), 1e-12)
        projected: npt.NDArray[np.float32] = entries @ self.weight.T + self.bias
        if self.gaussian:
            half = -0.5 * (projected**2).sum(axis=1, keepdims=True)
            projected = np.concatenate([projected, half], axis=1)
        return projected

    def of_showings(self, entries: FloatArray, n: int) -> FloatArray:
        r"""Return entries whose inner product with the sum of `n` showings' embeddings is log-evidence.

        A trial is :math:`\mu + b + w`, with the picture's own deviation :math:`b` of variance :math:`\rho_j` in
        direction j and the trial's :math:`w` of variance :math:`1 - \rho_j`. The sum of n showings has the mean
        :math:`n \mu` and the variance :math:`n (1 + (n - 1) \rho_j)`, so that each direction of an entry, and its term
        of the square, is divided by :math:`1 + (n - 1) \rho_j`.

        Parameters
        ----------
        entries : array of shape (n_entries, dimension)
            Projected; they are returned as they are for one showing, and where what comes again is not known.
        n : int
            At least 1.
        """
        if self.rho is None or n == 1:
            return entries
        expected = entries[:, :-1].astype(np.float64)
        weighed = expected / (1 + (n - 1) * self.rho.astype(np.float64))
        return np.concatenate([weighed, -0.5 * (expected * weighed).sum(axis=1, keepdims=True)], axis=1)


def same_projector(one: GalleryProjector | None, other: GalleryProjector | None) -> bool:
    """Return whether two projectors map pictures alike, to the last bit; None is no projector."""
    if one is None or other is None:
        return one is other
    rules = (one.unit, one.gaussian) == (other.unit, other.gaussian)
    if (one.rho is None) != (other.rho is None):
        return False
    parts = [(one.weight, other.weight), (one.bias, other.bias)]
    if one.rho is not None and other.rho is not None:
        parts.append((one.rho, other.rho))
    return rules and all(np.array_equal(a, b) for a, b in parts)


def save_projector(projector: GalleryProjector) -> bytes:
    """Return a projector as safetensors: ``weight`` and ``bias``, and where it has any ``rho``, float32, and ``rules``.

    The rules are two bool: `unit` and `gaussian`.
    """
    names = ("weight", "bias") if projector.rho is None else ("weight", "bias", "rho")
    tensors = {name: np.ascontiguousarray(getattr(projector, name), np.float32) for name in names}
    rules = {"rules": np.array([projector.unit, projector.gaussian])}
    return save(tensors | (rules if rules["rules"].any() else {}))


def load_projector(data: bytes) -> GalleryProjector:
    """Return a projector from safetensors.

    Raises
    ------
    BundleError
        If the file is damaged, or holds something else.
    """
    try:
        tensors = load(data)
        unit, gaussian = tensors.get("rules", (False, False))
        return GalleryProjector(
            tensors["weight"], tensors["bias"], bool(unit), bool(gaussian), tensors.get("rho")
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise BundleError(
            f"The projector of the gallery cannot be read: {error}. It holds a weight (shared_dim, target_dim) and a "
            "bias (shared_dim,). Train the bundle anew."
        ) from error
