"""The embedding of what each label stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.pictures.picture_embeddings import picture_embeddings
from decode_stream.pictures.targets import open_target
from decode_stream.stream.errors import RecordingError, UsageError
from decode_stream.stream.recording import Recording

__all__ = ["LabelEmbeddings", "category_embeddings", "target_embeddings"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelEmbeddings:
    """Embeddings of the pictures or categories that labels stand for.

    Attributes
    ----------
    embeddings : array of shape (n_labels, dimension), float32
    known : array of shape (n_labels,), bool
        Whether a label stands for any; embeddings of others are zero.
    space : EmbeddingSpace or None
        None for categories.
    """

    embeddings: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    space: EmbeddingSpace | None = None


def category_embeddings(labels: Sequence[str]) -> LabelEmbeddings:
    """Return each label as a category, all at right angles.

    Raises
    ------
    UsageError
        If there are fewer than two.
    """
    if len(labels) < 2:
        raise UsageError(
            f"An encoding model needs two categories at least; the markers name {len(labels)}. Name the codes with "
            "--events CODE=NAME,..., or give pictures an embedding with --target."
        )
    return LabelEmbeddings(np.eye(len(labels), dtype=np.float32), np.ones(len(labels), dtype=np.bool_))


def target_embeddings(
    recordings: Sequence[Recording],
    labels: Sequence[str],
    target: str,
    images: Path | None,
    captions: Path | None,
    near: Sequence[Path],
) -> LabelEmbeddings:
    """Return the embedding of the picture that each label stands for.

    Parameters
    ----------
    target, images, captions
        As in ``decode-stream train``.
    near : sequence of Path
        The recordings' files, where pictures are looked for.

    Raises
    ------
    DecodeStreamError
        If a picture or its embedding is missing, or a label stands for different pictures.
    """
    made = picture_embeddings(recordings, open_target(target), images, near=near, captions=captions)
    row_of = dict[str, int]()
    for recording, rows in zip(recordings, made.rows_by_recording, strict=True):
        of_onset = dict(zip(recording.stimuli.onset.tolist(), rows.tolist(), strict=True))
        for onset, label in recording.markers:
            row = of_onset.get(onset, -1)
            if row >= 0 and row_of.setdefault(label, row) != row:
                raise RecordingError(
                    f"Number {label} is {made.names[row_of[label]]} in one recording and {made.names[row]} in "
                    f"{recording.name}. Give recordings that number their pictures alike."
                )
    known = np.array([label in row_of for label in labels])
    embeddings = np.zeros((len(labels), made.space.dimension), np.float32)
    embeddings[known] = made.embeddings[[row_of[label] for label in labels if label in row_of]]
    return LabelEmbeddings(embeddings, known, made.space)
