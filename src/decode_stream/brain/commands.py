"""The commands of ``decode-stream brain``. Heavy imports happen inside them, so that ``--help`` is quick."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from decode_stream.flag_groups import FLAT

from .config import CeilingConfig, CycleConfig, EncodeConfig, InterpolateConfig, WeightsConfig, WhatIfConfig

__all__ = ["app"]

app = App(
    name="brain", help="Ask of fMRI voxels and regions what they tell, and what a decoder makes of them."
)

_Recordings = Annotated[list[Path], Parameter(negative=())]


@app.command
def ceiling(recordings: _Recordings, /, *, config: Annotated[CeilingConfig | None, FLAT] = None) -> int:
    """Say how much of each voxel's variance pictures can explain: NSD's noise ceiling, from repeats.

    Parameters
    ----------
    recordings
        Betas or volumes of fMRI, of one person.
    """
    from .ceiling import tell_ceiling

    return tell_ceiling(recordings, config or CeilingConfig())


@app.command
def weights(recordings: _Recordings, /, *, config: Annotated[WeightsConfig, FLAT]) -> int:
    """Map what a decoder makes of each voxel: activation patterns, and how much it listens to it.

    Parameters
    ----------
    recordings
        Trials that the bundle can decode.
    """
    from .weights import tell_weights

    return tell_weights(recordings, config)


@app.command
def encode(recordings: _Recordings, /, *, config: Annotated[EncodeConfig | None, FLAT] = None) -> int:
    """Predict voxels from what was shown, and compare with the noise ceiling.

    Parameters
    ----------
    recordings
        Betas or volumes of fMRI, of one person; parts of their runs are held out in turn.
    """
    from .encode import tell_encoding

    return tell_encoding(recordings, config or EncodeConfig())


@app.command
def cycle(recordings: _Recordings, /, *, config: Annotated[CycleConfig, FLAT]) -> int:
    """Send embeddings to voxels by an encoding model and back by a decoder, and say how well they return.

    Parameters
    ----------
    recordings
        Trials that the bundle can decode; parts of their runs are held out in turn.
    """
    from .cycle import tell_cycle

    return tell_cycle(recordings, config)


@app.command
def what_if(recordings: _Recordings, /, *, config: Annotated[WhatIfConfig, FLAT]) -> int:
    """Silence or raise regions, and see what is decoded then.

    Parameters
    ----------
    recordings
        Trials that the bundle can decode.
    """
    from .what_if import tell_what_if

    return tell_what_if(recordings, config)


@app.command
def interpolate(recordings: _Recordings, /, *, config: Annotated[InterpolateConfig, FLAT]) -> int:
    """Decode on the way from one scan to another.

    Parameters
    ----------
    recordings
        Trials that the bundle can decode.
    """
    from .interpolate import tell_interpolation

    return tell_interpolation(recordings, config)
