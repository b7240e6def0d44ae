"""What `decode-stream export` is asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from decode_stream.stream.errors import UsageError

from .config import Reading
from .flag_groups import DECODER, OUTPUT, SOURCE

__all__ = ["ExportConfig", "Form"]

Form = Literal["onnx", "fp16", "int8", "tensorrt", "tensorrt-rtx"]


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Reading):
    """Settings of an export."""

    to: Annotated[Form, Parameter(group=DECODER)]
    """What to make.

    onnx: plain .onnx files that say what they are.
    fp16: the same bundle or generator in float16, but for what measuring keeps in float32.
    int8: the same with matrices of 8 bits, for CPUs.
    tensorrt, tensorrt-rtx: engines for this machine's GPU, where sessions look for them."""
    recording: Annotated[Path | None, Parameter(group=SOURCE)] = None
    """Bundles: compare on windows of this recording as well as on drawn ones."""
    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """onnx: a new folder. fp16, int8: the new bundle or generator, a folder or a file that ends in .zip. tensorrt,
    tensorrt-rtx: a new folder for copies of the engines, where they are to be carried to an equal machine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recording is not None and self.to.startswith("tensorrt"):
            raise UsageError(
                f"--recording is to compare on, and the engines of --to {self.to} are built and not compared. "
                "Leave it out."
            )
        if self.out is None and not self.to.startswith("tensorrt"):
            what = "a new folder" if self.to == "onnx" else "the new bundle or generator"
            raise UsageError(f"--to {self.to} writes {what}: give its path with --out PATH.")
