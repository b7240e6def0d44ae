import sys

import numpy as np
import pytest

from decode_stream.decoders.targets import efficientnet
from decode_stream.decoders.targets.efficientnet import N_FEATURES, efficientnet_features
from decode_stream.stream.errors import UsageError


def test_a_picture_has_its_features_whatever_stands_beside_it() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(256, size=(side, side + 9, 3), dtype=np.uint8) for side in (64, 30, 200)]
    features = efficientnet_features(pictures)
    assert (features.shape, features.dtype) == ((3, N_FEATURES), np.float32)
    np.testing.assert_allclose(efficientnet_features(pictures[1:2])[0], features[1], rtol=1e-3, atol=1e-4)
    assert np.linalg.norm(features[0] - features[2]) > 1
    assert efficientnet_features([]).shape == (0, N_FEATURES)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    efficientnet._model.cache_clear()
    with pytest.raises(UsageError, match="efficientnet_lite_pytorch.*pip install 'decode-stream\\[train\\]'"):
        efficientnet_features([np.zeros((8, 8, 3), np.uint8)])
