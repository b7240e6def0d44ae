"""Whether the memory that is free holds the voxels of many trials, asked before they are read."""

from decode_stream.free_memory import free_bytes
from decode_stream.stream.errors import UsageError

__all__ = ["check_memory"]


def check_memory(n_trials: int, n_voxels: int, copies: float, dimension: int = 0) -> None:
    """Refuse more voxels than there is memory for.

    Parameters
    ----------
    n_voxels : int
        Numbers that a trial has.
    copies : float
        How many times all trials are held at once, as float32.
    dimension : int
        Of embeddings whose weights are held for every voxel, in two copies.

    Raises
    ------
    UsageError
        If they take more than is free.
    """
    needed = 4 * n_voxels * (copies * n_trials + 2 * dimension)
    free = free_bytes()
    if free is not None and needed > free:
        raise UsageError(
            f"{n_trials} trials of {n_voxels} voxels take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are "
            "free. Give a smaller mask with --mask, such as nsdgeneral, or fewer recordings."
        )
