"""Pictures drawn of decoded beliefs beside those drawn of all that could be known, on simulated people.

``python -m benchmarks.reconstructions FOLDER eeg|meg --generator PATH [--trials N] [--showings N] [--together 1,8]``.
An encoding model learns from the published number of trials, as loud as people's, none of them of a concept of the 200
test pictures. Of each test trial, or of several showings of a picture put together, its evidence becomes a Gaussian
belief over embeddings under the generator's prior, the ideal observer's another in the same closed form, and one
generator draws the means of both. EfficientNet-Lite2, which neither conditions nor trains anything, says how often a
drawing is more like the picture that was seen than like another one of the test (two-way); PixCorr and SSIM are as in
papers. ``no layout`` draws the decoded belief with its layout held at the mean one and said to be open.

FOLDER keeps the trials, the bundle and what the test trials tell, so that another generator is scored at once; each row
is printed and added to FOLDER/reconstructions.jsonl.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.drawn import PROTOCOLS, person_of_scenes
from benchmarks.drawn_trials import DrawnTrials, cut_windows, draw_trials, fit_decoder
from benchmarks.fitted import simulated_gallery
from benchmarks.machine import machine
from decode_stream.decoders.bundle import Bundle, load_bundle, save_bundle
from decode_stream.decoders.efficientnet import efficientnet_features
from decode_stream.decoders.fit_options import FitOptions
from decode_stream.decoders.generation.condition import Condition, EmbeddingBelief, PictureModel
from decode_stream.decoders.generation.embedded import load_embedded
from decode_stream.decoders.generation.embedding_belief import Posteriors
from decode_stream.decoders.generation.generator import Generator, Pictures
from decode_stream.decoders.generation.picture_evidence import EvidenceReader, PictureEvidence, pooled
from decode_stream.decoders.ideal.embedding_posterior import KnownDrives, embedding_posterior
from decode_stream.decoders.ideal.ideal_observer import Sufficient
from decode_stream.decoders.manifest import Manifest, Training
from decode_stream.decoders.recipe import Recipe, Trained
from decode_stream.decoders.scoring.intervals import picture_interval
from decode_stream.decoders.scoring.picture_likeness import (
    Spanned,
    difference_of_means,
    picture_identification,
    pixel_correlation,
    ratio_of_means,
    structural_similarity,
)
from decode_stream.pictures.targets import objects_space
from decode_stream.replay_data.pictures.scenes import Picture, compose
from decode_stream.stream.types import FloatArray, IntArray, Modality

__all__ = ["Told", "draw_all", "ideal_beliefs", "main", "measure", "without_layout"]

_SIDE_PX = 64
_DRAWN_AT_ONCE = 32
#: Trials whose windows are cut and decoded at once.
_DECODED_AT_ONCE = 400


@dataclass(frozen=True, eq=False)
class Told:
    """What a person's test trials tell, and to whom.

    Attributes
    ----------
    bundle : Bundle
        The decoder.
    evidence : sequence of PictureEvidence
        Its, of each trial.
    seen : Sufficient
        The ideal observer's.
    drives : KnownDrives
    order : array of shape (n_trials,), int64
        Which test picture each trial showed.
    scenes : array of shape (n_pictures, 64, 64, 3), uint8
        The test pictures.
    """

    bundle: Bundle
    evidence: Sequence[PictureEvidence]
    seen: Sufficient
    drives: KnownDrives
    order: IntArray
    scenes: Pictures


def _make(folder: Path, modality: Modality, n_trials: int, n_showings: int, seed: int) -> None:
    """Draw a person's trials, fit the decoder, and keep what the test trials tell."""
    pictures, forward, scenes = person_of_scenes(modality, seed)
    drawn = draw_trials(folder, modality, (pictures, forward), n_trials, n_showings, seed)
    options = FitOptions(seed, folder=folder / "training", report=lambda text: print(text, flush=True))
    trained, recipe, calibration, n_training, took_s = fit_decoder(
        drawn, modality, "encoding", options, folder
    )
    print(f"{n_training} trials fitted in {took_s:.0f} s of one core", flush=True)
    if calibration.repeat_correlation is None:
        # Shown once in training, so that it was not measured: the ideal observer's rule, plain sums.
        calibration = replace(calibration, repeat_correlation=0.0)
    gallery = simulated_gallery(pictures.embeddings, drawn.test_pictures)
    assert trained.projector is not None
    schedule = recipe.schedule
    manifest = Manifest(
        name=f"simulated-{modality}",
        modality=modality,
        chain=recipe.chain,
        window=recipe.window,
        length_s=float(schedule.length_s),
        step_s=float(schedule.step_s),
        n_latencies=recipe.n_latencies,
        space=objects_space(),
        gallery=gallery.names,
        labels={},
        calibration=calibration,
        training=Training("encoding", n_trials=n_training, seed=seed, target="objects"),
    )
    projected = trained.projector.project(gallery.embeddings)
    some = cut_windows(drawn.test, np.arange(4), drawn.order[:4], recipe, folder)
    encoder = trained.export(np.array(some.windows))
    bundle = Bundle(manifest, encoder.graph, projected, projector=trained.projector)
    save_bundle(bundle, folder / f"{modality}.bundle", overwrite=True)
    reader = EvidenceReader(bundle)
    evidence = [reader.read(rows) for rows in _embedded(drawn, trained, recipe, folder)]
    np.savez(
        folder / f"{modality}-told.npz",
        vector=np.stack([one.vector for one in evidence]),
        strength=np.array([one.strength for one in evidence]),
        b=drawn.seen.b,
        counts=drawn.seen.counts,
        grams=drawn.seen.grams,
        weights=forward.weights,
        bias=forward.bias,
        specific=forward.specific,
        order=drawn.order,
        scenes=np.stack([compose(scenes[place], _SIDE_PX) for place in drawn.test_pictures]),
        settings=np.array([n_trials, n_showings, seed]),
    )


