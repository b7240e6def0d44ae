"""Contrastive losses: which entry of a gallery does an embedding belong to?"""

from torch import Tensor
from torch.nn import functional

__all__ = ["gallery_loss", "pair_loss", "similarities"]


def similarities(embeddings: Tensor, gallery: Tensor, norm: str) -> Tensor:
    """Return how well each embedding fits each entry of the gallery.

    Parameters
    ----------
    embeddings : Tensor of shape (..., dimension)
    gallery : Tensor of shape (n_entries, dimension)
    norm : {"unit", "none"}
        ``"unit"`` gives cosine similarity, ``"none"`` the plain inner product.

    Returns
    -------
    Tensor of shape (..., n_entries)
    """
    if norm == "unit":
        embeddings, gallery = functional.normalize(embeddings, dim=-1), functional.normalize(gallery, dim=-1)
    return embeddings @ gallery.T


def gallery_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the InfoNCE loss against a whole gallery (van den Oord et al. 2018, eq. 4).

    Parameters
    ----------
    logits : Tensor of shape (n, n_entries)
        Scaled similarities.
    labels : Tensor of shape (n,), int64
        Gallery entry of each row.

    Returns
    -------
    Tensor of shape ()
        Mean loss in nats.
    """
    return functional.cross_entropy(logits, labels)


def pair_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the symmetric InfoNCE loss over the pairs of a batch (Radford et al. 2021, fig. 3).

    Rows look for their column and columns for their row. Where a gallery entry occurs more than once in the batch,
    every one of its pairs is right, not only the own.

    Parameters
    ----------
    logits : Tensor of shape (n, n)
        Scaled similarity of row i's embedding to the gallery entry of row j.
    labels : Tensor of shape (n,), int64
        Gallery entry of each row.

    Returns
    -------
    Tensor of shape ()
        Mean loss in nats.
    """
    same = (labels[:, None] == labels[None]).to(logits.dtype)
    target = same / same.sum(dim=1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
