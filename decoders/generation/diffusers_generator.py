"""Pictures by pipelines of diffusers, on a GPU or on the CPU: the other back-end beside the embedded one.

The networks are diffusers'; the schedule, the denoiser and the sampler are those of every generator here. So noise is
given and not drawn, all steps of a picture are one CUDA graph, and the same belief gives the same picture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from decode_stream.decoders.inference.nvidia import no_gpu
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.stream.errors import BundleError, GeneratorError, UsageError

from .condition import Condition, PictureModel
from .diffusers_conditions import embeddings_told
from .diffusers_drawing import Drawing, guidance_scale
from .diffusers_files import PipelineFile, inside, read_pipeline_file
from .diffusers_graph import captured
from .diffusers_pipelines import Networks, load_networks
from .diffusers_recipes import FAMILIES
from .diffusers_weights import needs_diffusers
from .generator import Pictures
from .picture_file import unpack_pictures

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DiffusersGenerator", "load_diffusers"]

_PROVIDERS = ("cpu", "cuda")


def load_diffusers(folder: str | Path, provider: str = "cpu") -> "DiffusersGenerator":
    """Return the generator of a folder whose `generator.json` names diffusers as its back-end.

    Parameters
    ----------
    folder : path
    provider : {"cpu", "cuda", "auto"}
        On CUDA the networks are float16, and all steps of a picture are one CUDA graph; auto for CUDA where PyTorch has
        it.

    Raises
    ------
    BundleError
        If something is missing, pickled, unreadable, or does not fit the rest.
    UsageError
        If diffusers or the provider is not to be had on this machine.
    """
    folder = Path(folder)
    if provider not in (*_PROVIDERS, "auto"):
        raise UsageError(f"A generator of diffusers runs on {' or '.join(_PROVIDERS)}, not on {provider!r}.")
    said = read_pipeline_file(folder)
    with needs_diffusers():
        import torch
    notes: tuple[str, ...] = ()
    if provider == "auto":
        provider = "cuda" if torch.cuda.is_available() else "cpu"
        if provider == "cpu":
            notes = (f"{no_gpu() or 'PyTorch finds no CUDA device'}, so it runs on the CPU",)
    if provider == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "PyTorch finds no CUDA device here. Give --provider cpu, or see decode-stream doctor."
        )
    path = inside(folder, said.pictures)
    data = path.read_bytes()
    pictures = unpack_pictures(data, path)
    neutral = load(data).get("neutral")
    networks = load_networks(folder, said, half=provider == "cuda")
    return DiffusersGenerator(said, networks, pictures, neutral, provider, notes)


class DiffusersGenerator:
    """Draws by the networks of a pipeline; see the protocol `Generator`.

    Parameters
    ----------
    said : PipelineFile
        How.
    networks : Networks
        By what; they are moved to the device.
    pictures : PictureModel
        In embeddings of `said.space`.
    neutral : array of shape (dimension,), float32, or None
        Kandinsky, where it is guided: the embedding of a picture without content.
    provider : {"cpu", "cuda"}
    notes : tuple of str
        Why it is not a better one, where that is worth telling.

    Raises
    ------
    BundleError
        If the embeddings are not those that the networks take, or the side does not suit them.
    """

    def __init__(
        self,
        said: PipelineFile,
        networks: Networks,
        pictures: PictureModel,
        neutral: npt.NDArray[np.float32] | None = None,
        provider: str = "cpu",
        notes: tuple[str, ...] = (),
    ) -> None:
        #: A device that fails stays lost: on the CPU a pipeline takes minutes a picture.
        self.lost = ""
        self.notes = notes
        _check(said, networks, pictures, neutral)
        self._said, self._networks, self._pictures = said, networks, pictures
        self._device = provider
        self._drawing = Drawing(said, networks, neutral, provider)
        self._graphs: dict[tuple[int, int], Callable[..., tuple[Tensor, ...]]] = {}

    @property
    def name(self) -> str:
        """What it is."""
        return self._said.name

    @property
    def space(self) -> EmbeddingSpace:
        """Where its embeddings lie."""
        return self._said.space

    @property
    def pictures(self) -> PictureModel:
        """What it takes pictures to be before anything is decoded."""
        return self._pictures

    @property
    def side_px(self) -> int:
        """Side of its pictures."""
        return self._said.side_px

    @property
    def n_steps(self) -> tuple[int, ...]:
        """In how many steps it can draw, fewest first."""
        return self._said.n_steps

    @property
    def provider(self) -> str:
        """What runs it."""
        return self._device.upper()

    @property
    def said(self) -> PipelineFile:
        """How it draws."""
        return self._said

    @property
    def drawing(self) -> Drawing:
        """The networks at work."""
        return self._drawing

    @property
    def networks(self) -> Networks:
        """What it draws by."""
        return self._networks

    def noise(self, seed: int, n: int = 1) -> npt.NDArray[np.float32]:
        """Return noise to draw n pictures from.

        Returns
        -------
        array of shape (n, 1 + renewals, channels, height, width), float32
            Latents to begin with, and those that a sampler which renews noise takes on the way.
        """
        shape = (n, *self._drawing.noise_shape)
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)

    def draw(self, condition: Condition, noise: npt.NDArray[np.float32], n_steps: int) -> Pictures:
        """Return the pictures of a condition.

        Parameters
        ----------
        condition : Condition
            Of n pictures.
        noise : array of shape (n, 1 + renewals, channels, height, width), float32
            From `noise`.
        n_steps : int
            One of those it can.

        Returns
        -------
        array of shape (n, side_px, side_px, 3), uint8
            RGB.

        Raises
        ------
        ValueError
            If the condition or the noise does not fit the generator.
        GeneratorError
            If what it drew is no picture (numbers that are not finite), or the device failed.
        """
        import torch

        start, stop = self._pictures.semantic
        shapes = (condition.semantic.shape, noise.shape)
        if n_steps not in self.n_steps or shapes != (
            (len(noise), stop - start),
            (len(noise), *self._drawing.noise_shape),
        ):
            raise ValueError(
                f"{self.name} draws in {self.n_steps} steps from embeddings of {stop - start} numbers and noise "
                f"{self._drawing.noise_shape}; got {n_steps} steps, embeddings {shapes[0]} and noise {shapes[1]}."
            )
        means = condition.semantic + self._pictures.mean[start:stop]
        told = embeddings_told(
            self._networks, means * np.float32(self._said.embedding_scale), condition.open_share[:, 0]
        )
        layout = torch.from_numpy(condition.layout).movedim(-1, 1)
        try:
            with torch.inference_mode():
                pictures, finite = self._run(n_steps, (torch.from_numpy(noise), told, layout))
                drawn: Pictures = pictures.cpu().numpy()
                is_picture = bool(finite)
        except RuntimeError as error:
            # The errors of devices, memory that is exhausted among them, are of this class.
            words = str(error).strip().splitlines()
            raise GeneratorError(
                f"{self.name} could not draw: {words[0][:300] if words else 'the device failed.'}"
            ) from error
        if not is_picture:
            raise GeneratorError(f"{self.name} drew numbers that are not finite, which is no picture.")
        return drawn

    def _run(self, n_steps: int, inputs: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
        if self._device == "cpu":
            return self._drawing.paint(n_steps, *inputs)
        key = (n_steps, len(inputs[0]))
        if key not in self._graphs:
            there = [value.to(self._device) for value in inputs]
            self._graphs[key] = captured(lambda *values: self._drawing.paint(n_steps, *values), there)
        return self._graphs[key](*inputs)


def _check(
    said: PipelineFile, networks: Networks, pictures: PictureModel, neutral: npt.NDArray[np.float32] | None
) -> None:
    """Refuse embeddings that are not those that the networks take, and a side that does not suit them."""
    start, stop = pictures.semantic
    if pictures.dimension != said.space.dimension:
        raise BundleError(
            f"{said.name} is for a space of {said.space.dimension} numbers ({said.space.model}), and {said.pictures} "
            f"is of pictures with {pictures.dimension}. Make it of embeddings of that space."
        )
    if stop - start != networks.takes:
        by = said.adapter or said.pipeline
        raise BundleError(
            f"{said.name} would be told embeddings of {stop - start} numbers ({said.space.model}), and {by} takes "
            f"{networks.takes}: it was made for another image encoder. Of CLIP's, ViT-L/14 gives 768, ViT-H/14 1024, "
            "ViT-bigG/14 1280."
        )
    guided = FAMILIES[networks.family].conditioned == "image" and guidance_scale(said, networks) > 1
    if guided and (neutral is None or neutral.shape != (networks.takes,)):
        raise BundleError(
            f'{said.pictures} lacks "neutral", the embedding of a picture without content, of {networks.takes} '
            "numbers, which Kandinsky is guided away from. Put it there, or set guidance to 1."
        )
    least = networks.latent_scale * 2 ** (len(networks.unet.config.block_out_channels) - 1)
    if said.side_px % least:
        raise BundleError(
            f"{said.name} draws {said.side_px} px a side; these networks need a multiple of {least}."
        )
