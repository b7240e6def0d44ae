"""A diffusion prior where the answer is known: of Gaussian embeddings, and of two kinds of pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from decode_stream.decoders.encoders.diffusion_prior import DiffusionPrior, FewStepPrior, PriorConfig
from decode_stream.decoders.training.history import EpochReport, FitHistory
from decode_stream.decoders.training.prior_fit import distil_prior, fit_prior
from decode_stream.decoders.training.prior_sampling import clean_from, sample
from decode_stream.decoders.training.prior_settings import Pairs, PriorSettings
from decode_stream.stream.errors import DecodeStreamError, UsageError

pytestmark = pytest.mark.usefixtures("one_thread")

DIM = 3
SMALL = PriorConfig(DIM, width=16, n_heads=2, head_dim=8, depth=1)
QUICK = PriorSettings(n_epochs=2, batch_size=256, learning_rate=1e-3)
#: Pictures, what is decoded of them, and the noise of that.
MEAN = np.array([3.0, -1.0, 0.5])
COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.2], [0.0, 0.2, 0.6]])
DECODES = np.array([[0.8, 0.0, 0.1], [0.0, 0.5, 0.0], [0.2, 0.0, 0.1]])
NOISE = 0.3
#: Of each of so many trials, so many samples.
N_TRIALS, N_DRAWN = 8, 300


def gaussian(n: int, seed: int) -> Pairs:
    rng = np.random.default_rng(seed)
    pictures = MEAN + rng.standard_normal((n, DIM)) @ np.linalg.cholesky(COVARIANCE).T
    decoded = pictures @ DECODES.T + np.sqrt(NOISE) * rng.standard_normal((n, DIM))
    return Pairs(decoded.astype(np.float32), np.arange(n), pictures.astype(np.float32))


def posterior(decoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the picture given what was decoded, by Bayes' rule."""
    seen = DECODES @ COVARIANCE @ DECODES.T + NOISE * np.eye(DIM)
    gain = COVARIANCE @ DECODES.T @ np.linalg.inv(seen)
    return MEAN + (decoded - MEAN @ DECODES.T) @ gain.T, COVARIANCE - gain @ DECODES @ COVARIANCE


def drawn(decoded: np.ndarray, n_steps: int, draw: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
    noise = torch.randn(
        len(decoded) * N_DRAWN, n_steps, DIM, generator=torch.Generator().manual_seed(n_steps)
    )
    with torch.no_grad():
        samples = draw(torch.tensor(np.repeat(decoded, N_DRAWN, axis=0)), noise)
    return samples.numpy().reshape(len(decoded), N_DRAWN, DIM)


def assert_posterior(samples: np.ndarray, decoded: np.ndarray) -> None:
    mean, covariance = posterior(decoded)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(samples.mean(axis=1) - mean) / sd).mean() < 0.12
    found = np.mean([np.cov(rows.T) for rows in samples], axis=0)
    assert np.abs(found - covariance).max() < 0.12 * covariance.max()


@pytest.fixture(scope="module")
def teacher() -> DiffusionPrior:
    prior = DiffusionPrior(SMALL)
    fit_prior(prior, gaussian(2000, 0), gaussian(200, 1), settings=QUICK)
    return prior


def test_samples_have_the_mean_and_covariance_of_the_posterior(teacher: DiffusionPrior) -> None:
    decoded = gaussian(N_TRIALS, 2).decoded
    samples = drawn(decoded, 1, lambda given, noise: sample(teacher, given, noise[:, 0]))
    assert_posterior(samples, decoded)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_a_distilled_prior_draws_what_its_teacher_draws(teacher: DiffusionPrior, n_steps: int) -> None:
    few, agreement = distil_prior(teacher, gaussian(250, 0), gaussian(50, 1), n_steps, settings=QUICK)
    assert agreement > 0.97
    decoded = gaussian(N_TRIALS, 2).decoded
    assert_posterior(drawn(decoded, n_steps, few), decoded)
    if n_steps == 1:
        noise = torch.randn(N_TRIALS, 1, DIM, generator=torch.Generator().manual_seed(0))
        given = torch.tensor(decoded)
        spread = np.sqrt(np.diag(posterior(decoded)[1]).mean())
        with torch.no_grad():
            apart = few(given, noise) - sample(teacher, given, noise[:, 0])
        assert float(apart.square().mean().sqrt()) < 0.1 * spread


