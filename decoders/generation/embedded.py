"""The embedded generator: a small network as ONNX, which needs neither PyTorch nor a graphics card."""

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.inference.providers import label
from decode_stream.decoders.inference.session import LastingSession
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.onnx_model import OnnxModel
from decode_stream.stream.errors import BundleError, GeneratorError

from .condition import Condition, PictureModel
from .embedded_files import EmbeddedParts, load_parts
from .generator import Pictures
from .nearest import NearestPictures, read_nearest
from .samplers import flow_map, sample, uniform_times
from .schedules import FlowSchedule

__all__ = ["EmbeddedGenerator", "load_embedded", "to_pixels"]


class EmbeddedGenerator:
    """Draws pictures by a network that tells the clean picture from a noisy one and a condition.

    The network takes ``x`` (n, 3, side, side), ``t`` and ``r`` (n,), ``semantic`` (n, semantic_dim), ``layout`` (n,
    rows, columns, 3) and ``open_share`` (n, 2), and gives ``clean`` (n, 3, side, side), -1 to 1; all float32. Schedule
    and sampler are those of flow maps: what it was taught is the end of the way that begins at x.

    Parameters
    ----------
    parts : EmbeddedParts
    provider : {"cpu", "auto", "tensorrt-engine", "tensorrt", "cuda"}
        What runs it; auto for the best that works. Where it is lost on the way, the CPU goes on with the same picture.

    Raises
    ------
    BundleError
        If the graph cannot be loaded or does not take and give what it should.
    UsageError
        If the provider is not to be had on this machine.
    """

    def __init__(self, parts: EmbeddedParts, provider: str = "cpu") -> None:
        self._parts = parts
        self._session = LastingSession(
            OnnxModel(parts.network), provider, what=f"the network of {self.name!r}"
        )
        try:
            nothing = self.pictures.condition(self.pictures.nothing())
            self.draw(nothing, self.noise(0), self.n_steps[0])
        except Exception as error:
            raise BundleError(f"The network of {self.name!r} cannot be run: {str(error)[:300]}") from error

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        return self._parts.manifest.name

    @property
    def space(self) -> EmbeddingSpace:
        """Where the embeddings lie that it draws."""
        return self._parts.manifest.space

    @property
    def pictures(self) -> PictureModel:
        """What it takes pictures to be before anything is decoded."""
        return self._parts.pictures

    @property
    def side_px(self) -> int:
        """Side of its pictures."""
        return self._parts.manifest.side_px

    @property
    def n_steps(self) -> tuple[int, ...]:
        """In how many steps it can draw, fewest first."""
        return self._parts.manifest.n_steps

    @property
    def provider(self) -> str:
        """What runs it."""
        return label(self._session.provider)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why better providers were passed over, and what else is worth telling of how its network was opened."""
        return self._session.notes

    @property
    def lost(self) -> str:
        """What happened where its provider was lost; else empty."""
        return self._session.lost

    def nearest_pictures(self) -> NearestPictures | None:
        """Return the pictures that it learnt from, where they are kept.

        Raises
        ------
        BundleError
            If they are damaged.
        """
        files = self._parts.nearest
        if not files:
            return None
        return read_nearest(lambda name: files[name], self.pictures.dimension, Path(self.name))

    def noise(self, seed: int, n: int = 1) -> npt.NDArray[np.float32]:
        """Return noise to draw n pictures from, shape (n, 3, side_px, side_px)."""
        shape = (n, 3, self.side_px, self.side_px)
        return np.random.default_rng(seed).standard_normal(shape, np.float32)

    def draw(self, condition: Condition, noise: npt.NDArray[np.float32], n_steps: int) -> Pictures:
        """Return the pictures of a condition; see `Generator.draw`."""
        if n_steps not in self.n_steps:
            raise ValueError(f"{self.name!r} draws in {self.n_steps} steps; got {n_steps}.")
        if len(noise) != len(condition):
            raise ValueError(f"{len(condition)} conditions need as many noises; got {len(noise)}.")
        denoiser = partial(self._clean, condition)
        clean = sample(flow_map, denoiser, FlowSchedule(), uniform_times(n_steps), noise)
        return to_pixels(clean)

    def _clean(
        self, condition: Condition, x: npt.NDArray[np.float32], t: float, r: float
    ) -> npt.NDArray[np.float32]:
        given = {
            "x": np.ascontiguousarray(x, np.float32),
            "t": np.full(len(x), t, np.float32),
            "r": np.full(len(x), r, np.float32),
            "semantic": condition.semantic,
            "layout": condition.layout,
            "open_share": condition.open_share,
        }
        try:
            (clean,) = self._session.run(given, ["clean"])
        except Exception as error:
            raise GeneratorError(f"{self.name!r} could not draw: {str(error)[:300]}") from error
        drawn: npt.NDArray[np.float32] = clean
        return drawn


def to_pixels(clean: npt.NDArray[np.float32]) -> Pictures:
    """Return pictures (n, 3, height, width), -1 to 1, as (n, height, width, 3), uint8.

    Raises
    ------
    GeneratorError
        If there are numbers that are not finite.
    """
    if not np.isfinite(clean).all():
        raise GeneratorError("What the generator drew has numbers that are not finite: it is no picture.")
    scaled = np.rint(np.clip((clean + 1) * 127.5, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(scaled.transpose(0, 2, 3, 1))


def load_embedded(path: Path, provider: str = "cpu") -> EmbeddedGenerator:
    """Return the embedded generator of a folder or .zip.

    Raises
    ------
    BundleError
        See `load_parts` and `EmbeddedGenerator`.
    UsageError
        If the provider is not to be had.
    """
    return EmbeddedGenerator(load_parts(path), provider)
