"""ATM-S: attention among the channels of a whole trial, then convolutions over time and over channels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from decode_stream.stream.errors import UsageError

from .temporal_spatial import ResidualProjection, TemporalSpatialConvolution

__all__ = ["Atm", "AtmConfig"]


@dataclass(frozen=True)
class AtmConfig:
    """Size of an ATM-S; the defaults are those published, for one second of THINGS-EEG2 at 250 Hz.

    Attributes
    ----------
    n_channels, n_times : int
        Shape of a trial, 75 samples at least. A channel's token is as wide as its trial is long.
    embedding_dim : int
        Dimension of the gallery's embeddings.
    n_subjects : int
        Subjects with a token of their own; all others share one. Public code numbers ``sub-01`` as 1, so its number
        0 is never used, and the tenth subject of ten has the shared token.
    n_heads, n_layers, d_feed_forward : int
        Attention heads and layers, and the width of the step after each.
    dropout : float
        Dropout of tokens and attention while training.
    keep_every_channel : bool
        The subject's token comes first, and as published just as many tokens are kept as there are channels, from the
        first on: the subject's stays and the last channel's is dropped, so that this channel is seen through the
        attention alone. True drops the subject's, as the newest public code does.
    """

    n_channels: int = 63
    n_times: int = 250
    embedding_dim: int = 1024
    n_subjects: int = 10
    n_heads: int = 4
    n_layers: int = 1
    d_feed_forward: int = 256
    dropout: float = 0.25
    keep_every_channel: bool = False


class _AttentionLayer(nn.Module):
    """Attention among tokens and a feed-forward step, each added to what it got and normalised."""

    def __init__(self, config: AtmConfig) -> None:
        super().__init__()
        d_model, self.n_heads = config.n_times, config.n_heads
        # Of 250 samples four heads of 62 are made: two dimensions are lost on the way in.
        width = d_model // config.n_heads * config.n_heads
        self.query, self.key, self.value = (nn.Linear(d_model, width) for _ in range(3))
        self.merge = nn.Linear(width, d_model)
        # Convolutions over one token at a time are linear maps; public weights have this shape.
        self.widen = nn.Conv1d(d_model, config.d_feed_forward, 1)
        self.narrow = nn.Conv1d(config.d_feed_forward, d_model, 1)
        self.norm_attention, self.norm_forward = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape, (n, n_tokens, d_model)."""
        query, key, value = (
            part(tokens).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        forgotten = self.dropout.p if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=forgotten)
        tokens = self.norm_attention(tokens + self.dropout(self.merge(mixed.transpose(1, 2).flatten(2))))
        hidden = self.dropout(functional.gelu(self.widen(tokens.transpose(1, 2))))
        out: Tensor = self.norm_forward(tokens + self.dropout(self.narrow(hidden)).transpose(1, 2))
        return out


