from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decode_stream.decoders.encoders.whole_trial import embed_whole
from decode_stream.decoders.training.augmentations import Truncation
from decode_stream.decoders.training.embedding_losses import Mixture
from decode_stream.decoders.training.history import EpochReport
from decode_stream.decoders.training.loss_spec import PUBLISHED_LOSSES, LossSpec
from decode_stream.decoders.training.objective import Objective, half_precision
from decode_stream.decoders.training.whole_trial_data import ValidationTrials
from decode_stream.decoders.training.whole_trial_settings import StructuralHead, WholeTrialSettings
from decode_stream.decoders.training.whole_trials import fit_whole_trials
from decode_stream.stream.errors import DecodeStreamError, UsageError

torch.set_num_threads(1)
N_PICTURES, DIMENSION, N_CHANNELS, N_TIMES = 60, 8, 5, 12


class Linear(nn.Module):
    """The plainest encoder, with dropout, a batch norm, a layer for each subject, and two that only some tests use."""

    def __init__(self, dimension: int = DIMENSION, dropout: float = 0.0, n_subjects: int = 1) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            self.subjects = nn.Parameter(torch.eye(N_CHANNELS).repeat(n_subjects, 1, 1))
            self.norm, self.dropout = nn.BatchNorm1d(N_CHANNELS), nn.Dropout(dropout)
            self.out = nn.Linear(N_CHANNELS * N_TIMES, dimension)
            self.regress, self.project = nn.Linear(dimension, dimension), nn.Linear(dimension, dimension)

    def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
        if subject is None:
            subject = torch.zeros(len(epoch), dtype=torch.int64)
        mixed = self.norm(torch.einsum("ndc,nct->ndt", self.subjects[subject], epoch))
        out: Tensor = self.out(self.dropout(mixed.flatten(1)))
        return out


