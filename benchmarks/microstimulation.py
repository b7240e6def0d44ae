"""Whether silencing and raising regions finds the one that carries what was planted, and encoding models the ceiling.

``python -m benchmarks.microstimulation [--people N] [--figure PNG]``. Each simulated person, in NSD's design, has a
region of its own that alone answers to one direction of the embedding. A ridge decoder learns from the betas of all
regions, knows of none, and is asked of held-out pictures with each region silent, raised as a whole by one training
standard deviation, and with half of its voxels raised, drawn 50 times. Printed is how often the planted region does
most among the seven of ``streams``, with n, interval and chance. Then an encoding model's map of held-out correlations
is compared, voxel by voxel, with the ceiling that the person's true signal and noise set.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from decode_stream.decoders.brain.noise_ceiling import ceiling_correlation, noise_ceiling
from decode_stream.decoders.brain.readout import Readout
from decode_stream.decoders.brain.voxel_encoding import encode_voxels
from decode_stream.decoders.brain.what_if import stimulated, what_if
from decode_stream.decoders.encoders.ridge import fit_ridge
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.scoring.intervals import picture_means, wilson
from decode_stream.decoders.scoring.joined import mean_interval
from decode_stream.replay_data.nsd.facts import LABELS
from decode_stream.replay_data.simulation.embedding_geometry import (
    CLIP_GEOMETRY,
    LAYOUT_GEOMETRY,
    draw_embeddings,
    join_parts,
)
from decode_stream.replay_data.simulation.simulate_fmri import (
    SIGNAL_PCT,
    FmriSubject,
    fmri_subject,
    planted,
)
from decode_stream.replay_data.simulation.simulate_nsd import SimulatedNsd, simulate_nsd_design
from decode_stream.stream.types import FloatArray, IntArray

__all__ = ["Found", "Person", "find_region", "main", "map_ceiling", "simulated_person"]

N_LAYOUT, N_SESSIONS = 64, 4
#: Four times the signal of the simulated NSD, whose person has ten times the voxels and is scanned ten times as long.
_SIGNAL_PCT = 0.4
_RAISE_SD, _N_DRAWS = 1.0, 50
_N_REGIONS = len(LABELS["streams"])


@dataclass(frozen=True, eq=False)
class Person:
    """A simulated person with a region that alone tells a direction of the embedding.

    Attributes
    ----------
    nsd : SimulatedNsd
    betas : array of shape (n_trials, n_voxels), float32
    region : int
        Label of the region in ``streams``.
    axis : array of shape (n_dims,), float64
        The direction, of unit length.
    """

    nsd: SimulatedNsd
    betas: npt.NDArray[np.float32]
    region: int
    axis: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Found:
    """What each region does to the planted direction of what is decoded.

    Attributes
    ----------
    silenced : array of shape (n_regions,), float64
        By how much the decoded direction correlates less with the true one when the region is silent.
    raised : array of shape (n_regions,), float64
        How far the decoded direction moves when all voxels of the region are raised, in its standard deviations over
        trials.
    halves : array of shape (n_regions,), float64
        Standard deviation of the same over draws of half of the voxels.
    first : float
        Share of 2000 draws of the held-out pictures in which the planted region is missed most.
    n_trials : int
        Held-out trials.
    """

    silenced: npt.NDArray[np.float64]
    raised: npt.NDArray[np.float64]
    halves: npt.NDArray[np.float64]
    first: float
    n_trials: int


def simulated_person(seed: int, region: int | None = None, **small: int) -> Person:
    """Return a person; the region, by default, is drawn.

    Parameters
    ----------
    small : int
        `n_voxels`, `n_runs` and `n_slots`, where they are to be other than 1500, 6 and 48.
    """
    rng = np.random.default_rng(seed)
    design = simulate_nsd_design(
        N_SESSIONS, n_runs=small.get("n_runs", 6), n_slots=small.get("n_slots", 48), seed=seed
    )
    n = int(design.subjectim.max())
    layout = draw_embeddings(LAYOUT_GEOMETRY, n, 1, rng)
    meaning = draw_embeddings(CLIP_GEOMETRY, n // 10 + 1, 10, rng)[:n]
    embeddings = join_parts(layout, meaning)
    n_voxels = small.get("n_voxels", 1500)
    subject = fmri_subject(
        embeddings, N_LAYOUT, grid=(36, 43, 36), n_voxels=n_voxels, signal_pct=_SIGNAL_PCT, seed=seed
    )
    region = int(rng.integers(1, _N_REGIONS + 1)) if region is None else region
    about = embeddings - embeddings.mean(axis=0, dtype=np.float64)
    axis = np.linalg.svd(about, full_matrices=False)[2][0]
    spread = float((about @ axis).std())
    subject = planted(subject, subject.streams == region, axis, spread, SIGNAL_PCT)
    nsd = SimulatedNsd(subject, design, 1, embeddings, seed)
    betas = np.concatenate([nsd.betas(session) for session in range(1, N_SESSIONS + 1)])
    return Person(nsd, betas, region, axis)


def find_region(person: Person) -> Found:
    """Decode held-out pictures with each region silent, and raised."""
    table = person.nsd.trials.table
    assert table.id is not None
    assert table.split is not None
    assert table.session is not None
    held = np.asarray(table.split) == "test"
    shown = np.asarray(person.nsd.shown(table), np.float64)
    low, center, high = np.quantile(person.betas[~held], [0.25, 0.5, 0.75], axis=0)
    windows = (person.betas - center) / ((high - low) / 1.349)
    map_ = fit_ridge(windows[~held], shown[~held], np.asarray(table.session)[~held])
    readout = Readout(
        lambda some: some.mean(axis=2) @ map_.weights + map_.offset,
        shown[held].astype(np.float32),
        "unit",
        Calibration((1.0,), 1.0),
        (windows.shape[1], 1),
        clamp=5.0,
    )
    true, pictures = shown[held] @ person.axis, np.asarray(table.id)[held]
    some = windows[held][:, :, None]
    before = readout.read(some).embeddings @ person.axis
    masks = [person.nsd.subject.streams == label for label in range(1, _N_REGIONS + 1)]
    silent = [what_if(readout, some, mask, None).after.embeddings @ person.axis for mask in masks]
    raised = [what_if(readout, some, mask, _RAISE_SD).after.embeddings @ person.axis for mask in masks]
    missed, drawn = _missed(np.stack([before, *silent]), true, pictures)
    return Found(
        missed,
        np.array([abs(float(np.mean(after - before))) for after in raised]) / before.std(),
        np.array([_halves(readout, mask, person.axis) for mask in masks]) / before.std(),
        float(np.mean(drawn.argmax(axis=1) == person.region - 1)),
        len(true),
    )


def _halves(readout: Readout, mask: npt.NDArray[np.bool_], axis: FloatArray) -> float:
    """Return how far a direction of what is decoded of the mean window moves with the half that is raised."""
    rng = np.random.default_rng(0)
    nothing = np.zeros((1, *readout.shape), np.float32)
    draws = [mask & (rng.random(len(mask)) < 0.5) for _ in range(_N_DRAWS)]
    windows = np.concatenate([stimulated(nothing, half, _RAISE_SD) for half in draws])
    return float((readout.read(windows).embeddings @ axis).std())


def _missed(
    decoded: FloatArray, true: FloatArray, pictures: IntArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the loss of correlation by region, and the same of draws of pictures, (n_draws, n_regions)."""
    # A correlation is made of means over trials, which can be drawn.
    products = np.concatenate([decoded, decoded**2, decoded * true, true[None], true[None] ** 2]).T
    n = len(decoded)

    def losses(means: FloatArray) -> npt.NDArray[np.float64]:
        x, xx, xy, y, yy = (means[..., :n], means[..., n : 2 * n], means[..., 2 * n : 3 * n], *_last(means))
        r = (xy - x * y) / np.sqrt(np.maximum((xx - x**2) * (yy - y**2), 1e-12))
        lost: npt.NDArray[np.float64] = r[..., :1] - r[..., 1:]
        return lost

    return losses(products.mean(axis=0)), losses(picture_means(products, pictures))


