"""The protocol that asks what is in the picture that was seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.candidates import Candidates
from decode_stream.decoders.decoded import unit_rows
from decode_stream.decoders.scoring.category_auc import CategoryClassifier, category_aucs, fit_categories
from decode_stream.decoders.scoring.intervals import LEAST_PICTURES, bootstrap_interval
from decode_stream.decoders.scoring.measured import Measured, Number
from decode_stream.stream.errors import UsageError
from decode_stream.stream.types import FloatArray, IntArray

from .evaluation import Evaluation, concept_of
from .measure_pictures import SINGLE, check_centres
from .showings import averaged_after, gives_likelihoods, whole_embeddings

__all__ = ["check_learner", "measure_categories"]

_MOST_NAMED = 5
_AVERAGED = "repeats averaged after the mapper"
#: Embeddings that are classified at once.
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class _Task:
    """What is told apart, and by which pictures that is learnt.

    Attributes
    ----------
    names : tuple of str
        Categories.
    pictures : array of int
        Gallery entries that were shown and whose categories are known.
    present : array of shape (n_pictures, n_categories), bool
    learnt : Candidates
        A gallery with other pictures.
    others : array of shape (n_others,), int
        Its entries that are learnt from.
    of_learnt : array of shape (n_others, n_categories), bool
    notes : tuple of str
    """

    names: tuple[str, ...]
    pictures: IntArray
    present: npt.NDArray[np.bool_]
    learnt: Candidates
    others: IntArray
    of_learnt: npt.NDArray[np.bool_]
    notes: tuple[str, ...]


def check_learner() -> None:
    """Refuse, before hours of work, to learn categories where what learns them is not installed.

    Raises
    ------
    UsageError
        If scikit-learn is not there.
    """
    if find_spec("sklearn") is None:
        raise UsageError(
            "categories needs scikit-learn, which is not installed. Install it: pip install 'decode-stream[train]'"
        )


def measure_categories(evaluation: Evaluation, says: str) -> Measured:
    """Score what a classifier of pictures' embeddings says of the decoded ones."""
    bundle = evaluation.bundle
    if bundle.manifest.space.of_categories or gives_likelihoods(bundle):
        what = "categories" if bundle.manifest.space.of_categories else "terms of a log-likelihood"
        raise UsageError(
            f"categories asks what is in a decoded embedding of a picture, and {bundle.manifest.name!r} gives {what}. "
            "Leave it out."
        )
    task = _task(evaluation)
    kinds = _kinds(evaluation, task, fit_categories(task.learnt, task.others, task.of_learnt))
    numbers, by_kind = [], dict[str, tuple[FloatArray, FloatArray]]()
    for words, scores, pictures in kinds:
        value, drawn = category_aucs(scores, task.present, pictures, seed=evaluation.seed)
        by_kind[words] = value, drawn
        told_of = np.isfinite(drawn).any(axis=1)
        low, high = bootstrap_interval(np.nanmean(drawn[told_of], axis=1))
        name = f"mean AUC of {len(task.names)} categories, {words}"
        numbers.append(Number(name, float(value.mean()), low, high, 0.5, len(task.pictures)))
    told = kinds[-2][0]
    counts = np.bincount(evaluation.truth)[task.pictures]
    return Measured(
        "categories",
        says,
        2,  # a picture with the category, and one without it
        f"1, and all: {counts.min()} to {counts.max()}" if len(kinds) > 2 else SINGLE,
        0.5,
        len(task.pictures),
        "bootstrap over pictures",
        (*numbers, *_each(task, *by_kind[told])),
        notes=(f"of single categories: {told}", *task.notes),
        details={
            "categories": {
                name: {
                    "pictures": int(task.present[:, i].sum()),
                    "learnt_from": int(task.of_learnt[:, i].sum()),
                    **{words: float(value[i]) for words, (value, _) in by_kind.items()},
                }
                for i, name in enumerate(task.names)
            }
        },
    )


def _kinds(
    evaluation: Evaluation, task: _Task, classifier: CategoryClassifier
) -> list[tuple[str, FloatArray, IntArray]]:
    """Return what is classified, the ceiling last: in words what it is, its scores, the row of the picture of each."""
    truth, bundle = evaluation.truth, evaluation.bundle
    trials, each = np.flatnonzero(np.isin(truth, task.pictures)), np.arange(len(task.pictures))
    groups = [np.flatnonzero(truth == picture) for picture in task.pictures]

    def scores(groups: Sequence[IntArray]) -> FloatArray:
        # A part at a time: thousands of trials of 257 tokens in double precision would be tens of gigabytes.
        parts = (groups[at : at + _AT_ONCE] for at in range(0, len(groups), _AT_ONCE))
        rows = (whole_embeddings(evaluation, averaged_after(evaluation, part)) for part in parts)
        return np.concatenate([classifier.scores(unit_rows(some, bundle.norm)) for some in rows])

    single = scores(list(trials[:, None]))
    kinds = [("single trials", single, np.searchsorted(task.pictures, truth[trials]))]
    if len(trials) > len(groups):
        kinds.append((_AVERAGED, scores(groups), each))
    shown = Candidates(bundle.gallery, bundle.norm)
    own = [
        classifier.scores(shown.block(task.pictures[at : at + _AT_ONCE]))
        for at in range(0, len(groups), _AT_ONCE)
    ]
    return [*kinds, ("of the pictures' own embeddings, the ceiling", np.concatenate(own), each)]


