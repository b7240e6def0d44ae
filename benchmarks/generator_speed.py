"""How fast pictures are drawn, and what that costs the decoding beside it.

``python -m benchmarks.generator_speed --generator g.zip`` draws alone, by ONNX Runtime and by PyTorch, and then in
sessions that decode a demo's stream in real time: without a generator, and with it in 1, 2 and 4 steps, by turns.
Without a generator of one's own one of the same size is made, with random weights: it takes as long.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from cyclopts import App

from decode_stream.config import SessionConfig
from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.chains import watch_chain
from decode_stream.decoders.distillation.flow_unet import FlowUnet, FlowUnetConfig, flow_denoiser
from decode_stream.decoders.generation.condition import Condition
from decode_stream.decoders.generation.embedded import EmbeddedGenerator
from decode_stream.decoders.generation.embedded_files import (
    EmbeddedManifest,
    EmbeddedParts,
    GeneratorTraining,
)
from decode_stream.decoders.generation.generator import Generator
from decode_stream.decoders.generation.load import load_generator
from decode_stream.decoders.generation.samplers import flow_map, sample, uniform_times
from decode_stream.decoders.generation.schedules import FlowSchedule
from decode_stream.demos.demo import demo_files
from decode_stream.export.generator import export_generator
from decode_stream.generation.generator_pictures import own_scenes
from decode_stream.sessions.drawer import Drawer
from decode_stream.sessions.painter import Painter
from decode_stream.sessions.session import Session
from decode_stream.sessions.session_summary import session_summary
from decode_stream.sessions.source import Source
from decode_stream.stream.errors import SessionError
from decode_stream.stream.lsl import quiet_liblsl
from decode_stream.stream.types import Modality

from .machine import load_1min, machine

__all__ = ["Turn", "main", "ms_a_picture", "play", "random_parts"]

app = App(help="Measure how fast pictures are drawn, alone and beside a session's decoding.")

_STEPS = (1, 2, 4)
#: Sessions start a process of their own, load a bundle and wait for filters to settle. Seconds.
_START_S = 60.0


@dataclass(frozen=True)
class Turn:
    """A session, or several alike together.

    Attributes
    ----------
    lateness_ms : dict of str to (float, float)
        Median and 99th percentile of each stage; ``total`` is from the stamp of a window's last sample to its belief.
    skipped, superseded : int
        Windows that ran freely and were passed over; windows of trials that a later one overtook.
    drawn : dict of str to (int or float)
        What the summary tells of its pictures.
    """

    lateness_ms: Mapping[str, tuple[float, float]]
    skipped: int
    superseded: int
    drawn: Mapping[str, float]


def random_parts() -> tuple[EmbeddedParts, FlowUnet]:
    """Return all of an embedded generator of the usual size with random weights, and its network in PyTorch."""
    scenes = own_scenes()
    pictures = scenes.model
    start, stop = pictures.semantic
    network = FlowUnet(FlowUnetConfig(stop - start, scenes.side_px)).eval()
    manifest = EmbeddedManifest(
        "random weights", scenes.space, scenes.side_px, _STEPS, GeneratorTraining("nothing")
    )
    model = export_generator(network, pictures.condition(pictures.nothing(2)))
    return EmbeddedParts(manifest, model, pictures), network


def ms_a_picture(draw: Callable[[], object], n: int) -> tuple[float, float]:
    """Return median and 99th percentile of how long a call takes, in ms, after five that are not counted."""
    taken = []
    for number in range(n + 5):
        began_s = time.perf_counter()
        draw()
        if number >= 5:
            taken.append(1e3 * (time.perf_counter() - began_s))
    return float(np.median(taken)), float(np.percentile(taken, 99))


def by_torch(network: FlowUnet, condition: Condition, noise: np.ndarray, n_steps: int) -> np.ndarray:
    """Return the picture as PyTorch draws it, eagerly, by the same sampler."""
    given = [torch.from_numpy(part) for part in (condition.semantic, condition.layout, condition.open_share)]
    denoise, start = flow_denoiser(network, *given), torch.from_numpy(noise)
    with torch.inference_mode():
        drawn = sample(flow_map, denoise, FlowSchedule(), uniform_times(n_steps), start)
    return np.asarray(drawn)


def alone(generator: Generator, network: FlowUnet, n: int) -> None:
    """Print how long a picture takes where nothing else runs."""
    condition = generator.pictures.condition(generator.pictures.nothing())
    noise = generator.noise(0)
    print(f"\nAlone, {n} pictures each: median (99th percentile) in ms, pictures a second")
    for n_steps in _STEPS:
        ways: dict[str, tuple[int, Callable[[], object]]] = {
            "ONNX Runtime, 1 thread": (1, partial(generator.draw, condition, noise, n_steps)),
            "PyTorch eager, 1 thread": (1, partial(by_torch, network, condition, noise, n_steps)),
            "PyTorch eager, 2 threads": (2, partial(by_torch, network, condition, noise, n_steps)),
        }
        for name, (n_threads, draw) in ways.items():
            torch.set_num_threads(n_threads)
            middle, late = ms_a_picture(draw, n)
            print(f"{n_steps} steps  {name:26} {middle:7.1f} ({late:.1f})  {1e3 / middle:6.1f}", flush=True)


def play(modality: Modality, bundle: Bundle, make: Callable[[], Drawer] | None, duration_s: float) -> Turn:
    """Decode a demo's stream in real time, with or without drawing.

    Raises
    ------
    SessionError
        If it does not end in time.
    """
    _, recording = demo_files(modality)
    config = SessionConfig(modality=modality, replay=recording, duration_s=duration_s)
    source = Source(config, recording)
    source.modality, source.bundle = config.modality, bundle
    painter = None if make is None else Painter(bundle, make)
    session = Session(config, source, bundle, lambda info: watch_chain(info, modality), painter=painter)
    session.start()
    try:
        if not session.wait(duration_s + _START_S):
            raise SessionError(f"The session did not end within {duration_s + _START_S:g} s.")
    finally:
        session.stop()
        session.join()
    told = session_summary(session, 0)
    lateness = {name: (times["p50"], times["p99"]) for name, times in told["latency_ms"].items() if times}
    windows = told["windows"]
    return Turn(lateness, windows["skipped"], windows["locked"]["superseded"], told["reconstructions"])


def joined(turns: Sequence[Turn]) -> Turn:
    """Return the median of several turns, and sums of what was passed over."""
    drew = [turn for turn in turns if turn.drawn["made"]]
    lateness = {}
    for name in (drew or turns)[0].lateness_ms:
        told = np.array([turn.lateness_ms[name] for turn in turns if name in turn.lateness_ms])
        middle, late = np.median(told, axis=0)
        lateness[name] = (float(middle), float(late))
    return replace(
        turns[0],
        lateness_ms=lateness,
        skipped=sum(turn.skipped for turn in turns),
        superseded=sum(turn.superseded for turn in turns),
        drawn={
            name: float(np.median([turn.drawn[name] for turn in drew]))
            for name in ("made", "superseded", "skipped", "failed", "images_per_s")
            if drew
        },
    )


def print_turn(name: str, turn: Turn) -> None:
    """Print a row of the table of sessions."""
    late = [
        f"{turn.lateness_ms[stage][0]:6.2f} {turn.lateness_ms[stage][1]:6.2f}"
        for stage in ("window", "decode")
    ]
    total = "{:6.2f} {:6.2f}".format(*turn.lateness_ms["total"])
    row = f"{name:10}{'  '.join(late)}  {total}  {turn.skipped:7d}{turn.superseded:11d}"
    if turn.drawn:
        generate = turn.lateness_ms["generate"]
        row += (
            f"  {turn.drawn['images_per_s']:6.1f}  {turn.drawn['made']:5.0f}  {turn.drawn['superseded']:5.0f}"
            f"  {turn.drawn['skipped']:5.0f}  {generate[0]:6.1f} {generate[1]:6.1f}"
        )
    print(row, flush=True)


@app.default
def main(
    *,
    generator: Path | None = None,
    modality: Modality = "meg",
    duration_s: float = 40.0,
    turns: int = 3,
    pictures: int = 100,
) -> int:
    """Print how fast pictures are drawn, alone and in sessions, and how late decoding is with and without.

    Parameters
    ----------
    generator
        An embedded generator; by default one of the usual size with random weights.
    modality
        Whose demo is played.
    duration_s
        Of each session, seconds.
    turns
        Sessions of each kind.
    pictures
        Pictures of each kind that are drawn alone.
    """
    quiet_liblsl()
    for name, value in machine().items():
        print(f"{name}: {value}")
    bundle = load_bundle(demo_files(modality)[0])
    parts, network = random_parts()
    fitting: Generator = EmbeddedGenerator(parts) if generator is None else load_generator(generator)
    alone(fitting, network, pictures)
    kinds: dict[str, int | None] = {"off": None} | {f"{n} steps": n for n in _STEPS if n in fitting.n_steps}
    found: dict[str, list[Turn]] = {name: [] for name in kinds}
    for _ in range(turns):
        for name, n_steps in kinds.items():
            make = None if n_steps is None else partial(Drawer, bundle, fitting, n_steps)
            found[name].append(play(modality, bundle, make, duration_s))
    print(
        f"\nSessions of the {modality} demo, {turns} of {duration_s:g} s each by turns, load {load_1min():.2f}; ms, "
        "median and 99th percentile, of a window until the encoder begins, of decoding, and from stamp to belief"
    )
    print(
        f"{'':10}{'window':>13}  {'decode':>13}  {'total':>13}  skipped superseded  images/s   made  over-  still  "
        "ms from belief to picture"
    )
    for name, several in found.items():
        print_turn(name, joined(several))
    before, after = (joined(several).lateness_ms["total"][1] for several in list(found.values())[:2])
    print(
        f"\n99th percentile from stamp to belief: {before:.2f} ms without pictures, {after - before:+.2f} ms with"
    )
    return 0


if __name__ == "__main__":
    sys.exit(app())
