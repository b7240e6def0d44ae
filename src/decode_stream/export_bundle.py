"""``decode-stream export``: networks as plain ONNX files, in fewer bits, or as engines of TensorRT."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console

from decode_stream.decoders.bundle_files import write_whole
from decode_stream.decoders.conversion import Conversion
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.decoders.runtime import LIVE_BATCHES
from decode_stream.export.comparison import Network, compared, require_within
from decode_stream.export.half import prepared
from decode_stream.export.metadata import described
from decode_stream.export.node_times import node_times_ms
from decode_stream.export.onnx_file import opened, plain, serialised, written
from decode_stream.export.precision import Converted, to_half, to_int8
from decode_stream.stream.errors import UsageError

from .bundle_path import check_writable
from .export_config import ExportConfig
from .export_pipeline import export_pipeline
from .export_source import KINDS, Source, is_pipeline, open_source
from .export_table import Row, print_table
from .library_versions import library_versions

__all__ = ["export_networks"]

_CONVERT: Mapping[str, Callable[[Network], Converted]] = {"fp16": to_half, "int8": to_int8}
_N_SLOWEST = 3


def export_networks(path: Path, config: ExportConfig) -> int:
    """Export the networks of a bundle or generator, and say how near they are; returns the exit code.

    Parameters
    ----------
    path : Path
        A bundle, or a generator of either back-end: a folder or .zip.
    config : ExportConfig

    Raises
    ------
    DecodeStreamError
        If there is none, it cannot be exported so, or what came out is too far from what went in.
    """
    if config.out is not None:
        if config.out.exists():
            raise UsageError(f"{config.out} exists already. Give another --out, or remove it first.")
        check_writable(config.out)
    if is_pipeline(path):
        return export_pipeline(path, config)
    source = open_source(path, config)
    if config.to == "onnx":
        rows = _plain_files(source, config)
    elif config.to in ("fp16", "int8"):
        rows = _converted(source, config, "fp16" if config.to == "fp16" else "int8")
    else:
        rows = _engines(source, config, "tensorrt" if config.to == "tensorrt" else "tensorrt-rtx")
    print_table(rows)
    if not config.to.startswith("tensorrt"):
        print(f"compared with {source.compared.networks[0].compared_with} on {source.compared.on}")
        if config.recording is None and any(row.cosine for row in rows):
            print("none of them is real: --recording PATH compares on those of a recording, too")
    if config.out is not None:
        print(f"{config.out}: {', '.join(row.file for row in rows)}")
    return 0


def _said(source: Source, precision: str) -> dict[str, str]:
    """Return what each exported file says of where it comes from."""
    space = source.space
    return {
        "name": source.name,
        "space": f"{space.model} {space.layer}, {space.dimension} numbers, norm {space.norm}",
        "precision": precision,
        "source_sha256": source.sha256,
        "trained_with": json.dumps(dict(source.made_with)),
        "exported_with": json.dumps(library_versions()),
    }


def _plain_files(source: Source, config: ExportConfig) -> list[Row]:
    """Write each network as an ONNX file of its own, simplified."""
    precision = "fp32" if source.conversion is None else source.conversion.precision
    files, rows = dict[str, bytes](), list[Row]()
    for network in source.compared.networks:
        model = described(serialised(opened(network.model), KINDS[network.name]), _said(source, precision))
        found = compared(model, network)
        require_within(precision, network, found)
        own = plain(model, network.name)
        files |= own
        rows.append(Row.of(network, model, found, file=next(iter(own))))
    assert config.out is not None
    write_whole(files, config.out)
    return rows


def _converted(source: Source, config: ExportConfig, to: Literal["fp16", "int8"]) -> list[Row]:
    """Write the same bundle or generator with networks of fewer bits."""
    if source.conversion is not None:
        raise UsageError(
            f"{source.name!r} is in {source.conversion.precision} already. Export the one that it was made from, whose "
            f"SHA-256 begins with {source.conversion.source[:12]}."
        )
    models, rows, errors, cosine = dict[str, OnnxModel](), list[Row](), dict[str, float](), None
    for network in source.compared.networks:
        with Console(stderr=True).status(f"measuring what of the {network.name} may be in {to}"):
            done = _CONVERT[to](network)
        models[network.name] = model = described(done.model, _said(source, to))
        errors[network.name] = done.found.error
        cosine = done.found.cosine if network.decides else cosine
        rows.append(
            Row.of(network, model, done.found, file=f"{network.name}.onnx", kept=_kept_words(network, done))
        )
    on = f"with {source.compared.networks[0].compared_with} on {source.compared.on}"
    conversion = Conversion(to, source.sha256, on, errors, cosine)
    assert config.out is not None
    source.save(models, conversion, config.out)
    return rows


def _kept_words(network: Network, done: Converted) -> str:
    """Return which nodes stay float32, those first that take longest."""
    if not done.kept:
        return f"none of {done.n_nodes}"
    times = node_times_ms(written(prepared(opened(network.model))), network.given)
    slowest = sorted(done.kept, key=lambda name: -times.get(name, 0.0))[:_N_SLOWEST]
    named = ", ".join(f"{name} ({times.get(name, 0.0):.2g} ms)" for name in slowest)
    return f"{len(done.kept)} of {done.n_nodes}; slowest: {named}"


def _engines(source: Source, config: ExportConfig, library: Literal["tensorrt", "tensorrt-rtx"]) -> list[Row]:
    """Build an engine of each network where sessions look for it, and copy it to where it is asked for."""
    from decode_stream.decoders.inference.tensorrt_engine import build_engine

    if source.conversion is not None and source.conversion.precision == "int8":
        raise UsageError(
            f"{source.name!r} is in int8, which is for CPUs: what its matrices are multiplied by is scaled when it "
            "comes, and TensorRT has no such operator. Export the one that it was made from, or its fp16."
        )
    rows = []
    report = partial(print, file=sys.stderr)
    for network in source.compared.networks:
        # As many windows at once as a session has warmed up; of the others one. Engines of other batches are others.
        most = max(LIVE_BATCHES) if network.decides else 1
        engine = build_engine(network.model, most_batch=most, library=library, report=report)
        rows.append(Row.of_engine(network, engine))
        if config.out is None:
            print(f"{network.name}: {engine}")
        else:
            _copy(engine, config.out)
    return rows


def _copy(engine: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(engine, folder / engine.name)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror or error}. Make room there, or give another --out; the "
            f"engine itself is kept in {engine}."
        ) from error
