"""What `train` is given: recordings, whose they are, and what may be learnt of their pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.betas import training_betas
from decode_stream.config import TrainConfig, parse_events
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, category_gallery
from decode_stream.decoders.regions import Regions
from decode_stream.free_memory import free_bytes
from decode_stream.pictures.picture_embeddings import (
    PictureEmbeddings,
    look_for_pictures,
    picture_embeddings,
)
from decode_stream.pictures.targets import open_target
from decode_stream.replay_data.open import fingerprint, open_recording
from decode_stream.replay_data.subject import subject_of
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.fmri.glm_spec import GlmSpec
from decode_stream.stream.recording import Recording
from decode_stream.stream.types import IntArray
from decode_stream.voxel_regions import recording_regions

from .distinct import check_different, check_no_copies, distinct_names
from .nsd_split import training_parts, whole_recording

__all__ = ["TrainingSet", "open_training_set"]

_THUMBNAIL_PX = 96
#: How often the targets are in memory: all, and those that are trained on once some are held out.
_COPIES = 2


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Recordings to train on.

    Attributes
    ----------
    recordings : tuple of Recording
        One a run, of the subject that the decoder is for.
    names : tuple of str
        What to call each of them: its own name, and its folders where another has the same.
    fingerprints : tuple of str
        What tells each of them from others; then those of the other people's recordings.
    subject : str
        Whose they are; empty where nothing says it.
    others : dict of str to tuple of Recording
        Those of other people, to learn from first.
    gallery : Gallery
        Categories, or all pictures that may be trained on; without thumbnails.
    pictures : PictureEmbeddings or None
        Where the gallery is of pictures.
    path : Path
        Of the first of `recordings`.
    glm : GlmSpec or None
        How they were made from volumes, where they are betas that were.
    """

    recordings: tuple[Recording, ...]
    names: tuple[str, ...]
    fingerprints: tuple[str, ...]
    subject: str
    others: dict[str, tuple[Recording, ...]]
    gallery: Gallery
    pictures: PictureEmbeddings | None = None
    path: Path = Path()
    glm: GlmSpec | None = None

    def regions(self, channels: Sequence[str]) -> Regions | None:
        """Return the regions of some voxels of the subject, where the dataset tells them.

        Raises
        ------
        RecordingError
            If an atlas is damaged, or of another grid.
        """
        return recording_regions(self.path, whole_recording(self.recordings[0]), channels)

    def thumbnails(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return small PNGs of some of the pictures by name; of those that are here.

        Raises
        ------
        UsageError
            If a picture cannot be read.
        """
        if self.pictures is None:
            return {}
        rows = {name: row for row, name in enumerate(self.pictures.names)}
        made = {name: self.pictures.thumbnail(rows[name], _THUMBNAIL_PX) for name in names}
        return {name: png for name, png in made.items() if png is not None}


def open_training_set(
    paths: Sequence[Path],
    config: TrainConfig,
    progress: Callable[[int, int], None],
    check: Callable[[str, Sequence[Recording], Sequence[str], Gallery], None] | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> TrainingSet:
    """Open recordings, and make or fetch the embeddings of what they showed.

    Parameters
    ----------
    progress : callable
        Is told how many pictures have their embedding, and of how many.
    check : callable, optional
        May refuse the subject, their recordings, by the fingerprints as well, and the gallery's spaces before a
        picture is embedded: of a gallery of pictures it gets one that has no entry yet.
    report : callable
        Is told of each recording of which betas are made.

    Raises
    ------
    DecodeStreamError
        If a recording is given twice or cannot be read, or is of nobody that was asked for, or a picture is missing.
    """
    check_different(paths)
    recordings = [
        open_recording(path, marker_column=config.marker_column, mask=config.mask) for path in paths
    ]
    targets = [open_target(name) for name in (config.target, config.structure) if name is not None]
    if config.hrf is not None:
        # Betas take minutes, and there is no use for them without pictures.
        for target in targets:
            look_for_pictures(recordings, target, config.images, near=paths, captions=config.captions)
    # Before a split: what it leaves out was shown, and is part of the model that makes betas.
    recordings, glm = training_betas(recordings, config, report)
    if config.nsd_split is not None:
        paths, recordings = training_parts(paths, recordings, config.nsd_split, config.subject)
    fingerprints = [fingerprint(path) for path in paths]
    check_no_copies(paths, fingerprints)
    subjects = [subject_of(path) for path in paths]
    subject = _chosen_subject(subjects, config.subject)
    own = [i for i, name in enumerate(subjects) if name == subject]
    made = list[PictureEmbeddings]()
    if config.target is None:
        gallery = category_gallery(recordings, parse_events(config.events))
        spaces = []
    else:
        spaces = [target.space for target in targets]
    if check is not None:
        shown = _empty_gallery(*spaces) if spaces else gallery
        check(subject, [recordings[i] for i in own], [fingerprints[i] for i in own], shown)
    if spaces:
        made = [
            picture_embeddings(
                recordings,
                target,
                config.images,
                near=paths,
                captions=config.captions,
                progress=progress,
            )
            for target in targets
        ]
        gallery = _picture_gallery(recordings, *made)
    others = {
        name: tuple(recordings[i] for i, other in enumerate(subjects) if other == name)
        for name in dict.fromkeys(subjects)
        if name != subject
    }
    names = distinct_names([recording.name for recording in recordings], paths)
    return TrainingSet(
        tuple(recordings[i] for i in own),
        tuple(names[i] for i in own),
        tuple(fingerprints[i] for i in sorted(range(len(paths)), key=lambda i: i not in own)),
        subject,
        others,
        gallery,
        made[0] if made else None,
        paths[own[0]],
        glm,
    )


def _chosen_subject(subjects: Sequence[str], wanted: str | None) -> str:
    """Return whose decoder is trained."""
    found = list(dict.fromkeys(subjects))
    named = ", ".join(name or "(nobody named)" for name in found)
    if wanted is None:
        if len(found) > 1:
            raise UsageError(
                f"The recordings are of {len(found)} people: {named}. Say whose decoder it is to be with --subject: "
                "the others' recordings are learnt from first."
            )
        return found[0]
    if wanted not in found:
        raise UsageError(f"--subject is {wanted!r}; by their paths the recordings are of: {named}.")
    return wanted


def _empty_gallery(space: EmbeddingSpace, structure: EmbeddingSpace | None = None) -> Gallery:
    """Return a gallery whose pictures have no embeddings yet."""
    nothing = None if structure is None else np.empty((0, structure.dimension), np.float32)
    return Gallery((), np.empty((0, space.dimension), np.float32), space, {}, {}, (), nothing, structure)


def _picture_gallery(
    recordings: Sequence[Recording], pictures: PictureEmbeddings, structures: PictureEmbeddings | None = None
) -> Gallery:
    """Return all pictures that may be trained on: those of test sets, and of their concepts, are kept out.

    Parameters
    ----------
    pictures, structures : PictureEmbeddings
        Of the same recordings and so of the same pictures: for the first head, and for the second.

    Raises
    ------
    RecordingError
        If a recording shows test pictures alone, or a number stands for different pictures.
    """
    tested = _tested(recordings, pictures)
    shown, labels = set[int](), dict[str, int]()
    for recording, rows in zip(recordings, pictures.rows_by_recording, strict=True):
        mine = _labelled(recording, rows, tested)
        if not mine:
            raise RecordingError(
                f"{recording.name} shows no picture that may be trained on: its pictures are a test set's, or of its "
                "concepts. Leave it out here, and give it to decode-stream evaluate."
            )
        for label, row in mine.items():
            if labels.setdefault(label, row) != row:
                raise RecordingError(
                    f"Number {label} is {pictures.names[labels[label]]} in one recording and {pictures.names[row]} in "
                    f"{recording.name}. Train on recordings that number their pictures alike."
                )
            shown.add(row)
    places = np.array(sorted(shown), np.int64)
    names = tuple(pictures.names[i] for i in places)
    concepts = tuple(pictures.pictures[i].concept for i in places)
    return Gallery(
        names,
        _rows(pictures, places),
        pictures.space,
        {label: pictures.names[row] for label, row in labels.items()},
        {},
        concepts if all(concepts) else (),
        None if structures is None else _rows(structures, places),
        None if structures is None else structures.space,
        None if pictures.captions is None else pictures.captions.rows(places),
    )


def _rows(pictures: PictureEmbeddings, places: IntArray) -> npt.NDArray[np.float32]:
    """Return the embeddings of some pictures.

    Raises
    ------
    UsageError
        If they do not fit into the memory that is free.
    """
    dimension = pictures.space.dimension
    needed, free = _COPIES * 4 * len(places) * dimension, free_bytes()
    if free is not None and needed > free:
        raise UsageError(
            f"{len(places)} pictures of {dimension} numbers each take {needed / 1e9:.1f} GB in training, and "
            f"{free / 1e9:.1f} GB of memory are free. Give fewer recordings, or a smaller --target, such as the layer "
            "pooled."
        )
    return np.asarray(pictures.embeddings[places], np.float32)


def _tested(recordings: Sequence[Recording], pictures: PictureEmbeddings) -> set[int]:
    """Return the rows of pictures that are a test set's, or show one of its concepts.

    Where all that was shown is a test set, there is nothing else to train on, and nothing is kept out.
    """
    test, rest = set[int](), set[int]()
    for recording, rows in zip(recordings, pictures.rows_by_recording, strict=True):
        split = recording.stimuli.split
        for i, row in enumerate(rows.tolist()):
            if row >= 0:
                (test if split is not None and split[i] == "test" else rest).add(row)
    if not rest - test:
        return set()
    concepts = {pictures.pictures[row].concept for row in test} - {""}
    return test | {row for row in rest if pictures.pictures[row].concept in concepts}


def _labelled(recording: Recording, rows: IntArray, tested: set[int]) -> dict[str, int]:
    """Return the picture of every marker of a recording that may be trained on."""
    row_of_onset = dict(zip(recording.stimuli.onset.tolist(), rows.tolist(), strict=True))
    found = ((label, row_of_onset.get(onset, -1)) for onset, label in recording.markers)
    return {label: row for label, row in found if row >= 0 and row not in tested}
