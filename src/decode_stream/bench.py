"""``decode-stream bench``: how long each stage of a decoder takes here, by all that runs it, and how much memory."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from decode_stream.decoders.bundle import Bundle, load_bundle
from decode_stream.decoders.generation.embedded import EmbeddedGenerator
from decode_stream.decoders.generation.embedded_files import load_generator_manifest, load_parts
from decode_stream.decoders.generation.generator import Generator
from decode_stream.decoders.generation.load import back_end, load_generator
from decode_stream.decoders.inference.providers import PROVIDERS, missing
from decode_stream.decoders.prior import Prior
from decode_stream.decoders.runtime import Encoder
from decode_stream.demos.demo import demo_generator
from decode_stream.sessions.generators import check_generator
from decode_stream.stream.errors import UsageError

from .bench_config import BenchConfig
from .bench_stages import (
    BATCHES,
    Stage,
    encoder_stages,
    evidence_stages,
    generator_stages,
    preprocessing_stage,
    prior_stage,
)
from .bench_table import Row, print_rows, rows_summary
from .bench_timing import peak_bytes, resident_bytes, timed
from .library_versions import library_versions
from .summary import check_writable, write_json

__all__ = ["bench_bundle"]

_TORCH = ("torch eager", "torch.compile")


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """All that one provider runs, with how much memory that took."""

    encoder: Encoder
    prior: Prior | None
    generator: Generator | None
    grown_bytes: int | None
    peak_bytes: int | None


def bench_bundle(path: Path, config: BenchConfig) -> int:
    """Measure a bundle, and a generator that draws what it decodes; returns the exit code.

    Raises
    ------
    DecodeStreamError
        If one of them is missing or damaged, they do not fit each other, or nothing that was asked for runs here.
    """
    if config.json is not None:
        check_writable(config.json)
    bundle = load_bundle(path, weights=True)
    generator, no_pictures = _generator_path(bundle, config)
    asked = list[str](dict.fromkeys(config.provider)) or [kind.name for kind in PROVIDERS]
    opened, left_out = _opened(bundle, generator, asked)
    rows = _measured(_stages(bundle, generator, opened, left_out), config.seconds)
    rows = [_unless_lost(row, opened) for row in rows]
    print_rows(rows)
    for name, one in opened.items():
        print(
            f"memory, {name}: {_megabytes(one.grown_bytes)} to open it, {_megabytes(one.peak_bytes)} at most"
        )
    if no_pictures:
        print(f"pictures: not measured: {no_pictures}")
    if config.json is not None:
        write_json(_summary(bundle, generator, opened, left_out, rows), config.json)
        print(f"{config.json}: written")
    return 0


def _generator_path(bundle: Bundle, config: BenchConfig) -> tuple[Path | None, str]:
    """Return the generator to be measured; or None, and why there is none."""
    if config.generator == Path("none"):
        return None, "--generator none"
    path = config.generator or demo_generator()
    if path is None:
        return None, "this installation holds no generator, and --generator names none"
    if back_end(path) == "diffusers":
        check_generator(load_generator(path), path, bundle, None)
        return path, ""
    try:
        check_generator(load_generator_manifest(path), path, bundle, None)
    except UsageError:
        if config.generator is not None:
            raise
        return None, "the generator that comes with the program does not draw what this bundle decodes"
    return path, ""


def _opened(
    bundle: Bundle, generator: Path | None, names: Sequence[str]
) -> tuple[dict[str, _Opened], dict[str, str]]:
    """Open everything once by each provider; returns what was opened, and why others were not."""
    opened, left_out = dict[str, _Opened](), dict[str, str]()
    for name in names:
        if (why := missing(name)) is not None:
            left_out[name] = why
            continue
        try:
            opened[name] = _opened_by(bundle, generator, name)
        except UsageError as error:
            left_out[name] = str(error)
    if not opened:
        told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise UsageError(f"Nothing that was asked for runs networks here ({told}). Leave --provider out.")
    return opened, left_out


def _opened_by(bundle: Bundle, generator: Path | None, name: str) -> _Opened:
    """Open a bundle's networks and the generator, and run each stage once, for the memory that this takes."""
    before = resident_bytes()
    encoder = Encoder(bundle, name, warm=BATCHES)
    prior = None if bundle.prior is None else Prior(bundle.prior, name)
    drawn = None if generator is None else load_generator(generator, name)
    one = _Opened(encoder, prior, drawn, None, None)
    for stage in _network_stages(bundle, {name: one}):
        for call in stage.calls.values():
            call()
    after = resident_bytes()
    grown = None if before is None or after is None else after - before
    return replace(one, grown_bytes=grown, peak_bytes=peak_bytes())