def targets(dimension: int = DIMENSION) -> np.ndarray:
    embeddings = np.random.default_rng(3).normal(size=(N_PICTURES, dimension)).astype(np.float32)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def simulate(
    n: int, first: int = 0, last: int = N_PICTURES, noise: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Return trials that carry the embeddings of the pictures from `first` to `last`, and their labels."""
    rng = np.random.default_rng(first)
    labels = np.arange(n) % (last - first) + first
    mixing = np.random.default_rng(9).normal(size=(DIMENSION, N_CHANNELS, N_TIMES))
    epochs = np.einsum("nd,dct->nct", targets()[labels], mixing) + noise * rng.normal(
        size=(n, N_CHANNELS, N_TIMES)
    )
    return epochs.astype(np.float32), labels


SETTINGS = WholeTrialSettings(
    n_epochs=6, batch_size=40, learning_rate=1e-2, loss=LossSpec(temperature=0.1), weight_decay=1e-3
)


def held_out(n: int = 40) -> ValidationTrials:
    return ValidationTrials(*simulate(n, 40))


def top1(module: nn.Module, n: int = 80) -> float:
    """Return the accuracy over the 20 pictures never trained on."""
    epochs, labels = simulate(n, 40)
    ranked = embed_whole(module, epochs)[:, :DIMENSION] @ targets()[40:].T
    return float((ranked.argmax(axis=1) + 40 == labels).mean())


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for (name, value), there in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(value, there), name


@pytest.mark.parametrize("name", PUBLISHED_LOSSES)
def test_each_loss_finds_pictures_never_seen(name: str) -> None:
    epochs, labels = simulate(200, last=40)
    module = Linear()
    settings = replace(SETTINGS, n_epochs=12, learning_rate=3e-2, loss=PUBLISHED_LOSSES[name])
    history = fit_whole_trials(module, epochs, labels, targets(), text_targets=targets(), settings=settings)
    assert top1(module) > 0.8, "chance is 0.05"
    assert history.kept_epoch == 12
    assert not module.training


def test_validation_is_told_of_every_epoch_and_chooses_the_first_of_the_best() -> None:
    epochs, labels = simulate(160, last=40, noise=1.0)
    told: list[EpochReport] = []
    module = Linear()
    settings = replace(SETTINGS, n_epochs=12, learning_rate=5e-2)
    history = fit_whole_trials(
        module, epochs, labels, targets(), settings=settings, valid=held_out(), progress=told.append
    )
    assert tuple(told) == history.reports
    assert [report.epoch for report in told] == list(range(1, 13))
    assert {report.n_pictures for report in told} == {20}
    assert history.kept_epoch == 1 + int(np.argmin(history.valid_loss)) < 12
    kept = told[history.kept_epoch - 1]
    assert kept.valid_top1 == pytest.approx(top1(module, 40))
    assert kept.valid_top5 is not None
    assert kept.valid_top5 >= kept.valid_top1 > 0.3
    last = Linear()
    history = fit_whole_trials(
        last, epochs, labels, targets(), settings=replace(settings, keep="last"), valid=held_out()
    )
    assert history.kept_epoch == 12
    assert not torch.equal(module.out.weight, last.out.weight)


def test_growing_windows_are_chosen_by_as_they_are_trained_on() -> None:
    epochs, labels = simulate(120, last=40)
    valid = held_out()
    cut = ValidationTrials(valid.epochs * (np.arange(N_TIMES) < 4), valid.labels)

    def losses(truncate: Truncation | None, valid: ValidationTrials) -> tuple[float, ...]:
        # Nothing moves, so that what differs from epoch to epoch would be what is drawn.
        settings = replace(SETTINGS, n_epochs=3, learning_rate=1e-12, truncate=truncate)
        history = fit_whole_trials(
            Linear(), epochs, labels, targets(), settings=settings, valid=valid, trainable=["out"]
        )
        return history.valid_loss

    whole, early = losses(None, valid), losses(Truncation((4,)), valid)
    assert early == losses(None, cut)
    assert early[0] != pytest.approx(whole[0], abs=1e-3)
    drawn = losses(Truncation((4, N_TIMES)), valid)
    assert drawn == pytest.approx([drawn[0]] * 3, abs=1e-6)
    assert drawn[0] not in (whole[0], early[0])


def test_repeats_of_two_people_are_not_averaged() -> None:
    epochs, labels = simulate(80, last=40)
    epochs[40:] *= -1
    people = np.repeat([0, 1], 40)
    seen: list[Tensor] = []

    class Watched(Linear):
        def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
            assert subject is None
            seen.append(epoch)
            return super().forward(epoch, subject)

    settings = replace(SETTINGS, n_epochs=1, average_repeats=2)
    fit_whole_trials(Watched(), epochs, labels, targets(), people=people, settings=settings)
    assert len(torch.cat(seen)) == 80
    seen.clear()
    fit_whole_trials(Watched(), epochs, labels, targets(), settings=settings)
    averaged = torch.cat(seen)
    assert len(averaged) == 40
    assert float(averaged.abs().max()) < 0.5, "two people with opposite answers cancel"
    with pytest.raises(ValueError, match="80 trials need as many subjects; got 79"):
        fit_whole_trials(Linear(), epochs, labels, targets(), people=people[1:], settings=settings)


def test_training_stops_when_validation_no_longer_improves() -> None:
    epochs, labels = simulate(160, last=40, noise=1.0)
    settings = replace(SETTINGS, n_epochs=60, learning_rate=5e-2, patience=3)
    history = fit_whole_trials(Linear(), epochs, labels, targets(), settings=settings, valid=held_out())
    assert len(history.reports) == history.kept_epoch + 3 < 60


def test_a_loss_that_diverges_is_told_with_its_rate() -> None:
    epochs, labels = simulate(120, last=40)
    mse = LossSpec("mse-cosine", weight=0.0)
    with pytest.raises(
        DecodeStreamError, match=r"diverged in epoch \d of 6.*rate of 1000.*--learning-rate 1e\+02"
    ):
        fit_whole_trials(
            Linear(), epochs, labels, targets(), settings=replace(SETTINGS, learning_rate=1e3, loss=mse)
        )
    with pytest.raises(DecodeStreamError, match="the loss is (nan|inf) where it began at"):
        fit_whole_trials(Linear(), epochs, labels, targets(), settings=replace(SETTINGS, learning_rate=1e30))
    epochs[:, 0, 0] = np.nan
    with pytest.raises(
        DecodeStreamError, match="nan before the first step: the trials, the targets or the weights"
    ):
        fit_whole_trials(Linear(), epochs, labels, targets(), settings=SETTINGS)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), None])
def test_a_lack_of_memory_names_the_batch(error: Exception | None) -> None:
    epochs, labels = simulate(60, last=40)

    class Greedy(Linear):
        def forward(self, epoch: Tensor, subject: Tensor | None = None) -> Tensor:
            if error is None:
                torch.empty(2**55)
            else:
                raise error
            return super().forward(epoch, subject)

    with pytest.raises(DecodeStreamError, match="too small for batches of 40 trials.*--batch-size 20"):
        fit_whole_trials(Greedy(), epochs, labels, targets(), settings=SETTINGS)


def test_an_error_of_the_module_is_no_lack_of_memory() -> None:
    epochs, labels = simulate(60, last=40)
    with pytest.raises(RuntimeError, match="einsum"):
        fit_whole_trials(Linear(), epochs[:, :3], labels, targets(), settings=SETTINGS)


def test_only_what_is_chosen_is_trained() -> None:
    epochs, labels = simulate(120, last=40)
    for trainable in (["subjects"], lambda name: name == "subjects"):
        module, before = Linear(n_subjects=2), Linear(n_subjects=2).state_dict()
        fit_whole_trials(
            module, epochs, labels, targets(), subjects=np.ones(120, dtype=np.int64), settings=SETTINGS,
            trainable=trainable,
        )  # fmt: skip
        changed = {
            name for name, value in module.state_dict().items() if not torch.equal(value, before[name])
        }
        assert changed == {"subjects"}, "statistics of frozen batch norms included"
        torch.testing.assert_close(module.subjects[0], before["subjects"][0], rtol=2e-3, atol=1e-6)
        assert all(parameter.requires_grad for parameter in module.parameters())
    with pytest.raises(ValueError, match="None of the parameters.*there are subjects, norm.weight"):
        fit_whole_trials(Linear(), epochs, labels, targets(), settings=SETTINGS, trainable=["heads."])


def test_a_structural_head_learns_its_own_target() -> None:
    epochs, labels = simulate(200, last=40)
    layout = (targets() @ np.random.default_rng(0).normal(size=(DIMENSION, 3))).astype(np.float32)
    both = np.concatenate([targets(), layout], axis=1)
    module = Linear(DIMENSION + 3)
    settings = replace(
        SETTINGS, n_epochs=25, structure=StructuralHead(3, LossSpec("mse-cosine", weight=0.0), 2.0)
    )
    fit_whole_trials(module, epochs, labels, both, settings=settings)
    assert top1(module) > 0.8
    epochs, labels = simulate(40, 40)
    error = embed_whole(module, epochs)[:, DIMENSION:] - layout[labels]
    assert (error**2).mean() < 0.1 * layout.var()


def test_the_structure_of_mixed_trials_is_mixed_as_they_are() -> None:
    embeddings, pictures = torch.randn(4, DIMENSION), np.arange(4)
    mixture = Mixture(torch.tensor([1, 2, 3, 0]), torch.tensor([0.3, 1.0, 0.5, 0.9]))
    settings = replace(
        SETTINGS, loss=LossSpec("bimixco"), structure=StructuralHead(3, LossSpec("mse-cosine", weight=0.0))
    )
    embeddings[:, -3:] = mixture.of(torch.from_numpy(targets()[:4, -3:]))
    plain = Objective(replace(settings, structure=None), targets()[:, :-3], None, torch.device("cpu"))
    both = Objective(settings, targets(), None, torch.device("cpu"))
    alone = plain(Linear(), (embeddings[:, :-3], embeddings[:, :-3]), pictures, mixture)
    torch.testing.assert_close(both(Linear(), (embeddings, embeddings), pictures, mixture), alone)
    with pytest.raises(ValueError, match="no bimixco of its own"):
        StructuralHead(3, LossSpec("bimixco"))


def test_two_heads_take_the_two_parts_of_the_loss_and_targets_may_be_projected() -> None:
    class Heads(Linear):
        def heads(self, epoch: Tensor, subject: Tensor | None) -> tuple[Tensor, Tensor]:
            clip = self.forward(epoch, subject)
            return clip, self.regress(clip)

        def project_targets(self, embeddings: Tensor) -> Tensor:
            out: Tensor = self.project(embeddings)
            return out

    epochs, labels = simulate(120, last=40)
    module, before = Heads(), Heads().state_dict()
    settings = replace(SETTINGS, loss=PUBLISHED_LOSSES["benchetrit"])
    history = fit_whole_trials(module, epochs, labels, targets(), settings=settings, valid=held_out())
    assert not torch.equal(module.project.weight, before["project.weight"])
    assert not torch.equal(module.regress.weight, before["regress.weight"])
    assert history.reports[-1].valid_top1 is not None
    assert history.reports[-1].valid_top1 > 0.5
    plain = Heads()
    fit_whole_trials(plain, epochs, labels, targets(), settings=SETTINGS)
    assert torch.equal(plain.regress.weight, Heads().regress.weight), "other losses have no use for it"


def test_text_targets_have_their_share() -> None:
    epochs, labels = simulate(120, last=40)
    weights = []
    for text in (targets(), targets()[::-1].copy()):
        module = Linear()
        settings = replace(SETTINGS, loss=replace(PUBLISHED_LOSSES["atm-s"], text_weight=0.5))
        fit_whole_trials(module, epochs, labels, targets(), text_targets=text, settings=settings)
        weights.append(module.out.weight.detach())
    assert not torch.equal(*weights)


def test_a_fit_repeats_to_the_bit_and_leaves_the_random_state_alone() -> None:
    epochs, labels = simulate(120, last=40)
    fitted = []
    for seed in (0, 0, 1):
        module = Linear(dropout=0.3)
        torch.manual_seed(9)
        fit_whole_trials(module, epochs, labels, targets(), settings=replace(SETTINGS, seed=seed))
        fitted.append((module.out.weight.detach(), float(torch.rand(()))))
    assert torch.equal(fitted[0][0], fitted[1][0])
    assert not torch.equal(fitted[0][0], fitted[2][0])
    assert fitted[0][1] == fitted[2][1]


def test_trials_are_read_a_batch_at_a_time(tmp_path: Path) -> None:
    epochs, labels = simulate(200, last=40)
    np.save(tmp_path / "epochs.npy", epochs)
    mapped, fetched = np.load(tmp_path / "epochs.npy", mmap_mode="r"), []

    class Watched:
        shape = mapped.shape

        def __len__(self) -> int:
            return len(mapped)

        def __getitem__(self, index: np.ndarray) -> np.ndarray:
            fetched.append(len(index))
            return mapped[index]

    one, other = Linear(), Linear()
    fit_whole_trials(one, Watched(), labels, targets(), settings=SETTINGS)
    fit_whole_trials(other, epochs, labels, targets(), settings=SETTINGS)
    assert max(fetched) <= 40
    assert sum(fetched) == 6 * 200
    assert_same(one, other)


def test_rates_change_as_asked() -> None:
    epochs, labels = simulate(120, last=40)
    told: list[EpochReport] = []
    settings = replace(SETTINGS, learning_rate=1e-12, schedule="step", step_epochs=2, step_factor=0.5)
    fit_whole_trials(Linear(), epochs, labels, targets(), settings=settings, progress=told.append)
    rates = [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    assert [report.learning_rate / 1e-12 for report in told] == pytest.approx(rates)
    told.clear()
    settings = replace(SETTINGS, schedule="one-cycle")
    fit_whole_trials(Linear(), epochs, labels, targets(), settings=settings, progress=told.append)
    assert max(report.learning_rate for report in told) > 9e-3
    assert told[-1].learning_rate < 1e-6
    for n_epochs, highest in ((20, 2), (5, 1)):  # of so few epochs it rises for a fifth
        rises = replace(settings, n_epochs=n_epochs, rise_epochs=2)
        reports = fit_whole_trials(Linear(), epochs, labels, targets(), settings=rises).reports
        assert max(reports, key=lambda report: report.learning_rate).epoch == highest
    # As few steps as the rise has shares.
    settings = replace(settings, n_epochs=5, batch_size=120)
    assert len(fit_whole_trials(Linear(), epochs, labels, targets(), settings=settings).reports) == 5


def test_half_precision_is_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    assert half_precision(torch.device("cpu"), "auto") is None
    assert half_precision(gpu, "off") is None
    for supported, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported: supported)
        assert half_precision(gpu, "auto") is expected


@pytest.mark.parametrize(
    ("labels", "valid", "changes", "error", "message"),
    [
        (np.zeros(60, dtype=np.int64), None, {}, UsageError, "60 trials of 1 pictures to train on"),
        (np.arange(60), ValidationTrials(np.zeros((0, 5, 12)), np.zeros(0, dtype=np.int64)), {}, UsageError,
         "The validation set holds 0 trials of 0 pictures"),
        (np.arange(60), None, {"patience": 2}, UsageError, "there are no validation trials"),
        (np.arange(60) + 1, None, {}, ValueError, "rows of the targets, 0 to 59"),
        (np.arange(59), None, {}, ValueError, "59 labels need as many trials"),
        (np.arange(60), None, {"truncate": Truncation((13,))}, ValueError, "12 samples are not truncated after 13"),
        (np.arange(60), None, {"structure": StructuralHead(8)}, ValueError, "some of 8 dimensions, and not all"),
        (np.arange(60), None, {"structure": StructuralHead(3)}, ValueError, "embeddings of 8 dimensions"),
        (np.arange(60), None, {"loss": PUBLISHED_LOSSES["atm-s"]}, ValueError, "needs text_targets"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(
    labels: np.ndarray,
    valid: ValidationTrials | None,
    changes: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    epochs, _ = simulate(60)
    rows = targets()
    if "structure" in changes and "embeddings" in message:
        rows = np.concatenate([rows, rows], axis=1)
    with pytest.raises(error, match=message):
        fit_whole_trials(Linear(), epochs, labels, rows, settings=replace(SETTINGS, **changes), valid=valid)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 2}, "batch_size is 3 or more; got 2"),
        ({"learning_rate": 0.0}, "learning_rate is above 0"),
        ({"n_epochs": 0}, "n_epochs is 1 or more; got 0"),
        ({"patience": 0}, "patience is 1 epoch or more"),
        ({"rise": 1.0}, "rise lies between 0 and 1; got 1"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        WholeTrialSettings(**changes)  # type: ignore[arg-type]
