"""The bundle: what travels from training to the lab.

A folder, or one ``.zip`` of it::

    bundle.sha256         SHA-256 of bundle.json
    bundle.json           the manifest: everything but the numbers of the network, and a SHA-256 of every other file
    encoder.onnx          window and latency in, embedding out
    encoder.onnx.data     the large tensors of an encoder above 2 GB
    gallery.safetensors   `embeddings`, float32 (n_entries, dimension)
    gallery/000.png ...   thumbnails, where there are pictures

and, where training made them::

    novelty.safetensors   what training windows look like: `decode_stream.decoders.novelty.Novelty`
    projector.safetensors `weight`, `bias`: from the target's space into the one where embeddings are compared; and
                          `rho`, where showings of one picture are weighed for what comes again at each of them
    features.safetensors  `mask`, of the structure's dimensions: those that are decoded well
    regions.safetensors   by atlas, the region of each voxel; their names are in the manifest
    prior.onnx            decoded embedding and noise in, a sample of what pictures' embeddings are like out
    prior.safetensors     `center`, `decoded_center`: `decode_stream.decoders.prior_part.PriorPart`
    readout.safetensors   `gain`, `offset`, `variance`, `precision`: what the encoder's outputs tell of a picture's
                          embedding, where they are no likelihoods: `decode_stream.decoders.picture_readout`
    reference.safetensors `volume`: one of the training, whole, that live volumes are brought to
    weights.safetensors   the network as PyTorch trained it, to train on from; a session does not read it

Nothing in it is unpickled, and a file whose hash differs is refused. Hashes guard against damage, not forgery.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from decode_stream.stream.errors import BundleError
from decode_stream.stream.types import FloatArray

from .bundle_files import MANIFEST_HASH_FILE, check, is_bundle, read_manifest, reader, sha256, write_whole
from .gallery_projector import GalleryProjector, load_projector, save_projector
from .manifest import MANIFEST_FILE, Manifest
from .novelty import Novelty
from .onnx_model import DATA_FILE
from .picture_readout import PictureReadout
from .prior_part import PriorPart
from .regions import Atlas, Regions

__all__ = ["Bundle", "load_bundle", "save_bundle"]

_ENCODER = "encoder.onnx"
_GALLERY = "gallery.safetensors"
_NOVELTY, _PROJECTOR = "novelty.safetensors", "projector.safetensors"
_FEATURES, _WEIGHTS = "features.safetensors", "weights.safetensors"
_REGIONS, _REFERENCE = "regions.safetensors", "reference.safetensors"
_READOUT = "readout.safetensors"
_PRIOR, _PRIOR_MEANS = "prior.onnx", "prior.safetensors"
_Part = TypeVar("_Part")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A decoder with all it needs.

    Attributes
    ----------
    manifest : Manifest
    encoder : bytes
        The ONNX model: its graph.
    gallery : array of shape (n_entries, dimension), float32
        Embeddings of the candidates, in the order of ``manifest.gallery``.
    thumbnails : dict of str to bytes
        PNG file of a candidate by its name.
    novelty : Novelty or None
        Tells windows that are unlike those of the training.
    projector : GalleryProjector or None
        What takes the target's embeddings of pictures to where those of the encoder are.
    features : array of shape (dimension of the structure,), bool, or None
        Which numbers of the structure are decoded well.
    weights : dict of str to array
        The state of the network that `encoder` was exported from, by the names of its parameters; empty where it was
        not kept or not asked for.
    regions : Regions or None
        Of fMRI, where the voxels lie in the atlases that came with the training recordings.
    sha256 : str
        Hash of the manifest, and so of everything; empty before it is saved.
    encoder_data : bytes
        The tensors that lie beside the graph; empty where it holds all.
    prior : PriorPart or None
        Draws embeddings as pictures have them, of a decoded one.
    reference : array of shape (x, y, z), float32, or None
        Of fMRI, a volume of the training in the grid of ``manifest.volume``; None where only voxels were given.
    readout : PictureReadout or None
        What the encoder's outputs tell of a picture's embedding, for pictures to be drawn of them; None where they are
        likelihoods and say so themselves, where entries are categories, and where it was not measured.
    """

    manifest: Manifest
    encoder: bytes
    gallery: npt.NDArray[np.float32]
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    sha256: str = ""
    novelty: Novelty | None = None
    projector: GalleryProjector | None = None
    features: npt.NDArray[np.bool_] | None = None
    weights: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    regions: Regions | None = None
    encoder_data: bytes = b""
    prior: PriorPart | None = None
    reference: npt.NDArray[np.float32] | None = None
    readout: PictureReadout | None = None

    @property
    def dimension(self) -> int:
        """Dimension of the embeddings that are compared: of the space, or of what the projector makes of it."""
        return self.manifest.space.dimension if self.projector is None else self.projector.dimension

    @property
    def norm(self) -> str:
        """Rule of similarity: that of the space, or of the projector."""
        norm = self.manifest.space.norm
        return norm if self.projector is None else self.projector.norm(norm)

    @property
    def weighs_showings(self) -> bool:
        """Whether showings of one picture are weighed, direction by direction, for what comes again at each of them."""
        return self.projector is not None and self.projector.rho is not None

    def of_showings(self, n: int) -> FloatArray:
        """Return the gallery as it is compared with the summed embeddings of `n` showings of one picture."""
        return self.gallery if self.projector is None else self.projector.of_showings(self.gallery, n)

    def __post_init__(self) -> None:
        self._check_parts()
        expected = (len(self.manifest.gallery), self.dimension)
        if self.gallery.shape != expected or not np.isfinite(self.gallery).all():
            raise BundleError(
                f"The gallery of {self.manifest.name!r} has embeddings of shape {self.gallery.shape} where names and "
                f"embedding space ask for finite ones of shape {expected}."
            )

    def _check_parts(self) -> None:
        """Refuse parts that do not fit what the manifest says."""
        manifest, novelty = self.manifest, self.novelty
        parts = []
        if self.projector is not None:
            parts.append(("projector", self.projector.weight.shape[1], manifest.space.dimension))
        if novelty is not None:
            parts.append(("novelty", novelty.n_channels, manifest.chain.n_out))
            parts.append(("novelty", novelty.n_latencies, manifest.n_latencies))
        if self.features is not None:
            n_structure = manifest.structure.dimension if manifest.structure else 0
            parts.append(("features", self.features.size, n_structure))
        if self.regions is not None:
            parts += [("regions", len(a.labels), manifest.chain.n_out) for a in self.regions.atlases.values()]
        if self.prior is not None:
            parts.append(("prior", self.prior.dimension, manifest.space.dimension))
        if manifest.prior is not None or self.prior is not None:
            of_manifest = 0 if manifest.prior is None else manifest.prior.n_steps
            parts.append(("prior", 0 if self.prior is None else self.prior.n_steps, of_manifest))
        if self.readout is not None:
            parts.append(("readout", self.readout.dimension, self.dimension))
            parts.append(("readout", self.readout.n_latencies, manifest.n_latencies))
        if self.reference is not None:
            grid = (0, 0, 0) if manifest.volume is None else manifest.volume.grid
            parts += [("reference", there, n) for there, n in zip(self.reference.shape, grid, strict=True)]
        for name, there, wanted in parts:
            if there != wanted:
                raise BundleError(
                    f"{name}.safetensors of {manifest.name!r} is for {there} numbers where the manifest says {wanted}. "
                    "Train the bundle anew."
                )


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
    files = {_ENCODER: bundle.encoder, _GALLERY: _saved({"embeddings": bundle.gallery})}
    files |= _parts(bundle)
    for name, png in bundle.thumbnails.items():
        files[f"gallery/{bundle.manifest.gallery.index(name):05d}.png"] = png
    atlases = {} if bundle.regions is None else bundle.regions.atlases
    manifest = replace(
        bundle.manifest,
        files={name: sha256(data) for name, data in files.items()},
        regions={name: atlas.names for name, atlas in atlases.items()},
    )
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    write_whole(files | {MANIFEST_FILE: text, MANIFEST_HASH_FILE: sha256(text).encode()}, path)
    return replace(bundle, manifest=manifest, sha256=sha256(text))


