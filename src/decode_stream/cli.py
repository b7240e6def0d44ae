"""The command line. Heavy imports happen inside the commands, so that ``--help`` is quick."""

import signal
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, ArgumentCollection, Parameter
from cyclopts.config import Toml

from decode_stream import __version__
from decode_stream.stream.errors import DecodeStreamError, UsageError

from .bench_config import BenchConfig
from .brain.commands import app as brain
from .config import EvaluateConfig, GalleryConfig, Modality, SessionConfig, TrainConfig
from .export_config import ExportConfig
from .flag_groups import FLAT
from .generation.commands import distill, refine, train_generator
from .replay_config import ReplayConfig
from .scan_config import ScanConfig
from .simulate_config import SimulateConfig

__all__ = ["app", "main"]

app = App(
    name="decode-stream",
    help="Decode what a person sees from EEG, MEG or fMRI, live over Lab Streaming Layer.",
    version=__version__,
)
app.command(brain)
for _command in (train_generator, distill, refine):
    app.command(_command)

_CONFIG_NAME = "decode-stream.toml"


@app.default
def session(config: Annotated[SessionConfig | None, FLAT] = None) -> int:
    """Run a session: connect to a stream (or replay a recording), decode it, and show it."""
    from decode_stream.sessions.run import run_session

    return run_session(config or SessionConfig())


@app.command
def replay(recording: Path, /, *, config: Annotated[ReplayConfig | None, FLAT] = None) -> int:
    """Publish a recording as LSL streams: its signal, and its markers in a stream of their own.

    Parameters
    ----------
    recording
        A recording of any layout. While it plays, p and Enter in the terminal pause it and let it go on.
    """
    from decode_stream.sessions.run import run_replay

    return run_replay(recording, config or ReplayConfig())


@app.command
def scan(recording: Path, /, *, config: Annotated[ScanConfig, FLAT]) -> int:
    """Play a run of fMRI as a scanner would write it: its volumes as DICOM or NIfTI files, each at its time.

    Parameters
    ----------
    recording
        A NIfTI file (.nii, .nii.gz) of four axes: x, y, z and time.
    """
    from decode_stream.scan import run_scan

    return run_scan(recording, config)


@app.command
def simulate(
    dataset: Literal["things-eeg2", "things-meg", "nsd"], /, *, config: Annotated[SimulateConfig, FLAT]
) -> int:
    """Write a simulated subject in a dataset's published layout, file for file, with its forward model beside it.

    Parameters
    ----------
    dataset
        Whose layout.
    """
    from decode_stream.simulation.simulate import simulate_subject

    return simulate_subject(dataset, config)


@app.command
def train(
    recordings: Annotated[list[Path], Parameter(negative=())], /, *, config: Annotated[TrainConfig, FLAT]
) -> int:
    """Train a decoder on recordings, one a run, and write it as a bundle.

    Parameters
    ----------
    recordings
        Each is held out once to calibrate the evidence; a single one is split into five parts.
    """
    from decode_stream.training.train import train_bundle

    return train_bundle(recordings, config)


@app.command
def evaluate(
    recordings: Annotated[list[Path] | None, Parameter(negative=())] = None,
    /,
    *,
    config: Annotated[EvaluateConfig | None, FLAT] = None,
) -> int:
    """Score a bundle on recordings, as a live session would, without waiting.

    Parameters
    ----------
    recordings
        One a run; not those the bundle was trained on. Or the --json of several evaluations, to join them.
    """
    from decode_stream.evaluation.evaluate import evaluate_bundle

    return evaluate_bundle(recordings or [], config or EvaluateConfig())


@app.command
def inspect(path: Path, /, *, json: Path | None = None) -> int:
    """Say what a file or folder of recordings is, or a bundle, check it, and list what is missing.

    Parameters
    ----------
    path
        A recording, a folder of a dataset as it was downloaded, or a bundle.
    json
        Write what was found to this file.
    """
    from .inspect import inspect_path

    return inspect_path(path, json)


