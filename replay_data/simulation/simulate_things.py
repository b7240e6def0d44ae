"""Whole simulated subjects of THINGS-EEG2 and THINGS-MEG: their pictures, and every recording of every session.

The counts of ``full`` are the published ones (Gifford et al. 2022, NeuroImage 264:119754; Hebart et al. 2023, eLife
12:e82580); ``small`` has the same structure in a few minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from decode_stream.stream.stimuli import StimulusTable
from decode_stream.stream.types import IntArray

from .embedding_geometry import CLIP_GEOMETRY, LAYOUT_GEOMETRY, Geometry, draw_embeddings, join_parts
from .forward import ForwardModel
from .schedules import PictureSet, Spaced, Timing
from .simulate_run import simulate_run
from .simulated import SimulatedRecording
from .subjects import eeg_subject, meg_subject

__all__ = [
    "EEG_SCALES",
    "MEG_SCALES",
    "EegScale",
    "MegScale",
    "Scale",
    "simulate_things_eeg",
    "simulate_things_meg",
    "things_eeg_pictures",
    "things_meg_pictures",
]

Scale: TypeAlias = Literal["small", "full"]

#: Id of what is no picture of the set, targets and catch trials, as readers give it.
_NO_PICTURE = -1
#: Images of a THINGS concept that were shown once to each person, or in training.
_EEG_IMAGES, _MEG_IMAGES = 10, 12
_EEG_SPLIT_SESSIONS = 2  # a training image is shown in every other session


@dataclass(frozen=True, slots=True)
class EegScale:
    """Counts of a THINGS-EEG2 subject.

    Attributes
    ----------
    n_train_concepts, n_test_concepts : int
        Training concepts have ten images, those of the test one.
    n_sessions, n_parts : int
        Sessions, and training recordings of each.
    train_repeats, test_repeats : int
        Showings of an image within a session.
    """

    n_train_concepts: int
    n_test_concepts: int
    n_sessions: int
    n_parts: int
    train_repeats: int
    test_repeats: int


@dataclass(frozen=True, slots=True)
class MegScale:
    """Counts of a THINGS-MEG subject.

    Attributes
    ----------
    n_concepts, n_test_concepts : int
        Every concept has an image a session; the first image of some is the test's, shown in every session besides.
    n_sessions, n_runs : int
        Sessions, and recordings of each.
    n_catch : int
        Catch trials of a session.
    """

    n_concepts: int
    n_test_concepts: int
    n_sessions: int
    n_runs: int
    n_catch: int


EEG_SCALES: dict[Scale, EegScale] = {
    "small": EegScale(4, 5, 4, 1, 2, 20),
    "full": EegScale(1654, 200, 4, 5, 2, 20),
}
MEG_SCALES: dict[Scale, MegScale] = {
    "small": MegScale(6, 3, 12, 1, 1),
    "full": MegScale(1854, 200, 12, 10, 200),
}


def things_eeg_pictures(
    scale: EegScale, seed: int, *, meaning: Geometry = CLIP_GEOMETRY, concepts: Sequence[str] | None = None
) -> PictureSet:
    """Return drawn pictures that are numbered and named as those of THINGS-EEG2.

    Parameters
    ----------
    meaning : Geometry
        Of the dimensions that say what a picture means.
    concepts : sequence of str, optional
        Names of the concepts, training first; made up by default.

    Returns
    -------
    PictureSet
        Training images, test images and the target; the last has an embedding of its own.

    Raises
    ------
    ValueError
        If there are fewer names than concepts.
    """
    n_train, n_test = scale.n_train_concepts, scale.n_test_concepts
    names = _names(concepts, n_train + n_test)
    looks = _draw(((n_train, _EEG_IMAGES), (n_test, 1), (1, 1)), meaning, seed)
    rows = [
        (names[c], f"training_images/{c + 1:05d}_{names[c]}/{names[c]}_{k + 1:02d}s.jpg", "train")
        for c in range(n_train)
        for k in range(_EEG_IMAGES)
    ]
    rows += [
        (name, f"test_images/{c:05d}_{name}/{name}_01s.jpg", "test")
        for c, name in enumerate(names[n_train:], start=1)
    ]
    rows.append(("target", "", "target"))
    ids = [*range(1, n_train * _EEG_IMAGES + 1), *range(1, n_test + 1), _NO_PICTURE]
    return _picture_set(looks, ids, rows)


def things_meg_pictures(
    scale: MegScale, seed: int, *, meaning: Geometry = CLIP_GEOMETRY, concepts: Sequence[str] | None = None
) -> PictureSet:
    """Return drawn pictures that are numbered as THINGS numbers its images, 1-based concept after concept.

    Concepts of the test have an image more, their last. Parameters as for `things_eeg_pictures`; catch trials show one
    picture, which is no image of THINGS.
    """
    n, n_test = scale.n_concepts, scale.n_test_concepts
    names = _names(concepts, n)
    looks = _draw(((n, _MEG_IMAGES + 1), (1, 1)), meaning, seed)
    # Test concepts lie evenly among the others.
    tested = set(np.linspace(0, n - 1, n_test).round().astype(int).tolist())
    rows: list[tuple[str, str, str]] = []
    ids: list[int] = []
    kept: list[int] = []
    for c, name in enumerate(names):
        for k in range(_MEG_IMAGES + (c in tested)):
            kept.append(c * (_MEG_IMAGES + 1) + k)
            ids.append(len(ids) + 1)
            rows.append((name, f"{name}/{name}_{k + 1:02d}s.jpg", "test" if k == _MEG_IMAGES else "train"))
    rows.append(("catch", "", "catch"))
    return _picture_set(looks[[*kept, len(looks) - 1]], [*ids, _NO_PICTURE], rows)


def _names(concepts: Sequence[str] | None, n: int) -> Sequence[str]:
    if concepts is not None and len(concepts) < n:
        raise ValueError(f"{n} concepts need as many names; got {len(concepts)}.")
    return [f"concept{i:04d}" for i in range(1, n + 1)] if concepts is None else concepts[:n]


def _draw(shapes: Sequence[tuple[int, int]], meaning: Geometry, seed: int) -> np.ndarray:
    """Return embeddings of groups of (concepts, images of each), all in the same spaces."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2]))
    parts = []
    # Layout differs from image to image, whatever the concept.
    for geometry, within in ((LAYOUT_GEOMETRY, 1.0), (meaning, 0.4)):
        axes = np.linalg.qr(rng.standard_normal((geometry.n_dims, geometry.n_dims)))[0]
        drawn = [draw_embeddings(geometry, *shape, rng, within_concept=within, axes=axes) for shape in shapes]
        parts.append(np.concatenate(drawn))
    return join_parts(*parts)


