"""A simulated person in a scanner: where the voxels lie, what they answer to, and what else moves them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from decode_stream.replay_data.formats.voxels import voxel_channels
from decode_stream.stream.types import Channel, FloatArray, IntArray

__all__ = ["SIGNAL_PCT", "FmriSubject", "fmri_subject", "planted", "response_course"]

_VOXEL_MM = 1.8
#: Region of NSD's ``streams``: how much its voxels answer to layout and to meaning.
_ANSWERS = {
    **{1: (1.0, 0.15), 2: (0.5, 0.5), 3: (0.5, 0.4), 4: (0.4, 0.3)},
    **{5: (0.15, 1.0), 6: (0.2, 0.7), 7: (0.3, 0.3)},
}
#: How far neighbouring voxels are alike, mm: in what they answer to, and in noise and movement.
_TUNING_MM, _NOISE_MM = 4.0, 25.0
_N_WAVES = 256

# What decides how well this person can be decoded, set once: with the geometry of CLIP, a plain ridge on the betas of
# 15,724 voxels and four sessions is right in 5 to 20 times as many single trials as guessing is, among 200 pictures, as
# such decoders are on NSD's nsdgeneral, and more after three repeats; benchmarks/simulated_fmri.py measures it. All in
# percent signal change.
SIGNAL_PCT = 0.10  # spread over pictures of the part that the embedding tells, over the voxels
_COMMON = 1.0  # answer to any picture
_OWN_NOISE = 0.6  # of each voxel, from volume to volume
_LOCAL_NOISE = 1.0  # of a few millimetres, over which tuning is alike too: many voxels do not average it away
_SHARED_NOISE = 0.6  # of much of the brain: breathing, arousal
_N_SHARED = 16
_DRIFT = 0.8
_MOTION = 1.5
#: Correlation of noise between volumes 4/3 s apart.
_AR = 0.4
#: What is left of a volume's noise in a beta, which rests on several volumes and on denoising.
_BETA_NOISE = 0.7


def response_course(
    tr_s: float, shown_s: float = 3.0, length_s: float = 28.0, fraction: float = 0.0
) -> npt.NDArray[np.float64]:
    """Return the answer of the blood to a picture, in volumes from that of its onset on, with a peak of 1.

    The response of auditory cortex by Glover (1999), NeuroImage 9:416, equation 3, to which those of visual cortex are
    alike: a difference of two gamma functions, t^6 exp(-t / 0.9 s) and 0.35 times t^12 exp(-t / 0.9 s), each of unit
    peak; summed over the time for which the picture is shown.

    Parameters
    ----------
    tr_s : float
        Time between volumes, seconds.
    shown_s : float
        How long the picture is shown, seconds.
    length_s : float
        What comes later is left out.
    fraction : float
        How far behind the beginning of its volume the onset lies, in volumes.

    Returns
    -------
    array of shape (n_volumes,), float64
    """
    step_s = 0.05
    t = np.arange(0.0, length_s, step_s)

    early, late = (t**power * np.exp(-t / 0.9) for power in (6, 12))
    impulse = early / early.max() - 0.35 * late / late.max()
    course = np.convolve(impulse, np.ones(round(shown_s / step_s)))[: len(t)]
    volumes = np.arange(0.0, length_s - tr_s / 2, tr_s)
    at_volumes: npt.NDArray[np.float64] = np.interp(volumes - fraction * tr_s, t, course) / course.max()
    return at_volumes


@dataclass(frozen=True, eq=False)
class FmriSubject:
    """A simulated person; the answer to a picture with embedding e is ``common + tuning (e - origin)`` percent.

    Attributes
    ----------
    mask : array of shape (x, y, z), bool
        The voxels, as NSD's region ``nsdgeneral``.
    brain : array of shape (x, y, z), bool
    streams, visual : array of shape (n_voxels,), int64
        Labels of NSD's regions ``streams`` and ``prf-visualrois``; 0 for none.
    affine_mm : array of shape (4, 4), float64
        From voxel indices to millimetres.
    origin : array of shape (n_dims,), float64
        The mean embedding.
    tuning : array of shape (n_voxels, n_dims), float32
        Percent signal change a unit of each dimension.
    common, level : array of shape (n_voxels,), float32
        Answer to any picture in percent; the scanner's mean value.
    own_noise : array of shape (n_voxels,), float32
        Standard deviation of each voxel's own noise in a volume, percent.
    shared_noise : array of shape (n_voxels, n_shared), float32
        What each of the common sources of noise gives to a volume, percent.
    movement : array of shape (n_voxels,), float32
        Change in percent when the head moves by a unit.
    ar : float
        Correlation of the noise, own and shared, between neighbouring volumes.
    beta_noise : float
        Share of a volume's noise that a beta has.
    drift : float
        Spread of slow drifts, percent.
    """

    mask: npt.NDArray[np.bool_]
    brain: npt.NDArray[np.bool_]
    streams: IntArray
    visual: IntArray
    affine_mm: npt.NDArray[np.float64]
    origin: npt.NDArray[np.float64]
    tuning: npt.NDArray[np.float32]
    common: npt.NDArray[np.float32]
    level: npt.NDArray[np.float32]
    own_noise: npt.NDArray[np.float32]
    shared_noise: npt.NDArray[np.float32]
    movement: npt.NDArray[np.float32]
    ar: float = _AR
    beta_noise: float = _BETA_NOISE
    drift: float = _DRIFT

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return len(self.level)

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """One channel a voxel, in C order over (x, y, z), in the scanner's arbitrary units."""
        return voxel_channels(np.argwhere(self.mask), self.affine_mm)

    def regions(self) -> dict[str, IntArray]:
        """Return label volumes (x, y, z) by NSD's names; -1 outside cortex, which here is outside the brain."""
        labels = {
            "nsdgeneral": np.ones(self.n_voxels),
            "streams": self.streams,
            "prf-visualrois": self.visual,
        }
        volumes: dict[str, IntArray] = {"brainmask": self.brain.astype(np.int64)}
        for name, of_voxels in labels.items():
            volumes[name] = np.where(self.brain, 0, -1).astype(np.int64)
            volumes[name][self.mask] = of_voxels
        return volumes

    def answers(self, embeddings: FloatArray) -> npt.NDArray[np.float32]:
        """Return the answer to each picture, percent at its peak, shape (n, n_voxels)."""
        moved = (embeddings - self.origin).astype(np.float32) @ self.tuning.T
        answers: npt.NDArray[np.float32] = moved + self.common
        return answers


