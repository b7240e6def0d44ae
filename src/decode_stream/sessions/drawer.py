"""From what trials say to pictures: all that a generator does in a session, without its thread."""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.generation.condition import EmbeddingBelief
from decode_stream.decoders.generation.confidence import confidence, draw_unknown, fade, variance_map
from decode_stream.decoders.generation.embedding_belief import Posteriors
from decode_stream.decoders.generation.generator import Generator, Pictures
from decode_stream.decoders.generation.nearest import NearestPictures
from decode_stream.decoders.generation.picture_evidence import TrialEvidence
from decode_stream.decoders.generation.steady import Steadied, SteadyBelief
from decode_stream.stream.errors import GeneratorError

__all__ = ["Drawer", "Drawn"]

#: Noises whose pictures tell what is imagined, and those whose mean is what is drawn of nothing.
_N_SEVERAL, _N_NOTHING = 8, 16


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A picture of a belief.

    Attributes
    ----------
    picture : array of shape (side, side, 3), uint8
        Faded as far as the belief is open.
    confidence : float
        Share of the variance of pixels over pictures that the belief settles, 0 to 1.
    nearest : bytes or None
        PNG of the training picture nearest to the belief, where these are known.
    nearest_distance : float
        Its cosine distance; NaN where none is known.
    """

    picture: npt.NDArray[np.uint8]
    confidence: float
    nearest: bytes | None = None
    nearest_distance: float = nan


class Drawer:
    """Draws a session's beliefs, all from one noise.

    Parameters
    ----------
    bundle : Bundle
        What decodes.
    generator : Generator
        Of the bundle's space.
    n_steps : int or None
        Steps of each picture; None for the fewest that the generator can.
    seed : int
        Of the noise.
    training : NearestPictures or None
        The pictures that the generator learnt from, where they are known.

    Attributes
    ----------
    prior : array of shape (side, side, 3), uint8
        The mean of what is drawn of no evidence.

    Raises
    ------
    GeneratorError
        If the generator fails on its first pictures.
    """

    def __init__(
        self,
        bundle: Bundle,
        generator: Generator,
        n_steps: int | None = None,
        seed: int = 0,
        training: NearestPictures | None = None,
    ) -> None:
        self.generator = generator
        self.n_steps = n_steps or generator.n_steps[0]
        self._training = training
        self._posteriors = Posteriors(bundle, generator.pictures)
        self._steady = SteadyBelief(generator.pictures, bundle.manifest.length_s)
        self._sfreq_hz = float(bundle.manifest.schedule.sfreq_hz)
        self._newest_stop = -1
        self._copy: tuple[int, bytes] = (-1, b"")
        # The session's noise is the first of several.
        self._noises = generator.noise(seed, _N_SEVERAL)
        # In the fewest steps: a mean has no details, and the first picture waits for it.
        unknown = draw_unknown(generator, seed, generator.n_steps[0], _N_NOTHING)
        self.prior, self._unknown = unknown.mean, unknown

    def believe(self, said: TrialEvidence) -> Steadied | None:
        """Return what is to be drawn now that a trial has said more; None of what is not newer than the last.

        Raises
        ------
        GeneratorError
            If what was decoded has numbers that are not finite.
        """
        if said.stop <= self._newest_stop:
            return None
        if not (np.isfinite(said.evidence.vector).all() and np.isfinite(said.evidence.strength)):
            raise GeneratorError("what was decoded has numbers that are not finite")
        belief = self._posteriors(said.evidence).belief
        steadied = self._steady.add(belief, said.stop / self._sfreq_hz, said.trial.number)
        self._newest_stop = said.stop
        return steadied

    def draw(self, belief: EmbeddingBelief) -> Drawn:
        """Return the picture of a belief.

        Raises
        ------
        GeneratorError
            If the generator gives no picture.
        """
        picture = self._drawn(belief, self._noises[:1])
        settled = confidence(belief, self._unknown.layout_share)
        faded = fade(picture, self.prior, settled, self._unknown.chance_share)[0]
        if self._training is None:
            return Drawn(faded, float(settled[0]))
        nearest = self._training.nearest(belief.mean[0])
        if nearest.number != self._copy[0]:
            # Packed once while it stays the nearest, as it mostly does within a trial; a view then redraws nothing.
            self._copy = nearest.number, self._training.png(nearest.number)
        return Drawn(faded, float(settled[0]), self._copy[1], nearest.distance)

    def imagined(
        self, belief: EmbeddingBelief, go_on: Callable[[], bool] = lambda: True
    ) -> npt.NDArray[np.uint8] | None:
        """Return how far the pictures of a belief from several noises are apart, shape (side, side), uint8.

        Parameters
        ----------
        go_on : callable
            Asked before each of the pictures; None is returned as soon as it says no.

        Raises
        ------
        GeneratorError
            If the generator gives no pictures.
        """
        pictures = list[Pictures]()
        for noise in self._noises:
            if not go_on():
                return None
            pictures.append(self._drawn(belief, noise[None]))
        return variance_map(np.concatenate(pictures))

    def _drawn(self, belief: EmbeddingBelief, noise: npt.NDArray[np.float32]) -> Pictures:
        generator = self.generator
        pictures = generator.draw(generator.pictures.condition(belief), noise, self.n_steps)
        expected = (len(noise), generator.side_px, generator.side_px, 3)
        if pictures.shape != expected or pictures.dtype != np.uint8:
            raise GeneratorError(f"it gave {pictures.dtype} of shape {pictures.shape}, which are no pictures")
        return pictures