def _network_stages(bundle: Bundle, opened: Mapping[str, _Opened]) -> list[Stage]:
    """Return the stages that providers run."""
    encoders = {name: one.encoder for name, one in opened.items()}
    stages = encoder_stages(bundle, encoders)
    priors = {name: one.prior for name, one in opened.items() if one.prior is not None}
    if priors:
        stages.append(prior_stage(bundle, next(iter(encoders.values())), priors))
    generators = {name: one.generator for name, one in opened.items() if one.generator is not None}
    return stages + (generator_stages(generators) if generators else [])


def _stages(
    bundle: Bundle, generator: Path | None, opened: Mapping[str, _Opened], left_out: Mapping[str, str]
) -> list[Stage]:
    """Return all stages in the order of a session, the networks' with PyTorch beside the providers."""
    first = next(iter(opened.values()))
    by_torch = _beside_torch(bundle, generator, first, _network_stages(bundle, opened))
    encoders = [stage for stage in by_torch if stage.name == "encoder"]
    rest = [stage for stage in by_torch if stage.name != "encoder"]
    ordered = [preprocessing_stage(bundle), *encoders, *evidence_stages(bundle, first.encoder), *rest]
    networks = {id(stage) for stage in by_torch}
    return [stage.without(left_out) if id(stage) in networks else stage for stage in ordered]


def _beside_torch(
    bundle: Bundle, generator: Path | None, first: _Opened, stages: Sequence[Stage]
) -> list[Stage]:
    """Return stages with PyTorch beside the providers, or why it is not."""
    for package in ("torch", "onnx"):
        if find_spec(package) is None:
            why = f"{package} is not installed; type: pip install 'decode-stream[train]'"
            return [stage.without(dict.fromkeys(_TORCH, why)) for stage in stages]
    # Only now, so that the memory of a session is not that of torch.
    from .bench_torch import beside_torch, drawing, embedding, encoder_module, generator_module

    encoder = beside_torch(
        [stage for stage in stages if stage.name == "encoder"],
        partial(encoder_module, bundle, first.encoder),
        lambda run, stage: embedding(run, bundle, stage.n),
    )
    prior = [
        stage.without(dict.fromkeys(_TORCH, "the bundle keeps no weights of its prior beside the ONNX graph"))
        for stage in stages
        if stage.name == "prior"
    ]
    drawn = [stage for stage in stages if stage.unit == "picture"]
    if generator is None or not isinstance(first.generator, EmbeddedGenerator):
        why = "a generator of diffusers is run by torch itself, eagerly"
        return encoder + prior + [stage.without(dict.fromkeys(_TORCH, why)) for stage in drawn]
    embedded = first.generator
    can = [stage for stage in drawn if stage.calls]
    pictures = beside_torch(
        can,
        partial(generator_module, load_parts(generator), generator),
        lambda run, stage: drawing(run, embedded, stage.n_steps),
    )
    return encoder + prior + pictures + [stage for stage in drawn if not stage.calls]


def _measured(stages: Sequence[Stage], seconds: float) -> list[Row]:
    rows = []
    with Console(stderr=True).status("measuring") as status:
        for stage in stages:
            status.update(
                f"measuring {stage.name}, {stage.n} {stage.unit}{'s' if stage.n > 1 else ''} at once"
            )
            times = timed(stage.calls, seconds)
            rows += [Row(stage, name, one) for name, one in times.items()]
            rows += [Row(stage, name, None, why) for name, why in stage.left_out.items()]
    return rows


def _unless_lost(row: Row, opened: Mapping[str, _Opened]) -> Row:
    """Return a row, without its times where the provider was lost: from then on it was the CPU that ran."""
    if row.by not in opened:
        return row
    one = opened[row.by]
    generator = one.generator if isinstance(one.generator, EmbeddedGenerator) else None
    lost = one.encoder.lost if row.stage.unit == "window" else generator.lost if generator else ""
    return replace(row, times=None, why=lost) if lost and row.times is not None else row


def _megabytes(n_bytes: int | None) -> str:
    return "not told by this system" if n_bytes is None else f"{n_bytes / 1e6:.0f} MB"


def _summary(
    bundle: Bundle,
    generator: Path | None,
    opened: Mapping[str, _Opened],
    left_out: Mapping[str, str],
    rows: Sequence[Row],
) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "bundle": {
            "name": manifest.name,
            "sha256": bundle.sha256,
            "n_channels": manifest.chain.n_out,
            "n_times": manifest.schedule.n_times,
            "n_entries": len(bundle.gallery),
            "dimension": bundle.dimension,
        },
        "generator": None if generator is None else str(generator),
        "machine": {"system": platform.platform(), "processor": platform.processor(), "cpus": os.cpu_count()},
        "versions": library_versions(),
        "memory": {
            name: {"grown_bytes": one.grown_bytes, "peak_bytes": one.peak_bytes}
            for name, one in opened.items()
        },
        "left_out": dict(left_out),
        "rows": rows_summary(rows),
    }