def fmri_subject(
    embeddings: FloatArray,
    n_layout: int,
    *,
    grid: tuple[int, int, int] = (81, 104, 83),
    n_voxels: int = 15_724,
    signal_pct: float = SIGNAL_PCT,
    seed: int = 0,
) -> FmriSubject:
    """Make a person whose early visual voxels answer to layout and whose ventral ones answer to meaning.

    Parameters
    ----------
    embeddings : array of shape (n_pictures, n_dims)
        Pictures of the kind that will be shown: they set what a typical difference between two is.
    n_layout : int
        The first dimensions, which tell what is where; the others tell what it is.
    grid : tuple of int
        Voxels of 1.8 mm along x (to the right), y (to the front) and z (up).
    n_voxels : int
        Voxels that are kept, of visual cortex.
    signal_pct : float
        Spread over pictures and voxels of what tells pictures apart, percent.
    seed : int
        Same seed, same person.

    Raises
    ------
    ValueError
        If the brain of that grid has fewer voxels, or the embeddings do not fit.
    """
    looks: FloatArray = np.asarray(embeddings, np.float64)
    if (
        looks.ndim != 2
        or len(looks) < 2
        or not 0 <= n_layout <= looks.shape[1]
        or not np.isfinite(looks).all()
    ):
        raise ValueError(f"Embeddings of shape {looks.shape} with {n_layout} of layout make no subject.")
    rng = np.random.default_rng([seed, 0])
    brain, mask = _place(grid, n_voxels)
    voxels = np.argwhere(mask)
    streams, visual = _label(voxels, grid)
    places_mm = voxels * _VOXEL_MM
    reliability = np.exp(0.5 * rng.standard_normal(n_voxels))
    shares = np.array([_ANSWERS[label] for label in range(1, 8)])[streams - 1] * reliability[:, None]
    waves = _waves(places_mm, _TUNING_MM, rng)
    weights = waves @ rng.standard_normal((_N_WAVES, looks.shape[1]))
    tuning = weights * np.where(np.arange(looks.shape[1]) < n_layout, shares[:, :1], shares[:, 1:])
    tuning *= _part_sizes(looks, n_layout)
    told = (looks - looks.mean(axis=0))[:2000] @ tuning.T
    tuning *= signal_pct / np.sqrt(np.mean(told**2))
    broad = _fields(places_mm, _N_SHARED, _NOISE_MM, rng) * (_SHARED_NOISE / np.sqrt(_N_SHARED))
    # Noise of each pattern that tuning is made of: of a person with more voxels little more can be known.
    local = np.concatenate([waves * shares[:, :1], waves * shares[:, 1:]], axis=1)
    local *= _LOCAL_NOISE / np.sqrt(np.mean(np.sum(local**2, axis=1)))
    affine_mm = np.diag([_VOXEL_MM] * 3 + [1.0])
    affine_mm[:3, 3] = -_VOXEL_MM * (np.array(grid) - 1) / 2
    own = _OWN_NOISE * np.exp(0.2 * rng.standard_normal(n_voxels))
    return FmriSubject(
        mask=mask,
        brain=brain,
        streams=streams,
        visual=visual,
        affine_mm=affine_mm,
        origin=looks.mean(axis=0),
        tuning=tuning.astype(np.float32),
        common=(_COMMON * reliability * shares.max(axis=1) / shares.max(axis=1).mean()).astype(np.float32),
        level=np.rint(1200 * np.exp(0.25 * rng.standard_normal(n_voxels))).astype(np.float32),
        own_noise=own.astype(np.float32),
        shared_noise=np.concatenate([local, broad], axis=1).astype(np.float32),
        movement=(_MOTION * _fields(places_mm, 1, _NOISE_MM / 3, rng)[:, 0]).astype(np.float32),
    )


