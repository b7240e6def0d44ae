"""Choose how much the encoder's linear path may believe, by leaving runs out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.stream.types import FloatArray, IntArray

from .batches import TrialArray
from .fitting import FitSettings, embed_trials, fit

__all__ = ["choose_prior"]

#: From noise that drowns the response, through single trials of EEG, to responses seen by eye.
PRIORS = (0.01, 0.02, 0.05, 0.1, 0.2)
_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class _Picked:
    """Some of the trials, read a batch at a time: the windows of a large recording do not fit into memory."""

    windows: TrialArray
    places: IntArray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), *self.windows.shape[1:])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        return self.windows[self.places[index]]


def choose_prior(
    config: ChannelAttentionConfig,
    windows: TrialArray,
    labels: IntArray,
    runs: IntArray,
    gallery: FloatArray,
    *,
    candidates: Sequence[float] = PRIORS,
    seed: int = 0,
    settings: FitSettings | None = None,
) -> FitSettings:
    """Return settings with the width of the prior that predicts left-out runs best.

    The linear path alone is fitted, without each run in turn, and judged by the log loss of the trials left out.

    Parameters
    ----------
    config : ChannelAttentionConfig
        Encoder that is to be fitted.
    windows : array of shape (n_trials, n_latencies, n_channels, n_times), float32
    labels : array of shape (n_trials,), int64
        Gallery entry of each trial.
    runs : array of shape (n_trials,), int64
        Run of each trial. With a single run, `settings` come back as they are.
    gallery : array of shape (n_entries, embedding_dim), float32
        Compared by inner product; with cosines the prior sets no scale and nothing needs choosing.
    candidates : sequence of float
        Standard deviations to try.
    settings : FitSettings, optional
        All the rest.

    Returns
    -------
    FitSettings
    """
    settings = settings or FitSettings()
    folds = np.unique(runs)
    if len(folds) < 2:
        return settings
    linear, components = _components(replace(config, n_layers=0), windows)
    losses = []
    for prior_std in candidates:
        tried = replace(settings, prior_std=prior_std)
        total = 0.0
        for fold in folds:
            out = runs == fold
            module = ChannelAttention(linear, seed)
            others, left_out = (_Picked(components, np.flatnonzero(which)) for which in (~out, out))
            fit(module, others, labels[~out], gallery, seed=seed, settings=tried)
            evidence = embed_trials(module, left_out).sum(axis=1) @ gallery.T
            total -= log_softmax(evidence, axis=1)[np.arange(out.sum()), labels[out]].sum()
        losses.append(total)
    return replace(settings, prior_std=candidates[int(np.argmin(losses))])


def _components(
    config: ChannelAttentionConfig, windows: TrialArray
) -> tuple[ChannelAttentionConfig, npt.NDArray[np.float32]]:
    """Return windows of as few samples as have the same components, and an encoder's size for them.

    Nothing else of a window is read by the linear path, and it is read in every one of some thousand passes.
    """
    short = replace(config, n_times=config.n_components)
    long_basis, short_basis = (ChannelAttention(one).cosines.numpy() for one in (config, short))
    to_short = long_basis.T @ short_basis
    parts = [windows[start : start + _AT_ONCE] @ to_short for start in range(0, len(windows), _AT_ONCE)]
    return short, np.concatenate(parts)
