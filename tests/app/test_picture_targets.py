"""Targets of networks, read from the galleries that hold them."""

import numpy as np
import pytest

from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery
from decode_stream.decoders.targets.captions import CaptionEmbeddings
from decode_stream.training.picture_targets import PictureTargets, TargetPart, of_gallery

RNG = np.random.default_rng(0)
EMBEDDINGS, HELD = (5 * RNG.standard_normal((n, 3)).astype(np.float32) for n in (4, 2))
STRUCTURE, HELD_STRUCTURE = (RNG.standard_normal((n, 2)).astype(np.float32) for n in (4, 2))


def gallery(captions: CaptionEmbeddings | None = None) -> Gallery:
    space = EmbeddingSpace("drawn", "at random", 3)
    return Gallery(("a", "b", "c", "d"), EMBEDDINGS, space, {}, {}, structure=STRUCTURE, captions=captions)


def test_rows_are_those_of_all_targets_side_by_side() -> None:
    targets = PictureTargets([of_gallery(gallery()), TargetPart(HELD, HELD_STRUCTURE)], unit=False)
    whole = np.block([[EMBEDDINGS, STRUCTURE], [HELD, HELD_STRUCTURE]])
    assert targets.shape == whole.shape
    assert len(targets) == 6
    places = np.array([5, 0, 0, 3, 4])
    assert (targets[places] == whole[places]).all()
    assert (targets[2:9] == whole[2:9]).all()
    assert targets[places].dtype == np.float32
    assert targets[places[:0]].shape == (0, 5)


def test_only_the_first_head_is_brought_to_unit_length() -> None:
    got = PictureTargets([of_gallery(gallery())], unit=True)[:]
    assert np.linalg.norm(got[:, :3], axis=1) == pytest.approx(1)
    assert (got[:, 3:] == STRUCTURE).all()


def test_each_caption_has_the_structure_of_its_picture() -> None:
    captions = CaptionEmbeddings(RNG.standard_normal((7, 3)).astype(np.float32), np.array([0, 2, 3, 6, 7]))
    got = PictureTargets([of_gallery(gallery(captions))], unit=False)[:]
    assert (got[:, :3] == captions.embeddings).all()
    assert (got[:, 3:] == STRUCTURE[[0, 0, 1, 2, 2, 2, 3]]).all()
