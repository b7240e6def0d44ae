"""How long a window takes in every model, by ONNX Runtime and by PyTorch, and how that grows.

``python -m benchmarks.inference --figure inference.png`` makes each network by the program's own classes, with random
weights, at the sizes of the demos, exports it, and runs both on the same weights by turns, in one thread each: it takes
as long as one that was trained. Linear decoders are those of the demos. Then it measures how a window's time grows with
channels, with the gallery, and with streams that are decoded at once.
"""

import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from cyclopts import App
from torch import nn

from decode_stream.bench_stages import Stage
from decode_stream.bench_timing import Times, timed
from decode_stream.bench_torch import COMPILED, EAGER, Run, beside_torch, encoder_module
from decode_stream.config import Model
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.chains import DECODER_HZ
from decode_stream.decoders.encoders.whole_trial import WholeTrial
from decode_stream.decoders.fit_options import Start
from decode_stream.decoders.inference.session import InferenceSession
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.recipe import Gallery, Recipe
from decode_stream.decoders.runtime import Encoder
from decode_stream.demos.demo import demo_files
from decode_stream.export.onnx import export_encoder
from decode_stream.export.sample_inputs import drawn_conditions, generator_inputs
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import Channel, Modality
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule
from decode_stream.training.fit_channel_attention import channel_attention_network
from decode_stream.training.models import MODELS
from decode_stream.training.whole_trial_models import PUBLISHED, whole_trial_network

from .generator_speed import random_parts
from .inference_growth import draw_growth, growth
from .machine import load_1min, machine

__all__ = ["main"]

app = App(help="Measure every model by ONNX Runtime and by PyTorch, and how a window's time grows.")

_RUNTIME = "ONNX Runtime"
_ALL = (_RUNTIME, EAGER, COMPILED)
_BATCHES = (1, 5)
#: The demos' channels or voxels.
_N_CHANNELS: Mapping[Modality, int] = {"eeg": 17, "meg": 39, "fmri": 1500}
_N_VOLUMES, _DIMENSION, _N_LATENCIES = 3, 192, 21


def schedule(model: Model, modality: Modality) -> WindowSchedule:
    """Return what a network takes at once."""
    specs = MODELS[model].specs
    if modality == "fmri":
        return WindowSchedule(Fraction(2, 3), Fraction(3, 2) * _N_VOLUMES, Fraction(3, 2))
    if specs is None:
        return WindowSchedule(Fraction(DECODER_HZ[modality]))
    return WindowSchedule(Fraction(specs[modality].sfreq_hz or DECODER_HZ[modality]), Fraction(1))


def network(model: Model, made: Recipe) -> nn.Module:
    """Return a network as it begins, as a bundle's encoder."""
    if model == "channel-attention":
        return channel_attention_network(made, Start(), 0).eval()
    return WholeTrial(whole_trial_network(model, made, Start(), 0)).eval()


def recipe(modality: Modality, schedule: WindowSchedule) -> Recipe:
    """Return what a network is made for: the demo's number of channels, at places on a sphere."""
    n = _N_CHANNELS[modality]
    places = np.random.default_rng(0).standard_normal((n, 3))
    places *= 0.09 / np.linalg.norm(places, axis=1, keepdims=True)
    channels = tuple(
        Channel(f"C{i}", {"meg": "mag", "fmri": "voxel"}.get(modality, "eeg"), "uV", (x, y, z))
        for i, (x, y, z) in enumerate(places.tolist())
    )
    chain = ChainSpec(tuple(c.name for c in channels), ("uV",) * n, float(schedule.sfreq_hz))
    entries = np.eye(20, _DIMENSION, dtype=np.float32)
    names = tuple(map(str, range(20)))
    gallery = Gallery(names, entries, EmbeddingSpace("random", "all", _DIMENSION), {}, {})
    # A trial of one window would not grow, and networks that know the past would be others.
    return Recipe(
        modality, channels, chain, WindowSpec(), schedule, 1 if modality == "fmri" else _N_LATENCIES, gallery
    )


def rivals(
    model: OnnxModel,
    module: nn.Module,
    given: Mapping[str, np.ndarray],
    batches: Sequence[int],
    seconds: float,
) -> dict[int, dict[str, Times]]:
    """Return how long a batch takes, by its size and by what runs it: all of the same weights, by turns."""
    session = InferenceSession(model, warm=batches)
    some = {n: {name: np.ascontiguousarray(rows[:n]) for name, rows in given.items()} for n in batches}
    stages = [Stage("network", "window", n, {_RUNTIME: partial(session.run, some[n])}) for n in batches]
    # Torch compiles only so many shapes of one network, and counts networks of one class as one.
    torch.compiler.reset()
    all_three = beside_torch(stages, lambda: module, lambda run, stage: partial(by_torch, run, some[stage.n]))
    for why in {why for stage in all_three for why in stage.left_out.values()}:
        print(why)
    return {stage.n: timed(stage.calls, seconds) for stage in all_three}