def planted(
    subject: FmriSubject,
    voxels: npt.NDArray[np.bool_],
    direction: FloatArray,
    spread: float,
    signal_pct: float,
) -> FmriSubject:
    """Return a person in whom one direction of the embedding is told by some voxels, and by no others.

    These answer to it as they did, up to one factor; whatever else they and the others answer to stays.

    Parameters
    ----------
    voxels : array of shape (n_voxels,), bool
        Those that answer to it.
    direction : array of shape (n_dims,)
        One along which pictures differ independently of the others, such as a principal axis.
    spread : float
        Standard deviation of the pictures along it.
    signal_pct : float
        Spread over pictures and these voxels of the answer to it, percent.

    Raises
    ------
    ValueError
        If there is no such voxel, or they do not answer to the direction at all.
    """
    axis = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    along = subject.tuning @ axis
    told = np.where(voxels, along, 0.0)
    size = spread * np.sqrt(np.mean(told[voxels] ** 2)) if voxels.any() else 0.0
    if not size > 0:
        raise ValueError(f"None of the {np.count_nonzero(voxels)} voxels answers to the direction.")
    tuning = subject.tuning + np.outer(told * signal_pct / size - along, axis)
    return replace(subject, tuning=tuning.astype(np.float32))


def _part_sizes(looks: FloatArray, n_layout: int) -> FloatArray:
    """Return factors that give layout and meaning as parts the same spread over pictures, shape (n_dims,)."""
    variance = looks.var(axis=0)
    sizes = np.ones(looks.shape[1])
    for part in (slice(0, n_layout), slice(n_layout, None)):
        total = variance[part].sum()
        sizes[part] = 1 / np.sqrt(total) if total > 0 else 0.0
    return sizes


def _place(grid: tuple[int, int, int], n_voxels: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the brain, an ellipsoid, and its `n_voxels` rearmost and outermost voxels, both of the grid's shape."""
    half = (np.array(grid) - 1) / 2
    offset = (np.moveaxis(np.indices(grid), 0, -1) - half) / (0.92 * half + 0.5)
    radius = np.linalg.norm(offset, axis=-1)
    brain = radius <= 1
    if not 1 <= n_voxels <= np.count_nonzero(brain):
        raise ValueError(
            f"The brain of a grid {grid} has {np.count_nonzero(brain)} voxels; {n_voxels} are asked for."
        )
    rank = np.where(brain, offset[..., 1] - 1.5 * radius, np.inf).ravel()
    mask = np.zeros(rank.shape, dtype=np.bool_)
    mask[np.argsort(rank, kind="stable")[:n_voxels]] = True
    return brain, mask.reshape(grid)


def _label(voxels: IntArray, grid: tuple[int, int, int]) -> tuple[IntArray, IntArray]:
    """Return labels of streams and of visual areas: from back to front, below, at the side and above."""
    _, y, z = ((voxels - (np.array(grid) - 1) / 2) / (np.array(grid) / 2)).T
    front = np.argsort(np.argsort(y, kind="stable"), kind="stable") / len(y)
    below, above = z < -0.25 * np.abs(z).max(), z > 0.35 * np.abs(z).max()
    middle = np.select([below, above], [2, 4], 3)
    late = np.select([below, above], [5, 7], 6)
    streams = np.select([front < 0.35, front < 0.5], [1, middle], late).astype(np.int64)
    early = streams == 1
    visual = np.zeros(len(voxels), dtype=np.int64)
    edges = np.quantile(np.abs(z[early]), [1 / 3, 2 / 3]) if early.any() else (0.0, 0.0)
    area = np.searchsorted(edges, np.abs(z[early]))  # V1 lies about the middle plane, V2 and V3 around it
    visual[early] = 1 + 2 * area + (z[early] > 0)
    visual[streams == 2] = 7
    return streams, visual


def _fields(places_mm: FloatArray, n: int, length_mm: float, rng: np.random.Generator) -> FloatArray:
    """Return `n` smooth Gaussian fields of unit variance at some places, shape (n_places, n)."""
    fields: FloatArray = _waves(places_mm, length_mm, rng) @ rng.standard_normal((_N_WAVES, n))
    return fields


def _waves(places_mm: FloatArray, length_mm: float, rng: np.random.Generator) -> FloatArray:
    """Return random waves, shape (n_places, n_waves), whose sums with normal weights are smooth Gaussian fields.

    The covariance of such a sum is a Gaussian of the distance (Rahimi and Recht 2007, NeurIPS 20).
    """
    directions = rng.standard_normal((3, _N_WAVES)) / length_mm
    phases = rng.uniform(0, 2 * np.pi, _N_WAVES)
    waves: FloatArray = np.sqrt(2 / _N_WAVES) * np.cos(places_mm @ directions + phases)
    return waves
