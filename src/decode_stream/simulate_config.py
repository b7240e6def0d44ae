"""What a simulated subject is asked to be: the flags of ``decode-stream simulate``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from decode_stream.stream.errors import UsageError

from .flag_groups import OUTPUT, SOURCE

__all__ = ["SimulateConfig"]


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """Settings of a simulated subject."""

    out: Annotated[Path, Parameter(group=OUTPUT)]
    """The dataset's folder."""
    scale: Annotated[Literal["small", "full"], Parameter(group=SOURCE)] = "small"
    """Minutes of recording, or the published counts."""
    subject: Annotated[int, Parameter(group=SOURCE)] = 1
    """Who it is."""
    seed: Annotated[int, Parameter(group=SOURCE)] = 0
    """Of everything random: the same seed gives the same subject."""
    embeddings: Annotated[Path | None, Parameter(group=SOURCE)] = None
    """Embeddings of real pictures (.npy): pictures are drawn that lie as these do, and none is painted."""
    sessions: Annotated[int | None, Parameter(group=OUTPUT)] = None
    """Write so many of the sessions; by default all."""
    forms: Annotated[str | None, Parameter(group=OUTPUT)] = None
    """Which of the layout's forms to write, separated by commas; by default all."""

    def __post_init__(self) -> None:
        if self.subject < 1 or self.seed < 0 or (self.sessions is not None and self.sessions < 1):
            raise UsageError(
                f"--subject is {self.subject}, --seed {self.seed} and --sessions {self.sessions}; subjects and "
                "sessions count from 1 and seeds from 0."
            )

    def chosen(self, known: Sequence[str]) -> tuple[str, ...]:
        """Return the forms to write, of those that a layout has."""
        forms = known if self.forms is None else tuple(form.strip() for form in self.forms.split(","))
        if unknown := [form for form in forms if form not in known]:
            raise UsageError(f"--forms names {', '.join(unknown)}; this layout has: {', '.join(known)}.")
        return tuple(forms)
