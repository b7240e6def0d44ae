"""What is held out is nowhere in what it is decoded by: recordings in turn, or parts of one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from decode_stream.decoders.calibration import fit_repeat_correlation
from decode_stream.decoders.cross_fit import N_PARTS, HeldOut, cross_fit
from decode_stream.decoders.design import design
from decode_stream.decoders.epochs import TrialSet
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.gallery_projector import GalleryProjector
from decode_stream.decoders.hold_out import fit_on_concepts, fit_on_runs
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Fit, Gallery, Recipe, Trained, category_gallery, cut, scaled
from decode_stream.decoders.trial_spec import TrialSpec
from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.parts import split
from decode_stream.stream.types import Channel

CHANNELS = (Channel("Oz", "eeg", "uV"), Channel("Pz", "eeg", "uV"))
SFREQ_HZ = 200.0


def block(n_trials: int = 30, soa: int = 60, start: int = 400, seed: int = 0) -> ArrayRecording:
    """Return a short block of two kinds of stimuli, faster than its trials are over."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((start + soa * n_trials + 300, 2))
    markers = tuple((start + soa * i, "ab"[i % 2]) for i in range(n_trials))
    return ArrayRecording(data, CHANNELS, SFREQ_HZ, markers, name=f"block-{seed}")


def recipe_of(recording: ArrayRecording, *, filtered: bool) -> Recipe:
    recipe = design([recording], "eeg", None, category_gallery([recording], None))
    chain = replace(recipe.chain, highpass_hz=0.1 if filtered else None, lowpass_hz=None, sfreq_hz=SFREQ_HZ)
    spec = TrialSpec(reject_peak=None)
    recipe = design([recording], "eeg", None, recipe.gallery, spec=replace(spec, sfreq_hz=SFREQ_HZ))
    return replace(recipe, chain=chain, window=replace(recipe.window, baseline_s=(-0.1, 0.0)))


