"""The diffusion prior: from the embedding decoded of a trial to embeddings as pictures have them.

A mapper that regresses gives the mean of what the picture may have been, which is no picture's embedding: shorter, and
away from where those lie. The prior draws from what it may have been instead (Scotti et al. 2023, MindEye, NeurIPS; the
prior of Ramesh et al. 2022, arXiv 2204.06125): it predicts the clean embedding (x0) from a noisy one and from what was
decoded. Retrieval keeps the mapper's own embedding.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DiffusionPrior", "FewStepPrior", "PriorConfig", "cosine_levels"]

#: Heads and their width by the width of a token, as published: MindEye, and MindEye2.
_PUBLISHED_HEADS = {768: (12, 64), 1664: (32, 52)}
_HEAD_DIM = 64
#: A smaller token does not make a smaller network than this.
_LEAST_WIDTH = 64
#: Numbers of an embedding up to which the prior has a Gaussian part; a pooled embedding has a thousand or so.
_MOST_LINEAR = 2048
_CLEAREST, _OFFSET = 0.999, 0.008


@dataclass(frozen=True, slots=True)
class PriorConfig:
    """Sizes of a prior; those not given are MindEye's, scaled to the token.

    Attributes
    ----------
    token_dim : int
        Numbers of a token, or of a pooled embedding.
    n_tokens : int
        1 for a pooled embedding.
    width : int
        Of the transformer; 0 for that of a token, 64 at least.
    n_heads, head_dim : int
        0 for the published ones of tokens of 768 (12 of 64) and 1664 (32 of 52), else heads of 64.
    depth : int
    n_timesteps : int
        From a clean embedding to noise.
    condition_drop : float
        How often the decoded embedding is hidden in training, so that samples can be guided.

    Raises
    ------
    ValueError
        If a size is impossible.
    """

    token_dim: int
    n_tokens: int = 1
    width: int = 0
    n_heads: int = 0
    head_dim: int = 0
    depth: int = 6
    n_timesteps: int = 100
    condition_drop: float = 0.2

    def __post_init__(self) -> None:
        if min(self.token_dim, self.n_tokens, self.depth) < 1 or self.n_timesteps < 4:
            raise ValueError(f"A prior has tokens, layers and at least 4 time steps; got {self}.")
        if not 0 <= self.condition_drop < 1:
            raise ValueError(
                f"The condition is dropped in a share of 0 to below 1; got {self.condition_drop:g}."
            )
        width = self.width or max(self.token_dim, _LEAST_WIDTH)
        n_heads, head_dim = _PUBLISHED_HEADS.get(width, (max(1, width // _HEAD_DIM), _HEAD_DIM))
        for name, value in (("width", width), ("n_heads", n_heads), ("head_dim", head_dim)):
            object.__setattr__(self, name, getattr(self, name) or value)

    @property
    def dimension(self) -> int:
        """Numbers of an embedding laid out flat."""
        return self.n_tokens * self.token_dim

    @property
    def has_linear(self) -> bool:
        """Whether embeddings have few enough numbers for the covariance of all of them."""
        return self.dimension <= _MOST_LINEAR


def cosine_levels(n_timesteps: int) -> Tensor:
    """Return how much of the variance is signal after each step of noise, shape (n_timesteps,), float64.

    The cosine schedule of Nichol and Dhariwal (2021, arXiv 2102.09672, equation 17), each step's noise limited to .999.
    """
    steps = torch.arange(n_timesteps + 1, dtype=torch.float64) / n_timesteps
    signal = torch.cos((steps + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2
    return torch.cumprod(1 - (1 - signal[1:] / signal[:-1]).clamp(max=_CLEAREST), dim=0)


class DiffusionPrior(nn.Module):
    """What predicts a clean embedding from a noisy one, its time and the decoded one.

    The prediction is what would be right if embeddings and what is decoded of them were Gaussian together, which is
    linear, and what a transformer adds to it, times the spread that the Gaussian leaves::

        mean = weight condition
        shrink = signal variances / (signal**2 variances + noise**2)
        clean = mean + basis shrink basis^T (noisy - signal mean) + left transformer(noisy, time, condition)

    Few trials teach the Gaussian part much, and the transformer from them alone little; it begins at nothing (Wang and
    Vastola 2023, arXiv 2311.10892, on how much of what is learnt is this part; Karras et al. 2022, arXiv 2206.00364, on
    the scaling). Embeddings of many numbers have no such part: ``weight`` is 0 and the variances are 1.

    The transformer is not causal. Its tokens are the decoded embedding's, one for the time, and the noisy embedding's
    with learned queries added. Other than in the published code all have learned places instead of relative ones, and
    every head its own keys and values.

    Parameters
    ----------
    config : PriorConfig
    seed : int
        Of the weights at the beginning.

    Attributes
    ----------
    distilled : bool
        Whether it predicts where the way of a noisy embedding ends, instead of the mean of all clean ones that it may
        come from. Of a Gaussian that is linear as well, with ``sqrt(variances / (signal**2 variances + noise**2))``.
    center, scale : Tensor
        Of pictures' embeddings in training: mean of each number, and one spread for all, so that noise of unit variance
        is as large as they are. Set by `set_scaling`.
    condition_center, condition_scale : Tensor
        Of decoded embeddings, likewise.
    """

    def __init__(self, config: PriorConfig, seed: int = 0) -> None:
        super().__init__()
        self.config, self.distilled = config, False
        n, dim, width = config.n_tokens, config.token_dim, config.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.condition_in, self.noisy_in = nn.Linear(dim, width), nn.Linear(dim, width)
            self.hidden_condition = nn.Parameter(0.02 * torch.randn(n, width))
            self.places = nn.Parameter(0.02 * torch.randn(2 * n + 1, width))
            self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            self.layers = nn.ModuleList(_Layer(config) for _ in range(config.depth))
            self.norm = nn.LayerNorm(width)
            self.out = nn.Linear(width, dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        levels = cosine_levels(config.n_timesteps)
        many = config.dimension
        self.signal, self.noise = nn.Buffer(levels.sqrt().float()), nn.Buffer((1 - levels).sqrt().float())
        self.center, self.condition_center = nn.Buffer(torch.zeros(many)), nn.Buffer(torch.zeros(many))
        self.scale, self.condition_scale = nn.Buffer(torch.ones(())), nn.Buffer(torch.ones(()))
        if config.has_linear:
            self.weight, self.basis = nn.Buffer(torch.zeros(many, many)), nn.Buffer(torch.eye(many))
        self.variances = nn.Buffer(torch.ones(2, many if config.has_linear else 1))

    def set_scaling(self, decoded: Tensor, embeddings: Tensor) -> None:
        """Take mean and spread from embeddings of training, shape (n, dimension) each."""
        self.center.copy_(embeddings.mean(dim=0))
        self.scale.copy_((embeddings - self.center).square().mean().sqrt().clamp(min=1e-12))
        self.condition_center.copy_(decoded.mean(dim=0))
        self.condition_scale.copy_((decoded - self.condition_center).square().mean().sqrt().clamp(min=1e-12))

    def set_linear(self, weight: Tensor, basis: Tensor, variances: Tensor) -> None:
        """Take the Gaussian part, all of standardised embeddings.

        Parameters
        ----------
        weight : Tensor of shape (dimension, dimension)
            Of the mean embedding given a decoded one.
        basis : Tensor of shape (dimension, dimension)
            Its columns are the directions in which what is left over varies independently.
        variances : Tensor of shape (2, dimension)
            Along them: of what is left over, and of embeddings of which nothing was decoded.
        """
        self.weight.copy_(weight)
        self.basis.copy_(basis)
        self.variances.copy_(variances)

    def condition(self, decoded: Tensor) -> Tensor:
        """Return decoded embeddings (n, dimension) as the network takes them."""
        return (decoded - self.condition_center) / self.condition_scale

    def standardised(self, embeddings: Tensor) -> Tensor:
        """Return pictures' embeddings (n, dimension) as the network takes them."""
        return (embeddings - self.center) / self.scale

    def embeddings(self, standardised: Tensor) -> Tensor:
        """Return what the network gives as pictures' embeddings; shape (..., dimension)."""
        return standardised * self.scale + self.center

    def forward(self, noisy: Tensor, time: Tensor, condition: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return the clean embeddings, standardised.

        Parameters
        ----------
        noisy : Tensor of shape (n, dimension)
            ``signal[time] * clean + noise[time] * normal``, standardised.
        time : Tensor of shape (n,), int64
            From 0, almost clean, to ``n_timesteps - 1``, noise.
        condition : Tensor of shape (n, dimension)
            From `condition`.
        hidden : Tensor of shape (n,), bool, optional
            Whose condition is not to be seen.

        Returns
        -------
        Tensor of shape (n, dimension)
        """
        signal, noise = self.signal[time, None], self.noise[time, None]
        variances = self.variances[:1] if hidden is None else self.variances[hidden.long()]
        after = signal**2 * variances + noise**2
        shrink = (variances / after).sqrt() if self.distilled else signal * variances / after
        left = (noise**2 * variances / after).mean(dim=1, keepdim=True).sqrt()
        if not self.config.has_linear:
            return shrink * noisy + left * self._transformed(noisy, time, condition, hidden)
        mean = condition @ self.weight.T
        if hidden is not None:
            mean = torch.where(hidden[:, None], 0.0, mean)
        linear = mean + ((noisy - signal * mean) @ self.basis * shrink) @ self.basis.T
        return linear + left * self._transformed(noisy, time, condition, hidden)

    def _transformed(self, noisy: Tensor, time: Tensor, condition: Tensor, hidden: Tensor | None) -> Tensor:
        """Return what the transformer makes of the tokens, shape (n, dimension)."""
        config = self.config
        tokens = (-1, config.n_tokens, config.token_dim)
        given = self.condition_in(condition.reshape(tokens))
        if hidden is not None:
            given = torch.where(hidden[:, None, None], self.hidden_condition, given)
        when = self.time(_waves(time, config.width)).unsqueeze(1)
        x = torch.cat([given, when, self.noisy_in(noisy.reshape(tokens))], dim=1) + self.places
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.out(self.norm(x[:, -config.n_tokens :]))
        return out.reshape(-1, config.dimension)


class _Layer(nn.Module):
    """Attention of every token to all, then a gated layer (SwiGLU: Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        width, inner = config.width, config.n_heads * config.head_dim
        self.heads = (config.n_heads, config.head_dim)
        self.attention_norm, self.gate_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * inner, bias=False)
        self.attended = nn.Linear(inner, width, bias=False)
        self.gate = nn.Linear(width, 8 * width, bias=False)
        self.gated = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, n_tokens, _ = x.shape
        parts = self.query_key_value(self.attention_norm(x)).reshape(n, n_tokens, 3, *self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.attended(attended.transpose(1, 2).reshape(n, n_tokens, -1))
        value, gate = self.gate(self.gate_norm(x)).chunk(2, dim=-1)
        out: Tensor = x + self.gated(value * functional.silu(gate))
        return out


def _waves(time: Tensor, width: int) -> Tensor:
    """Return sines and cosines of the time (Vaswani et al. 2017), shape (n, width)."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=time.device) * (-math.log(10_000.0) / max(half - 1, 1)))
    angles = time[:, None].float() * rates
    return functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width - 2 * half))


class FewStepPrior(nn.Module):
    """A prior that gives a sample in one or two steps, as it is exported.

    Each step jumps to a clean embedding; before the second one noise is added again, up to the middle of the time, as
    consistency models do (Song et al. 2023, arXiv 2303.01469, algorithm 1).

    Parameters
    ----------
    prior : DiffusionPrior
        Distilled: it gives the end of a way, not the mean of all ends.
    n_steps : int
        1 or 2.

    Raises
    ------
    ValueError
        If there are more steps than that, or none.
    """

    def __init__(self, prior: DiffusionPrior, n_steps: int) -> None:
        super().__init__()
        self.prior = prior
        self.times = self.step_times(prior.config, n_steps)

    @staticmethod
    def step_times(config: PriorConfig, n_steps: int) -> tuple[int, ...]:
        """Return the time at which each step begins."""
        if n_steps not in (1, 2):
            raise ValueError(f"A distilled prior takes 1 or 2 steps; got {n_steps}.")
        return (config.n_timesteps - 1, config.n_timesteps // 2)[:n_steps]

    def forward(self, embedding: Tensor, noise: Tensor) -> Tensor:
        """Return a sample for each decoded embedding.

        Parameters
        ----------
        embedding : Tensor of shape (n, dimension)
        noise : Tensor of shape (n, n_steps, dimension)
            Of unit variance.

        Returns
        -------
        Tensor of shape (n, dimension)
        """
        prior = self.prior
        condition = prior.condition(embedding)
        clean = torch.zeros_like(condition)
        for step, at in enumerate(self.times):
            noisy = (
                noise[:, step] if step == 0 else prior.signal[at] * clean + prior.noise[at] * noise[:, step]
            )
            clean = prior(noisy, torch.full_like(embedding[:, 0], at, dtype=torch.int64), condition)
        return prior.embeddings(clean)
