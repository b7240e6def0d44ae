"""Whether a volume fits the run it comes in."""

import numpy as np

from .scans import Scan

__all__ = ["misfit"]

_TR_TOLERANCE_S = 5e-4
_SHIFT_MM = 0.1


def misfit(scan: Scan, reference: Scan, tr_s: float) -> str | None:
    """Return how a volume differs from the run, for a message, or None if it fits.

    Parameters
    ----------
    scan : Scan
    reference : Scan
        The run's first volume.
    tr_s : float
        The run's repetition time, in seconds.
    """
    # Written so that what is no number fits nothing.
    if scan.tr_s is not None and not abs(scan.tr_s - tr_s) <= _TR_TOLERANCE_S:
        return f"has a repetition time of {scan.tr_s:g} s, and the run has {tr_s:g} s"
    if scan.data.shape != reference.data.shape:
        matrix, own = (" x ".join(map(str, one.data.shape)) for one in (scan, reference))
        return f"has a matrix of {matrix}, and the run has {own}"
    corners = np.array(np.meshgrid(*((0, n - 1) for n in scan.data.shape))).reshape(3, -1)
    moved = (scan.affine_mm - reference.affine_mm)[:3] @ np.vstack([corners, np.ones(corners.shape[1])])
    if not (shift_mm := float(np.linalg.norm(moved, axis=0).max())) <= _SHIFT_MM:
        return f"lies elsewhere in the scanner than the run's first volume, by up to {shift_mm:.1f} mm"
    if scan.echo_s != reference.echo_s:
        echo, own = (f"{1e3 * (one.echo_s or 0):g} ms" for one in (scan, reference))
        return f"has an echo time of {echo}, and the run has {own}"
    return None
