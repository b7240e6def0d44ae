"""Concepts that are held out, and sets of trials laid one after the other."""

from collections import Counter

import numpy as np
import pytest

from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.hold_out import split_concepts
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery
from decode_stream.stream.errors import RecordingError


def gallery_of(concepts: tuple[str, ...]) -> Gallery:
    n = len(concepts)
    names = tuple(f"picture {i}" for i in range(n))
    labels = {str(i): name for i, name in enumerate(names)}
    embeddings = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    return Gallery(names, embeddings, EmbeddingSpace("m", "l", 2), labels, {}, concepts)


def test_whole_concepts_are_held_out() -> None:
    gallery = gallery_of(tuple(f"concept {i // 5}" for i in range(500)))
    kept, out = split_concepts(gallery, seed=1)
    assert sorted([*kept, *out]) == list(range(500))
    assert len(out) == 25  # 5 of 100 concepts
    assert not {gallery.concepts[i] for i in kept} & {gallery.concepts[i] for i in out}
    assert np.array_equal(split_concepts(gallery, seed=1)[1], out)
    assert not np.array_equal(split_concepts(gallery, seed=2)[1], out)


def test_pictures_without_concepts_are_concepts_of_their_own() -> None:
    names = gallery_of(tuple("x" for _ in range(40)))
    _, out = split_concepts(Gallery(names.names, names.embeddings, names.space, names.labels, {}), seed=0)
    assert len(out) == 2


def test_too_few_concepts_cannot_be_split() -> None:
    with pytest.raises(RecordingError, match=r"show 3 concepts.*--protocol runs"):
        split_concepts(gallery_of(("a", "b", "c", "a")), seed=0)


def test_rows_of_a_gallery_keep_their_labels_and_concepts() -> None:
    some = gallery_of(("a", "b", "c")).rows(np.array([2, 0]))
    assert some.names == ("picture 2", "picture 0")
    assert some.stimuli() == {"picture 2": 0, "picture 0": 1, "2": 0, "0": 1}
    assert some.concepts == ("c", "a")
    assert some.embeddings.tolist() == [[4, 5], [0, 1]]


def test_sets_of_trials_are_joined_with_their_runs_numbered_on() -> None:
    rng = np.random.default_rng(0)
    windows = [rng.standard_normal((n, 2, 3, 4)).astype(np.float32) for n in (3, 300)]
    runs = [np.array([0, 0, 1]), np.repeat([0, 2], 150)]
    sets = [
        TrialSet(w, np.arange(len(w)), r, Counter(artefact=1), overlapping=i == 1)
        for i, (w, r) in enumerate(zip(windows, runs, strict=True))
    ]
    joined = TrialSet.joined(sets)
    np.testing.assert_array_equal(joined.windows, np.concatenate(windows))
    assert joined.labels.tolist() == [0, 1, 2, *range(300)]
    assert joined.runs.tolist() == [0, 0, 1, *[2] * 150, *[4] * 150]
    assert joined.left_out == Counter(artefact=2)
    assert joined.overlapping
    some = joined.where(joined.runs == 4)
    np.testing.assert_array_equal(some.windows, windows[1][150:])
    assert joined.people is not None
    assert some.people is not None
    assert joined.people.tolist() == [0] * 3 + [1] * 300
    assert some.people.tolist() == [1] * 150
