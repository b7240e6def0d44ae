"""How a learning rate may change, by the names that a user types. Needs no torch."""

from typing import Literal, TypeAlias

__all__ = ["STEP_EPOCHS", "Schedule"]

#: How the learning rate changes, see `decode_stream.decoders.training.run.rate_schedule`.
Schedule: TypeAlias = Literal["constant", "step", "cosine", "one-cycle"]
#: Epochs between two falls of ``step``.
STEP_EPOCHS = 10