def _embedded(drawn: DrawnTrials, trained: Trained, recipe: Recipe, folder: Path) -> list[FloatArray]:
    """Return what the decoder gives for every window of each test trial."""
    rows = list[FloatArray]()
    for start in range(0, len(drawn.order), _DECODED_AT_ONCE):
        which = np.arange(start, min(start + _DECODED_AT_ONCE, len(drawn.order)))
        cut = cut_windows(drawn.test, which, drawn.order[which], recipe, folder)
        rows += list(trained.embed(cut.windows, True))
    return rows


def _told(folder: Path, modality: Modality, n_trials: int, n_showings: int, seed: int) -> Told:
    """Return what the test trials tell; it is made where it is not there, or was made otherwise."""
    file = folder / f"{modality}-told.npz"
    if not file.exists() or np.load(file)["settings"].tolist() != [n_trials, n_showings, seed]:
        _make(folder, modality, n_trials, n_showings, seed)
    kept = np.load(file)
    evidence = [PictureEvidence(v, float(s)) for v, s in zip(kept["vector"], kept["strength"], strict=True)]
    rows = np.arange(len(kept["b"]))
    return Told(
        load_bundle(folder / f"{modality}.bundle"),
        evidence,
        Sufficient(rows, kept["b"], kept["counts"], kept["grams"]),
        KnownDrives(kept["weights"], kept["bias"], kept["specific"]),
        kept["order"],
        kept["scenes"],
    )


def ideal_beliefs(seen: Sufficient, drives: KnownDrives, pictures: PictureModel) -> EmbeddingBelief:
    """Return what an ideal observer believes of the embeddings, as it is drawn."""
    posterior = embedding_posterior(seen, drives, pictures.mean, pictures.covariance)
    shares = np.stack([pictures.open_shares(one) for one in posterior.covariances])
    return EmbeddingBelief(posterior.mean.astype(np.float32), shares[posterior.kind])


def _decoded_beliefs(evidence: Sequence[PictureEvidence], posteriors: Posteriors) -> EmbeddingBelief:
    beliefs = [posteriors(one).belief for one in evidence]
    return EmbeddingBelief(
        np.concatenate([one.mean for one in beliefs]), np.concatenate([one.open_share for one in beliefs])
    )


def without_layout(condition: Condition, pictures: PictureModel) -> Condition:
    """Return a condition that says nothing of where things are."""
    mean = pictures.layout.layout(pictures.mean[None])
    open_share = condition.open_share.copy()
    open_share[:, 1] = 1
    return Condition(condition.semantic, mean.repeat(len(condition), axis=0), open_share)


def draw_all(
    draw: Callable[[Condition, npt.NDArray[np.float32]], Pictures],
    condition: Condition,
    noise: npt.NDArray[np.float32],
) -> list[Picture]:
    """Return the pictures of a condition, some at a time, all of one noise, as in a session.

    Parameters
    ----------
    draw : callable
        Takes a condition and as many noises.
    condition : Condition
    noise : array of shape (1, ...), float32
    """
    pictures = list[Picture]()
    for start in range(0, len(condition), _DRAWN_AT_ONCE):
        some = slice(start, start + _DRAWN_AT_ONCE)
        part = Condition(condition.semantic[some], condition.layout[some], condition.open_share[some])
        pictures += list(draw(part, noise.repeat(len(part), axis=0)))
    return pictures


