"""An encoder of embeddings as a decoder of categories."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .whole_trial import KnowsPeople

__all__ = ["Categories", "PeoplesCategories"]

_ENCODER = "encoder."


class Categories(nn.Module):
    """A linear layer behind an encoder of whole trials, from its embedding to one number a category.

    The published encoders end with a layer norm over the dimensions of the embedding. Of two categories themselves it
    would leave a sign, and nothing to follow a gradient along.

    Parameters
    ----------
    encoder : Module
        Takes trials (n, n_channels, n_times) and their subjects (n,), int64 or None.
    width, n_categories : int
        Dimension of its embedding, and numbers that come out.
    seed : int
        Seed of the layer's initial weights.
    """

    def __init__(self, encoder: nn.Module, width: int, n_categories: int, seed: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.scores = nn.Linear(width, n_categories)

    def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
        """Return one number a category for each trial, a logit, shape (n, n_categories), float32.

        Parameters
        ----------
        epoch : Tensor of shape (n, n_channels, n_times), float32
        subject : Tensor of shape (n,), int64, optional
            Whose trial each is, for an encoder with a layer of each person.
        """
        scores: Tensor = self.scores(self.encoder(epoch, subject))
        return scores


class PeoplesCategories(Categories):
    """The same behind an encoder with a layer of each person, see `KnowsPeople`."""

    def for_new_people(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights as those of the encoder are for other people; see `KnowsPeople`."""
        assert isinstance(self.encoder, KnowsPeople)
        own = {n.removeprefix(_ENCODER): w for n, w in weights.items() if n.startswith(_ENCODER)}
        rest = {n: w for n, w in weights.items() if not n.startswith(_ENCODER)}
        return rest | {_ENCODER + n: w for n, w in self.encoder.for_new_people(own).items()}
