import numpy as np
import pytest
import torch

from decode_stream.decoders.encoders.nice import Nice, NiceConfig
from decode_stream.decoders.encoders.public_weights import load_public_weights
from tests.decoders import public_states

#: What the public code gives of three trials at dimensions 0, 190, 380 and 570, by its attention and by whether its
#: convolutions are in two parts.
GOLDEN = {
    ("none", False): [
        [1.006652, 2.361501, -0.517003, 0.728556],
        [0.754552, 1.071905, 0.357119, 1.221666],
        [0.371638, 0.420267, 0.556137, 0.512047],
    ],
    ("self", False): [
        [-0.187944, -1.349692, 1.335679, 1.01428],
        [0.8446, -0.006353, 0.754203, 1.596768],
        [0.983677, -1.500891, 0.570222, 3.060879],
    ],
    ("self", True): [
        [-0.889148, -2.756381, -0.023907, -1.155782],
        [-0.27915, -0.813147, 0.435845, 0.475941],
        [0.112275, -1.344702, 1.764379, 1.03674],
    ],
    ("graph", False): [
        [0.881864, -0.244001, -0.347007, -0.351328],
        [-1.112484, 0.312728, -1.634682, -0.839989],
        [-0.502172, 2.457518, 0.235349, -0.880095],
    ],
    ("graph", True): [
        [0.710864, 0.813651, 0.670118, -0.514914],
        [1.379836, 2.794942, -1.594073, 1.397476],
        [1.020107, 0.55191, 0.441017, 0.757571],
    ],
}
#: Of the same trials the other way round, put back in order: the last is the first of its batch.
GOLDEN_REVERSED = [
    [0.642714, 0.283688, 0.111985, -0.927312],
    [-1.112484, 0.312728, -1.634682, -0.839989],
    [-0.456063, 2.212636, -0.204195, -0.713138],
]


pytestmark = pytest.mark.usefixtures("one_thread")


def published(attention: str, *, apart: bool = False, everywhere: bool = False) -> Nice:
    module = Nice(NiceConfig(attention=attention, attend_in_every_trial=everywhere)).eval()
    load_public_weights(module, public_states.nice(attention, apart=apart))
    return module


def embedded(module: Nice, epochs: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return module(epochs)[:, ::190][:, :4].numpy()


@pytest.mark.parametrize(("attention", "apart"), GOLDEN)
def test_public_weights_give_what_public_code_gives(attention: str, apart: bool) -> None:
    got = embedded(published(attention, apart=apart), public_states.epochs(3))
    np.testing.assert_allclose(got, GOLDEN[attention, apart], rtol=0, atol=1e-5)


def test_as_published_the_graph_links_the_channels_of_the_first_trial_only() -> None:
    got = embedded(published("graph"), public_states.epochs(3).flip(0))[::-1]
    np.testing.assert_allclose(got, GOLDEN_REVERSED, rtol=0, atol=1e-5)


def test_where_it_attends_in_every_trial_a_batch_does_not_matter() -> None:
    module, epochs = published("graph", everywhere=True), public_states.epochs(3)
    got = embedded(module, epochs)
    np.testing.assert_allclose(got[0], GOLDEN["graph", False][0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(got[2], GOLDEN_REVERSED[2], rtol=0, atol=1e-5)
    np.testing.assert_allclose(got[1], embedded(module, epochs[1:2])[0], rtol=0, atol=1e-5)


def test_weights_of_an_older_graph_library_are_known_too() -> None:
    states = public_states.nice("graph")
    encoder = states["Enc_eeg"]
    for name in ("lin_src", "lin_dst"):
        encoder[f"0.fn.0.conv1.{name}.weight"] = encoder["0.fn.0.conv1.lin.weight"]
    del encoder["0.fn.0.conv1.lin.weight"]
    module = Nice(NiceConfig(attention="graph")).eval()
    load_public_weights(module, states)
    got = embedded(module, public_states.epochs(3))
    np.testing.assert_allclose(got, GOLDEN["graph", False], rtol=0, atol=1e-5)


@pytest.mark.parametrize("attention", ["none", "self", "graph"])
def test_any_shape_of_trial_is_embedded_and_every_weight_learns(attention: str) -> None:
    module = Nice(NiceConfig(7, 91, 5, attention, attend_in_every_trial=True))
    embedding = module(torch.randn(4, 7, 91), torch.zeros(4, dtype=torch.int64))
    assert embedding.shape == (4, 5)
    embedding[:, 0].square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in module.parameters())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 75 samples at least.*got 25"):
        Nice(NiceConfig(n_times=25))
    with pytest.raises(ValueError, match="one of none, self, graph; got 'cross'"):
        NiceConfig(attention="cross")


def test_the_seed_decides_the_weights_which_begin_as_published() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (Nice(NiceConfig(5, 80, 6), seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["project.map.weight"], other["project.map.weight"])
    assert float(first["convolution.mix.weight"].std()) == pytest.approx(0.02, rel=0.1)
