"""A bundle's encoder and a generator's network as PyTorch runs them, eagerly and compiled; needs torch and onnx."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.distillation.flow_unet import FlowUnet, flow_denoiser
from decode_stream.decoders.distillation.flow_weights import load_flow_network
from decode_stream.decoders.encoders.two_heads import TwoHeads
from decode_stream.decoders.encoders.whole_trial import WholeTrial
from decode_stream.decoders.fit_options import Start
from decode_stream.decoders.generation.embedded import EmbeddedGenerator, to_pixels
from decode_stream.decoders.generation.embedded_files import EmbeddedParts
from decode_stream.decoders.generation.samplers import flow_map, sample, uniform_times
from decode_stream.decoders.generation.schedules import FlowSchedule
from decode_stream.decoders.onnx_model import OnnxModel, load_model
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.decoders.runtime import Encoder
from decode_stream.export.sample_inputs import drawn_windows, generator_inputs
from decode_stream.stream.errors import DecodeStreamError
from decode_stream.stream.types import Channel
from decode_stream.training.fit_channel_attention import channel_attention_network
from decode_stream.training.whole_trial_models import PUBLISHED, whole_trial_network

from .bench_linear import linear_module
from .bench_stages import BATCHES, Stage

__all__ = [
    "COMPILED",
    "EAGER",
    "RebuildError",
    "Run",
    "beside_torch",
    "drawing",
    "embedding",
    "encoder_module",
    "generator_module",
]

EAGER, COMPILED = "torch eager", "torch.compile"
#: Of the largest number: further off, what was rebuilt is another network.
_NEAR = 1e-3
#: A module, or what torch has compiled it to.
Run = Callable[..., Any]


class RebuildError(Exception):
    """A network cannot be rebuilt; the message is the reason, in words that follow on a colon."""


def encoder_module(bundle: Bundle, encoder: Encoder) -> nn.Module:
    """Return a bundle's encoder, which gives what its ONNX graph gives.

    Parameters
    ----------
    bundle : Bundle
        With its weights.
    encoder : Encoder
        The same, running.

    Raises
    ------
    RebuildError
        If the bundle does not hold enough to rebuild it, or it is in fewer bits.
    """
    if (conversion := bundle.manifest.conversion) is not None:
        raise RebuildError(f"the encoder is in {conversion.precision}; measure the bundle it was made from")
    module = linear_module(OnnxModel(bundle.encoder, bundle.encoder_data))
    if module is None:
        module = _network(bundle)
    windows, latencies_s = drawn_windows(bundle, 8)
    expected = encoder.encode(windows, latencies_s)
    with torch.inference_mode():
        given = module(torch.from_numpy(windows), torch.from_numpy(latencies_s))
    got = (given[0] if isinstance(given, tuple) else given).numpy()
    if not _same(got, expected):
        raise RebuildError("what PyTorch makes of the weights is not what the ONNX graph gives")
    return module


def _same(got: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> bool:
    return got.shape == expected.shape and bool(
        np.abs(got - expected).max() <= _NEAR * np.abs(expected).max()
    )


def _network(bundle: Bundle) -> nn.Module:
    """Return a network that was trained by torch, with the weights that the bundle keeps."""
    manifest = bundle.manifest
    name = manifest.training.model
    if not bundle.weights:
        raise RebuildError("the bundle keeps no weights of its encoder beside the ONNX graph")
    structure = manifest.structure
    gallery = Gallery(
        manifest.gallery,
        bundle.gallery,
        manifest.space,
        {},
        {},
        structure=None
        if structure is None
        else np.zeros((len(bundle.gallery), structure.dimension), np.float32),
        structure_space=structure,
    )
    recipe = Recipe(
        manifest.modality,
        tuple(Channel(channel) for channel in manifest.chain.channels),
        manifest.chain,
        manifest.window,
        manifest.schedule,
        manifest.n_latencies,
        gallery,
    )
    start = Start(
        weights=bundle.weights,
        origin=manifest.training.public,
        channels=manifest.chain.channels,
        same_person=True,
    )
    try:
        if name == "channel-attention":
            module: nn.Module = channel_attention_network(recipe, start, 0)
            return (TwoHeads(module, gallery.structure_dim) if gallery.structure_dim else module).eval()
        for model in PUBLISHED:
            if model == name:
                whole = whole_trial_network(model, recipe, start, 0)
                return WholeTrial(whole, structure_dim=gallery.structure_dim).eval()
    except (DecodeStreamError, RuntimeError, ValueError) as error:
        raise RebuildError(
            f"{name} cannot be rebuilt from what the bundle keeps: {_first_line(error)}"
        ) from error
    raise RebuildError(f"nothing here rebuilds {name!r}")


def generator_module(parts: EmbeddedParts, path: Path) -> FlowUnet:
    """Return a generator's network.

    Raises
    ------
    RebuildError
        If the generator does not hold its weights, or it is in fewer bits.
    """
    if (conversion := parts.manifest.conversion) is not None:
        raise RebuildError(
            f"the network is in {conversion.precision}; measure the generator it was made from"
        )
    if not parts.weights:
        raise RebuildError("the generator keeps no weights of its network beside the ONNX graph")
    given = generator_inputs(parts.manifest.side_px, parts.pictures.condition(parts.pictures.nothing(2)))
    (expected,) = load_model(OnnxModel(parts.network)).run(["clean"], given)
    try:
        network = load_flow_network(parts.weights, path)
        with torch.inference_mode():
            got = network(**{name: torch.from_numpy(rows) for name, rows in given.items()}).numpy()
    except (DecodeStreamError, RuntimeError) as error:
        raise RebuildError(_first_line(error)) from error
    if not _same(got, expected):
        raise RebuildError("what PyTorch makes of the weights is not what the ONNX graph gives")
    return network


def beside_torch(
    stages: Sequence[Stage],
    module: Callable[[], nn.Module],
    call: Callable[[Run, Stage], Callable[[], object]],
) -> list[Stage]:
    """Return stages with PyTorch beside what runs them, eager and compiled, in one thread; or why it does not.

    Parameters
    ----------
    module : callable
        Returns the network, or raises `RebuildError`.
    call : callable
        Takes what runs the network and a stage, and returns the stage as a call.
    """
    torch.set_num_threads(1)
    try:
        network = module()
    except RebuildError as error:
        return [stage.without(dict.fromkeys((EAGER, COMPILED), str(error))) for stage in stages]
    # For each shape by itself: with shapes that are free it would be slower.
    fast = torch.compile(network, dynamic=False)
    beside = []
    for stage in stages:
        both = stage.beside(EAGER, call(network, stage))
        quick = call(fast, stage)
        try:
            quick()
            both = both.beside(COMPILED, quick)
        except Exception as error:
            # Torch raises errors of any class, where there is no compiler of C++ for instance.
            both = both.without({COMPILED: f"torch.compile failed: {_first_line(error)}"})
        beside.append(both)
    return beside


def embedding(run: Run, bundle: Bundle, n: int) -> Callable[[], object]:
    """Return a call that encodes n windows drawn as in training, from arrays to arrays."""
    windows, latencies_s = drawn_windows(bundle, max(BATCHES))

    def encode() -> object:
        with torch.inference_mode():
            given = run(torch.from_numpy(windows[:n]), torch.from_numpy(latencies_s[:n]))
        return given[0].numpy() if isinstance(given, tuple) else given.numpy()

    return encode


def drawing(run: Run, generator: EmbeddedGenerator, n_steps: int) -> Callable[[], object]:
    """Return a call that draws the picture of no evidence, as `EmbeddedGenerator.draw` does."""
    condition = generator.pictures.condition(generator.pictures.nothing())
    given = [torch.from_numpy(part) for part in (condition.semantic, condition.layout, condition.open_share)]
    denoise, noise = flow_denoiser(cast(FlowUnet, run), *given), torch.from_numpy(generator.noise(0))

    def draw() -> object:
        with torch.inference_mode():
            clean = sample(flow_map, denoise, FlowSchedule(), uniform_times(n_steps), noise)
        return to_pixels(clean.numpy())

    return draw


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
