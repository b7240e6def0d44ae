"""The bundle: what travels from training to the lab.

A folder, or one ``.zip`` of it::

    bundle.json           the manifest: everything but the numbers of the network, and a SHA-256 of every file
    encoder.onnx          window and latency in, embedding out
    gallery.safetensors   `embeddings`, float32 (n_entries, dimension)
    gallery/000.png ...   thumbnails, where there are pictures

Nothing in it is unpickled, and a file whose hash differs is refused. Hashes guard against damage, not forgery.
"""

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from decode_stream.stream.errors import BundleError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.types import Modality
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule, exact_sfreq

from .evidence import NORMS, Calibration

__all__ = [
    "SCHEMA",
    "Bundle",
    "EmbeddingSpace",
    "Manifest",
    "Training",
    "is_bundle",
    "load_bundle",
    "save_bundle",
]

#: Version of the manifest that this program writes.
SCHEMA = 1

#: From an older schema to the next: each takes the parsed manifest and returns it one version on.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

_MANIFEST = "bundle.json"
_ENCODER = "encoder.onnx"
_GALLERY = "gallery.safetensors"
# A bundle is opened in memory; the largest encoders of the field, in float32, are below this.
_MAX_FILE_BYTES = 8 << 30


@dataclass(frozen=True)
class EmbeddingSpace:
    """Where the embeddings live.

    Attributes
    ----------
    model, layer : str
        Image model and layer whose outputs the decoder was trained to give.
    dimension : int
    norm : {"unit", "none"}
        Whether similarity is the cosine or the plain inner product.
    """

    model: str
    layer: str
    dimension: int
    norm: str = "unit"

    def __post_init__(self) -> None:
        if self.dimension < 1 or self.norm not in NORMS:
            raise ValueError(f"An embedding space has a dimension above 0 and a norm of {NORMS}; got {self}.")


@dataclass(frozen=True)
class Training:
    """Where the encoder comes from.

    Attributes
    ----------
    model : str
        Family of the encoder: ``channel-attention``, ``lda``.
    recordings : tuple of str
        Names of the recordings, one a run.
    n_trials : int
        Trials it was trained on.
    seed : int
    protocol : str
        How `scores` were obtained.
    scores : dict of str to float
        Held-out scores: ``top1``, ``auc``, ``log_loss``, ``n``, ``chance``.
    """

    model: str
    recordings: tuple[str, ...] = ()
    n_trials: int = 0
    seed: int = 0
    protocol: str = ""
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """Everything that decides what a decoder computes, but for the weights.

    Attributes
    ----------
    modality : {"eeg", "meg", "fmri"}
    chain, window : ChainSpec, WindowSpec
        The causal signal chain, the same in training and live.
    length_s, step_s : float
        Window length and step, exact to the decimal as written.
    n_latencies : int
        Windows of each trial, from latency 0 on.
    gallery : tuple of str
        Names of the candidates.
    labels : dict of str to str
        Gallery name by marker label, as in ``--events 1=house``.
    calibration : Calibration
    files : dict of str to str
        SHA-256 of every other file, by path.
    """

    name: str
    modality: Modality
    chain: ChainSpec
    window: WindowSpec
    length_s: float
    step_s: float
    n_latencies: int
    space: EmbeddingSpace
    gallery: tuple[str, ...]
    labels: dict[str, str]
    calibration: Calibration
    training: Training
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if len(self.calibration.weights) != self.n_latencies:
            raise ValueError(
                f"{len(self.calibration.weights)} calibration weights for {self.n_latencies} latencies."
            )
        if not self.gallery or len(set(self.gallery)) != len(self.gallery):
            raise ValueError("The gallery needs names that differ.")
        unknown = sorted(set(self.labels.values()) - set(self.gallery))
        if unknown:
            raise ValueError(f"Marker labels name entries that the gallery lacks: {', '.join(unknown)}.")

    @property
    def schedule(self) -> WindowSchedule:
        """The window schedule at the decoder's rate."""
        length, step = (Fraction(str(s)) for s in (self.length_s, self.step_s))
        return WindowSchedule(exact_sfreq(self.chain.sfreq_hz), length, step)

    def stimuli(self, labels: Mapping[str, str] | None = None) -> dict[str, int]:
        """Return the gallery index for every marker label: the names themselves, and `labels` on top.

        Parameters
        ----------
        labels : mapping of str to str, optional
            Gallery name by marker label; the bundle's own where not given.

        Raises
        ------
        BundleError
            If a name is not in the gallery.
        """
        chosen = self.labels if labels is None else labels
        unknown = sorted(set(chosen.values()) - set(self.gallery))
        if unknown:
            raise BundleError(
                f"--events names {', '.join(unknown)}, but the gallery of {self.name!r} holds: "
                f"{', '.join(self.gallery[:20])}{', ...' if len(self.gallery) > 20 else ''}."
            )
        index = {name: i for i, name in enumerate(self.gallery)}
        return index | {label: index[name] for label, name in chosen.items()}


