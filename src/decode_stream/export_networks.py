"""The networks of a bundle or a generator, each with inputs and what it gives of them in float32."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.generation.embedded_files import EmbeddedParts
from decode_stream.decoders.inference.session import InferenceSession
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.runtime import Encoder
from decode_stream.export.comparison import Network
from decode_stream.export.sample_inputs import drawn_conditions, drawn_windows, generator_inputs
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.errors import BundleError

from .betas import decoded_recording
from .decoded_trials import decoded_trials
from .export_config import ExportConfig

__all__ = ["Compared", "bundle_networks", "generator_networks"]

_N_WINDOWS, _N_PICTURES = 64, 8
_ONNX, _TORCH = "the float32 ONNX model", "PyTorch"


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Networks, and on what each is to be compared.

    Attributes
    ----------
    networks : tuple of Network
    on : str
        In words.
    """

    networks: tuple[Network, ...]
    on: str


def bundle_networks(bundle: Bundle, config: ExportConfig) -> Compared:
    """Return a bundle's encoder, and its prior where it has one.

    Raises
    ------
    DecodeStreamError
        If a network cannot be run or is refused, or the recording that is given does not fit the bundle.
    """
    windows, latencies_s = drawn_windows(bundle, _N_WINDOWS)
    whose = "the bundle's own statistics" if bundle.novelty is not None else "a standard normal distribution"
    on = f"{len(windows)} windows drawn from {whose}"
    if config.recording is not None:
        real, real_latencies_s = _recorded(bundle, config.recording, config)
        on = f"{len(real)} windows of {config.recording.name} and {on}"
        windows = np.concatenate([real, windows])
        latencies_s = np.concatenate([real_latencies_s, latencies_s])
    names = ["embedding", *(["structure"] if bundle.manifest.structure else [])]
    model = OnnxModel(bundle.encoder, bundle.encoder_data)
    encoder = _known("encoder", model, {"window": windows, "latency_s": latencies_s}, names, "embedding")
    if bundle.prior is None:
        return Compared((encoder,), on)
    embeddings = encoder.expected["embedding"]
    shape = (len(embeddings), bundle.prior.n_steps, bundle.prior.dimension)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    given = {"embedding": embeddings, "noise": noise}
    prior = _known("prior", OnnxModel(bundle.prior.model), given, ["image_embedding"])
    return Compared((encoder, prior), on)


def _known(
    name: str,
    model: OnnxModel,
    given: dict[str, npt.NDArray[np.float32]],
    outputs: list[str],
    decides: str = "",
) -> Network:
    """Return a network with what its own ONNX model gives, which may be anybody's and is checked first."""
    n = len(next(iter(given.values())))
    try:
        session = InferenceSession(model)
        parts = [
            session.run({key: rows[start : start + _N_WINDOWS] for key, rows in given.items()}, outputs)
            for start in range(0, n, _N_WINDOWS)
        ]
    except Exception as error:
        raise BundleError(f"The {name} cannot be run: {str(error)[:300]}") from error
    expected = {
        key: np.concatenate(rows) for key, rows in zip(outputs, zip(*parts, strict=True), strict=True)
    }
    return Network(name, model, given, expected, _ONNX, decides)


def _recorded(
    bundle: Bundle, path: Path, config: ExportConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return windows of a recording's whole trials, evenly from the first to the last, and their latencies."""
    manifest = bundle.manifest
    opened = open_recording(path, marker_column=config.marker_column, mask=config.mask)
    recording, offset_s = decoded_recording(opened, manifest, config)
    kept = decoded_trials(bundle, Encoder(bundle), recording, offset_s, config, windows=True).windows
    assert kept is not None
    n = len(kept) * manifest.n_latencies
    places = np.unique(np.linspace(0, n - 1, min(n, _N_WINDOWS)).round().astype(np.int64))
    windows = kept.reshape(n, *kept.shape[2:])[places]
    latencies = [manifest.schedule.latency_s(k) for k in (places % manifest.n_latencies).tolist()]
    return np.array(windows, np.float32), np.array(latencies, np.float32)


def generator_networks(parts: EmbeddedParts, path: Path) -> Compared:
    """Return the network of an embedded generator, which is compared with PyTorch where its weights are kept.

    Raises
    ------
    BundleError
        If the network cannot be run or is refused, or the weights are damaged.
    """
    condition = drawn_conditions(parts.pictures, _N_PICTURES)
    given = generator_inputs(parts.manifest.side_px, condition)
    on = f"{_N_PICTURES} conditions drawn as in training"
    network = _known("network", OnnxModel(parts.network), given, ["clean"])
    if not parts.weights:
        return Compared((network,), on)
    import torch

    from decode_stream.decoders.distillation.flow_weights import load_flow_network

    with torch.inference_mode():
        module = load_flow_network(parts.weights, path)
        clean = module(**{name: torch.from_numpy(rows) for name, rows in given.items()}).numpy()
    return Compared((Network("network", network.model, given, {"clean": clean}, _TORCH),), on)
