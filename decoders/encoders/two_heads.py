"""An encoder of windows whose last dimensions are a second head's."""

from torch import Tensor, nn

__all__ = ["TwoHeads"]


class TwoHeads(nn.Module):
    """An encoder of windows with the outputs of a bundle's: the embedding, and the structure apart from it.

    Parameters
    ----------
    encoder : Module
        Takes windows (n, n_channels, n_times) and their latencies (n,).
    structure_dim : int
        So many of its last dimensions are the second head's.
    """

    def __init__(self, encoder: nn.Module, structure_dim: int) -> None:
        super().__init__()
        self.encoder, self.structure_dim = encoder, structure_dim

    def forward(self, window: Tensor, latency_s: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding of each window and its structure.

        Parameters
        ----------
        window : Tensor of shape (n, n_channels, n_times), float32
        latency_s : Tensor of shape (n,), float32

        Returns
        -------
        embedding, structure : Tensor of shape (n, dimension), (n, structure_dim), float32
        """
        both = self.encoder(window, latency_s)
        dimension = both.shape[1] - self.structure_dim
        return both[:, :dimension], both[:, dimension:]
