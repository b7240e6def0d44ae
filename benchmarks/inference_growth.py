"""How a window's time grows with channels, with the gallery, and with streams that are decoded at once."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from decode_stream.bench_timing import Times, timed
from decode_stream.decoders.candidates import Candidates
from decode_stream.decoders.encoders.lda import LinearReadout
from decode_stream.decoders.inference.session import InferenceSession
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.export.linear import export_linear

__all__ = ["draw_growth", "growth", "streams"]

_CHANNELS = (64, 128, 271, 306, 1000)
_ENTRIES = (20, 200, 2_000, 16_540, 73_000)
_STREAMS = (1, 2, 4, 8, 16)
#: Of the MEG demo's encoder.
_N_LATENCIES, _N_TIMES, _DIMENSION = 21, 20, 31
_GALLERY_DIMENSION, _N_BEST = 768, 5
_HOP_S = 0.025

Curve = Mapping[int, Times]


def shipped(n_channels: int) -> OnnxModel:
    """Return an encoder as the one that ships for MEG, with another number of channels and random weights."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((_N_LATENCIES, _DIMENSION, n_channels, _N_TIMES))
    readout = LinearReadout(weights, rng.standard_normal((_N_LATENCIES, _DIMENSION)), _HOP_S)
    windows = rng.standard_normal((1, _N_LATENCIES, n_channels, _N_TIMES)).astype(np.float32)
    return export_linear(readout, windows)


def given(n_channels: int, n: int = 1) -> dict[str, np.ndarray]:
    """Return windows of the middle latency."""
    windows = np.random.default_rng(1).standard_normal((n, n_channels, _N_TIMES), np.float32)
    return {"window": windows, "latency_s": np.full(n, _HOP_S * 10, np.float32)}


def over_channels(seconds: float, n: int) -> dict[int, Times]:
    """Measure the encoder on n windows at once, by the number of channels."""
    found = dict[int, Times]()
    for n_channels in _CHANNELS:
        session = InferenceSession(shipped(n_channels), warm=(n,))
        found[n_channels] = _alone(partial(session.run, given(n_channels, n)), seconds)
    return found


def over_entries(seconds: float) -> tuple[dict[int, Times], dict[int, Times]]:
    """Measure a window's similarity to a gallery, and its best five alone, by the gallery's size."""
    similarity, best, rng = dict[int, Times](), dict[int, Times](), np.random.default_rng(2)
    embedding = rng.standard_normal((1, _GALLERY_DIMENSION), np.float32)
    for n in _ENTRIES:
        candidates = Candidates(rng.standard_normal((n, _GALLERY_DIMENSION), np.float32), "unit")
        similarity[n] = _alone(partial(candidates.similarity, embedding), seconds)
        best[n] = _alone(partial(candidates.best, embedding[0], _N_BEST), seconds)
    return similarity, best


def _alone(call: Callable[[], object], seconds: float) -> Times:
    return timed({"": call}, seconds)[""]


def streams(n: int, n_channels: int, seconds: float) -> Times:
    """Measure a window where n streams are decoded at once, each in a thread and session of its own, hop by hop."""
    model, taken = shipped(n_channels), list[float]()
    sessions = [InferenceSession(model) for _ in range(n)]
    begin_s = time.perf_counter() + 0.1

    def decode(number: int) -> None:
        windows, own = given(n_channels), []
        for hop in range(max(1, round(seconds / _HOP_S))):
            # Streams are not in step with each other.
            due_s = begin_s + _HOP_S * (hop + number / n)
            time.sleep(max(0.0, due_s - time.perf_counter()))
            began_s = time.perf_counter()
            sessions[number].run(windows)
            own.append(1e3 * (time.perf_counter() - began_s))
        taken.extend(own)

    threads = [threading.Thread(target=decode, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p95, p99 = np.percentile(taken, [50, 95, 99]).tolist()
    return Times(len(taken), p50, p95, p99)


def growth(seconds: float) -> dict[str, Curve]:
    """Measure and print all curves."""
    similarity, best = over_entries(seconds)
    found: dict[str, Curve] = {
        "channels, 1 window": over_channels(seconds, 1),
        "channels, 5 windows": over_channels(seconds, 5),
        f"entries of {_GALLERY_DIMENSION} numbers, all": similarity,
        f"entries of {_GALLERY_DIMENSION} numbers, best {_N_BEST}": best,
        "streams of 271 channels": {n: streams(n, 271, max(seconds, 10 * _HOP_S)) for n in _STREAMS},
    }
    for name, curve in found.items():
        print(f"\n{name}: ms, median and 99th percentile")
        for n, times in curve.items():
            print(f"{n:9d}{times.p50_ms:10.3f}{times.p99_ms:10.3f}", flush=True)
    return found


def draw_growth(found: Mapping[str, Curve], path: Path) -> None:
    """Draw the curves, as .png, .svg or .pdf."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(found), 3.4), layout="constrained")
    for axes, (name, curve) in zip(np.atleast_1d(figure.subplots(1, len(found))), found.items(), strict=True):
        sizes = list(curve)
        axes.plot(sizes, [times.p50_ms for times in curve.values()], "o-", label="median")
        axes.plot(sizes, [times.p99_ms for times in curve.values()], "o--", label="99th percentile")
        axes.axhline(1e3 * _HOP_S, color="grey", linewidth=0.8, label="one hop")
        axes.set(xscale="log", yscale="log", xlabel=name, ylabel="ms")
        axes.legend(fontsize="small")
    figure.savefig(path)