def test_guidance_draws_samples_together_and_none_draws_pictures_at_all(teacher: DiffusionPrior) -> None:
    decoded = gaussian(3, 2).decoded

    def spread(guidance: float) -> tuple[np.ndarray, float]:
        samples = drawn(
            decoded, 1, lambda given, noise: sample(teacher, given, noise[:, 0], guidance=guidance)
        )
        return samples.mean(axis=1), float(samples.var(axis=1).mean())

    (blind, blind_spread), (_, plain), (_, guided) = spread(0.0), spread(1.0), spread(2.0)
    assert guided < 0.9 * plain < 0.9 * blind_spread
    assert np.abs(blind - MEAN).max() < 0.25


def two_kinds(n: int, seed: int) -> Pairs:
    """Return pictures of two kinds, of which nothing is decoded: their mean is no picture's embedding."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice([-1.0, 1.0], n)[:, None] * np.ones(DIM)
    pictures = kinds + 0.1 * rng.standard_normal((n, DIM))
    return Pairs(np.zeros((n, DIM), np.float32), np.arange(n), pictures.astype(np.float32))


def test_samples_are_of_one_kind_or_the_other_and_never_their_mean() -> None:
    prior = DiffusionPrior(replace(SMALL, width=32, head_dim=16, depth=2))
    settings = PriorSettings(n_epochs=20, batch_size=128, learning_rate=5e-3, average=0.95)
    history = fit_prior(prior, two_kinds(1200, 0), two_kinds(200, 1), settings=settings)
    assert history.kept_epoch > 0
    few, agreement = distil_prior(
        prior, two_kinds(150, 0), two_kinds(30, 1), 1, settings=replace(settings, n_epochs=15)
    )
    assert agreement > 0.95
    for samples in (
        drawn(two_kinds(5, 2).decoded, 1, lambda given, noise: sample(prior, given, noise[:, 0])),
        drawn(two_kinds(5, 2).decoded, 1, few),
    ):
        along = samples.mean(axis=2).ravel()
        # A Gaussian of their mean and covariance has 38 % within half a kind's distance from it.
        assert np.mean(np.abs(along) < 0.5) < 0.2
        assert 0.35 < np.mean(along > 0) < 0.65


def test_a_solver_of_few_steps_comes_to_the_end_of_the_way() -> None:
    variances = torch.tensor([1.0, 0.3, 0.1])
    prior = DiffusionPrior(SMALL)
    prior.set_linear(torch.zeros(DIM, DIM), torch.eye(DIM), torch.stack([variances, variances]))
    noise = torch.randn(3000, DIM, generator=torch.Generator().manual_seed(0))
    noise = (noise - noise.mean(dim=0)) / noise.std(dim=0)
    last = prior.config.n_timesteps - 1
    with torch.no_grad():
        ends = clean_from(prior, noise, last, torch.zeros_like(noise))
        one = clean_from(prior, noise, last, torch.zeros_like(noise), n_steps=1)
        prior.distilled = True
        exact = FewStepPrior(prior, 1)(torch.zeros_like(noise), noise[:, None])
    # The Gaussian's way ends at the noise times the spread, and its first prediction is the mean.
    assert torch.allclose(exact, noise * variances.sqrt(), atol=1e-2)
    assert torch.allclose(ends.var(dim=0), variances, rtol=0.06)
    assert float(one.abs().max()) < 1e-2


def test_a_prior_that_trials_cannot_better_stays_as_it_began() -> None:
    prior, pairs = DiffusionPrior(SMALL), gaussian(12, 0)
    history = fit_prior(
        prior, pairs, gaussian(200, 1), settings=PriorSettings(n_epochs=2, learning_rate=0.1, average=0.0)
    )
    assert history.kept_epoch == 0
    assert not prior.out.weight.any()
    assert prior.weight.any()


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    settings = PriorSettings(n_epochs=4, batch_size=64, learning_rate=1e-2)

    def fitted(folder: Path | None, stop_at: int = 0) -> tuple[DiffusionPrior, FitHistory | None]:
        prior = DiffusionPrior(SMALL)

        def stop(report: EpochReport) -> None:
            if report.epoch == stop_at:
                raise KeyboardInterrupt

        try:
            history = fit_prior(
                prior,
                two_kinds(200, 0),
                two_kinds(50, 1),
                settings=settings,
                checkpoint=folder,
                progress=stop,
            )
        except KeyboardInterrupt:
            return prior, None
        return prior, history

    whole, history = fitted(None)
    fitted(tmp_path, stop_at=2)
    resumed, again = fitted(tmp_path)
    assert again == history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    with pytest.raises(UsageError, match="another training"):
        fit_prior(
            DiffusionPrior(SMALL), two_kinds(200, 5), two_kinds(50, 1), settings=settings, checkpoint=tmp_path
        )


def test_sizes_are_the_published_ones_and_scale_down() -> None:
    mind_eye, mind_eye_2, small = PriorConfig(768, 257), PriorConfig(1664, 256), PriorConfig(20)
    assert (mind_eye.width, mind_eye.n_heads, mind_eye.head_dim, mind_eye.depth) == (768, 12, 64, 6)
    assert (mind_eye_2.width, mind_eye_2.n_heads, mind_eye_2.head_dim) == (1664, 32, 52)
    assert (small.width, small.n_heads, small.head_dim) == (64, 1, 64)
    assert (mind_eye.n_timesteps, mind_eye.condition_drop, mind_eye.dimension) == (100, 0.2, 257 * 768)
    with pytest.raises(ValueError, match="dropped"):
        PriorConfig(4, condition_drop=1.0)


def test_a_grid_of_tokens_too_large_for_a_covariance_begins_without_one() -> None:
    config = PriorConfig(300, 8, width=16, n_heads=1, head_dim=16, depth=1)
    prior = DiffusionPrior(config)
    noisy = torch.randn(2, config.dimension)
    time = torch.tensor([99, 30])
    given = prior(noisy, time, torch.randn(2, config.dimension))
    assert not config.has_linear
    # Of white embeddings the best guess is the noisy one times what is left of the signal.
    assert torch.allclose(given, prior.signal[time, None] * noisy, atol=1e-5)


def test_pairs_that_do_not_fit_are_refused() -> None:
    pairs = gaussian(5, 0)
    with pytest.raises(ValueError, match="shape"):
        Pairs(pairs.decoded[:, :2], pairs.labels, pairs.embeddings)
    with pytest.raises(ValueError, match="finite"):
        Pairs(pairs.decoded * np.float32(np.nan), pairs.labels, pairs.embeddings)
    with pytest.raises(ValueError, match="1 or 2"):
        FewStepPrior(DiffusionPrior(SMALL), 3)
    with pytest.raises(ValueError, match="numbers"):
        fit_prior(DiffusionPrior(PriorConfig(4)), pairs, pairs)


def test_what_to_do_about_a_failed_training_of_a_prior_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither --learning-rate nor --batch-size reaches it."""

    def told(settings: PriorSettings) -> str:
        with pytest.raises(DecodeStreamError) as caught:
            fit_prior(DiffusionPrior(SMALL), gaussian(60, 0), gaussian(20, 1), settings=settings)
        return str(caught.value)

    diverged = told(replace(QUICK, n_epochs=6, learning_rate=1e9))
    assert "Training diverged" in diverged

    def full(*args: object) -> Tensor:
        raise torch.OutOfMemoryError

    forward = DiffusionPrior.forward
    monkeypatch.setattr(
        DiffusionPrior,
        "forward",
        lambda self, *args: full() if self.training else forward(self, *args),
    )
    too_small = told(QUICK)
    assert "The memory of the GPU is too small for batches of 256" in too_small
    for message in (diverged, too_small):
        assert "of --prior" in message
        assert "--learning-rate" not in message
        assert "--batch-size" not in message
