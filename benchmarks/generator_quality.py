"""How true the embedded generator is to what it is told, judged by an encoder that nothing was trained on.

``python -m benchmarks.generator_quality GENERATOR [--teacher FILE] [--sets N] [--grid FILE]``. New scenes of each of
the 200 objects, a set of them after the other, are drawn from their true embeddings: from all of it, from what is seen
alone and from the layout alone, in each number of steps. EfficientNet-Lite2, which neither conditions nor trains
anything, then finds each drawing's scene among 200, one of each object, in 1,000 draws with fixed seeds. PixCorr and
SSIM are as in papers, at 64 pixels; the nearest training picture is that of the embedding. With ``--teacher``, the
weights that ``decode-stream train-generator --keep-teacher`` leaves, what 1 step keeps of the teacher's 32 is told with
a paired bootstrap over pictures. Each row is printed as JSON. ``--grid`` draws 20 scenes beside their drawings.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.machine import machine
from benchmarks.reconstructions import draw_all, without_layout
from decode_stream.decoders.efficientnet import efficientnet_features
from decode_stream.decoders.generation.condition import Condition, PictureModel
from decode_stream.decoders.generation.embedded import EmbeddedGenerator, load_embedded, to_pixels
from decode_stream.decoders.generation.generator import Pictures
from decode_stream.decoders.generation.samplers import euler, sample, uniform_times
from decode_stream.decoders.generation.schedules import FlowSchedule
from decode_stream.decoders.scoring.intervals import picture_interval
from decode_stream.decoders.scoring.picture_likeness import (
    picture_identification,
    pixel_correlation,
    ratio_of_means,
    structural_similarity,
)
from decode_stream.replay_data.pictures.picture_space import scene_embedding
from decode_stream.replay_data.pictures.scenes import N_OBJECTS, Picture, compose, draw_scenes
from decode_stream.stream.types import FloatArray

__all__ = ["among_objects", "main"]

_SEED, _N_DRAWS = 4000, 1000
_TEACHER_STEPS = 32
Draw = Callable[[Condition, npt.NDArray[np.float32]], Pictures]


def among_objects(fits: FloatArray, n_objects: int, n_draws: int, seed: int) -> npt.NDArray[np.float64]:
    """Return how often each drawing's scene was found among one scene of each object, shape (n,).

    Parameters
    ----------
    fits : array of shape (n, n)
        How well each drawing fits each scene; scene i shows object ``i % n_objects``.
    n_draws : int
        Each takes, for every object, one of its scenes at random; so many that every scene is taken.
    seed : int
    """
    n_sets, rng = len(fits) // n_objects, np.random.default_rng(seed)
    found, counted = np.zeros(len(fits)), np.zeros(len(fits))
    for _ in range(n_draws):
        chosen = np.arange(n_objects) + n_objects * rng.integers(n_sets, size=n_objects)
        found[chosen] += fits[np.ix_(chosen, chosen)].argmax(axis=1) == np.arange(n_objects)
        counted[chosen] += 1
    shares: npt.NDArray[np.float64] = found / np.maximum(counted, 1)
    return shares


def _without_semantic(condition: Condition) -> Condition:
    """Return a condition that says nothing of what is seen."""
    open_share = condition.open_share.copy()
    open_share[:, 0] = 1
    return Condition(np.zeros_like(condition.semantic), condition.layout, open_share)


def _teacher(path: Path) -> Draw:
    """Return what the teacher draws, by torch."""
    import torch

    from decode_stream.decoders.distillation.flow_unet import flow_denoiser
    from decode_stream.decoders.distillation.flow_weights import load_flow_network

    network = load_flow_network(path.read_bytes(), path)

    def draw(condition: Condition, noise: npt.NDArray[np.float32]) -> Pictures:
        told = (condition.semantic, condition.layout, condition.open_share)
        denoise = flow_denoiser(network, *(torch.from_numpy(part) for part in told))
        times, start = uniform_times(_TEACHER_STEPS), torch.from_numpy(noise)
        with torch.inference_mode():
            return to_pixels(sample(euler, denoise, FlowSchedule(), times, start).numpy())

    return draw


def _scores(
    drawn: Sequence[Picture], seen: Pictures, features: FloatArray
) -> dict[str, npt.NDArray[np.float64]]:
    truth = np.arange(len(seen))
    judged = picture_identification(efficientnet_features(drawn, "lite2"), features, truth)
    return {
        "top1": among_objects(judged.fits, N_OBJECTS, _N_DRAWS, _SEED),
        "two-way": judged.forward,
        "PixCorr": pixel_correlation(drawn, list(seen), side_px=64),
        "SSIM": structural_similarity(drawn, list(seen), side_px=64),
    }


def _told(scores: dict[str, npt.NDArray[np.float64]]) -> dict[str, list[float]]:
    objects = np.arange(len(scores["top1"]))
    return {
        name: [round(float(v), 4) for v in (values.mean(), *picture_interval(values, objects)[:2])]
        for name, values in scores.items()
    }


def _conditions(pictures: PictureModel, embeddings: npt.NDArray[np.float32]) -> dict[str, Condition]:
    known = pictures.condition(pictures.known(embeddings))
    return {
        "all": known,
        "seen alone": without_layout(known, pictures),
        "layout alone": _without_semantic(known),
    }


def _measure(generator: EmbeddedGenerator, asked: argparse.Namespace) -> None:
    scenes = draw_scenes(N_OBJECTS * asked.sets, _SEED, list(range(N_OBJECTS)) * asked.sets)
    seen = np.stack([compose(scene, generator.side_px) for scene in scenes])
    embeddings = np.stack([scene_embedding(scene) for scene in scenes])
    features = efficientnet_features(list(seen), "lite2")
    noise = generator.noise(0)
    conditions = _conditions(generator.pictures, embeddings)
    nearest = generator.nearest_pictures()
    if nearest is not None:
        away = [nearest.nearest(one).distance for one in embeddings]
        print(
            json.dumps(
                {
                    "nearest training picture, cosine distance": np.quantile(away, [0.1, 0.5, 0.9])
                    .round(3)
                    .tolist()
                }
            )
        )
    rows, one_step = [list(seen[:20])], dict[str, npt.NDArray[np.float64]]()
    for n_steps in generator.n_steps:
        for name, condition in conditions.items():
            drawn = draw_all(partial(generator.draw, n_steps=n_steps), condition, noise)
            scores = _scores(drawn, seen, features)
            one_step = scores if (name, n_steps) == ("all", 1) else one_step
            rows += [drawn[:20]] if n_steps == 1 else []
            print(json.dumps({"told": name, "steps": n_steps, "n": len(seen), **_told(scores)}), flush=True)
    if asked.teacher:
        drawn = draw_all(_teacher(asked.teacher), conditions["all"], noise)
        theirs = _scores(drawn, seen, features)
        rows.append(drawn[:20])
        print(json.dumps({"told": "all", "teacher, steps": _TEACHER_STEPS, **_told(theirs)}))
        ratios = {
            name: ratio_of_means(ours, theirs[name], np.arange(len(seen))) for name, ours in one_step.items()
        }
        told = {name: [round(value, 4) for value in (r.value, r.low, r.high)] for name, r in ratios.items()}
        print(json.dumps({"1 step over the teacher's 32": told}))
    if asked.grid:
        grid = np.concatenate([np.concatenate(row, axis=1) for row in rows])
        Image.fromarray(grid).save(asked.grid)


def main() -> None:
    """Print a row for each condition and number of steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("generator", type=Path)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--sets", type=int, default=5, help="scenes of each object")
    parser.add_argument("--grid", type=Path)
    asked = parser.parse_args()
    generator = load_embedded(asked.generator)
    print(json.dumps({"generator": generator.name, "machine": machine()}))
    _measure(generator, asked)


if __name__ == "__main__":
    main()
