"""What a training shows while it runs."""

import io
from math import nan

from rich.console import Console

from decode_stream.decoders.training.history import EpochReport
from decode_stream.training.progress import TrainingProgress


def shown(*valid_losses: float | None) -> list[str]:
    """Return the lines of a training with these losses on validation trials, where there is no terminal."""
    text = io.StringIO()
    with TrainingProgress(Console(file=text, width=40)) as progress:
        progress.report("fitting without a run whose name is longer than a line")
        for epoch, loss in enumerate(valid_losses, start=1):
            progress.epoch(EpochReport(epoch, len(valid_losses), 1e-3, 2.0, loss))
    return text.getvalue().splitlines()


def test_the_loss_on_held_out_trials_is_drawn_from_epoch_to_epoch() -> None:
    lines = shown(3.0, 2.0, 1.0)
    assert lines[0] == "fitting without a run whose name is longer than a line"
    assert lines[-1].endswith("epoch 3 of 3: loss 2.000, held out 1.000 █▅▁")
    assert all("held out" not in line for line in shown(None, None))


def test_a_loss_that_is_no_number_is_shown_as_such() -> None:
    assert shown(3.0, nan, 1.0)[-1].endswith("held out 1.000 █!▁")
    assert shown(nan)[-1].endswith("held out nan !")
