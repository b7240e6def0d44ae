"""Pictures of which everything is known: Gaussian, each number by itself, so that every way from noise is a formula."""

from collections.abc import Callable
from typing import Any

import numpy as np

from decode_stream.decoders.generation.denoisers import Prediction
from decode_stream.decoders.generation.schedules import Schedule

SHAPE = (3, 2, 2)
_random = np.random.default_rng(5)
MEAN = _random.uniform(-0.5, 0.5, (1, *SHAPE))
VARIANCE = _random.uniform(0.05, 1.5, (1, *SHAPE))


def spread(schedule: Schedule, t: float) -> Any:
    """Return the standard deviation of noisy pictures."""
    return np.sqrt(schedule.alpha(t) ** 2 * VARIANCE + schedule.sigma(t) ** 2)


def where_it_leads(schedule: Schedule, x: Any, t: float, r: float) -> Any:
    """Return the exact solution at r of the probability flow through x at t (Song et al. 2021, equation 13)."""
    away = x - schedule.alpha(t) * MEAN
    return schedule.alpha(r) * MEAN + spread(schedule, r) / spread(schedule, t) * away


def posterior_mean(schedule: Schedule, x: Any, t: float) -> Any:
    """Return the mean of the pictures that x may have come from, which is what every trained network nears."""
    alpha = schedule.alpha(t)
    return MEAN + alpha * VARIANCE / spread(schedule, t) ** 2 * (x - alpha * MEAN)


def way(schedule: Schedule, x: Any, t: float, r: float) -> Any:
    """Return the clean picture that leads a step from t to r exactly where the flow leads."""
    ratio = schedule.sigma(r) / schedule.sigma(t)
    reached = where_it_leads(schedule, x, t, r)
    return (reached - ratio * x) / (schedule.alpha(r) - ratio * schedule.alpha(t))


def network(schedule: Schedule, kind: Prediction) -> Callable[[Any, float, float], Any]:
    """Return the perfect network of a kind, for NumPy arrays and tensors."""

    def predict(x: Any, t: float, r: float) -> Any:
        clean = posterior_mean(schedule, np.asarray(x), t)
        noise = (np.asarray(x) - schedule.alpha(t) * clean) / schedule.sigma(t)
        said = {
            "clean": clean,
            "noise": noise,
            "velocity": noise - clean,
            "v": schedule.alpha(t) * noise - schedule.sigma(t) * clean,
        }[kind]
        return said if isinstance(x, np.ndarray) else x.new_tensor(said)

    return predict