def _last(means: FloatArray) -> tuple[FloatArray, FloatArray]:
    return means[..., -2:-1], means[..., -1:]


def true_ceiling(subject: FmriSubject, shown: FloatArray) -> npt.NDArray[np.float64]:
    """Return the highest correlation with single betas that a person's true signal and noise allow."""
    signal = subject.answers(shown).std(axis=0, dtype=np.float64)
    noise = subject.beta_noise * np.sqrt(subject.own_noise**2 + (subject.shared_noise**2).sum(axis=1))
    return ceiling_correlation(signal / noise)


def map_ceiling(person: Person) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Return of each voxel the true ceiling and the encoding model's correlation, and how far the estimate is right.

    The last is the correlation over voxels of the ceiling that repeats tell with the true one.
    """
    table = person.nsd.trials.table
    assert table.id is not None
    assert table.session is not None
    assert table.run is not None
    session, shown = np.asarray(table.session), person.nsd.shown(table)
    runs = 100 * session + np.asarray(table.run)
    found = encode_voxels(shown, person.betas, runs, session, np.asarray(table.id))
    truth = true_ceiling(person.nsd.subject, shown)
    told = ceiling_correlation(noise_ceiling(person.betas, np.asarray(table.id), session).ncsnr)
    return truth, found.correlation, float(np.corrcoef(told, truth)[0, 1])


def _print_found(found: list[Found], people: list[Person]) -> None:
    for what, effects in (
        ("silent", [f.silenced for f in found]),
        ("half raised", [f.halves for f in found]),
        ("raised as a whole", [f.raised for f in found]),
    ):
        right = sum(
            int(effect.argmax() == person.region - 1) for effect, person in zip(effects, people, strict=True)
        )
        low, high = wilson(right, len(people))
        p = binomtest(right, len(people), 1 / _N_REGIONS, "greater").pvalue
        print(
            f"{what}: the planted region does most in {right} of {len(people)} people (95 % {low:.2f} to {high:.2f}; "
            f"chance {1 / _N_REGIONS:.2f}, binomial p = {p:.2g})"
        )
    print(
        f"within a person, it is missed most in {np.mean([f.first for f in found]):.3f} of draws of the held-out "
        f"pictures (least {min(f.first for f in found):.3f}; {found[0].n_trials} trials)"
    )


def _draw(
    people: list[Person],
    found: list[Found],
    truth: FloatArray,
    told: FloatArray,
    title: str,
    path: Path,
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.8, 4.6), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for row, (person, one) in enumerate(zip(people, found, strict=True)):
        others = np.delete(one.silenced, person.region - 1)
        left.plot(others, [row] * len(others), "o", color="#BBBBBB", ms=5)
        left.plot(one.silenced[person.region - 1], row, "o", color="#D55E00", ms=7)
    left.plot([], [], "o", color="#D55E00", label="planted region")
    left.plot([], [], "o", color="#BBBBBB", label="the other six")
    left.axvline(0, color="#666666", lw=0.8)
    left.set_xlabel("correlation lost when the region is silent")
    left.set_ylabel("simulated person")
    left.yaxis.get_major_locator().set_params(integer=True)
    left.set_title(
        f"n = {len(people)} people, {found[0].n_trials} held-out trials each", fontsize=9, loc="left"
    )
    left.legend(frameon=False, fontsize=8)
    right.plot(truth, told, ".", color="#0072B2", ms=3, alpha=0.5)
    top = float(np.max([truth, told]))
    right.plot([0, top], [0, top], color="#666666", lw=1, ls="--", label="as high as noise allows")
    right.set_xlabel("true ceiling, correlation with single trials")
    right.set_ylabel("encoding model, held-out correlation")
    right.set_title(title, fontsize=9, loc="left")
    right.legend(frameon=False, fontsize=8, loc="upper left")
    for axes in (left, right):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.savefig(path)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--mapped", type=int, default=5, help="people whose voxels are encoded")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    people, found, maps = list[Person](), list[Found](), list[Any]()
    for seed in range(asked.seed, asked.seed + asked.people):
        person = simulated_person(seed)
        people.append(person)
        found.append(find_region(person))
        if len(maps) < asked.mapped:
            maps.append(map_ceiling(person))
        name = LABELS["streams"][person.region]
        order = np.argsort(-found[-1].silenced)
        best = ", ".join(f"{LABELS['streams'][i + 1]} {found[-1].silenced[i]:+.3f}" for i in order[:3])
        print(f"person {seed}: planted in {name}; missed most: {best}", flush=True)
    _print_found(found, people)
    likeness = np.array([[np.corrcoef(truth, told)[0, 1], estimate] for truth, told, estimate in maps])
    mean, low, high = mean_interval(likeness)
    n = f"n = {len(maps)} people of {len(maps[0][0])} voxels"
    print(
        f"over voxels, the encoding model's correlation goes with the true ceiling at r = {mean[0]:.3f} "
        f"(95 % {low[0]:.3f} to {high[0]:.3f}, Student; {n}); the ceiling told from repeats at {mean[1]:.3f} "
        f"({low[1]:.3f} to {high[1]:.3f})"
    )
    if asked.figure is not None:
        title = f"one of {n}: r = {mean[0]:.2f} ({low[0]:.2f} to {high[0]:.2f})"
        _draw(people, found, maps[0][0], maps[0][1], title, asked.figure)


if __name__ == "__main__":
    main()