def _picture_set(looks: np.ndarray, ids: Sequence[int], rows: Sequence[tuple[str, str, str]]) -> PictureSet:
    concept, image, split = (np.array(column) for column in zip(*rows, strict=True))
    table = StimulusTable(np.full(len(ids), -1), np.array(ids), concept, image, split)
    return PictureSet(looks, LAYOUT_GEOMETRY.n_dims, table)


def simulate_things_eeg(
    scale: Scale | EegScale = "small",
    *,
    seed: int = 0,
    subject: int = 1,
    pictures: PictureSet | None = None,
    forward: ForwardModel | None = None,
    timing: Timing | None = None,
) -> list[SimulatedRecording]:
    """Return every recording of a subject of THINGS-EEG2.

    Training images come in halves by concept: one half in odd sessions, the other in even ones. Sequences that would
    not be full are filled with images that come once more, as in the dataset.

    Parameters
    ----------
    scale : {"small", "full"} or EegScale
    seed : int
        Decides pictures and noise.
    subject : int
        Who it is, with the seed.
    pictures : PictureSet, optional
        With splits ``train``, ``test`` and ``target``; drawn by default.
    forward : ForwardModel, optional
        The subject; made by default.
    timing : Timing, optional

    Returns
    -------
    list of SimulatedRecording
        Session after session: the training parts, then the test. `stimuli` say which: session and split; run is the
        training part.
    """
    counts = EEG_SCALES[scale] if isinstance(scale, str) else scale
    timing = timing or Timing()
    pictures = pictures or things_eeg_pictures(counts, seed)
    forward = forward or eeg_subject(pictures.embeddings, pictures.n_layout, _mixed(seed, subject))
    train, test, target = (pictures.where(split) for split in ("train", "test", "target"))
    halves = np.array_split(train, _EEG_SPLIT_SESSIONS)
    recordings = []
    seen = np.zeros(len(pictures.embeddings), np.int64)
    for session in range(1, counts.n_sessions + 1):
        rng = np.random.default_rng(np.random.SeedSequence([seed, subject, 3, session]))
        half = halves[(session - 1) % _EEG_SPLIT_SESSIONS]
        order = _shuffled(half, counts.train_repeats, rng)
        blocks: list[tuple[str, int | None, IntArray]] = [
            (f"train_part-{k:02d}", k, part)
            for k, part in enumerate(np.array_split(order, counts.n_parts), start=1)
        ]
        blocks.append(("test", None, _shuffled(test, counts.test_repeats, rng)))
        for task, run, block in blocks:
            pool = test if run is None else half
            shown = _in_sequences(block, pool, target, timing, rng)
            recordings.append(
                simulate_run(
                    pictures,
                    forward,
                    shown,
                    timing=timing,
                    seed=_mixed(seed, subject, session, run or 0),
                    name=f"sub-{subject:02d}_ses-{session:02d}_task-{task}",
                    session=session,
                    run=run,
                    repeat=_repeats(shown, seen),
                )
            )
    return recordings