@app.command
def convert(
    path: Path,
    /,
    *,
    out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    modality: Modality | None = None,
    mask: str | None = None,
    marker_column: str | None = None,
    unit: str | None = None,
    stream: str | None = None,
) -> int:
    """Write a recording in the form that is read lazily: float32 on disk, with stimuli, units and order kept.

    Parameters
    ----------
    path
        A recording of any layout.
    out
        The folder to be; by default NAME.recording in the current folder.
    overwrite
        Replace a converted recording that stands there.
    modality
        Keep only the channels of this modality.
    mask
        fMRI: which voxels, a region of interest by name or the path of a mask.
    marker_column
        Marker column of a CSV recording, or stim channel.
    unit
        Unit of a CSV recording's channels.
    stream
        Which stream of an XDF file is the signal, by name.
    """
    from .convert import convert_recording

    return convert_recording(
        path,
        out,
        overwrite=overwrite,
        modality=modality,
        mask=mask,
        marker_column=marker_column,
        unit=unit,
        stream=stream,
    )


@app.command
def gallery(images: Path, /, *, config: Annotated[GalleryConfig, FLAT]) -> int:
    """Write a bundle that decodes against your own pictures: the same decoder with another gallery.

    Parameters
    ----------
    images
        A folder of pictures, with or without folders in it.
    """
    from decode_stream.pictures.gallery import make_gallery

    return make_gallery(images, config)


@app.command
def export(bundle: Path, /, *, config: Annotated[ExportConfig, FLAT]) -> int:
    """Write the networks of a bundle or generator as ONNX files, in fewer bits, or as engines for this GPU.

    Parameters
    ----------
    bundle
        A bundle's folder or .zip, or a generator's.
    """
    try:
        from .export_bundle import export_networks
    except ModuleNotFoundError as missing:
        raise UsageError(
            f"Export needs {missing.name}, which is not installed. Install it with: pip install 'decode-stream[train]'"
        ) from missing
    return export_networks(bundle, config)


@app.command
def bench(bundle: Path, /, *, config: Annotated[BenchConfig | None, FLAT] = None) -> int:
    """Measure how long each stage of a decoder takes on this machine, by all that can run it, and how much memory.

    Parameters
    ----------
    bundle
        A bundle's folder or .zip.
    """
    from .bench import bench_bundle

    return bench_bundle(bundle, config or BenchConfig())


@app.command
def doctor(*, streams: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Say what is installed, what can run the decoder, and how LSL is set up.

    Parameters
    ----------
    streams
        Also list the streams on the network.
    """
    from .doctor import print_doctor

    return print_doctor(streams=streams)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C: cleanly, with the summary written."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _use_config_file(tokens: list[str]) -> list[str]:
    """Take ``--config FILE`` out of the command line, and read settings from it or the nearest decode-stream.toml."""
    tokens = [part for token in tokens for part in _parted(token)]
    if "--config" in tokens:
        at = tokens.index("--config")
        if at + 1 >= len(tokens):
            raise UsageError(f"--config needs a file, as in --config {_CONFIG_NAME}.")
        path: Path | None = Path(tokens[at + 1])
        tokens = tokens[:at] + tokens[at + 2 :]
    else:
        folders = (Path.cwd(), *Path.cwd().parents)
        path = next((folder / _CONFIG_NAME for folder in folders if (folder / _CONFIG_NAME).is_file()), None)
    if path is None:
        return tokens
    replay = _read_toml(path).get("replay")
    app.config = (Toml(path, must_exist=True), _leave_demo_its_bundle)
    # In a file, `replay` is both this setting and the section of the command of that name.
    runs_session = not tokens or tokens[0] not in app
    if isinstance(replay, str) and runs_session and not {"--replay", "--demo"} & set(tokens):
        tokens += ["--replay", replay]
    return tokens


def _leave_demo_its_bundle(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Take a file's bundle, which is for recordings of one's own, out of a demo; one on the command line stays."""
    demo, bundle = (arguments.get(name, None) for name in ("--demo", "--bundle"))
    if demo is not None and demo.tokens and bundle is not None:
        bundle.tokens = [token for token in bundle.tokens if token.source == "cli"]


def _parted(token: str) -> list[str]:
    return token.split("=", 1) if token.startswith(("--config=", "--replay=")) else [token]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no configuration file at {path}.") from None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The configuration file {path} cannot be read: {error}. Write lines as in: headless = true"
        ) from error


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage, 130 interrupted."""
    try:
        with _sigterm_as_interrupt():
            code = app(_use_config_file(sys.argv[1:]), exit_on_error=True)
    except DecodeStreamError as error:
        print(f"decode-stream: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    finally:
        app.config = ()
    sys.exit(code if isinstance(code, int) else 0)
