"""What `decode-stream bench` is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from decode_stream.stream.errors import UsageError

from .flag_groups import DECODER, GENERATOR, OUTPUT

__all__ = ["BenchConfig"]

_LONGEST_S = 600.0
_Provider = Literal["tensorrt-engine", "tensorrt", "cuda", "cpu"]


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Settings of a measurement."""

    provider: Annotated[tuple[_Provider, ...], Parameter(group=DECODER, negative=())] = ()
    """What runs the networks; give it several times to compare. By default all of them; what is not to be had here is
    told."""
    generator: Annotated[Path | None, Parameter(group=GENERATOR)] = None
    """What draws pictures: a generator's folder or .zip, or none; by default the one that comes with the program, where
    it draws the bundle's embeddings."""
    seconds: Annotated[float, Parameter(group=OUTPUT)] = 2.0
    """How long each row of the table is measured [s]."""
    json: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Write what was measured to this file."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= _LONGEST_S:
            raise UsageError(f"--seconds is {self.seconds:g}; it is above 0 and at most {_LONGEST_S:g}.")
