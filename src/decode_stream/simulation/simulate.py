"""Writes simulated subjects in the published layouts: the work of ``decode-stream simulate``."""

from rich.console import Console

from decode_stream.simulate_config import SimulateConfig
from decode_stream.stream.errors import UsageError

from . import nsd, things_eeg, things_meg

__all__ = ["simulate_subject"]


def simulate_subject(dataset: str, config: SimulateConfig) -> int:
    """Write a simulated subject, and say what was written; returns the exit code.

    Parameters
    ----------
    dataset : {"things-eeg2", "things-meg", "nsd"}

    Raises
    ------
    DecodeStreamError
        If the folder holds something already, or cannot be written.
    """
    out = config.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} exists already and is not an empty folder. Give another.")
    console = Console(stderr=True)
    writers = {"things-eeg2": things_eeg, "things-meg": things_meg, "nsd": nsd}
    for done in writers[dataset].write_subject(config):
        console.print(done, highlight=False, markup=False, soft_wrap=True)
    print(f"{out}: a simulated subject. decode-stream inspect {out} says what is there.")
    return 0