class Watched:
    """A fit that learns nothing and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[TrialSet, Recipe]] = []

    def __call__(self, trials: TrialSet, recipe: Recipe, options: FitOptions) -> Trained:
        self.given.append((trials, recipe))
        return Trained(lambda windows, known: windows.mean(axis=-1), lambda windows: b"")


def parted(
    recording: ArrayRecording, report: Callable[[str], None] = lambda text: None
) -> tuple[Watched, HeldOut]:
    fit, recipe = Watched(), recipe_of(recording, filtered=False)
    held = cross_fit(recipe, [recording], fit, FitOptions(report=report), split(recording, N_PARTS))
    return fit, held


def test_nothing_of_a_held_out_part_reaches_its_fold() -> None:
    """Without filters, nothing of the trials of a part is in the scaling or the trials that it is decoded by."""
    whole = block()
    before, held = parted(whole)
    assert held.runs.tolist() == [i // 6 for i in range(30)]
    assert not held.scores.pictures
    lead, tail = before.given[0][1].reach
    assert (lead, tail) == (20, 120)
    for part in range(N_PARTS):
        changed = whole.data.copy()
        first, last = (400 + 60 * i for i in (6 * part, 6 * part + 5))
        changed[first - lead : last + tail] += 40.0
        after, _ = parted(replace(whole, data=changed))
        for fold, ((trials, recipe), (other, other_recipe)) in enumerate(
            zip(before.given, after.given, strict=True)
        ):
            same = recipe.chain == other_recipe.chain and np.array_equal(trials.windows, other.windows)
            assert same == (fold == part)


def test_trials_that_reach_across_a_border_are_counted() -> None:
    told: list[str] = []
    fit, _ = parted(block(), told.append)
    # A trial lasts 140 samples, its baseline included: two neighbours on either side share some of them.
    assert [len(trials.labels) for trials, _ in fit.given] == [24 - 2, 24 - 4, 24 - 4, 24 - 4, 24 - 2]
    assert told[:2] == [
        "leaving out 2 trials that share samples with part 1",
        "fitting without part 1 of 5 of block-0",
    ]
    told.clear()
    fit, _ = parted(block(soa=200), told.append)
    assert [len(trials.labels) for trials, _ in fit.given] == [24] * N_PARTS
    assert told[4] == "fitting without part 5 of 5 of block-0"


def test_trials_that_all_reach_into_what_is_held_out_are_the_reason_that_none_is_left() -> None:
    with pytest.raises(
        RecordingError, match=r"No trial is left without part 1 .*: sharing samples with what is"
    ):
        parted(block(n_trials=5, soa=25))


def test_filters_settle_once_in_a_block_that_is_split() -> None:
    """At 0.1 Hz they take 20 s: in each part of a block of one minute that would be all of it."""
    whole = block(n_trials=50, soa=240)
    recipe, fit = recipe_of(whole, filtered=True), Watched()
    fitted = fit_on_runs(recipe, [whole], fit, FitOptions())
    all_trials = cut(scaled(recipe, [whole]), [whole])
    assert np.array_equal(fitted.trials.windows, all_trials.windows)
    assert 30 < len(fitted.held_out.labels) == len(all_trials.labels) < 50
    assert np.unique(fitted.trials.runs).tolist() == list(range(N_PARTS))


def test_a_part_without_a_sound_trial_is_passed_over() -> None:
    whole = block()
    whole.data[400 + 60 * 6 : 400 + 60 * 12] = np.nan
    told: list[str] = []
    fit, held = parted(whole, told.append)
    assert np.unique(held.runs).tolist() == [0, 2, 3, 4]
    assert len(fit.given) == 4
    assert "part 2 of 5 of block-0 has no trial to hold out" in told


def test_recordings_without_a_sound_trial_are_refused() -> None:
    good, bad, worse = block(), block(seed=1), block(seed=2)
    for recording in (bad, worse):
        recording.data[300::40] = np.nan
    recipe = recipe_of(good, filtered=False)
    with pytest.raises(RecordingError, match=r"No trial is left without block-0: .*not finite.* cleaner"):
        cross_fit(recipe, [good, bad], Watched(), FitOptions())
    with pytest.raises(RecordingError, match=r"No trial is left in these recordings: .*not finite"):
        cross_fit(recipe, [bad, worse], Watched(), FitOptions())


def test_a_category_that_is_shown_in_one_run_alone_is_refused() -> None:
    first, second = block(), block(seed=1)
    first = replace(first, markers=tuple((at, "a") for at, _ in first.markers))
    recipe = design([first, second], "eeg", None, category_gallery([first, second], None))
    with pytest.raises(
        RecordingError, match=r"Without block-1 no trial of 'b' is left .* Mix the categories"
    ):
        cross_fit(recipe, [first, second], Watched(), FitOptions())
    assert cross_fit(replace(recipe, gallery=pictures_like(recipe)), [first, second], Watched(), FitOptions())


def pictures_like(recipe: Recipe) -> Gallery:
    """Return the gallery as one of embeddings, where new entries can be decoded."""
    return replace(recipe.gallery, space=EmbeddingSpace("m", "l", 2))


def weighing(rho: tuple[float, ...] | None) -> Fit:
    """Return a fit of an encoder that tells means, whose showings are weighed."""
    told = None if rho is None else np.array(rho, np.float32)
    projector = GalleryProjector(
        np.eye(2, dtype=np.float32), np.zeros(2, np.float32), gaussian=True, rho=told
    )

    def embed(windows: np.ndarray, known: bool) -> np.ndarray:
        means = windows.mean(axis=-1)
        return np.concatenate([means, np.full((*means.shape[:2], 1), 0.2)], axis=-1)

    return lambda trials, recipe, options: Trained(embed, lambda windows: b"", projector=projector)


def test_repeats_of_held_out_runs_are_weighed_as_a_session_weighs_them() -> None:
    recording = block()
    recipe = recipe_of(recording, filtered=False)
    plain, held = (
        cross_fit(recipe, [recording], weighing(rho), FitOptions(), split(recording, N_PARTS))
        for rho in (None, (0.5, 0.0))
    )
    assert plain.of_showings == {}
    assert list(held.of_showings) == [2, 4, 8]
    assert 8 <= np.bincount(held.labels).max() < 16
    # Entries at right angles: 0.2 of half a square is taken off each number, and weighed with it.
    np.testing.assert_array_equal(held.known, plain.known)
    np.testing.assert_allclose(held.of_showings[4], held.known / [1 + 3 * 0.5, 1], atol=1e-6)
    some = held.labels == 0
    np.testing.assert_array_equal(held.where(some).of_showings[2], held.of_showings[2][some])
    calibration = held.calibration()
    said = {n: calibration.log_evidence(fits) for n, fits in held.of_showings.items()}
    again = fit_repeat_correlation(calibration, calibration.log_evidence(held.known), held.labels, said)
    assert calibration.repeat_correlation == again.repeat_correlation


def test_repeats_of_held_out_concepts_are_weighed_as_a_session_weighs_them() -> None:
    recording = block(n_trials=120)
    recording = replace(
        recording, markers=tuple((at, str(i % 8)) for i, (at, _) in enumerate(recording.markers))
    )
    recipe = recipe_of(recording, filtered=False)
    names = recipe.gallery.names
    looks = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)
    recipe = replace(recipe, gallery=Gallery(names, looks, EmbeddingSpace("m", "l", 2), {}, {}))
    held = fit_on_concepts(recipe, [recording], weighing((0.5, 0.0)), FitOptions()).held_out
    assert list(held.of_showings) == [2, 4, 8]
    assert 8 <= np.bincount(held.labels).max() < 16
    assert held.of_showings[8].shape == held.known.shape == (*held.known.shape[:2], 2)
    assert held.calibration().repeat_correlation is not None