def _each(task: _Task, value: FloatArray, drawn: FloatArray) -> list[Number]:
    """Return the score of each category, those with the most pictures first."""
    counts = task.present.sum(axis=0)
    numbers = []
    for i in np.argsort(-counts, kind="stable"):
        low, high = bootstrap_interval(drawn[:, i])
        name = f"{task.names[i]} ({counts[i]} of {len(task.present)} pictures)"
        numbers.append(Number(name, float(value[i]), low, high, 0.5, len(task.present)))
    return numbers


def _concept(name: str) -> frozenset[str] | None:
    """Return the concept that a picture's name says, which is all that is known of what is in it."""
    return frozenset([concept_of(name)])


def _task(evaluation: Evaluation) -> _Task:
    """Return what can be told apart: categories with pictures enough among those shown and among others.

    Raises
    ------
    UsageError
        If there is nothing to learn from, or no category has enough pictures.
    """
    bundle, of = evaluation.bundle, evaluation.categories_of or _concept
    shown = np.unique(evaluation.truth)
    tested = [(int(i), kinds) for i in shown if (kinds := of(bundle.manifest.gallery[i])) is not None]
    learnt, n_learnt, others, source = _others(evaluation, shown)
    if not tested or not others:
        what = (
            "is known of the pictures shown" if not tested else f"is known of {n_learnt} others in {source}"
        )
        raise UsageError(
            f"categories: no category {what}. A classifier is learnt from pictures that the recordings do not show: "
            "give a bundle whose gallery holds some with --centres, and what is in them and in those shown with "
            "--categories, COCO's instances_*.json or a CSV file of picture,category."
        )
    every = sorted(set().union(*(kinds for _, kinds in (*tested, *others))))
    present, of_learnt = (
        np.array([[name in kinds for name in every] for _, kinds in part]).reshape(len(part), len(every))
        for part in (tested, others)
    )
    enough = np.all(
        [
            np.minimum(part.sum(axis=0), (~part).sum(axis=0)) >= LEAST_PICTURES
            for part in (present, of_learnt)
        ],
        axis=0,
    )
    if not enough.any():
        raise UsageError(
            f"categories: none of {len(every)} categories is in {LEAST_PICTURES} of the {len(tested)} pictures shown, "
            f"and out of as many, and so among the {len(others)} others ({source}). Give more pictures, or wider "
            "categories with --categories."
        )
    notes = [f"learnt from {len(others)} pictures of {source}, none of which the recordings show"]
    if left := [name for name, ok in zip(every, enough, strict=True) if not ok]:
        notes.append(
            f"left out, in fewer than {LEAST_PICTURES} pictures shown or learnt from: {len(left)} of {len(every)} "
            f"categories: {', '.join(left[:_MOST_NAMED])}{', ...' if len(left) > _MOST_NAMED else ''}"
        )
    for n, what in ((len(shown) - len(tested), "shown"), (n_learnt - len(others), "to learn from")):
        if n:
            notes.append(f"left out, of unknown categories: {n} of the pictures {what}")
    return _Task(
        tuple(np.array(every)[enough].tolist()),
        np.array([i for i, _ in tested], np.int64),
        present[:, enough],
        learnt,
        np.array([i for i, _ in others], np.int64),
        of_learnt[:, enough],
        tuple(notes),
    )


def _others(
    evaluation: Evaluation, shown: IntArray
) -> tuple[Candidates, int, Sequence[tuple[int, frozenset[str]]], str]:
    """Return a gallery, how many of its pictures were not shown, those with known categories, and whose it is."""
    bundle, of = evaluation.bundle, evaluation.categories_of or _concept
    other = bundle
    if evaluation.centres is not None:
        other = evaluation.centres
        check_centres(other, bundle)
    tested = {bundle.manifest.gallery[i] for i in shown}
    rows = [(i, name) for i, name in enumerate(other.manifest.gallery) if name not in tested]
    known = [(i, kinds) for i, name in rows if (kinds := of(name)) is not None]
    return Candidates(other.gallery, bundle.norm), len(rows), known, f"the gallery of {other.manifest.name!r}"
