"""The true model of a simulated subject: how a picture becomes a signal, and what else is in it."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.whole import written_whole
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import Channel, FloatArray, IntArray

__all__ = ["Artefacts", "ForwardModel", "Noise", "load_forward", "save_forward"]

_SCHEMA = 1
_ARRAYS = ("courses", "component", "topographies", "weights", "bias", "specific")
_ARTEFACTS = ("blink", "line", "line_phase", "drift", "bad")


@dataclass(frozen=True, eq=False)
class Noise:
    """Gaussian stationary noise: sources that share one spectrum, each independent of the others.

    Attributes
    ----------
    name : str
    sos : array of shape (n_sections, 6), float64
        The filter that makes each source of white noise of variance 1, as in `scipy.signal.sosfilt`; its poles lie
        inside the unit circle, and a0 is 1.
    topographies : array of shape (n_sources, n_channels) or (n_channels,), float32
        What each source gives to each channel; of one dimension, every channel has a source of its own.

    Raises
    ------
    ValueError
        If shapes do not fit, numbers are not finite, or the filter is unstable.
    """

    name: str
    sos: npt.NDArray[np.float64]
    topographies: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "topographies", np.ascontiguousarray(self.topographies))
        if self.sos.ndim != 2 or self.sos.shape[1] != 6 or self.topographies.ndim not in (1, 2):
            raise ValueError(f"The noise {self.name!r} has arrays of the wrong shape.")
        _, _, _, a0, a1, a2 = self.sos.T
        # The triangle of stable sections, with room for what poles next to the circle would overflow.
        stable = (a0 == 1) & (np.abs(a2) < 1 - 1e-9) & (np.abs(a1) < 1 + a2 - 1e-9)
        if not (stable.all() and np.isfinite(self.sos).all() and np.isfinite(self.topographies).all()):
            raise ValueError(
                f"The noise {self.name!r} has poles outside the unit circle, or numbers not finite."
            )

    @property
    def n_sources(self) -> int:
        """Number of sources."""
        return len(self.topographies)


@dataclass(frozen=True, eq=False)
class Artefacts:
    """What is in a signal besides brain and sensor noise, by channel (n_channels,), in the channels' units.

    Attributes
    ----------
    blink : array, float32
        Peak of a blink.
    blinks_per_minute : float
    line : array, float32
        Amplitude of the power line.
    line_phase : array, float32
        Its phase, radians.
    line_hz : float
    drift : array, float32
        Standard deviation of slow drifts, below 0.1 Hz.
    bad : array, float32
        Standard deviation of the white noise of bad channels; 0 for sound ones.
    """

    blink: npt.NDArray[np.float32]
    line: npt.NDArray[np.float32]
    line_phase: npt.NDArray[np.float32]
    drift: npt.NDArray[np.float32]
    bad: npt.NDArray[np.float32]
    blinks_per_minute: float
    line_hz: float


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """A subject: sources that follow what is seen, and noise of known covariance.

    Source k is active as ``drive[k] * courses[component[k], t]`` after the onset of a picture, and the signal is the
    sum over sources of activity times topography. With the picture's embedding e, ``drive = bias + e @ weights +
    specific * z``: the response common to all pictures, what the embedding tells, and what it does not tell, with z a
    standard normal vector that belongs to the picture and is the same at every showing. Responses of successive
    pictures add up.

    Attributes
    ----------
    modality : {"eeg", "meg"}
    channels : tuple of Channel
    sfreq_hz : float
    n_layout : int
        The first dimensions of an embedding, which say what is where; the others say what it means.
    components : tuple of str
        Names of the parts of the evoked response.
    courses : array of shape (n_components, n_times), float32
        From the onset on.
    component : array of shape (n_sources,), int64
        Which component each source belongs to.
    topographies : array of shape (n_sources, n_channels), float32
    weights : array of shape (n_dims, n_sources), float32
    bias, specific : array of shape (n_sources,), float32
    noise : tuple of Noise
        One of them with a source for every channel: sensors always have noise of their own.
    artefacts : Artefacts
    seed : int
        Decides z.
    notes : tuple of str
        What is idealised, in sentences.

    Raises
    ------
    ValueError
        If shapes do not fit, or the seed is below 0.
    """

    modality: str
    channels: tuple[Channel, ...]
    sfreq_hz: float
    n_layout: int
    components: tuple[str, ...]
    courses: npt.NDArray[np.float32]
    component: IntArray
    topographies: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    specific: npt.NDArray[np.float32]
    noise: tuple[Noise, ...]
    artefacts: Artefacts
    seed: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # In one order in memory, so that products are the same to the last bit before saving and after.
        for name in _ARRAYS:
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name)))
        n_sources, n_channels = self.topographies.shape
        fits = (
            0 <= self.seed < 2**63
            and n_channels == len(self.channels)
            and self.courses.ndim == 2
            and len(self.courses) == len(self.components)
            and self.weights.ndim == 2
            and {self.weights.shape[1], len(self.bias), len(self.specific), len(self.component)}
            == {n_sources}
            and 0 <= self.n_layout <= len(self.weights)
            and all(0 <= i < len(self.components) for i in self.component)
            and all(part.topographies.shape[-1] == n_channels for part in self.noise)
            and sum(part.topographies.ndim == 1 for part in self.noise) == 1
            and all(getattr(self.artefacts, name).shape == (n_channels,) for name in _ARTEFACTS)
            and all(np.isfinite(getattr(self, name)).all() for name in _ARRAYS)
            and all(np.isfinite(getattr(self.artefacts, name)).all() for name in _ARTEFACTS)
        )
        if not fits:
            raise ValueError("The arrays of the forward model do not fit each other, or are not finite.")

    @property
    def n_dims(self) -> int:
        """Dimensions of an embedding."""
        return len(self.weights)

    @property
    def maps(self) -> npt.NDArray[np.float32]:
        """What each dimension gives to each channel, by component: (n_components, n_dims, n_channels)."""
        each = [
            self.weights[:, mine] @ self.topographies[mine]
            for mine in (self.component == j for j in range(len(self.components)))
        ]
        return np.stack(each)

    def drives(self, embeddings: FloatArray) -> npt.NDArray[np.float64]:
        """Return how strongly each picture drives each source, shape (n_pictures, n_sources).

        Parameters
        ----------
        embeddings : array of shape (n_pictures, n_dims)
            Taken as float32. The same embedding is the same picture, whatever table it stands in.
        """
        looks = np.ascontiguousarray(embeddings, np.float32)
        specific = self.specific.astype(np.float64)
        if specific.any():
            specific = specific * np.array([self._unsaid(row.tobytes()) for row in looks]).reshape(
                -1, len(specific)
            )
        return looks.astype(np.float64) @ self.weights + self.bias + specific

    def _unsaid(self, look: bytes) -> npt.NDArray[np.float64]:
        """Return what an embedding does not tell of its picture: the z that belongs to it."""
        key = int.from_bytes(sha256(look).digest()[:8], "little")
        rng = np.random.Generator(np.random.Philox(key=[self.seed, key]))
        return rng.standard_normal(len(self.specific))


class _Header(msgspec.Struct, frozen=True):
    """What the file says beside its arrays."""

    schema: int
    modality: str
    channels: tuple[Channel, ...]
    sfreq_hz: float
    n_layout: int
    components: tuple[str, ...]
    noise: tuple[str, ...]
    blinks_per_minute: float
    line_hz: float
    seed: int
    notes: tuple[str, ...]


def save_forward(forward: ForwardModel, path: Path, *, overwrite: bool = False) -> None:
    """Write a forward model as one safetensors file, with the rest as JSON in its header.

    Parameters
    ----------
    path : Path
        ``NAME.forward.safetensors``.

    Raises
    ------
    RecordingError
        If it cannot be written; nothing is left at `path` then.
    """
    from safetensors.numpy import save

    arrays = {name: getattr(forward, name) for name in _ARRAYS}
    arrays |= {f"artefact.{name}": getattr(forward.artefacts, name) for name in _ARTEFACTS}
    for i, part in enumerate(forward.noise):
        arrays |= {f"noise.{i}.sos": part.sos, f"noise.{i}.topographies": part.topographies}
    header = _Header(
        _SCHEMA,
        forward.modality,
        forward.channels,
        forward.sfreq_hz,
        forward.n_layout,
        forward.components,
        tuple(part.name for part in forward.noise),
        forward.artefacts.blinks_per_minute,
        forward.artefacts.line_hz,
        forward.seed,
        forward.notes,
    )
    metadata = {"forward": msgspec.json.encode(header).decode()}
    with written_whole(path, overwrite=overwrite) as place:
        place.write_bytes(
            save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata)
        )


def load_forward(path: Path) -> ForwardModel:
    """Read a forward model.

    Raises
    ------
    RecordingError
        If the file is missing, damaged, of another schema, or no forward model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get("forward")
            if text is None:
                raise RecordingError(
                    f"{path} holds arrays, but no forward model. Give NAME.forward.safetensors."
                )
            if (schema := msgspec.json.decode(text)["schema"]) != _SCHEMA:
                raise RecordingError(
                    f"{path} has schema {schema} and this program reads schema {_SCHEMA}. Install a newer "
                    "decode-stream, or simulate again."
                )
            header = msgspec.json.decode(text, type=_Header)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        noise = tuple(
            Noise(name, arrays[f"noise.{i}.sos"], arrays[f"noise.{i}.topographies"])
            for i, name in enumerate(header.noise)
        )
        artefacts = Artefacts(
            **{name: arrays[f"artefact.{name}"] for name in _ARTEFACTS},
            blinks_per_minute=header.blinks_per_minute,
            line_hz=header.line_hz,
        )
        return ForwardModel(
            modality=header.modality,
            channels=header.channels,
            sfreq_hz=header.sfreq_hz,
            n_layout=header.n_layout,
            components=header.components,
            **{name: arrays[name] for name in _ARRAYS},
            noise=noise,
            artefacts=artefacts,
            seed=header.seed,
            notes=header.notes,
        )
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (SafetensorError, msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise RecordingError(f"{path} is damaged or no forward model: {error}. Simulate again.") from error
