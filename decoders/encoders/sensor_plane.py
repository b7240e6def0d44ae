"""Sensor positions flattened: from three dimensions to a plane."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import FloatArray

__all__ = ["flatten_positions"]

#: Sensors that vary less than this in one direction, as a part of the largest, lie in a plane: it fits no sphere.
_FLAT = 0.02


def flatten_positions(positions_m: Sequence[tuple[float, float, float] | None]) -> npt.NDArray[np.float64]:
    """Return where sensors lie in a plane, as if their cap were rolled out.

    The azimuthal equidistant projection about the sphere that fits the sensors best: a sensor lies in its own direction
    from the pole, as far as the angle between them. The pole is the end of the vertical axis that the sensors lie on.
    Sensors of one plane, or fewer than four, fit no sphere: they lose the axis along which they vary least. Either axis
    is stretched to the range from 0 to 1.

    Parameters
    ----------
    positions_m : sequence of (x, y, z) or None
        Metres, in head coordinates with z upwards; None where unknown.

    Returns
    -------
    array of shape (n_channels, 2), float64
        NaN where unknown.

    Raises
    ------
    ValueError
        If no position is known, or one is not finite.
    """
    known = [i for i, xyz in enumerate(positions_m) if xyz is not None]
    if not known:
        raise ValueError(
            "Spatial attention places channels by where their sensors are, and no position is known. Give positions_m, "
            "one (x, y, z) in metres a channel, or take an encoder that needs none."
        )
    xyz = np.array([positions_m[i] for i in known], dtype=np.float64)
    if xyz.shape != (len(known), 3) or not np.isfinite(xyz).all():
        raise ValueError("A sensor position is three finite numbers in metres, or None where it is unknown.")
    flat = np.full((len(positions_m), 2), np.nan)
    flat[known] = _stretched(_rolled_out(xyz))
    return flat


def _rolled_out(xyz: FloatArray) -> FloatArray:
    """Return the azimuthal equidistant projection of (n, 3) positions, shape (n, 2)."""
    around = xyz - xyz.mean(axis=0)
    size = max(float(np.abs(around).max()), 1e-12)
    # |p|^2 = 2 c.p + (r^2 - |c|^2) is linear in the centre c.
    equations = np.column_stack([2 * around, np.full(len(around), size)])
    solution, _, rank, _ = np.linalg.lstsq(equations, (around**2).sum(axis=1), rcond=_FLAT)
    if rank < 4:
        kept = np.sort(np.argsort(around.std(axis=0), kind="stable")[1:])
        plane: FloatArray = around[:, kept]
        return plane
    x, y, z = (around - solution[:3]).T
    z = z * (1.0 if z.mean() >= 0 else -1.0)
    from_axis = np.hypot(x, y)
    angle = np.arctan2(from_axis, z)
    out: FloatArray = np.stack([x, y], axis=1) * (angle / np.where(from_axis > 0, from_axis, 1.0))[:, None]
    return out


def _stretched(flat: FloatArray) -> FloatArray:
    """Return (n, 2) positions with either axis from 0 to 1; in the middle where all are the same."""
    low, extent = flat.min(axis=0), np.ptp(flat, axis=0)
    same = extent <= 1e-9 * max(float(np.abs(flat).max()), 1e-12)
    out: FloatArray = np.where(same, 0.5, (flat - low) / np.where(same, 1.0, extent))
    return out
