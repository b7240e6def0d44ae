"""What is exported: a bundle, an embedded generator or one of diffusers, and how it is saved with other networks."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.bundle_files import member_reader, sha256
from decode_stream.decoders.conversion import Conversion
from decode_stream.decoders.generation.embedded_files import MANIFEST, EmbeddedParts, load_parts, save_parts
from decode_stream.decoders.generation.load import back_end
from decode_stream.decoders.manifest import MANIFEST_FILE, EmbeddingSpace
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.export.metadata import ENCODER, GENERATOR, PRIOR, NetworkKind
from decode_stream.stream.errors import UsageError

from .export_config import ExportConfig
from .export_networks import Compared, bundle_networks, generator_networks

__all__ = ["KINDS", "Source", "is_pipeline", "open_source"]

#: What a network is, by its name.
KINDS: Mapping[str, NetworkKind] = {"encoder": ENCODER, "prior": PRIOR, "network": GENERATOR}


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What is exported.

    Attributes
    ----------
    name : str
    space : EmbeddingSpace
    sha256 : str
        Of its manifest.
    made_with : dict of str to str
        Versions of libraries by name.
    conversion : Conversion or None
        How it came to be in fewer bits already.
    compared : Compared
        Its networks.
    save : callable
        Takes networks by name, what they came to, and a path, and writes the same with these networks.
    """

    name: str
    space: EmbeddingSpace
    sha256: str
    made_with: Mapping[str, str]
    conversion: Conversion | None
    compared: Compared
    save: Callable[[Mapping[str, OnnxModel], Conversion, Path], None]


def open_source(path: Path, config: ExportConfig) -> Source:
    """Read a bundle or an embedded generator, with inputs to compare its networks on.

    Raises
    ------
    DecodeStreamError
        If it is neither, or damaged, or the recording does not fit it.
    """
    if _holds(path, MANIFEST_FILE):
        return _bundle_source(load_bundle(path, weights=True), config)
    if not _holds(path, MANIFEST):
        raise UsageError(
            f"{path} is neither a bundle nor a generator: it has no {MANIFEST_FILE} and no {MANIFEST}. Give the folder "
            "or .zip that decode-stream train or train-generator has written."
        )
    if config.recording is not None:
        raise UsageError(f"--recording is what a bundle decodes, and {path} is a generator. Leave it out.")
    return _generator_source(load_parts(path), path)


def is_pipeline(path: Path) -> bool:
    """Return whether a path is the folder of a generator of diffusers."""
    return path.is_dir() and _holds(path, MANIFEST) and back_end(path) == "diffusers"


def _holds(path: Path, name: str) -> bool:
    """Return whether a folder or .zip has a file of that name."""
    if path.is_dir():
        return (path / name).is_file()
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return name in archive.namelist()


def _bundle_source(bundle: Bundle, config: ExportConfig) -> Source:
    manifest = bundle.manifest

    def save(networks: Mapping[str, OnnxModel], conversion: Conversion, out: Path) -> None:
        encoder, prior = networks["encoder"], bundle.prior
        if prior is not None:
            prior = replace(prior, model=networks["prior"].graph)
        converted = replace(manifest, conversion=conversion)
        save_bundle(
            replace(
                bundle, manifest=converted, encoder=encoder.graph, encoder_data=encoder.data, prior=prior
            ),
            out,
        )

    return Source(
        manifest.name,
        manifest.space,
        bundle.sha256,
        manifest.versions,
        manifest.conversion,
        bundle_networks(bundle, config),
        save,
    )


def _generator_source(parts: EmbeddedParts, path: Path) -> Source:
    manifest = parts.manifest

    def save(networks: Mapping[str, OnnxModel], conversion: Conversion, out: Path) -> None:
        converted = replace(manifest, conversion=conversion)
        save_parts(replace(parts, manifest=converted, network=networks["network"].graph), out)

    return Source(
        manifest.name,
        manifest.space,
        sha256(member_reader(path)(MANIFEST)),
        manifest.training.versions,
        manifest.conversion,
        generator_networks(parts, path),
        save,
    )
