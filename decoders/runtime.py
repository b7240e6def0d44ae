"""Running an exported encoder."""

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from decode_stream.stream.errors import BundleError, UsageError

from .bundle import Bundle
from .onnx_model import OnnxModel, load_model

__all__ = [
    "PROVIDERS",
    "UNKNOWN_LATENCY",
    "Encoder",
    "check_loaded",
    "check_provider",
    "not_loaded",
    "open_session",
]

#: Execution providers by the name used on the command line.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

#: What a graph is given for a window whose latency is not known.
UNKNOWN_LATENCY = -1.0

#: Windows that go through the network at once. Each takes megabytes on its way through one of whole trials, and of
#: these hundreds are due together where a recording is decoded without waiting.
_AT_ONCE = 64


def check_provider(provider: str) -> None:
    """Refuse a provider that is not to be had on this machine.

    Raises
    ------
    UsageError
    """
    available = {name for name, full in PROVIDERS.items() if full in ort.get_available_providers()}
    if provider not in available:
        raise UsageError(
            f"The provider {provider!r} is not to be had here; this machine has: {', '.join(sorted(available))}. "
            "See decode-stream doctor."
        )


def open_session(model: bytes, provider: str, data: bytes = b"") -> ort.InferenceSession:
    """Load a graph, and what lies beside it, to be run by one thread of this process or by the provider's device."""
    wanted = list(dict.fromkeys([PROVIDERS[provider], PROVIDERS["cpu"]]))
    options = ort.SessionOptions()
    # One thread without spinning: with a 25 ms hop a window takes well under a millisecond, and threads that
    # spin between windows would take the core away from acquisition.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return load_model(OnnxModel(model, data), options, wanted)


def check_loaded(session: ort.InferenceSession, provider: str) -> None:
    """Refuse to go on where a graph runs on another provider than was asked for.

    Raises
    ------
    UsageError
    """
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise not_loaded(provider)


def not_loaded(provider: str) -> UsageError:
    """Return the error of a provider that is installed and does not work."""
    return UsageError(
        f"The provider {provider!r} is installed but could not be loaded here; its libraries are missing or do "
        f"not fit. Install them with pip install 'decode-stream[{provider}]', or give --provider cpu."
    )


class Encoder:
    """A bundle's encoder, ready to run: warmed up, its inputs and outputs checked.

    Parameters
    ----------
    bundle : Bundle
        The decoder.
    provider : {"cpu", "cuda", "tensorrt"}
        What runs it.

    Attributes
    ----------
    provider : str
        What does run it.

    Raises
    ------
    BundleError
        If the graph cannot be loaded or does not take and give what the manifest says.
    UsageError
        If the provider is not to be had on this machine.
    """

    def __init__(self, bundle: Bundle, provider: str = "cpu") -> None:
        manifest = bundle.manifest
        self._shape = (manifest.chain.n_out, manifest.schedule.n_times)
        self._dimension = bundle.dimension
        self._structure = manifest.structure
        check_provider(provider)
        try:
            self._session = open_session(bundle.encoder, provider, bundle.encoder_data)
            self.provider = self._session.get_providers()[0].removesuffix("ExecutionProvider")
            nothing = np.zeros((1, *self._shape), np.float32), np.full(1, UNKNOWN_LATENCY, np.float32)
            embedding = self.encode(*nothing)
            given = [("embeddings", embedding, self._dimension)]
            if self._structure is not None:
                given.append(("a structure", self.encode_both(*nothing)[1], self._structure.dimension))
        except Exception as error:
            if provider != "cpu":
                Encoder(bundle)  # a graph at fault fails there too
                raise not_loaded(provider) from error
            raise BundleError(
                f"The encoder of {manifest.name!r} cannot be run: {str(error)[:300]}"
            ) from error
        check_loaded(self._session, provider)
        for what, array, dimension in given:
            if array.shape != (1, dimension):
                raise BundleError(
                    f"The encoder of {manifest.name!r} gives {what} of shape {array.shape[1:]} and its manifest says "
                    f"({dimension},)."
                )

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
            parts.append(self._session.run(names, given))
        return parts[0] if len(parts) == 1 else [np.concatenate(part) for part in zip(*parts, strict=True)]
