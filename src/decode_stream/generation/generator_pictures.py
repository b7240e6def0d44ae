"""What an embedded generator learns from: the program's own scenes, or a folder of pictures with their embeddings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from decode_stream.decoders.distillation.flow_training import Drawn
from decode_stream.decoders.generation.condition import LayoutMap, PictureModel
from decode_stream.decoders.generation.picture_file import MOST_NUMBERS
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.targets.cache import Progress
from decode_stream.pictures.targets import objects_space
from decode_stream.replay_data.pictures.image_files import read_picture
from decode_stream.replay_data.pictures.image_folders import list_pictures
from decode_stream.replay_data.pictures.picture_space import picture_layout
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import IntArray

from .distillation_rows import conditions
from .object_scenes import ObjectScenes, scene_pictures
from .student_folder import picture_model

__all__ = ["FolderPictures", "GeneratorPictures", "folder_pictures", "own_scenes"]

_GRID = 8
_FEWEST = 100
#: A layout is told from an embedding by ridge regression, with this penalty in units of the embeddings' mean variance.
_PENALTY = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class GeneratorPictures:
    """Where pictures come from, and what they are before one is known.

    Attributes
    ----------
    source : ObjectScenes or FolderPictures
    model : PictureModel
    space : EmbeddingSpace
    words : str
        For people.
    side_px : int
    """

    source: "ObjectScenes | FolderPictures"
    model: PictureModel
    space: EmbeddingSpace
    words: str
    side_px: int


def own_scenes() -> GeneratorPictures:
    """Return the scenes of objects that come with the program, of 64 pixels a side."""
    scenes = ObjectScenes()
    words = "scenes of one or two of 200 drawn objects"
    return GeneratorPictures(scenes, scene_pictures(), objects_space(), words, scenes.side_px)


class FolderPictures:
    """Pictures that are held in memory, drawn at random.

    Parameters
    ----------
    pictures : array of shape (n, side, side, 3), uint8
    embeddings : array of shape (n, dimension), float32
    """

    def __init__(self, pictures: npt.NDArray[np.uint8], embeddings: npt.NDArray[np.float32]) -> None:
        self.pictures, self.embeddings = pictures, embeddings

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """Return n pictures with their embeddings."""
        return self._of(rng.integers(len(self.pictures), size=n))

    def some(self, n: int, rng: np.random.Generator) -> Drawn:
        """Return n different pictures, or all where there are no more."""
        return self._of(rng.permutation(len(self.pictures))[:n])

    def _of(self, rows: IntArray) -> Drawn:
        return Drawn(self.pictures[rows], self.embeddings[rows])


def folder_pictures(folder: Path, target: str | None, side_px: int, progress: Progress) -> GeneratorPictures:
    """Return a folder's pictures, their middle squares scaled to a side, with their embeddings.

    Where colours are is told from an embedding as well as a ridge regression does; what an embedding is, all of it is
    taken for what is seen.

    Parameters
    ----------
    target : str or None
        What embeds them, as ``--target``.
    progress : callable
        Is told how many pictures have their embedding.

    Raises
    ------
    UsageError
        If the folder is missing, has too few pictures, or the target cannot be had or has too many numbers.
    """
    told = conditions(folder, target, progress)
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of pictures, and a generator learns from pictures.")
    files = list_pictures(folder).pictures
    if len(files) < _FEWEST:
        raise UsageError(f"{folder} has {len(files)} pictures; a generator learns from {_FEWEST} or more.")
    if told.space.dimension > MOST_NUMBERS:
        raise UsageError(
            f"--target gives {told.space.dimension} numbers a picture; a belief over at most {MOST_NUMBERS} is drawn. "
            "Take the pooled embedding of the same encoder."
        )
    pictures = np.stack([_squared(read_picture(file.path), side_px) for file in files])
    model = picture_model(told.embeddings)
    start, stop = model.semantic
    layouts = np.stack([picture_layout(picture) for picture in pictures])
    return GeneratorPictures(
        FolderPictures(pictures, told.embeddings),
        PictureModel(model.mean, model.covariance, (start, stop), _layout_map(told.embeddings, layouts)),
        told.space,
        f"{len(pictures)} pictures of {folder.name}",
        side_px,
    )


def _squared(picture: npt.NDArray[np.uint8], side_px: int) -> npt.NDArray[np.uint8]:
    fitted = ImageOps.fit(Image.fromarray(picture), (side_px, side_px), Image.Resampling.LANCZOS)
    return np.asarray(fitted, np.uint8)


def _layout_map(embeddings: npt.NDArray[np.float32], layouts: npt.NDArray[np.float64]) -> LayoutMap:
    """Return what tells layouts (n, rows * columns * 3) from embeddings (n, dimension)."""
    mean, mean_layout = embeddings.mean(axis=0, dtype=np.float64), layouts.mean(axis=0)
    away = embeddings - mean
    gram = away.T @ away
    gram += _PENALTY * np.trace(gram) / len(gram) * np.eye(len(gram))
    weight = np.linalg.solve(gram, away.T @ (layouts - mean_layout)).T
    bias = mean_layout - weight @ mean
    return LayoutMap(weight.astype(np.float32), bias.astype(np.float32), _GRID, _GRID)