def simulate_things_meg(
    scale: Scale | MegScale = "small",
    *,
    seed: int = 0,
    subject: int = 1,
    pictures: PictureSet | None = None,
    forward: ForwardModel | None = None,
    timing: Spaced | None = None,
) -> list[SimulatedRecording]:
    """Return every recording of a subject of THINGS-MEG: run after run, session after session.

    Every session shows one image of each concept, all test images and catch trials, in random order over its runs.
    Parameters as for `simulate_things_eeg`; splits are ``train``, ``test`` and ``catch``.
    """
    counts = MEG_SCALES[scale] if isinstance(scale, str) else scale
    timing = timing or Spaced()
    pictures = pictures or things_meg_pictures(counts, seed)
    forward = forward or meg_subject(pictures.embeddings, pictures.n_layout, _mixed(seed, subject))
    train, test, catch = (pictures.where(split) for split in ("train", "test", "catch"))
    # Image k of every concept goes to session k.
    deal = np.arange(len(train)) % _MEG_IMAGES % counts.n_sessions
    recordings = []
    seen = np.zeros(len(pictures.embeddings), np.int64)
    for session in range(1, counts.n_sessions + 1):
        rng = np.random.default_rng(np.random.SeedSequence([seed, subject, 4, session]))
        order = rng.permutation(
            np.concatenate([train[deal == session - 1], test, np.repeat(catch[:1], counts.n_catch)])
        )
        for run, shown in enumerate(np.array_split(order, counts.n_runs), start=1):
            recordings.append(
                simulate_run(
                    pictures,
                    forward,
                    shown,
                    timing=timing,
                    seed=_mixed(seed, subject, session, run),
                    name=f"sub-BIGMEG{subject}_ses-{session:02d}_task-main_run-{run:02d}",
                    session=session,
                    run=run,
                    repeat=_repeats(shown, seen),
                )
            )
    return recordings


def _mixed(*numbers: int) -> int:
    """Return one seed made of several numbers, below 2^53, which JSON keeps."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(11))


def _shuffled(places: IntArray, n_repeats: int, rng: np.random.Generator) -> IntArray:
    """Return every picture `n_repeats` times: in shuffled rounds, none twice in a row."""
    rounds: list[IntArray] = []
    for _ in range(n_repeats):
        order = rng.permutation(places)
        if rounds and len(order) > 1 and order[0] == rounds[-1][-1]:
            order = np.roll(order, 1)
        rounds.append(order)
    return np.concatenate(rounds)


def _in_sequences(
    order: IntArray, pool: IntArray, target: IntArray, timing: Timing, rng: np.random.Generator
) -> IntArray:
    """Return full sequences that hold all of `order`, some with a target in the place of a picture."""
    shown: list[int] = []
    left = order.tolist()
    while left:
        n = timing.n_sequence
        at = int(rng.integers(n)) if len(target) and rng.random() < timing.target_share else None
        sequence, left = left[: n - (at is not None)], left[n - (at is not None) :]
        missing = n - (at is not None) - len(sequence)
        sequence += rng.choice(pool, missing, replace=missing > len(pool)).tolist()
        if at is not None:
            sequence.insert(at, int(target[0]))
        shown += sequence
    return np.array(shown, np.int64)


def _repeats(shown: IntArray, seen: IntArray) -> IntArray:
    """Return which showing each is, 1-based, and count it in `seen`."""
    repeat = np.empty(len(shown), np.int64)
    for i, picture in enumerate(shown):
        seen[picture] += 1
        repeat[i] = seen[picture]
    return repeat
