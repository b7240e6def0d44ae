"""What all mappers of voxels make of a trial's volumes first."""

from torch import Tensor

__all__ = ["mean_volume"]


def mean_volume(epoch: Tensor) -> Tensor:
    """Return the mean volume of each trial.

    Published mappers take one number a voxel and trial, the beta of a regression; the mean over the volumes that answer
    a picture is what there is of it while the scan runs.

    Parameters
    ----------
    epoch : Tensor of shape (n, n_voxels, n_volumes), float32

    Returns
    -------
    Tensor of shape (n, n_voxels), float32
    """
    return epoch.mean(dim=2)
