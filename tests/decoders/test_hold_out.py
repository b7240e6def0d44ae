"""Concepts that are held out, other people to begin with, and sets of trials laid one after the other."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from decode_stream.decoders.design import design
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.hold_out import fit_on_concepts, fit_others, split_concepts
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery, Recipe, Trained
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import Channel


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


CHANNELS = (Channel("Oz", "eeg", "uV"), Channel("Pz", "eeg", "uV"))


def recording(seed: int, gallery: Gallery, size: float = 1.0) -> ArrayRecording:
    """Return a run that shows every picture once: the first number of its structure lifts the first channel."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(gallery.names))
    data = 0.5 * rng.standard_normal((4000 + 160 * len(order), 2))
    assert gallery.structure is not None
    for place, picture in enumerate(order):
        onset = 3000 + 160 * place
        data[onset + 10 : onset + 20, 0] += gallery.structure[picture, 0]
        data[onset + 20 : onset + 30, 0] -= gallery.structure[picture, 0]
    markers = tuple((3000 + 160 * place, gallery.names[picture]) for place, picture in enumerate(order))
    return ArrayRecording(size * data, CHANNELS, 200.0, markers, name=f"run-{seed}")


def pictures_of_concepts() -> Gallery:
    """Return forty pictures of ten concepts, with a structure of four numbers."""
    structure = np.random.default_rng(3).uniform(-1, 1, (40, 4)).astype(np.float32)
    return replace(gallery_of(tuple(f"concept {i // 4}" for i in range(40))), structure=structure)


class Watched:
    """A fit that learns nothing, and keeps what it was given."""

    def __call__(self, trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
        self.trials, self.recipe, self.options = trials, recipe, options

        def structure(windows: np.ndarray) -> np.ndarray:
            lifted = windows[:, 2, 0, 1:6].mean(axis=1)
            return np.stack([lifted, *np.random.default_rng(0).standard_normal((3, len(windows)))], axis=1)

        return Trained(
            lambda windows, known: windows[..., 0, :2],
            lambda windows: b"",
            {"weight": np.ones(1)},
            structure=structure,
        )


def test_a_held_out_concept_is_only_chosen_and_calibrated_by() -> None:
    gallery, fit = pictures_of_concepts(), Watched()
    runs = [recording(seed, gallery) for seed in range(3)]
    fitted = fit_on_concepts(design(runs, "eeg", None, gallery), runs, fit, FitOptions(seed=4))
    kept, out = split_concepts(gallery, seed=4)
    assert fit.recipe.gallery.names == tuple(gallery.names[i] for i in kept)
    assert len(fit.trials.labels) == 3 * len(kept)
    valid = fit.options.valid
    assert valid is not None
    assert len(valid.trials.labels) == 3 * len(out) == 24
    np.testing.assert_array_equal(valid.embeddings, gallery.embeddings[out])
    # Labels count within each part: what lifts the channel is the structure of the picture they name.
    assert gallery.structure is not None
    for trials, places in ((fit.trials, kept), (valid.trials, out)):
        lifted = trials.windows[:, 2, 0, 1:6].mean(axis=1)
        assert np.corrcoef(lifted, gallery.structure[places[trials.labels], 0])[0, 1] > 0.8
    assert fitted.recipe.gallery.names == tuple(gallery.names[i] for i in out)
    np.testing.assert_array_equal(fitted.held_out.labels, valid.trials.labels)
    assert fitted.features is not None
    assert fitted.features.tolist() == [True, False, False, False]
    # What outputs tell of pictures is measured on what was held out, and on nothing else.
    assert fitted.held_out.outputs is not None
    np.testing.assert_array_equal(fitted.held_out.outputs, valid.trials.windows[..., 0, :2])
    readout = fitted.readout(fitted.held_out.calibration())
    assert readout is not None
    assert (readout.dimension, readout.n_latencies) == (2, fitted.recipe.n_latencies)


def test_trials_that_cannot_be_cut_are_counted_of_everybody() -> None:
    gallery, fit, told = pictures_of_concepts(), Watched(), list[str]()
    runs = [recording(seed, gallery) for seed in range(3)]
    recipe, options = design(runs, "eeg", None, gallery), FitOptions(seed=4, report=told.append)
    assert fit_on_concepts(recipe, runs, fit, options).left_out == Counter()
    for onset in (3000, 3000 + 160 * 7):
        runs[2].data[onset + 5] = np.nan
    (n,) = {sum(fit_on_concepts(recipe, runs, fit, options).left_out.values())}
    assert n >= 2
    told.clear()
    others = {"sub-01": runs[:2], "sub-02": runs[2:]}
    fit_others(dict.fromkeys(others, recipe), others, fit, options)
    assert told[:2] == ["reading sub-01", "reading sub-02"]
    assert told[2] == f"sub-02: {40 - n} trials read; left out or held out: {n} not finite"
    assert len(told) == 4


def test_other_people_are_scaled_each_by_themselves_and_told_apart() -> None:
    gallery, fit = pictures_of_concepts(), Watched()
    others = {
        "sub-01": [recording(0, gallery)],
        "sub-02": [recording(1, gallery, 50.0), recording(2, gallery, 50.0)],
    }
    recipe = design(others["sub-01"], "eeg", None, gallery)
    start = fit_others(dict.fromkeys(others, recipe), others, fit, FitOptions())
    assert start.weights is not None
    assert start.weights["weight"].tolist() == [1.0]
    assert fit.trials.people is not None
    assert fit.trials.people.tolist() == [0] * 40 + [1] * 80
    assert fit.trials.runs.tolist() == [0] * 40 + [1] * 40 + [2] * 40
    assert fit.options.valid is None
    spreads = [fit.trials.windows[fit.trials.people == person].std() for person in (0, 1)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.2)
