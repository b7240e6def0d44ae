"""State dicts with the names and shapes of public code, filled by a formula, and the input for golden outputs.

The golden outputs in the tests were computed once by the public code itself, with these weights on this input.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch

Shapes = dict[str, tuple[int, ...]]


def layer(name: str, *shape: int) -> Shapes:
    """Return names and shapes of a linear layer's or a convolution's parameters."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def norm(name: str, n: int, *, of_batches: bool = False) -> Shapes:
    """Return names and shapes of a norm's parameters and buffers."""
    shapes = layer(name, n)
    if of_batches:
        shapes |= {
            f"{name}.running_mean": (n,),
            f"{name}.running_var": (n,),
            f"{name}.num_batches_tracked": (),
        }
    return shapes


def convolutions(temporal: str, spatial: str, mix: str) -> Shapes:
    """Return names and shapes of the convolutions over 63 channels; names are those before each part's number."""
    shapes = layer(f"{temporal}.0", 40, 1, 1, 25) | norm(f"{temporal}.2", 40, of_batches=True)
    stem, _, first = spatial.rpartition(".")
    shapes |= layer(spatial, 40, 40, 63, 1) | norm(f"{stem}.{int(first) + 1}", 40, of_batches=True)
    return shapes | layer(mix, 40, 40, 1, 1)


def projection(name: str, n_features: int, dimension: int) -> Shapes:
    """Return names and shapes of the residual projection; `name` ends with a point, or is empty."""
    shapes = layer(f"{name}0", dimension, n_features) | layer(f"{name}1.fn.1", dimension, dimension)
    return shapes | norm(f"{name}2", dimension)


def filled(shapes: Shapes, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the weights: draws in the order of the names, of the size that trained ones have."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name in sorted(shapes):
        shape = shapes[name]
        draw = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) > 1:
            draw /= math.sqrt(math.prod(shape[1:]))
        elif name.endswith("running_var"):
            draw = 0.1 + 0.1 * np.abs(draw)
        else:
            draw = 0.1 * draw + (1.0 if name.endswith("weight") else 0.0)
        tensors[name] = torch.tensor(draw, dtype=torch.float32)
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(7)
    return tensors


def epochs(n: int) -> torch.Tensor:
    """Return the input: trials of 63 channels and 250 samples, slow enough for means of 51 samples to see them."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((n, 63, 250), dtype=np.float32)
    return torch.from_numpy(np.cumsum(noise, axis=2) / 8)


def under(part: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors with names that begin with a part's."""
    return {f"{part}.{name}": tensor for name, tensor in tensors.items()}


def atm() -> Shapes:
    """Return names and shapes that ``ATMS`` saves."""
    embedding, encoder = "encoder.enc_embedding", "encoder.encoder"
    attention = f"{encoder}.attn_layers.0"
    shapes: Shapes = {"logit_scale": (), f"{embedding}.mask_token": (1, 250)}
    shapes |= layer(f"{embedding}.value_embedding", 250, 250)
    shapes |= {f"{embedding}.position_embedding.pe": (1, 5000, 250)}
    shapes |= {f"{embedding}.temporal_embedding.embed.weight": (250, 4)}
    shapes |= {f"{embedding}.subject_embedding.{x}_embedding": (1, 250) for x in ("shared", "mask")}
    shapes |= {f"{embedding}.subject_embedding.subject_embedding.weight": (10, 250)}
    for name in ("query", "key", "value"):
        shapes |= layer(f"{attention}.attention.{name}_projection", 248, 250)
    shapes |= layer(f"{attention}.attention.out_projection", 250, 248)
    shapes |= layer(f"{attention}.conv1", 256, 250, 1) | layer(f"{attention}.conv2", 250, 256, 1)
    shapes |= norm(f"{attention}.norm1", 250) | norm(f"{attention}.norm2", 250) | norm(f"{encoder}.norm", 250)
    for i in range(2):
        shapes |= layer(f"subject_wise_linear.{i}", 250, 250)
    shapes |= convolutions("enc_eeg.0.tsconv", "enc_eeg.0.tsconv.4", "enc_eeg.0.projection.0")
    return shapes | projection("proj_eeg.", 1440, 1024)


def nice_encoder(attention: str, *, apart: bool = False) -> Shapes:
    """Return names and shapes of NICE's ``Enc_eeg``, its convolutions together or, as of old, in two parts."""
    if attention == "none":
        return convolutions("0.tsconv", "0.tsconv.4", "0.projection.0")
    if attention == "self":
        shapes = norm("0.fn.0", 250)
        for name in ("query", "key", "projection"):
            shapes |= layer(f"0.fn.1.{name}.0", 63, 63) | norm(f"0.fn.1.{name}.1", 63)
    else:
        shapes = {f"0.fn.0.conv1.att_{end}": (1, 1, 250) for end in ("src", "dst")}
        shapes |= {"0.fn.0.conv1.lin.weight": (250, 250), "0.fn.0.conv1.bias": (250,)}
    if apart:
        return shapes | convolutions("1.tempconv", "2.spatconv.0", "2.projection.0")
    return shapes | convolutions("1.tsconv", "1.tsconv.4", "1.projection.0")


def nice(attention: str, *, apart: bool = False) -> dict[str, dict[str, torch.Tensor]]:
    """Return the state dicts that NICE saves, by part."""
    return {
        "Enc_eeg": filled(nice_encoder(attention, apart=apart)),
        "Proj_eeg": filled(projection("", 1440, 768), seed=2),
        "Proj_img": filled(projection("", 768, 768), seed=3),
    }