def measure(
    told: Told, generator: Generator, n_together: int, n_most: int, n_steps: int, seed: int
) -> tuple[dict[str, object], list[Picture]]:
    """Return the scores of drawings after so many showings of each picture, and a grid of some.

    Parameters
    ----------
    n_together : int
        Showings of a picture that are put together.
    n_most : int
        Drawings of a picture at most, of as many sets of showings.
    n_steps : int
        Of the generator.
    seed : int
        Of its noise.
    """
    n_pictures, pictures = len(told.scenes), generator.pictures
    n_sets = min(n_most, len(told.order) // n_pictures // n_together)
    if n_sets < 1:
        raise ValueError(f"There are fewer than {n_together} showings of each picture.")
    which = np.arange(n_sets * n_together * n_pictures)
    group = told.order[which] + n_pictures * (which // n_pictures // n_together)
    truth = np.arange(n_sets * n_pictures) % n_pictures
    evidence = [
        pooled(told.evidence[int(place)] for place in np.flatnonzero(group == one))
        for one in range(len(truth))
    ]
    some = Sufficient(which, told.seen.b[which], told.seen.counts[which], told.seen.grams)
    decoded = pictures.condition(_decoded_beliefs(evidence, Posteriors(told.bundle, pictures)))
    ideal = pictures.condition(ideal_beliefs(some.pooled(group), told.drives, pictures))
    conditions = {"decoded": decoded, "no layout": without_layout(decoded, pictures), "ideal": ideal}
    features = efficientnet_features(list(told.scenes), "lite2")
    draw = partial(generator.draw, n_steps=n_steps)
    drawn, scores = dict[str, list[Picture]](), dict[str, dict[str, npt.NDArray[np.float64]]]()
    for name, condition in conditions.items():
        drawn[name] = draw_all(draw, condition, generator.noise(seed))
        judged = picture_identification(efficientnet_features(drawn[name], "lite2"), features, truth)
        seen = [told.scenes[place] for place in truth]
        scores[name] = {
            "two-way": judged.forward,
            "two-way, backward": judged.backward,
            "PixCorr": pixel_correlation(drawn[name], seen),
            "SSIM": structural_similarity(drawn[name], seen),
        }
    row: dict[str, object] = {
        "together": n_together,
        "n": len(truth),
        "open_share": {
            name: one.open_share.mean(axis=0).round(3).tolist() for name, one in conditions.items()
        },
        **{name: _means(one, truth) for name, one in scores.items()},
        "two-way, of ideal": _rounded(
            ratio_of_means(scores["decoded"]["two-way"], scores["ideal"]["two-way"], truth)
        ),
        "layout adds": {
            score: _rounded(difference_of_means(values, scores["no layout"][score], truth))
            for score, values in scores["decoded"].items()
        },
    }
    columns: list[Sequence[Picture]] = [list(told.scenes[:12]), *(one[:12] for one in drawn.values())]
    return row, [np.concatenate(list(column), axis=1) for column in columns]


def _means(scores: dict[str, npt.NDArray[np.float64]], truth: IntArray) -> dict[str, list[float]]:
    """Return each mean with its interval over pictures."""
    told = {}
    for name, values in scores.items():
        low, high, _ = picture_interval(values, truth)
        told[name] = [round(float(value), 4) for value in (values.mean(), low, high)]
    return told


def _rounded(figure: Spanned) -> list[float]:
    return [round(value, 4) for value in (figure.value, figure.low, figure.high)]


def main() -> None:
    """Print a row for each number of showings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("modality", choices=["eeg", "meg"])
    parser.add_argument("--generator", type=Path, required=True)
    parser.add_argument("--trials", type=int, help="of the training; by default the published number")
    parser.add_argument("--showings", type=int, default=48, help="of each test picture")
    parser.add_argument("--together", default="1,8,16", help="showings of a picture that are put together")
    parser.add_argument("--most", type=int, default=3, help="drawings of a picture")
    parser.add_argument("--steps", type=int, default=1, help="of the generator")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    n_trials = asked.trials or {"eeg": 66_160, "meg": 19_848}[asked.modality]
    told = _told(asked.folder, asked.modality, n_trials, asked.showings, asked.seed)
    generator = load_embedded(asked.generator)
    settings = {
        "modality": asked.modality,
        "generator": generator.name,
        "steps": asked.steps,
        "training_trials": told.bundle.manifest.training.n_trials,
        "showings_in_training": PROTOCOLS[asked.modality].n_train,
        "seed": asked.seed,
        "machine": machine(),
    }
    for n_together in map(int, asked.together.split(",")):
        row, grid = measure(told, generator, n_together, asked.most, asked.steps, asked.seed)
        print(json.dumps(row), flush=True)
        with (asked.folder / "reconstructions.jsonl").open("a") as file:
            file.write(json.dumps(settings | row) + "\n")
        name = f"{asked.modality}-{n_together}.png"
        Image.fromarray(np.concatenate(grid, axis=0)).save(asked.folder / name)


if __name__ == "__main__":
    main()
