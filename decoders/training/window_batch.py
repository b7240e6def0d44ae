"""A batch of trials for an encoder of windows: what is hidden of it, what comes of it, and its losses."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from decode_stream.decoders.encoders.channel_attention import ChannelAttention
from decode_stream.stream.types import IntArray

from .batches import TrialArray
from .embedding_losses import draw_mixture, mse_cosine
from .losses import TrialLoss
from .window_losses import PairedTrialLoss

__all__ = ["WindowBatch", "batch_losses"]


@dataclass(frozen=True)
class WindowBatch:
    """Trials of a step.

    Attributes
    ----------
    windows : Tensor of shape (n, n_latencies, n_channels, n_times), float32
    labels : Tensor of shape (n,), int64
        Gallery entry of each trial.
    hidden : Tensor of shape (n, n_latencies), bool
        Whether a window is decoded without its latency.
    attended : Tensor of shape (n, n_latencies), bool
        Whether a window takes the attention path.
    subjects : Tensor of shape (n,), int64, or None
        Whose token is used; `n_subjects` for some, as if they were strangers.
    people : array of shape (n,), int64, or None
        Whose trial it is.
    """

    windows: Tensor
    labels: Tensor
    hidden: Tensor
    attended: Tensor
    subjects: Tensor | None
    people: IntArray | None

    @staticmethod
    def take(
        windows: TrialArray,
        labels: IntArray,
        subjects: IntArray | None,
        index: npt.NDArray[np.int64],
        module: ChannelAttention,
        unknown_rate: float,
        attend_every: int,
    ) -> "WindowBatch":
        """Pick trials, hide some of their windows' latencies and some of their subjects, and thin their windows out.

        Of every `attend_every` windows one takes the attention path, from one on that is drawn for each trial.
        """
        device = module.cosines.device
        # A choice from an array is a copy of its own.
        chosen = torch.as_tensor(windows[index], dtype=torch.float32, device=device)
        n, n_latencies = chosen.shape[:2]
        hidden = torch.rand((n, n_latencies), device=device) < unknown_rate
        hidden[:, 0] &= ~hidden.all(dim=1)
        every = min(attend_every, n_latencies)
        first = torch.randint(every, (n, 1), device=device)
        attended = (torch.arange(n_latencies, device=device) - first) % every == 0
        of_trial = None
        if subjects is not None:
            of_trial = torch.tensor(subjects[index], dtype=torch.int64, device=device)
            stranger = torch.rand(of_trial.shape, device=device) < 0.1
            of_trial = torch.where(stranger, module.config.n_subjects, of_trial)
        people = None if subjects is None else subjects[index]
        of_picture = torch.tensor(labels[index], dtype=torch.int64, device=device)
        return WindowBatch(chosen, of_picture, hidden, attended, of_trial, people)


def batch_losses(
    module: ChannelAttention,
    criterion: TrialLoss | PairedTrialLoss,
    batch: WindowBatch,
    layouts: Tensor | None,
    generator: np.random.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch's trials, with that of their structure, and that of its windows."""
    mixture, seen = None, batch.windows
    if isinstance(criterion, PairedTrialLoss) and criterion.mixes and generator is not None:
        people = np.zeros(len(seen), np.int64) if batch.people is None else batch.people
        mixture = draw_mixture(people, generator).to(seen.device)
        seen = mixture.of(seen)
    embeddings = module.of_trials(seen, batch.hidden, batch.subjects, batch.attended)
    dimension = embeddings.shape[2] - (0 if layouts is None else layouts.shape[1])
    semantic = embeddings[..., :dimension]
    if isinstance(criterion, PairedTrialLoss):
        trial_loss, window_loss = criterion.of_windows(semantic, batch.labels, batch.hidden, mixture)
    else:
        trial_loss, window_loss = criterion(semantic, batch.labels, batch.hidden)
    if layouts is not None:
        structure = layouts[batch.labels]
        # Of a mixture of trials, the structure is the mixture of theirs.
        structure = structure if mixture is None else mixture.of(structure)
        found = embeddings[..., dimension:]
        trial_loss = trial_loss + mse_cosine(found, structure[:, None].expand_as(found))
    return trial_loss, window_loss