def _parts(bundle: Bundle) -> dict[str, bytes]:
    """Return the files that a bundle may do without."""
    files = {}
    if bundle.novelty is not None:
        files[_NOVELTY] = _saved(bundle.novelty.tensors())
    if bundle.projector is not None:
        files[_PROJECTOR] = save_projector(bundle.projector)
    if bundle.features is not None:
        files[_FEATURES] = _saved({"mask": bundle.features})
    if bundle.weights:
        files[_WEIGHTS] = _saved(bundle.weights)
    if bundle.regions is not None:
        labels = {name: atlas.labels.astype(np.uint16) for name, atlas in bundle.regions.atlases.items()}
        files[_REGIONS] = _saved(labels)
    if bundle.encoder_data:
        files[DATA_FILE] = bundle.encoder_data
    if bundle.readout is not None:
        files[_READOUT] = _saved(bundle.readout.tensors())
    if bundle.reference is not None:
        files[_REFERENCE] = _saved({"volume": bundle.reference})
    if (prior := bundle.prior) is not None:
        files[_PRIOR] = prior.model
        files[_PRIOR_MEANS] = _saved({"center": prior.center, "decoded_center": prior.decoded_center})
    return files


def _saved(tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    # What lies otherwise in memory would be written as it lies there.
    return save_tensors({name: np.asarray(value, order="C") for name, value in tensors.items()})


def load_bundle(path: str | Path, *, weights: bool = False) -> Bundle:
    """Read a bundle and check every byte of it against its hashes.

    Parameters
    ----------
    weights : bool
        Whether to read the network's state too, as is needed to train on from it or to save the bundle again. A session
        runs the exported encoder and leaves that file alone.

    Raises
    ------
    BundleError
        If it is missing, damaged, incomplete, of an unknown schema, or holds impossible values.
    """
    path = Path(path)
    read = reader(path)
    text, manifest = read_manifest(read, path)
    files = {}
    for name, expected in manifest.files.items():
        if name == _WEIGHTS and not weights:
            continue
        data = read(name)
        check(name, data, expected, path)
        files[name] = data
    for name in (_ENCODER, _GALLERY):
        if name not in files:
            raise BundleError(f"{path} has no {name} in its list of files; it is not a complete bundle.")
    gallery = _tensors(_GALLERY, files, path, lambda t: t["embeddings"].astype(np.float32))
    assert gallery is not None
    thumbnails = {
        manifest.gallery[int(PurePosixPath(name).stem)]: data
        for name, data in files.items()
        if name.startswith("gallery/")
        and PurePosixPath(name).stem.isdecimal()
        and int(PurePosixPath(name).stem) < len(manifest.gallery)
    }
    return Bundle(
        manifest,
        files[_ENCODER],
        gallery,
        thumbnails,
        sha256(text),
        _tensors(_NOVELTY, files, path, lambda t: Novelty(**t)),
        load_projector(files[_PROJECTOR]) if _PROJECTOR in files else None,
        _tensors(_FEATURES, files, path, lambda t: t["mask"].astype(np.bool_)),
        _tensors(_WEIGHTS, files, path, dict) or {},
        _tensors(_REGIONS, files, path, lambda t: _regions(t, manifest.regions)),
        files.get(DATA_FILE, b""),
        _prior(files, manifest, path),
        _tensors(_REFERENCE, files, path, lambda t: t["volume"].astype(np.float32)),
        _tensors(_READOUT, files, path, lambda t: PictureReadout(**t)),
    )


def _prior(files: Mapping[str, bytes], manifest: Manifest, path: Path) -> PriorPart | None:
    if manifest.prior is None:
        return None
    if _PRIOR not in files or _PRIOR_MEANS not in files:
        raise BundleError(f"{path} is said to have a prior and lacks its files. Train the bundle anew.")
    n_steps, model = manifest.prior.n_steps, files[_PRIOR]
    return _tensors(_PRIOR_MEANS, files, path, lambda t: PriorPart(model, n_steps, **t))


def _regions(labels: Mapping[str, npt.NDArray[Any]], names: Mapping[str, tuple[str, ...]]) -> Regions:
    return Regions({name: Atlas(labels[name].astype(np.int64), names[name]) for name in names})


def _tensors(
    name: str, files: Mapping[str, bytes], path: Path, make: Callable[[dict[str, npt.NDArray[Any]]], _Part]
) -> _Part | None:
    """Return what is made of a file of tensors, or None where the bundle has none of that name."""
    if name not in files:
        return None
    try:
        return make(load_tensors(files[name]))
    except Exception as error:
        raise BundleError(f"{name} in {path} cannot be read: {error}") from error
