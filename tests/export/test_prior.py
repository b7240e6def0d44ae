"""A distilled prior as ONNX: what torch gives, and the same samples whatever is asked for beside them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tests.decoders.inference.failing import Fails, only

from decode_stream.decoders.encoders.diffusion_prior import DiffusionPrior, FewStepPrior, PriorConfig
from decode_stream.decoders.prior import Prior
from decode_stream.decoders.prior_part import PriorPart
from decode_stream.export.prior import export_prior
from decode_stream.stream.errors import BundleError, UsageError

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = PriorConfig(6, 2, width=16, n_heads=2, head_dim=8, depth=1)


def student() -> FewStepPrior:
    """Return a prior of two steps with weights everywhere, none of them trained."""
    torch.manual_seed(0)
    prior = DiffusionPrior(CONFIG)
    torch.nn.init.normal_(prior.out.weight)
    prior.set_scaling(torch.randn(50, 12) - 1, 3 * torch.randn(50, 12) + 2)
    prior.set_linear(0.3 * torch.randn(12, 12), torch.linalg.qr(torch.randn(12, 12))[0], torch.rand(2, 12))
    prior.distilled = True
    return FewStepPrior(prior, 2).eval()


@pytest.fixture(scope="module")
def part() -> PriorPart:
    module = student()
    model = export_prior(module, np.random.default_rng(1).standard_normal((9, 12)).astype(np.float32))
    return PriorPart(model, 2, module.prior.center.numpy(), module.prior.condition_center.numpy())


def test_the_exported_prior_gives_what_torch_gives(part: PriorPart) -> None:
    decoded = np.random.default_rng(2).standard_normal((3, 12)).astype(np.float32)
    samples = Prior(part).samples(decoded, [5, 6, 7], 4)
    noise = np.stack(
        [np.random.default_rng(seed).standard_normal((4, 2, 12), np.float32) for seed in (5, 6, 7)]
    )
    with torch.inference_mode():
        given = torch.tensor(np.repeat(decoded, 4, axis=0))
        expected = student()(given, torch.tensor(noise.reshape(12, 2, 12))).numpy()
    assert np.abs(samples.reshape(12, 12) - expected).max() < 1e-4 * np.abs(expected).max()


def test_samples_depend_on_their_seed_and_embedding_alone(part: PriorPart) -> None:
    decoded = np.random.default_rng(3).standard_normal((2, 12)).astype(np.float32)
    prior = Prior(part)
    both, alone = prior.samples(decoded, [1, 2], 70), prior.samples(decoded[1:], [2], 3)
    assert both.shape == (2, 70, 12)
    assert np.allclose(both[1, :3], alone[0], atol=1e-5)
    assert np.array_equal(Prior(part).samples(decoded, [1, 2], 70), both)
    assert not np.allclose(prior.samples(decoded, [3, 2], 1)[0], both[0, :1])
    assert prior.samples(decoded[:0], []).shape == (0, 1, 12)


def test_a_prior_that_loses_its_provider_draws_the_same_samples(
    part: PriorPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, cuda=partial(Fails, at=3))  # its first run is when it is opened
    prior, decoded = Prior(part, "cuda"), np.ones((3, 12), np.float32)
    assert not prior.lost
    assert np.array_equal(prior.samples(decoded, [1, 2, 3]), Prior(part).samples(decoded, [1, 2, 3]))
    assert prior.lost.endswith("the bundle's prior goes on on the CPU")


def test_a_graph_that_is_none_or_of_another_size_is_refused(part: PriorPart) -> None:
    with pytest.raises(BundleError, match="cannot be run"):
        Prior(replace(part, model=b"no graph"))
    with pytest.raises(BundleError, match="cannot be run"):
        Prior(replace(part, center=np.zeros(5, np.float32), decoded_center=np.zeros(5, np.float32)))
    with pytest.raises(UsageError, match="tensorrt"):
        Prior(part, "tensorrt")
    with pytest.raises(ValueError, match="1 or 2"):
        replace(part, n_steps=3)
