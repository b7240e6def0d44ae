"""A small bundle whose evidence is of pictures in the demos' space, for tests of what is drawn of it."""

from dataclasses import replace

import numpy as np

from decode_stream.decoders.bundle import Bundle
from decode_stream.decoders.evidence import Calibration
from decode_stream.decoders.gallery_projector import GalleryProjector
from decode_stream.pictures.targets import objects_space
from decode_stream.replay_data.pictures.picture_space import EMBEDDING_SIZE, LAYOUT_SIZE
from decode_stream.stream.filters import ChainSpec
from tests.decoders.bundles import linear_onnx, small_bundle

N_LATENCIES = 9
_N_DIRECTIONS = 4


def picture_bundle(strength: float = 40.0) -> Bundle:
    """Return a bundle of two channels at 128 Hz that tells four directions of pictures, mostly of their layout.

    Parameters
    ----------
    strength : float
        How much a whole trial tells; the noise of its sum is 1 in every direction.
    """
    rng = np.random.default_rng(5)
    chain = ChainSpec(("Pz", "Oz"), ("uV", "uV"), 128.0, highpass_hz=1.0, lowpass_hz=30.0, scale=(10.0, 10.0))
    bundle = small_bundle(chain=chain, n_latencies=N_LATENCIES)
    told = rng.standard_normal((_N_DIRECTIONS, EMBEDDING_SIZE))
    told[:, LAYOUT_SIZE:] *= 0.2
    told /= np.linalg.norm(told, axis=1, keepdims=True)
    projector = GalleryProjector(told.astype(np.float32), np.zeros(_N_DIRECTIONS, np.float32), gaussian=True)
    weights = np.zeros((2 * 13, _N_DIRECTIONS + 1), np.float32)
    weights[:, :_N_DIRECTIONS] = rng.standard_normal((26, _N_DIRECTIONS)) / 5
    bias = np.zeros(_N_DIRECTIONS + 1, np.float32)
    bias[-1] = strength / N_LATENCIES
    manifest = replace(
        bundle.manifest, space=objects_space(), calibration=Calibration((1.0,) * N_LATENCIES, 1.0)
    )
    gallery = projector.project(0.1 * rng.standard_normal((2, EMBEDDING_SIZE)))
    return replace(
        bundle, manifest=manifest, encoder=linear_onnx(weights, bias), gallery=gallery, projector=projector
    )