@dataclass(frozen=True, eq=False)
class Bundle:
    """A decoder with all it needs.

    Attributes
    ----------
    manifest : Manifest
    encoder : bytes
        The ONNX model.
    gallery : array of shape (n_entries, dimension), float32
        Embeddings of the candidates, in the order of ``manifest.gallery``.
    thumbnails : dict of str to bytes
        PNG file of a candidate by its name.
    sha256 : str
        Hash of the manifest, and so of everything; empty before it is saved.
    """

    manifest: Manifest
    encoder: bytes
    gallery: npt.NDArray[np.float32]
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        expected = (len(self.manifest.gallery), self.manifest.space.dimension)
        if self.gallery.shape != expected or not np.isfinite(self.gallery).all():
            raise BundleError(
                f"The gallery of {self.manifest.name!r} has embeddings of shape {self.gallery.shape} where names and "
                f"embedding space ask for finite ones of shape {expected}."
            )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def save_bundle(bundle: Bundle, path: str | Path, *, overwrite: bool = False) -> Bundle:
    """Write a bundle as a folder, or as one file where the path ends in ``.zip``.

    The bundle appears under its name only when it is whole.

    Parameters
    ----------
    overwrite : bool
        Replace a bundle that stands there; anything else is never replaced.

    Returns
    -------
    Bundle
        The same with its hashes.

    Raises
    ------
    BundleError
        If something stands at `path`.
    """
    path = Path(path)
    if path.exists() and not (overwrite and is_bundle(path)):
        raise BundleError(f"{path} exists already. Give another --out, or remove it first.")
    files = {_ENCODER: bundle.encoder, _GALLERY: save_tensors({"embeddings": bundle.gallery})}
    for name, png in bundle.thumbnails.items():
        files[f"gallery/{bundle.manifest.gallery.index(name):05d}.png"] = png
    manifest = replace(bundle.manifest, files={name: _sha256(data) for name, data in files.items()})
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as part:
        whole = Path(part) / "whole"
        _write_files(files | {_MANIFEST: text}, whole, zipped=path.suffix == ".zip")
        if path.exists():
            path.unlink() if path.is_file() else shutil.rmtree(path)
        whole.rename(path)
    return replace(bundle, manifest=manifest, sha256=_sha256(text))


def is_bundle(path: Path) -> bool:
    """Return whether something that looks like a bundle, whole or damaged, stands at `path`."""
    return (path / _MANIFEST).is_file() or (path.suffix == ".zip" and zipfile.is_zipfile(path))


def _write_files(files: Mapping[str, bytes], path: Path, *, zipped: bool) -> None:
    if zipped:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                # A fixed date: the same bundle gives the same file.
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle and check every byte of it against its hashes.

    Raises
    ------
    BundleError
        If it is missing, damaged, incomplete, of an unknown schema, or holds impossible values.
    """
    path = Path(path)
    read = _reader(path)
    text = read(_MANIFEST)
    manifest = _parse_manifest(text, path)
    files = {}
    for name, expected in manifest.files.items():
        data = read(name)
        if _sha256(data) != expected:
            raise BundleError(
                f"{name} in {path} is not the file that was saved: its SHA-256 begins {_sha256(data)[:12]} instead of "
                f"{expected[:12]}. Copy the bundle again from where it was trained."
            )
        files[name] = data
    for name in (_ENCODER, _GALLERY):
        if name not in files:
            raise BundleError(f"{path} has no {name} in its list of files; it is not a complete bundle.")
    try:
        gallery = load_tensors(files[_GALLERY])["embeddings"].astype(np.float32)
    except Exception as error:
        raise BundleError(f"{_GALLERY} in {path} cannot be read: {error}") from error
    thumbnails = {
        manifest.gallery[int(PurePosixPath(name).stem)]: data
        for name, data in files.items()
        if name.startswith("gallery/")
        and PurePosixPath(name).stem.isdecimal()
        and int(PurePosixPath(name).stem) < len(manifest.gallery)
    }
    return Bundle(manifest, files[_ENCODER], gallery, thumbnails, _sha256(text))


def _reader(path: Path) -> Callable[[str], bytes]:
    """Return a function that reads one member of a folder or a zip file."""
    if path.is_dir():
        if not (path / _MANIFEST).is_file():
            raise BundleError(
                f"{path} is a folder without {_MANIFEST}; it is not a bundle. Train one with decode-stream train."
            )
        return lambda name: _read_member(path, name, lambda: (path / name).read_bytes())
    if not path.exists():
        raise BundleError(
            f"There is no bundle at {path}. Train one with: decode-stream train RECORDING... --out {path}"
        )
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path} is neither a bundle's folder nor a .zip of one.")

    def read(name: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > _MAX_FILE_BYTES:
                raise OSError(f"larger than {_MAX_FILE_BYTES >> 30} GiB")
            return archive.read(name)

    return lambda name: _read_member(path, name, lambda: read(name))


def _read_member(path: Path, name: str, read: Callable[[], bytes]) -> bytes:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name:
        raise BundleError(f"{path} lists the file {name!r}, which lies outside the bundle; it is refused.")
    try:
        return read()
    except (OSError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise BundleError(
            f"{name} in {path} is missing or cannot be read: {error}. Copy the bundle again."
        ) from error


def _parse_manifest(text: bytes, path: Path) -> Manifest:
    try:
        raw = msgspec.json.decode(text)
        version = raw.get("schema") if isinstance(raw, dict) else None
        if not isinstance(version, int):
            raise BundleError(
                f"{_MANIFEST} in {path} has no schema version; it is not a bundle of this program."
            )
        while version in MIGRATIONS and version < SCHEMA:
            raw = MIGRATIONS[version](raw)
            version = raw["schema"]
        if version != SCHEMA:
            raise BundleError(
                f"{path} has schema {version} and this program reads schemas up to {SCHEMA}. "
                "Install a newer decode-stream: pip install -U decode-stream"
            )
        return msgspec.convert(raw, Manifest)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{_MANIFEST} in {path} is not a valid manifest: {error}") from error
