"""What a decoder says of windows: embeddings, similarities and beliefs, for windows that never were recorded too."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.evidence import Calibration, similarity
from decode_stream.decoders.runtime import Encoder
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray

__all__ = ["Reading", "Readout", "readout_of"]

#: Windows read at once, of those that lie in a file.
_AT_ONCE = 256

#: Takes windows (n, n_voxels, n_times) float32, returns embeddings (n, dimension).
Encode = Callable[[npt.NDArray[np.float32]], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a decoder says of some windows.

    Attributes
    ----------
    embeddings : array of shape (n, dimension), float64
    similarities, log_evidence, probability : array of shape (n, n_entries), float64
        With every entry of the gallery; the last two calibrated.
    """

    embeddings: npt.NDArray[np.float64]
    similarities: npt.NDArray[np.float64]
    log_evidence: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """Takes windows of one latency to what is believed of them.

    Attributes
    ----------
    encode : callable
        Takes windows (n, n_voxels, n_times) float32 and returns embeddings (n, dimension).
    gallery : array of shape (n_entries, dimension)
    norm : {"unit", "none"}
    calibration : Calibration
        Of the one window that a trial has.
    shape : tuple of int
        (n_voxels, n_times) of a window.
    clamp : float or None
        Windows reach so far to either side, as in training.
    """

    encode: Encode
    gallery: npt.NDArray[np.float32]
    norm: str
    calibration: Calibration
    shape: tuple[int, int]
    clamp: float | None = None

    def read(self, windows: FloatArray) -> Reading:
        """Return what is said of windows, shape (n, n_voxels, n_times)."""
        blocks = range(0, max(len(windows), 1), _AT_ONCE)
        embeddings = np.concatenate([self._encoded(windows[at : at + _AT_ONCE]) for at in blocks])
        similarities = similarity(embeddings, self.gallery, self.norm)
        log_evidence = self.calibration.log_evidence(similarities[:, None])
        return Reading(embeddings, similarities, log_evidence, softmax(log_evidence, axis=1))

    def _encoded(self, windows: FloatArray) -> npt.NDArray[np.float64]:
        return np.asarray(self.encode(np.ascontiguousarray(windows, np.float32)), np.float64)


def readout_of(bundle: Bundle, encoder: Encoder) -> Readout:
    """Return the readout of a bundle of fMRI.

    Raises
    ------
    UsageError
        If the bundle is of another modality, or its voxels have no training spread.
    """
    manifest = bundle.manifest
    if manifest.modality != "fmri" or manifest.n_latencies != 1:
        raise UsageError(
            f"{manifest.name!r} decodes {manifest.modality}; voxels and their regions are asked of bundles of fmri, "
            "which have one window a trial."
        )
    if manifest.chain.center is None or manifest.chain.scale is None or manifest.chain.spatial is not None:
        raise UsageError(
            f"{manifest.name!r} does not say the mean and the spread that its voxels had in training. Train it anew."
        )
    latency_s = np.float32(manifest.schedule.latency_s(0))
    silent = np.isin(manifest.chain.channels, manifest.chain.silent)

    def encode(windows: npt.NDArray[np.float32]) -> FloatArray:
        if silent.any():
            # No chain hands on anything of these, whatever was done to the windows.
            windows = np.where(silent[:, None], np.float32(0), windows)
        return encoder.encode(windows, np.full(len(windows), latency_s, np.float32))

    return Readout(
        encode,
        bundle.gallery,
        bundle.norm,
        manifest.calibration,
        (manifest.chain.n_out, manifest.schedule.n_times),
        manifest.window.clamp,
    )
