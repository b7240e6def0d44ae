"""Real-time decoding of EEG, MEG and fMRI into what the person sees.

Samples come in over Lab Streaming Layer, windows of 100 ms every 25 ms go through an exported decoder into
an image-embedding space, evidence gathers over each trial, and a window shows the belief and its accuracy.

Conventions that hold everywhere:

- Continuous signals are arrays of shape (n_samples, n_channels), time first, as they arrive.
- A window handed to an encoder has shape (n_channels, n_times), float32; a batch (n_windows, n_channels, n_times).
- Time is a sample index (``int``). LSL times are seconds on this machine's LSL clock, float64, and end in ``_s``.
- A span of samples is half-open: [start, stop).
"""

import time
from importlib.metadata import version

__all__ = ["BEGAN_S", "__version__"]

#: When the program began, on the clock of `time.monotonic`.
BEGAN_S = time.monotonic()

__version__ = version("decode-stream")
