import math

import pytest
import torch

from decode_stream.decoders.training.losses import TrialLoss, gallery_loss, pair_loss, similarities


def test_cosines_ignore_length_and_inner_products_do_not() -> None:
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0], [5.0, 0.0]])
    torch.testing.assert_close(similarities(a, b, "unit"), torch.tensor([[0.8, 0.6]]))
    torch.testing.assert_close(similarities(a, b, "none"), torch.tensor([[8.0, 15.0]]))


def test_gallery_loss_is_log_k_at_chance_and_falls_with_the_truth() -> None:
    labels = torch.tensor([0, 3])
    assert float(gallery_loss(torch.zeros(2, 5), labels)) == pytest.approx(math.log(5))
    assert float(gallery_loss(8 * torch.eye(5)[labels], labels)) < 0.01


def test_pair_loss_is_symmetric() -> None:
    logits, labels = torch.randn(6, 6, generator=torch.Generator().manual_seed(1)), torch.arange(6)
    torch.testing.assert_close(pair_loss(logits, labels), pair_loss(logits.T, labels))
    log_p = [(logits.log_softmax(dim).diagonal()).mean() for dim in (0, 1)]
    torch.testing.assert_close(pair_loss(logits, labels), -(log_p[0] + log_p[1]) / 2)


def test_pair_loss_counts_every_pair_of_a_repeated_entry_as_right() -> None:
    labels = torch.tensor([4, 4, 9])
    same = (labels[:, None] == labels[None]).float()
    assert float(pair_loss(50 * same, labels)) == pytest.approx(2 / 3 * math.log(2), abs=1e-5)


@pytest.mark.parametrize("n_entries", [3, 300])
def test_hidden_windows_are_no_evidence_for_their_trial(n_entries: int) -> None:
    torch.manual_seed(0)
    criterion = TrialLoss(torch.randn(n_entries, 4), "none", 5)
    embeddings, labels = torch.randn(6, 5, 4), torch.arange(6) % 3
    hidden = torch.zeros(6, 5, dtype=torch.bool)
    hidden[:, 2] = True
    trial_loss, window_loss = criterion(embeddings, labels, hidden)
    changed = embeddings.clone()
    changed[:, 2] += 10
    again, other_window_loss = criterion(changed, labels, hidden)
    torch.testing.assert_close(again, trial_loss)
    assert float(other_window_loss) != pytest.approx(float(window_loss))


def test_temperatures_are_learned_for_cosines_only() -> None:
    gallery = torch.eye(3)
    assert TrialLoss(gallery, "unit", 4).log_scales.requires_grad
    plain = TrialLoss(gallery, "none", 4).log_scales
    assert not plain.requires_grad
    assert plain.tolist() == [0.0, 0.0]
