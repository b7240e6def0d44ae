from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from decode_stream.decoders.encoders.channel_attention import ChannelAttention, ChannelAttentionConfig
from decode_stream.decoders.encoders.lda import fit_lda, join_windows
from decode_stream.decoders.epochs import cut_trials
from decode_stream.decoders.scaling import robust_scale
from decode_stream.decoders.scoring.scores import auc
from decode_stream.decoders.training.fitting import FitSettings, embed_trials, fit
from decode_stream.decoders.training.history import EpochReport
from decode_stream.replay_data.open import open_recording
from decode_stream.stream.errors import DecodeStreamError, UsageError
from decode_stream.stream.filters import ChainSpec
from decode_stream.stream.window_chain import WindowSpec
from decode_stream.stream.windows import WindowSchedule

SCHEDULE = WindowSchedule(Fraction(128))
N_LATENCIES = 21


def simulate(
    gallery: np.ndarray, n: int, n_channels: int = 4, level: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Return windows of trials whose evoked response, 80 to 300 ms, carries the gallery's embedding; and labels."""
    rng = np.random.default_rng(11)
    n_samples = SCHEDULE.stop(N_LATENCIES - 1)
    times_s = np.arange(n_samples) / 128
    waves = np.stack([np.exp(-(((times_s - peak) / 0.04) ** 2)) for peak in (0.1, 0.17, 0.25)])
    mixing = np.random.default_rng(1).normal(size=(gallery.shape[1], n_channels, len(waves)))
    labels = rng.integers(len(gallery), size=n)
    noise = np.cumsum(rng.normal(size=(n, n_channels, n_samples)), axis=2)
    noise -= noise.mean(axis=2, keepdims=True)
    noise /= noise.std()
    epochs = noise + level * np.einsum("nd,dcw,wt->nct", gallery[labels], mixing, waves)
    stops = [SCHEDULE.stop(k) for k in range(N_LATENCIES)]
    windows = np.stack([epochs[:, :, stop - SCHEDULE.n_times : stop] for stop in stops], axis=1)
    return windows.astype(np.float32), labels


def evidence(module: ChannelAttention, windows: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    return embed_trials(module, windows).sum(axis=1) @ gallery.T


def encoder(n_channels: int, dimension: int, **more: int) -> ChannelAttention:
    return ChannelAttention(ChannelAttentionConfig(n_channels, SCHEDULE.n_times, dimension, **more))


def test_two_categories_are_decoded_as_well_as_lda_does() -> None:
    gallery = np.eye(2, dtype=np.float32)
    windows, labels = simulate(gallery, 700)
    train, test = slice(0, 400), slice(400, None)
    module = encoder(4, 2)
    settings = FitSettings(prior_std=0.1)
    history = fit(module, windows[train], labels[train], gallery, settings=settings)
    ours = evidence(module, windows[test], gallery)
    lda = fit_lda(join_windows(windows[train], SCHEDULE), labels[train], SCHEDULE, N_LATENCIES)
    theirs = lda.embed(windows[test]).sum(axis=1)
    ours_auc, lda_auc = (auc(e[:, 1] - e[:, 0], labels[test] == 1) for e in (ours, theirs))
    assert lda_auc > 0.6
    assert ours_auc > lda_auc
    assert history.train_loss[-1] < history.train_loss[0]
    assert (len(history.train_loss), history.valid_loss, history.kept_epoch) == (30, (), 30)


@pytest.mark.parametrize("n_entries", [12, 300])
def test_pictures_are_found_by_their_embeddings(n_entries: int) -> None:
    gallery = np.random.default_rng(2).normal(size=(n_entries, 8)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    windows, labels = simulate(gallery, 700, n_channels=6, level=2.0)
    module = encoder(6, 8)
    fit(module, windows[:600], labels[:600], gallery, norm="unit", settings=FitSettings(n_epochs=12))
    embeddings = embed_trials(module, windows[600:])
    cosines = (embeddings / np.linalg.norm(embeddings, axis=2, keepdims=True)).sum(axis=1) @ gallery.T
    truth = cosines[np.arange(100), labels[600:]]
    rank = (cosines > truth[:, None]).mean(axis=1)
    assert rank.mean() < 0.15


def test_the_latency_is_hidden_on_request() -> None:
    windows, _ = simulate(np.eye(2), 3)
    module = encoder(4, 2)
    with torch.no_grad():
        module.linear.weight.normal_()
    known, unknown = (embed_trials(module, windows, known=k) for k in (True, False))
    with torch.inference_mode():
        expected = module(torch.tensor(windows[1]), torch.full((N_LATENCIES,), -1.0))
    np.testing.assert_allclose(unknown[1], expected, rtol=1e-5, atol=1e-5)
    assert not np.allclose(known, unknown)
    assert embed_trials(module, windows[:0]).shape == (0, N_LATENCIES, 2)


def test_a_signal_at_every_latency_is_decoded_without_knowing_the_latency() -> None:
    windows, labels = simulate(np.eye(2), 300, level=0.0)
    windows[:, :, 0] += 0.3 * (2 * labels[:, None, None] - 1)
    module = encoder(4, 2)
    fit(module, windows, labels, np.eye(2), settings=FitSettings(n_epochs=10))
    free = embed_trials(module, windows, known=False)[:, 8]
    assert auc(free[:, 1] - free[:, 0], labels == 1) > 0.58


def test_a_fit_repeats_to_the_bit_and_leaves_the_random_state_alone() -> None:
    gallery = np.eye(2, dtype=np.float32)
    windows, labels = simulate(gallery, 60)
    settings = FitSettings(n_epochs=2, batch_size=16)
    results = []
    for seed in (0, 0, 1):
        module = encoder(4, 2)
        torch.manual_seed(9)
        fit(module, windows, labels, gallery, seed=seed, settings=settings)
        results.append((evidence(module, windows, gallery), float(torch.rand(()))))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert not np.array_equal(results[0][0], results[2][0])
    assert results[0][1] == results[2][1]


def test_the_best_epoch_is_kept_and_every_epoch_is_told() -> None:
    gallery = np.eye(2, dtype=np.float32)
    windows, labels = simulate(gallery, 120)
    told: list[EpochReport] = []
    settings = FitSettings(n_epochs=6, learning_rate=0.1, prior_std=10.0, keep_best=True)
    module = encoder(4, 2)
    valid = windows[80:], labels[80:]
    history = fit(
        module, windows[:80], labels[:80], gallery, valid=valid, settings=settings,
        progress=told.append,
    )  # fmt: skip
    assert [(report.epoch, report.n_epochs) for report in told] == [(epoch, 6) for epoch in range(1, 7)]
    assert tuple(told) == history.reports
    assert history.kept_epoch == 1 + int(np.argmin(history.valid_loss))
    assert history.kept_epoch < 6, "nothing to tell the best from the last"
    log_p = torch.tensor(evidence(module, valid[0], gallery)).log_softmax(1)[np.arange(40), valid[1]]
    assert float(-log_p.mean()) == pytest.approx(min(history.valid_loss), rel=1e-5)


def test_a_fit_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    gallery = np.eye(2, dtype=np.float32)
    windows, labels = simulate(gallery, 60)
    settings = FitSettings(n_epochs=4, batch_size=16, keep_best=True)

    def fitted(checkpoint: Path | None, stop_after: int = 9) -> ChannelAttention:
        def stop(report: EpochReport) -> None:
            if report.epoch == stop_after:
                raise KeyboardInterrupt

        module = encoder(4, 2)
        fit(
            module, windows[:50], labels[:50], gallery, norm="unit", valid=(windows[50:], labels[50:]),
            settings=settings, checkpoint=checkpoint, progress=stop,
        )  # fmt: skip
        return module

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, stop_after=2)
    resumed, whole = fitted(tmp_path).state_dict(), fitted(None).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    windows[0] += 1
    with pytest.raises(UsageError, match="belongs to another training: its trials differ"):
        fitted(tmp_path)


def test_a_fit_that_diverges_says_so() -> None:
    windows, labels = simulate(np.eye(2), 60)
    with pytest.raises(DecodeStreamError, match="diverged in epoch .*--learning-rate"):
        fit(encoder(4, 2), windows, labels, np.eye(2), settings=FitSettings(learning_rate=1e4))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_batches_that_could_hold_a_single_trial_are_refused(batch_size: int) -> None:
    FitSettings(batch_size=3)
    with pytest.raises(UsageError, match=f"batch_size is 3 or more; got {batch_size}"):
        FitSettings(batch_size=batch_size)


def test_subjects_have_their_own_tokens() -> None:
    gallery = np.eye(2, dtype=np.float32)
    windows, labels = simulate(gallery, 80)
    module = encoder(4, 2, n_subjects=2)
    before = module.subjects.detach().clone()
    fit(
        module, windows, labels, gallery, subjects=np.arange(80) % 2,
        settings=FitSettings(n_epochs=3, weight_decay=0.0),
    )  # fmt: skip
    assert (module.subjects.detach() != before).any(dim=1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, y, g: (w[:, :20], y, g), "windows of shape"),
        (lambda w, y, g: (w[:0], y[:0], g), "windows of shape"),
        (lambda w, y, g: (w, y + 1, g), "rows of the gallery, 0 to 1"),
        (lambda w, y, g: (w, y, np.eye(3)), "2 dimensions"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    change: Callable[..., tuple[np.ndarray, ...]], message: str
) -> None:
    windows, labels = simulate(np.eye(2), 8)
    with pytest.raises(ValueError, match=message):
        fit(encoder(4, 2), *change(windows, labels, np.eye(2)))


def test_it_is_as_good_as_lda_on_a_real_run(real_data: Path) -> None:
    folder = real_data / "eeg_faces_houses"
    runs = [open_recording(folder / f"run-0{run}.csv") for run in (1, 2, 3, 4)]
    names = ("TP9", "AF7", "AF8", "TP10")
    plain = ChainSpec(names, ("uV",) * 4, 128.0, highpass_hz=1.0, lowpass_hz=30.0, order=4)
    center, scale = robust_scale(runs[:3], plain)
    chain = replace(plain, center=center, scale=scale)
    window = WindowSpec(clamp=5.0, reject_peak=12.0)
    trials = cut_trials(runs, chain, window, SCHEDULE, N_LATENCIES, {"1": 0, "2": 1})
    train, test = trials.where(trials.runs < 3), trials.where(trials.runs == 3)
    gallery = np.eye(2, dtype=np.float32)
    module = encoder(4, 2)
    fit(module, train.windows, train.labels, gallery)
    ours = evidence(module, test.windows, gallery)
    lda = fit_lda(join_windows(train.windows, SCHEDULE), train.labels, SCHEDULE, N_LATENCIES)
    theirs = lda.embed(test.windows).sum(axis=1)
    ours_auc, lda_auc = (auc(e[:, 1] - e[:, 0], test.labels == 1) for e in (ours, theirs))
    assert lda_auc > 0.6
    assert ours_auc > lda_auc - 0.02
