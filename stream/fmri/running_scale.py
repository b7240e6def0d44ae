"""Level and spread of the betas of a session so far, in the place of those of the training."""

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

__all__ = ["RunningScale"]


class RunningScale:
    """Standardises each beta by the mean and the spread of all so far, itself among them.

    As real-time MindEye does: a session that differs from the training in level and gain needs no recording of its own
    first, but for the warm-up. No beta to come tells anything.

    Parameters
    ----------
    n_voxels : int
    warm_up : int
        Betas with which the statistic is told, the newest among them; at least 2.

    Attributes
    ----------
    n : int
        Betas so far.
    """

    def __init__(self, n_voxels: int, warm_up: int) -> None:
        if warm_up < 2:
            raise ValueError(f"A spread needs two betas at least; got a warm-up of {warm_up}.")
        self.n = 0
        self.warm_up = warm_up
        self._mean = np.zeros(n_voxels)
        self._squares = np.zeros(n_voxels)

    @property
    def ready(self) -> bool:
        """Whether enough betas were added."""
        return self.n >= self.warm_up

    def add(self, beta: FloatArray) -> None:
        """Count the beta of one more trial, shape (n_voxels,) (Welford 1962)."""
        self.n += 1
        away = beta - self._mean
        self._mean += away / self.n
        self._squares += away * (beta - self._mean)

    def apply(self, beta: FloatArray) -> npt.NDArray[np.float32]:
        """Return a beta less the mean, over the spread; a voxel that never changed is only centred.

        Raises
        ------
        ValueError
            Before there are two betas.
        """
        if self.n < 2:
            raise ValueError("There is no spread before the second beta.")
        spread = np.sqrt(self._squares / (self.n - 1))
        return ((beta - self._mean) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
