"""What a bundle or a generator says of networks that were converted to fewer bits."""

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Conversion"]


@dataclass(frozen=True)
class Conversion:
    """How networks of float32 came to be in fewer bits; they take and give float32 as before.

    Attributes
    ----------
    precision : {"fp16", "int8"}
        fp16: float16 but for the nodes that measuring kept in float32. int8: weights of matrices, and what they are
        multiplied by.
    source : str
        SHA-256 of the manifest of the bundle or generator that was converted.
    compared_on : str
        What was compared, in words.
    error : dict of str to float
        By network the largest difference, relative to the largest value.
    cosine : float or None
        Least cosine of an embedding to that before; None where there is no encoder.
    """

    precision: Literal["fp16", "int8"]
    source: str
    compared_on: str
    error: dict[str, float] = field(default_factory=dict)
    cosine: float | None = None

    def __str__(self) -> str:
        errors = ", ".join(f"{name} {error:.2g}" for name, error in self.error.items())
        cosine = "" if self.cosine is None else f", least cosine of an embedding {self.cosine:.4f}"
        return f"{self.precision}, off by {errors} of the largest value{cosine}; {self.compared_on}"