class Atm(nn.Module):
    """ATM-S of Li et al. (2024, NeurIPS): one token a channel and one for the subject attend to each other.

    Embeddings have no particular length: compare them by their direction, or train with the loss they were made for.
    Loads what ``ATMS`` of github.com/dongyangli-del/EEG_Image_decode has saved (``ATMS_retrieval.py``,
    ``ATMS_reconstruction.py``) and gives what it gives, its choice of tokens included.

    Parameters
    ----------
    config : AtmConfig
    seed : int
        Seed of the initial weights.

    Raises
    ------
    ValueError
        If a trial has fewer than 75 samples.
    """

    public_code = "github.com/dongyangli-del/EEG_Image_decode"

    def __init__(self, config: AtmConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Linear(config.n_times, config.n_times)
            self.subjects = nn.Parameter(torch.randn(config.n_subjects, config.n_times))
            self.shared_subject = nn.Parameter(torch.randn(1, config.n_times))
            self.layers = nn.ModuleList(_AttentionLayer(config) for _ in range(config.n_layers))
            self.norm, self.dropout = nn.LayerNorm(config.n_times), nn.Dropout(config.dropout)
            self.convolution = TemporalSpatialConvolution(config.n_channels, config.n_times)
            self.project = ResidualProjection(self.convolution.n_features, config.embedding_dim)

    def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
        """Return the embedding of each trial.

        Parameters
        ----------
        epoch : Tensor of shape (n, n_channels, n_times), float32
        subject : Tensor of shape (n,), int64, optional
            Whose trial it is, from 0; `n_subjects` or more for anyone else, as without it. As published, one trial of
            anyone else makes all trials of its batch take the shared token.

        Returns
        -------
        Tensor of shape (n, embedding_dim), float32
        """
        tokens = torch.cat([self._subject_tokens(epoch, subject), self.embed(epoch)], dim=1)
        tokens = self.dropout(tokens)
        for layer in self.layers:
            tokens = layer(tokens)
        first = 1 if self.config.keep_every_channel else 0
        kept = self.norm(tokens)[:, first : first + self.config.n_channels]
        out: Tensor = self.project(self.convolution(kept))
        return out

    def _subject_tokens(self, epoch: Tensor, subject: Tensor | None) -> Tensor:
        """Return the token of each trial's subject, shape (n, 1, d_model)."""
        shared = self.shared_subject.expand(epoch.shape[0], 1, -1)
        if subject is None or self.config.n_subjects == 0:
            return shared
        strangers = (subject >= self.config.n_subjects).any()
        own = self.subjects[subject.clamp(max=self.config.n_subjects - 1)][:, None]
        return torch.where(strangers, shared, own)

    def for_new_people(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of other people as those of this network's, whose tokens begin at the mean of theirs.

        The shared token does, too: it is a single person's where nobody has one of their own. See
        `decode_stream.decoders.encoders.whole_trial.KnowsPeople`.
        """
        known = weights["subjects"] if len(weights["subjects"]) else weights["shared_subject"]
        mean = known.mean(dim=0, keepdim=True)
        return {**weights, "subjects": mean.repeat(self.config.n_subjects, 1), "shared_subject": mean}

    def for_public_person(self, weights: Mapping[str, Tensor], person: str) -> dict[str, Tensor]:
        """Return public weights with one person's token alone, which is then the shared one.

        Parameters
        ----------
        weights : mapping of str to Tensor
            By own names.
        person : str
            Whose, such as ``sub-08``: its number counts. Empty for anyone that public code does not know.

        Raises
        ------
        UsageError
            If the weights hold no token of that number.
        """
        n, token = len(weights["subjects"]), weights["shared_subject"]
        if person:
            number = re.search(r"\d+$", person)
            if number is None or not 1 <= int(number[0]) <= n:
                raise UsageError(
                    f"--subject is {person!r}, who is unknown to the weights given to --init-from: they hold the "
                    f"tokens of subjects 1 to {n}. Leave out --subject to take the one that public code has for anyone "
                    "else."
                )
            # As public code counts, the last of ten has the shared token.
            token = weights["subjects"][int(number[0]) :][:1] if int(number[0]) < n else token
        return {**weights, "subjects": weights["subjects"][:0], "shared_subject": token}

    def kept_as_published(self) -> tuple[str, ...]:
        """Return what is done as public code does it, see `decode_stream.decoders.encoders.public_weights`."""
        if self.config.keep_every_channel:
            return ()
        return ("the subject's token stands in the place of the last channel's",)

    def public_names(self) -> dict[str, str | None]:
        """Return own names by those of public code, see `decode_stream.decoders.encoders.public_weights`."""
        names: dict[str, str | None] = {
            "encoder.enc_embedding.value_embedding": "embed",
            "encoder.enc_embedding.subject_embedding.subject_embedding.weight": "subjects",
            "encoder.enc_embedding.subject_embedding.shared_embedding": "shared_subject",
            "encoder.encoder.norm": "norm",
        }
        parts = {
            "attention.query_projection": "query",
            "attention.key_projection": "key",
            "attention.value_projection": "value",
            "attention.out_projection": "merge",
            "conv1": "widen",
            "conv2": "narrow",
            "norm1": "norm_attention",
            "norm2": "norm_forward",
        }
        for i in range(self.config.n_layers):
            names |= {f"encoder.encoder.attn_layers.{i}.{x}": f"layers.{i}.{y}" for x, y in parts.items()}
        names |= self.convolution.public_names("enc_eeg.0", "convolution")
        names |= self.project.public_names("proj_eeg", "project")
        unused = (
            "mask_token",
            "position_embedding",
            "temporal_embedding",
            "subject_embedding.mask_embedding",
        )
        names |= {f"encoder.enc_embedding.{name}": None for name in unused}
        return names | {"subject_wise_linear": None, "logit_scale": None}
