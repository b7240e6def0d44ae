"""What every way to run a network gives: its inputs and outputs, and one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Backend", "TensorSpec"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a network.

    Attributes
    ----------
    name : str
    shape : tuple of int or None
        None for a length that is free, as that of the batch is, which comes first.
    dtype : numpy.dtype
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    @property
    def is_fixed(self) -> bool:
        """Whether all lengths but that of the batch are known."""
        return None not in self.shape[1:]

    def zeros(self, n: int) -> npt.NDArray[Any]:
        """Return zeros of a batch of n.

        Raises
        ------
        ValueError
            If other lengths than that of the batch are free.
        """
        if not self.is_fixed:
            raise ValueError(f"{self.name!r} has lengths that are free: {self.shape}.")
        first = [n if length is None else length for length in self.shape[:1]]
        return np.zeros((*first, *(length or 0 for length in self.shape[1:])), self.dtype)

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of this shape is one of these."""
        return len(shape) == len(self.shape) and all(
            length in (None, given) for length, given in zip(self.shape, shape, strict=True)
        )


class Backend(Protocol):
    """Runs one network; it was warmed up when it was made."""

    @property
    def provider(self) -> str:
        """The provider's name, as on the command line."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth telling of how it was made, such as that an engine was built anew, and why."""

    def run(self, inputs: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
        """Return the outputs of these names, for a batch of any size.

        May be called from several threads at once. The arrays returned belong to the caller; inputs are contiguous and
        of the network's dtypes. Whatever is raised where no network or input is at fault means that the device is lost.
        """
