"""What simulated subjects watch: scenes of objects, named as folders of a dataset are."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.progress import track

from decode_stream.replay_data.pictures.picture_space import picture_space, scene_embedding
from decode_stream.replay_data.pictures.scenes import Scene, compose, concept_name, draw_scenes
from decode_stream.replay_data.simulation.embedding_geometry import CLIP_GEOMETRY, Geometry, geometry_of
from decode_stream.replay_data.simulation.schedules import PictureSet
from decode_stream.replay_data.simulation.simulated import SimulatedRecording
from decode_stream.replay_data.simulation.simulation_files import save_simulation
from decode_stream.stream.errors import UsageError

__all__ = [
    "as_scenes",
    "concept_names",
    "meaning_geometry",
    "save_simulations",
    "write_scenes",
]

#: Side of the pictures that are written.
_SIDE_PX = 128


def meaning_geometry(path: Path | None) -> Geometry:
    """Return how the embeddings of pictures lie: as in CLIP, or as those in a file do.

    Parameters
    ----------
    path : Path or None
        ``.npy`` of shape (n, n_dims), or with more axes between.

    Raises
    ------
    UsageError
        If the file holds no such array.
    """
    if path is None:
        return CLIP_GEOMETRY
    try:
        given: npt.NDArray[np.float64] = np.load(path, allow_pickle=False).astype(np.float64)
        return geometry_of(given.reshape(len(given), -1))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"--embeddings {path} cannot be taken: {error}. Give a .npy of shape (pictures, dimensions), finite."
        ) from error


def concept_names(n: int) -> list[str]:
    """Return the names of the first concepts, as folders are called: ``apple``, ``tiger_and_cactus``."""
    return [concept_name(i).replace(" ", "_") for i in range(n)]


def as_scenes(drawn: PictureSet, names: list[str], seed: int) -> tuple[PictureSet, tuple[Scene, ...]]:
    """Return a picture set whose pictures are composed scenes of its concepts, and the scenes.

    Parameters
    ----------
    drawn : PictureSet
        Its table says which concept each picture shows; one that `names` lacks is shown as one more.
    names : list of str
        The concepts, as `concept_names` gives them.
    """
    assert drawn.table.concept is not None
    place = {name: i for i, name in enumerate(names)}
    scenes = draw_scenes(
        len(drawn.table), seed, [place.get(name, len(names)) for name in drawn.table.concept]
    )
    embeddings = np.stack([scene_embedding(scene) for scene in track(scenes, "composing", transient=True)])
    return replace(drawn, embeddings=embeddings, n_layout=len(picture_space().layout_axes)), scenes


def save_simulations(recordings: Sequence[SimulatedRecording], out: Path) -> None:
    """Write the subject as arrays, and each recording so that it can be generated anew, in ``simulation/``."""
    for recording in recordings:
        save_simulation(recording, out / "simulation" / f"{recording.name}.simulation.json")


def write_scenes(scenes: Iterable[Scene], paths: Iterable[Path]) -> int:
    """Write scenes as JPEG; returns how many."""
    n = 0
    for scene, path in zip(scenes, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(compose(scene, _SIDE_PX)).save(path, quality=90)
        n += 1
    return n
