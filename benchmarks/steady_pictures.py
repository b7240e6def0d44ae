"""How still the pictures of a stream of beliefs are, and what stillness costs: ours beside plain smoothing.

``python -m benchmarks.steady_pictures [--generator PATH] [--seeds N] [--figure PNG]``. Twelve pictures for 1.5 s
each, a belief every 25 ms from windows of 100 ms, so that each shares three quarters of its noise with the next;
windows are cut from the onset on, so that none straddles a change. A belief is the posterior over embeddings, given the
decoded one and how noisy it is. Signal-to-noise is that of a decoded number, root mean square. Told are:

- flicker: root mean square difference of a picture from the one before, in the last third of each 1.5 s, full scale 1;
- cosine: of what is drawn with the truth, each from the pictures' mean, in the last third;
- lag: median time after a change until the cosine is four fifths of that;
- right: how often the nearest of the twelve embeddings is the one shown, over all beliefs;
- contrast: of the pictures in the last third, relative to those of raw beliefs.

Constants were chosen on other seeds and without a generator; seeds here begin at 1000.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine
from decode_stream.decoders.generation.condition import EmbeddingBelief, PictureModel
from decode_stream.decoders.generation.generator import Generator, Pictures
from decode_stream.decoders.generation.load import load_generator
from decode_stream.decoders.generation.steady import SteadyBelief, slerp
from decode_stream.demos.demo import demo_generator
from decode_stream.pictures.targets import objects_space
from decode_stream.replay_data.pictures.picture_space import scene_embedding
from decode_stream.replay_data.pictures.scenes import draw_scenes

__all__ = ["POLICIES", "SNRS", "Score", "main", "measure"]

Array = npt.NDArray[np.float64]

SNRS = (0.35, 0.8, 1.6)
_MIDDLE = 0.8
_N_CONCEPTS, _N_EACH, _STEP_S, _WINDOW = 12, 60, 0.025, 4
#: Luminance of red, green and blue (ITU-R BT.709).
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
#: The last third of each showing.
_STABLE = slice(2 * _N_EACH // 3, None)
_FIRST_SEED = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """What is decoded of the pictures, one after the other.

    Attributes
    ----------
    truth : array of shape (n_concepts, dimension), float64
    beliefs : array of shape (n_concepts * n_each, dimension), float64
        Means.
    open_share : array of shape (2,), float32
        The same of all.
    """

    truth: Array
    beliefs: Array
    open_share: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What a policy makes of a stream: means (n, dimension), and whether each is drawn (n,)."""

    means: Array
    drawn: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Score:
    """See the module's text; `drawn` is the share of beliefs that a picture was drawn of."""

    flicker: float
    cosine: float
    lag_ms: float
    right: float
    contrast: float
    drawn: float


def _stream(model: PictureModel, truth: Array, snr: float, seed: int) -> Stream:
    dimension, mean = model.dimension, model.mean.astype(np.float64)
    covariance = model.covariance.astype(np.float64)
    variance = np.trace(covariance) / dimension / snr**2
    gain = np.linalg.solve(covariance + variance * np.eye(dimension), covariance).T
    shown = truth.repeat(_N_EACH, axis=0)
    parts = np.random.default_rng(seed).standard_normal((len(shown) + _WINDOW - 1, dimension))
    noise = np.stack([parts[i : i + _WINDOW].sum(axis=0) for i in range(len(shown))]) / np.sqrt(_WINDOW)
    beliefs = mean + (shown + np.sqrt(variance) * noise - mean) @ gain.T
    return Stream(truth, beliefs, model.open_shares(covariance - gain @ covariance))


def _truth(generator: Generator, seed: int) -> Array:
    """Return embeddings of new pictures: scenes, where the generator draws them, else as its model has them."""
    if generator.space == objects_space():
        scenes = draw_scenes(_N_CONCEPTS, seed)
        return np.stack([scene_embedding(scene) for scene in scenes]).astype(np.float64)
    rng, model = np.random.default_rng(seed), generator.pictures
    return rng.multivariate_normal(model.mean, model.covariance, _N_CONCEPTS, method="cholesky")


# Policies


def _raw(stream: Stream, model: PictureModel) -> Followed:
    return Followed(stream.beliefs, np.ones(len(stream.beliefs), np.bool_))


def _moving_average(lasts_s: float) -> Callable[[Stream, PictureModel], Followed]:
    """Return the exponential moving average of directions, by slerp, and of lengths."""
    part = 1 - np.exp(-_STEP_S / lasts_s)

    def follow(stream: Stream, model: PictureModel) -> Followed:
        away = stream.beliefs - model.mean
        lengths = np.linalg.norm(away, axis=1)
        direction, length = away[0] / lengths[0], lengths[0]
        means = []
        for row, own in zip(away, lengths, strict=True):
            direction = slerp(direction, row / own, part)
            length += part * (own - length)
            means.append(model.mean + length * direction)
        return Followed(np.stack(means), np.ones(len(means), np.bool_))

    return follow


