"""Running an exported encoder."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from decode_stream.stream.errors import BundleError

from .bundle import Bundle
from .inference.providers import label
from .inference.session import LastingSession
from .onnx_model import OnnxModel

__all__ = ["LIVE_BATCHES", "OFFLINE_BATCHES", "UNKNOWN_LATENCY", "Encoder"]

#: What a graph is given for a window whose latency is not known.
UNKNOWN_LATENCY = -1.0

#: Windows that a session decodes at once: mostly one, and some more where trials overlap or it was late.
LIVE_BATCHES = (1, 2, 3, 4, 5)

#: Windows that go through the network at once. Each takes megabytes on its way through one of whole trials, and of
#: these hundreds are due together where a recording is decoded without waiting.
_AT_ONCE = 64

#: Windows that recordings are decoded by at once: what is left over counts little.
OFFLINE_BATCHES = (1, _AT_ONCE)


class Encoder:
    """A bundle's encoder, ready to run: warmed up, its inputs and outputs checked.

    Parameters
    ----------
    bundle : Bundle
        The decoder.
    provider : {"cpu", "auto", "tensorrt-engine", "tensorrt", "cuda"}
        What runs it; auto for the best that works. Where it is lost on the way, the CPU goes on at the same window.
    warm : sequence of int
        Numbers of windows that will be decoded at once, over and over.

    Attributes
    ----------
    notes : tuple of str
        Why better providers were passed over, and what else is worth telling of how its network was opened.

    Raises
    ------
    BundleError
        If the graph cannot be loaded or does not take and give what the manifest says.
    UsageError
        If the provider is not to be had on this machine.
    """

    def __init__(self, bundle: Bundle, provider: str = "cpu", *, warm: Sequence[int] = (1,)) -> None:
        manifest = bundle.manifest
        self._shape = (manifest.chain.n_out, manifest.schedule.n_times)
        self._structure = manifest.structure
        what = f"the encoder of {manifest.name!r}"
        model = OnnxModel(bundle.encoder, bundle.encoder_data)
        self._session = LastingSession(model, provider, what=what, warm=warm)
        self.notes = self._session.notes
        nothing = np.zeros((1, *self._shape), np.float32), np.full(1, UNKNOWN_LATENCY, np.float32)
        try:
            given = [("embeddings", self.encode(*nothing), bundle.dimension)]
            if self._structure is not None:
                given.append(("a structure", self.encode_both(*nothing)[1], self._structure.dimension))
        except Exception as error:
            raise BundleError(f"T{what[1:]} cannot be run: {str(error)[:300]}") from error
        for of, array, dimension in given:
            if array.shape != (1, dimension):
                raise BundleError(
                    f"T{what[1:]} gives {of} of shape {array.shape[1:]} and its manifest says ({dimension},)."
                )

    @property
    def provider(self) -> str:
        """What runs it, as a person reads it."""
        return label(self._session.provider)

    @property
    def provider_name(self) -> str:
        """What runs it, as on the command line."""
        return self._session.provider

    @property
    def lost(self) -> str:
        """What happened where its provider was lost; else empty."""
        return self._session.lost

    def encode(
        self, windows: npt.NDArray[np.float32], latencies_s: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return the embedding of each window.

        Parameters
        ----------
        windows : array of shape (n_windows, n_channels, n_times), float32
        latencies_s : array of shape (n_windows,), float32
            Latency of each window as the schedule tells it (`WindowSchedule.latency_s`), or `UNKNOWN_LATENCY`.

        Returns
        -------
        array of shape (n_windows, dimension), float32
        """
        (embedding,) = self._outputs(["embedding"], windows, latencies_s)
        return embedding

    def encode_both(
        self, windows: npt.NDArray[np.float32], latencies_s: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the embedding and the structure of each window, of one run of the network.

        Parameters
        ----------
        windows, latencies_s : array
            As in `encode`.

        Returns
        -------
        embedding, structure : array of shape (n_windows, dimension), float32
            Each in its own space.

        Raises
        ------
        ValueError
            If the encoder gives no structure.
        """
        if self._structure is None:
            raise ValueError("This encoder gives no structure; its manifest has none.")
        embedding, structure = self._outputs(["embedding", "structure"], windows, latencies_s)
        return embedding, structure

    def _outputs(
        self, names: list[str], windows: npt.NDArray[np.float32], latencies_s: npt.NDArray[np.float32]
    ) -> list[npt.NDArray[np.float32]]:
        """Return the outputs of these names, window by window."""
        parts: list[list[npt.NDArray[np.float32]]] = []
        for start in range(0, max(len(windows), 1), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            given = {"window": windows[some], "latency_s": latencies_s[some]}
            parts.append(self._session.run(given, names))
        return parts[0] if len(parts) == 1 else [np.concatenate(part) for part in zip(*parts, strict=True)]
