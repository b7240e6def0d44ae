"""Running an exported prior: from a decoded embedding to samples as pictures have them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import BundleError

from .inference.session import LastingSession
from .onnx_model import OnnxModel
from .prior_part import PriorPart

__all__ = ["Prior"]

#: Samples that go through the network at once: of a grid of tokens each takes megabytes on its way.
_AT_ONCE = 64


class Prior:
    """A bundle's prior, ready to run: its inputs and outputs checked.

    Parameters
    ----------
    part : PriorPart
    provider : {"cpu", "auto", "tensorrt-engine", "tensorrt", "cuda"}
        What runs it; auto for the best that works. Where it is lost on the way, the CPU goes on with the same samples.

    Raises
    ------
    BundleError
        If the graph cannot be loaded or does not take and give what it should.
    UsageError
        If the provider is not to be had on this machine.
    """

    def __init__(self, part: PriorPart, provider: str = "cpu") -> None:
        self._part = part
        self._session = LastingSession(OnnxModel(part.model), provider, what="the bundle's prior")
        try:
            given = self.samples(part.center[None], [0])
        except Exception as error:
            raise BundleError(f"The bundle's prior cannot be run: {str(error)[:300]}") from error
        if given.shape != (1, 1, part.dimension):
            raise BundleError(
                f"The bundle's prior gives embeddings of {given.shape[2]} numbers where {part.dimension} are said."
            )

    @property
    def lost(self) -> str:
        """What happened where its provider was lost; else empty."""
        return self._session.lost

    def samples(
        self, decoded: npt.NDArray[np.float32], seeds: Sequence[int], n_samples: int = 1
    ) -> npt.NDArray[np.float32]:
        """Return embeddings as pictures have them, drawn for each decoded one.

        Parameters
        ----------
        decoded : array of shape (n, dimension), float32
            What the encoder gives of whole trials.
        seeds : sequence of int
            Of each of them, at least 0: the same seed and embedding give the same samples, whatever else is asked for
            with them, and of more samples the first are the same.
        n_samples : int

        Returns
        -------
        array of shape (n, n_samples, dimension), float32
        """
        part = self._part
        out = np.empty((len(decoded), n_samples, part.dimension), np.float32)
        for i, (row, seed) in enumerate(zip(decoded, seeds, strict=True)):
            rng = np.random.default_rng(seed)
            for start in range(0, n_samples, _AT_ONCE):
                some = out[i, start : start + _AT_ONCE]
                noise = rng.standard_normal((len(some), part.n_steps, part.dimension), np.float32)
                given = {"embedding": np.repeat(row[None], len(some), axis=0), "noise": noise}
                (some[:],) = self._session.run(given, ["image_embedding"])
        return out