def _ours(*, onsets: bool) -> Callable[[Stream, PictureModel], Followed]:
    def follow(stream: Stream, model: PictureModel) -> Followed:
        steady, means, drawn = SteadyBelief(model, _WINDOW * _STEP_S), [], []
        for i, row in enumerate(stream.beliefs):
            belief = EmbeddingBelief(row[None].astype(np.float32), stream.open_share[None])
            told = steady.add(belief, i * _STEP_S, i // _N_EACH if onsets else None)
            means.append(told.belief.mean[0].astype(np.float64))
            drawn.append(told.draw)
        return Followed(np.stack(means), np.array(drawn))

    return follow


FRESH, FIXED, EMA_250 = "raw, fresh noise", "raw, fixed noise", "EMA 250 ms, fixed noise"
OURS, DETECTED = "ours, onsets told", "ours, onsets detected"
POLICIES: Mapping[str, Callable[[Stream, PictureModel], Followed]] = {
    FRESH: _raw,
    FIXED: _raw,
    "EMA 100 ms, fixed noise": _moving_average(0.1),
    EMA_250: _moving_average(0.25),
    "EMA 500 ms, fixed noise": _moving_average(0.5),
    OURS: _ours(onsets=True),
    DETECTED: _ours(onsets=False),
}


# Scores


def _cosines(means: Array, truth: Array, model: PictureModel) -> Array:
    """Return the cosine of every belief with every truth, shape (n, n_concepts)."""
    away, towards = means - model.mean, truth - model.mean
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    cosines: Array = away @ (towards / np.linalg.norm(towards, axis=1, keepdims=True)).T
    return cosines


def _rms_contrast(pictures: Pictures) -> Array:
    """Return the standard deviation of the luminance of pictures (Peli 1990), in grey levels, shape (n,)."""
    contrast: Array = (pictures @ _LUMINANCE).std(axis=(1, 2))
    return contrast


def _lag_ms(along: Array, stable: Array) -> float:
    """Return the median time to four fifths of the stable cosine; the first picture has none before it."""
    reached = along[1:] >= 0.8 * stable[1:, None]
    late = np.where(reached.any(axis=1), reached.argmax(axis=1), _N_EACH)
    return float(np.median(late)) * 1e3 * _STEP_S


def _pictures(
    generator: Generator, followed: Followed, stream: Stream, n_steps: int, *, fresh: bool
) -> Iterable[npt.NDArray[np.uint8]]:
    """Yield the pictures of the last third of each showing; what is not drawn is the picture before."""
    last_drawn = np.maximum.accumulate(np.where(followed.drawn, np.arange(len(followed.drawn)), 0))
    for start in range(0, len(last_drawn), _N_EACH):
        own = last_drawn[start : start + _N_EACH][_STABLE]
        rows, places = np.unique(own, return_inverse=True)
        shares = np.repeat(stream.open_share[None], len(rows), axis=0)
        belief = EmbeddingBelief(followed.means[rows].astype(np.float32), shares)
        noise = (
            np.concatenate([generator.noise(int(row) + 1) for row in rows])
            if fresh
            else np.repeat(generator.noise(0), len(rows), axis=0)
        )
        drawn = generator.draw(generator.pictures.condition(belief), noise, n_steps)
        yield drawn[places]


def measure(generator: Generator, snr: float, seed: int, n_steps: int) -> dict[str, Score]:
    """Return the scores of every policy on one stream."""
    model, scores = generator.pictures, {}
    stream = _stream(model, _truth(generator, seed), snr, seed)
    raw_contrast = 0.0
    concept = np.arange(_N_CONCEPTS).repeat(_N_EACH)
    for name, follow in POLICIES.items():
        followed = follow(stream, model)
        cosines = _cosines(followed.means, stream.truth, model)
        along = cosines[np.arange(len(concept)), concept].reshape(_N_CONCEPTS, _N_EACH)
        stable = along[:, _STABLE].mean(axis=1)
        squares, contrasts = [], []
        for pictures in _pictures(generator, followed, stream, n_steps, fresh=name == FRESH):
            squares.append(np.mean((np.diff(pictures.astype(np.float64), axis=0) / 255) ** 2))
            contrasts.append(_rms_contrast(pictures).mean())
        raw_contrast = float(np.mean(contrasts)) if name == FIXED else raw_contrast
        scores[name] = Score(
            float(np.sqrt(np.mean(squares))),
            float(stable.mean()),
            _lag_ms(along, stable),
            float(np.mean(cosines.argmax(axis=1) == concept)),
            float(np.mean(contrasts)),
            float(followed.drawn.mean()),
        )
    return {name: replace(one, contrast=one.contrast / raw_contrast) for name, one in scores.items()}


def _mean(scores: Sequence[Score]) -> Score:
    return Score(*(float(np.mean([getattr(one, field.name) for one in scores])) for field in fields(Score)))


# What is told


def _print_table(found: Mapping[float, Mapping[str, Score]]) -> None:
    for snr, scores in found.items():
        print(f"\nsignal-to-noise {snr:g}")
        print(f"  {'':<26}{'flicker':>9}{'cosine':>8}{'lag ms':>8}{'right':>7}{'contrast':>10}{'drawn':>7}")
        for name, one in scores.items():
            print(
                f"  {name:<26}{one.flicker:>9.4f}{one.cosine:>8.3f}{one.lag_ms:>8.0f}{one.right:>7.3f}"
                f"{one.contrast:>10.3f}{one.drawn:>7.2f}"
            )


def _print_goals(scores: Mapping[str, Score]) -> None:
    """Print at the middle level what ours is to reach, and whether it does."""
    print(f"\nat signal-to-noise {_MIDDLE:g}")
    average = scores[EMA_250]
    for name in (OURS, DETECTED):
        one = scores[name]
        stiller, fresh = (scores[other].flicker / one.flicker for other in (FIXED, FRESH))
        goals = {
            f"flicker {stiller:.1f} times below fixed noise (at least 6)": stiller >= 6,
            f"{fresh:.0f} times below fresh noise (at least 50)": fresh >= 50,
            f"lag {one.lag_ms:.0f} ms (at most 200)": one.lag_ms <= 200,
            f"contrast {100 * (one.contrast - 1):+.1f} % (within 5)": abs(one.contrast - 1) <= 0.05,
            f"cosine {one.cosine - average.cosine:+.3f} from EMA 250 ms (at least -0.02)": (
                one.cosine >= average.cosine - 0.02
            ),
        }
        print(f"  {name}: " + "; ".join(f"{goal}: {'yes' if met else 'NO'}" for goal, met in goals.items()))


def _draw_figure(found: Mapping[float, Mapping[str, Score]], title: str, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.8, 4.8), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    colours = ("#999999", "#555555", "#56B4E9", "#0072B2", "#003B5C", "#D55E00", "#E69F00")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for axes, (snr, scores) in zip(panels, found.items(), strict=True):
        for colour, (name, one) in zip(colours, scores.items(), strict=True):
            axes.plot(one.lag_ms, one.flicker, "o", ms=9, color=colour, label=name)
            axes.annotate(
                f"{one.cosine:.2f}", (one.lag_ms, one.flicker), xytext=(7, -11 if name == OURS else 4),
                textcoords="offset points", fontsize=8, color=colour,
            )  # fmt: skip
        axes.axvline(200, color="#BBBBBB", lw=0.8, ls="--")
        axes.set_yscale("log")
        axes.set_xlim(left=-30)
        axes.set_title(f"signal-to-noise {snr:g}", fontsize=9, loc="left")
        axes.set_xlabel("lag after a change, ms")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    panels[0].set_ylabel("flicker, full scale 1; beside each point its cosine")
    panels[-1].legend(frameon=False, fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", type=Path, help="by default the one that ships")
    parser.add_argument("--steps", type=int, help="by default the fewest that it can")
    parser.add_argument("--seeds", type=int, default=4, help="streams of each level")
    parser.add_argument("--figure", type=Path, help="a PNG, SVG or PDF")
    asked = parser.parse_args()
    path = asked.generator or demo_generator()
    if path is None:
        parser.error("no generator ships with this installation; give --generator PATH")
    generator = load_generator(path)
    n_steps = asked.steps or generator.n_steps[0]
    title = (
        f"{generator.name}, {generator.side_px} px, {n_steps} step{'s' if n_steps > 1 else ''}; "
        f"{asked.seeds} x {_N_CONCEPTS} pictures for {_N_EACH * _STEP_S:g} s"
    )
    print(title)
    for name, value in machine().items():
        print(f"  {name}: {value}")
    seeds = range(_FIRST_SEED, _FIRST_SEED + asked.seeds)
    found = {}
    for snr in SNRS:
        turns = [measure(generator, snr, seed, n_steps) for seed in seeds]
        found[snr] = {name: _mean([turn[name] for turn in turns]) for name in POLICIES}
    _print_table(found)
    _print_goals(found[_MIDDLE])
    if asked.figure is not None:
        _draw_figure(found, title, asked.figure)


if __name__ == "__main__":
    main()
