"""What an ONNX file says of itself in its metadata, for whoever opens it without the bundle that it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx
from onnx import helper

from decode_stream.decoders.onnx_model import OnnxModel

__all__ = ["AUTOENCODER", "ENCODER", "GENERATOR", "PRIOR", "UNET", "NetworkKind", "described"]


@dataclass(frozen=True)
class NetworkKind:
    """What a network is, whoever trained it.

    Attributes
    ----------
    what : str
        In a sentence.
    tensors : dict of str to str
        By the name of an input or output its shape, unit and meaning.
    """

    what: str
    tensors: Mapping[str, str] = field(default_factory=dict)

    def properties(self, opset: int) -> dict[str, str]:
        """Return what a file of this kind says of itself, by key.

        Parameters
        ----------
        opset : int
            Version of the operators that it is written with.
        """
        return {"what": self.what, "opset": str(opset), **self.tensors}


ENCODER = NetworkKind(
    "Encoder of a decoder of EEG, MEG or fMRI: from a window of the filtered and scaled signal to an embedding.",
    {
        "window": "(batch, channels, times), float32: the signal behind the decoder's causal chain, each channel in "
        "units of its usual spread; of a growing window what has not happened is 0",
        "latency_s": "(batch,), float32, seconds after the onset at which the window begins; -1 where it is not known",
        "embedding": "(batch, dimension), float32: compared with the gallery's embeddings",
        "structure": "(batch, dimension), float32, where there is a second head: where things are and what they look "
        "like",
    },
)
PRIOR = NetworkKind(
    "Distilled diffusion prior: from a decoded embedding and noise to a sample as embeddings of pictures are.",
    {
        "embedding": "(batch, dimension), float32: what the encoder gives of a whole trial",
        "noise": "(batch, steps, dimension), float32, standard normal",
        "image_embedding": "(batch, dimension), float32",
    },
)
GENERATOR = NetworkKind(
    "Flow map of an embedded generator: from a noisy picture and what is believed of it to the clean one.",
    {
        "x": "(batch, 3, side, side), float32: a picture, -1 to 1, at the share t of noise",
        "t": "(batch,), float32: the share of noise that x has, 0 to 1",
        "r": "(batch,), float32: the share of noise that the step leads to, below t",
        "semantic": "(batch, numbers), float32: what is seen, as the belief's difference from all pictures' mean",
        "layout": "(batch, rows, columns, 3), float32: sRGB, 0 to 1",
        "open_share": "(batch, 2), float32: share of the variance over pictures that is open, of what is seen and of "
        "the layout, 0 to 1",
        "clean": "(batch, 3, side, side), float32: sRGB, -1 to 1",
    },
)
UNET = NetworkKind(
    "U-Net of a diffusion pipeline at one step of its table, with its adapter and its empty text.",
    {
        "latents": "(batch, channels, height, width), float32: noisy latents of that step",
        "image_embeds": "(batch, numbers), float32: what the U-Net is told of an embedding",
        "predicted": "(batch, channels, height, width), float32: noise, velocity or clean latents, as the pipeline "
        "predicts",
    },
)
AUTOENCODER = NetworkKind(
    "Decoder of an autoencoder of pictures.",
    {
        "latents": "(batch, channels, height, width), float32: clean latents, scaled as the U-Net's are",
        "colours": "(batch, 3, side, side), float32: sRGB, -1 to 1 and a little beyond",
    },
)


def described(model: OnnxModel, properties: Mapping[str, str]) -> OnnxModel:
    """Return a model whose file says more of itself; what it said under the same keys before is replaced.

    Parameters
    ----------
    properties : mapping of str to str
        Text by key.
    """
    proto = onnx.load_model_from_string(model.graph)
    said = {entry.key: entry.value for entry in proto.metadata_props}
    helper.set_model_props(proto, said | dict(properties))
    return OnnxModel(proto.SerializeToString(), model.data)
