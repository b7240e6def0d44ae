"""What a step of a decoder says of trials, for whoever follows them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from decode_stream.stream.types import Trial

__all__ = ["TrialNews", "TrialState"]

#: ``rising``: some of its response is decoded; ``decided``: at its stated moment, once, what counts in the scores;
#: ``refined`` and ``final``: decoded anew since, while its response goes on and with the whole run; ``withheld``: it
#: will not be decided.
TrialState = Literal["rising", "decided", "refined", "final", "withheld"]


@dataclass(frozen=True, slots=True, eq=False)
class TrialNews:
    """One trial as it stands now.

    Attributes
    ----------
    probability : array of shape (n_entries,), float64, or None
        Posterior over the gallery; None where nothing was decoded.
    reason : str
        Why the trial is withheld, in a word of `stream.flags`; else empty.
    """

    trial: Trial
    state: TrialState
    probability: npt.NDArray[np.float64] | None
    reason: str = ""