def by_torch(run: Run, given: Mapping[str, np.ndarray]) -> object:
    """Return what PyTorch makes of arrays, as arrays."""
    with torch.inference_mode():
        made = run(*(torch.from_numpy(rows) for rows in given.values()))
    return [part.numpy() for part in (made if isinstance(made, tuple) else (made,))]


def of_network(model: Model, modality: Modality, seconds: float) -> dict[int, dict[str, Times]]:
    """Measure a network."""
    made = recipe(modality, schedule(model, modality))
    module, n = network(model, made), max(_BATCHES)
    shape = (n, made.chain.n_out, made.schedule.n_times)
    windows = np.random.default_rng(0).standard_normal(shape, np.float32)
    latencies_s = np.linspace(0, 0.4, n).astype(np.float32)
    exported = export_encoder(module, windows, latencies_s)
    return rivals(exported, module, {"window": windows, "latency_s": latencies_s}, _BATCHES, seconds)


def of_demo(bundle: Bundle, seconds: float) -> dict[int, dict[str, Times]]:
    """Measure a demo's own encoder."""
    encoder = Encoder(bundle)
    module = encoder_module(bundle, encoder)
    manifest = bundle.manifest
    shape = (max(_BATCHES), manifest.chain.n_out, manifest.schedule.n_times)
    windows = np.random.default_rng(0).standard_normal(shape, np.float32)
    latencies_s = np.full(len(windows), manifest.schedule.latency_s(manifest.n_latencies // 2), np.float32)
    model = OnnxModel(bundle.encoder, bundle.encoder_data)
    return rivals(model, module, {"window": windows, "latency_s": latencies_s}, _BATCHES, seconds)


def of_generator(seconds: float) -> dict[int, dict[str, Times]]:
    """Measure one step of a picture, by a generator of the usual size with random weights."""
    parts, module = random_parts()
    given = generator_inputs(parts.manifest.side_px, drawn_conditions(parts.pictures, 2))
    return rivals(OnnxModel(parts.network), module, given, (1,), seconds)


def print_times(name: str, found: Mapping[int, Mapping[str, Times]]) -> None:
    """Print a row of each batch size."""
    for n, times in found.items():
        cells = "".join(
            f"{times[by].p50_ms:9.3f} {times[by].p99_ms:8.3f}" if by in times else f"{'failed':>18}"
            for by in _ALL
        )
        faster = min(one.p50_ms for by, one in times.items() if by != _RUNTIME) / times[_RUNTIME].p50_ms
        print(f"{name:28}{n:4d}{cells}{faster:8.2f}", flush=True)


@app.default
def main(
    *,
    models: tuple[str, ...] = (),
    seconds: float = 2.0,
    figure: Path | None = None,
    only_growth: bool = False,
) -> int:
    """Print how long a window takes in every model, and how that grows.

    Parameters
    ----------
    models
        Names of models, as of ``decode-stream train``; by default all.
    seconds
        Of each measurement.
    figure
        Draw how times grow, as .png, .svg or .pdf.
    only_growth
        Leave out the table of models.
    """
    torch.set_num_threads(1)
    for name, value in machine().items():
        print(f"{name}: {value}")
    if not only_growth:
        _models(models, seconds)
    found = growth(seconds)
    if figure is not None:
        draw_growth(found, figure)
        print(f"{figure}: drawn")
    print(f"load after: {load_1min():.2f}")
    return 0


def _models(models: Sequence[str], seconds: float) -> None:
    print(f"\none thread each, by turns; ms, median and 99th percentile\n{'':28}{'n':>4}", end="")
    print("".join(f"{name:>18}" for name in _ALL) + "  faster")
    demos: dict[Modality, str] = {"eeg": "encoding", "meg": "encoding", "fmri": "ridge"}
    for modality, model in demos.items():
        if not models or model in models:
            print_times(f"{modality} demo, {model}", of_demo(load_bundle(demo_files(modality)[0]), seconds))
    for name in ("channel-attention", *PUBLISHED):
        if models and name not in models:
            continue
        for modality in MODELS[name].modalities:
            print_times(f"{modality} {name}", of_network(name, modality, seconds))
    if not models or "generator" in models:
        print_times("generator, a step", of_generator(seconds))


if __name__ == "__main__":
    sys.exit(app())
