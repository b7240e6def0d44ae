"""The flat projection network, with weights as public code saves them, and the pictures' side of its space."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from decode_stream.decoders.encoders.projection import Projection, ProjectionConfig
from decode_stream.decoders.encoders.public_weights import load_public_weights
from decode_stream.decoders.gallery_projector import (
    GalleryProjector,
    load_projector,
    same_projector,
    save_projector,
)
from decode_stream.stream.errors import BundleError, UsageError

from .formula_weights import trials, weight

SMALL = ProjectionConfig(n_channels=3, n_times=10, embedding_dim=4)
SHARED = replace(SMALL, shared_dim=2)
NETWORK = {
    "model.0.weight": (4, 30),
    "model.0.bias": (4,),
    "model.1.f.1.weight": (4, 4),
    "model.1.f.1.bias": (4,),
    "model.2.weight": (4,),
    "model.2.bias": (4,),
}
# For these weights and trials: of UBP's EEGProjectLayer, and of NeuroBridge's EEGProject with its ProjectorLinear.
UBP = [[-0.106329, -0.277015, 0.062343, 0.139912], [-0.755553, -0.27286, -0.294469, 0.102816]]
NEUROBRIDGE = [[0.182175, 0.151588], [0.366659, 0.612091]]
NEUROBRIDGE_PICTURES = [[-1.290184, 0.72538], [1.082788, 0.587104]]


def network(prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: weight(name, shape) for name, shape in NETWORK.items()}


def neurobridge() -> dict[str, object]:
    side = {name: weight(name, shape) for name, shape in (("linear.weight", (2, 4)), ("linear.bias", (2,)))}
    return {
        "epoch": 50,
        "model_state_dict": network(),
        "eeg_projector_state_dict": side,
        "img_projector_state_dict": {name: -2 * value for name, value in side.items()},
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": []},
        "loss": 0.5,
    }


def forward(module: Projection) -> np.ndarray:
    with torch.inference_mode():
        return module.eval()(trials(2, 3, 10)).numpy()


@pytest.mark.parametrize(
    "state",
    [
        network() | {"logit_scale": torch.tensor(2.66)},
        network(),
        {
            "epoch": 49,
            "state_dict": network("brain.") | {"brain.logit_scale": torch.tensor(2.66)},
            "loops": {},
        },
    ],
    ids=["network", "without a temperature", "Lightning"],
)
def test_weights_of_ubp_give_what_its_code_gives(state: dict[str, object], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "last.ckpt")
    module = Projection(SMALL)
    load_public_weights(module, tmp_path / "last.ckpt")
    np.testing.assert_allclose(forward(module), UBP, rtol=0, atol=1e-5)


def test_weights_of_neurobridge_give_what_its_code_gives_on_either_side(tmp_path: Path) -> None:
    torch.save(neurobridge(), tmp_path / "checkpoint_last.pth")
    module = Projection(SHARED)
    load_public_weights(module, tmp_path / "checkpoint_last.pth")
    np.testing.assert_allclose(forward(module), NEUROBRIDGE, rtol=0, atol=1e-5)
    pictures = np.cos(np.arange(8.0)).reshape(2, 4)
    with torch.inference_mode():
        got = module.project_targets(torch.tensor(pictures, dtype=torch.float32))
    np.testing.assert_allclose(got, NEUROBRIDGE_PICTURES, rtol=0, atol=1e-5)
    projector = module.gallery_projector()
    assert projector is not None
    np.testing.assert_allclose(projector.project(pictures), NEUROBRIDGE_PICTURES, rtol=0, atol=1e-5)


def test_weights_of_the_other_kind_are_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown: eeg_projector\.linear\.weight"):
        load_public_weights(Projection(SMALL), neurobridge())
    with pytest.raises(UsageError, match=r"missing: eeg_projector\.linear\.weight"):
        load_public_weights(Projection(SHARED), network())
    with pytest.raises(
        UsageError, match=r"another shape than here: model\.0\.weight \(4, 30\), not \(4, 33\)"
    ):
        load_public_weights(Projection(replace(SMALL, n_times=11)), network())


def test_the_published_sizes() -> None:
    assert sum(p.numel() for p in Projection(ProjectionConfig(17, 250)).parameters()) == 5_404_672
    module = Projection(ProjectionConfig(2, 7, 1024, shared_dim=512)).eval()
    assert module(torch.zeros(3, 2, 7)).shape == (3, 512)
    assert module.config.output_dim == 512
    assert ProjectionConfig(2, 7).output_dim == 1024


def test_without_a_learned_space_pictures_stay_where_they_are() -> None:
    module = Projection(SMALL)
    x = torch.rand(3, 4)
    assert module.project_targets(x) is x
    assert module.gallery_projector() is None


@pytest.mark.parametrize("wrong", [{"n_channels": 0}, {"n_times": -1}, {"shared_dim": 0}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} is at least 1; got {wrong[name]}"):
        replace(SMALL, **wrong)


def test_a_saved_projector_is_read_as_it_was() -> None:
    module = Projection(SHARED, seed=3)
    projector = module.gallery_projector()
    assert projector is not None
    read = load_projector(save_projector(projector))
    np.testing.assert_array_equal(read.weight, projector.weight)
    np.testing.assert_array_equal(read.bias, projector.bias)
    with torch.no_grad():
        module.share_pictures.weight.zero_()
    assert projector.weight.any(), "the arrays are a copy: training goes on without them"


def test_projectors_are_the_same_only_where_all_of_them_is() -> None:
    weight, bias = np.ones((2, 4), np.float32), np.zeros(2, np.float32)
    one = GalleryProjector(weight, bias)
    assert same_projector(one, load_projector(save_projector(one)))
    assert same_projector(None, None)
    others = (
        None,
        replace(one, weight=2 * weight),
        replace(one, weight=weight[:, :3]),
        replace(one, bias=bias + 1),
        replace(one, unit=True),
        replace(one, gaussian=True),
        replace(one, gaussian=True, rho=np.zeros(2, np.float32)),
    )
    assert not any(same_projector(a, b) for other in others for a, b in ((one, other), (other, one)))


def test_what_comes_again_is_saved_with_a_projector_and_told_apart() -> None:
    plain = GalleryProjector(np.ones((2, 4), np.float32), np.zeros(2, np.float32), gaussian=True)
    one = replace(plain, rho=np.array([0.5, 0.0], np.float32))
    again = load_projector(save_projector(one))
    assert again.rho is not None
    assert again.rho.tolist() == [0.5, 0.0]
    assert same_projector(one, again)
    assert not same_projector(one, plain)
    assert not same_projector(one, replace(one, rho=np.array([0.5, 0.1], np.float32)))
    assert load_projector(save_projector(plain)).rho is None
    entries = one.project(np.arange(8.0).reshape(2, 4))
    assert one.of_showings(entries, 1) is plain.of_showings(entries, 9) is entries
    expected = entries[:, :2] / [1 + 2 * 0.5, 1]
    half = -0.5 * (entries[:, :2] * expected).sum(axis=1)
    np.testing.assert_allclose(one.of_showings(entries, 3), np.column_stack([expected, half]))
    for wrong in (np.zeros(3), np.array([0.5, 1.5]), np.array([np.nan, 0.5])):
        with pytest.raises(ValueError, match="2 numbers from 0 to 1"):
            replace(plain, rho=wrong.astype(np.float32))
    with pytest.raises(ValueError, match="told by a Gaussian projector"):
        replace(one, gaussian=False)
    from safetensors.numpy import load, save

    damaged = save(load(save_projector(one)) | {"rho": np.full(2, 7, np.float32)})
    with pytest.raises(BundleError, match="from 0 to 1"):
        load_projector(damaged)


def test_a_projector_that_is_none_is_refused() -> None:
    whole = save_projector(GalleryProjector(np.ones((2, 4), np.float32), np.zeros(2, np.float32)))
    for data in (b"", whole[:-4], b"not tensors at all"):
        with pytest.raises(BundleError, match="projector of the gallery cannot be read"):
            load_projector(data)
    from safetensors.numpy import save

    with pytest.raises(BundleError, match="weight"):
        load_projector(save({"bias": np.zeros(2, np.float32)}))
    with pytest.raises(BundleError, match=r"\(2, 4\) and \(3,\)"):
        load_projector(save({"weight": np.ones((2, 4), np.float32), "bias": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match=r"embeddings of 4 dimensions; got \(5, 3\)"):
        load_projector(whole).project(np.ones((5, 3)))
