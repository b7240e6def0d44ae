"""Makes what the demo plays: a simulated recording, and a bundle trained on other runs of it.

``python -m decode_stream.make_demos FOLDER`` makes both anew; the same seed gives the same files.
"""

import sys
from pathlib import Path

import numpy as np

from decode_stream.decoders.bundle import save_bundle
from decode_stream.decoders.manifest import EmbeddingSpace
from decode_stream.decoders.recipe import Gallery
from decode_stream.replay_data.pictures import encode_png
from decode_stream.replay_data.simulate import save_fif, simulate_demo
from decode_stream.replay_data.stimuli import demo_pictures, picture_embedding

from .demo import DEMOS
from .train import train

__all__ = ["demo_gallery", "make_demo"]

_N_TRAINING_RUNS = 6
_SEED = 0


def demo_gallery() -> Gallery:
    """Return the ten pictures of the demo, with the embeddings that drive the simulated responses."""
    pictures = demo_pictures()
    embeddings = np.stack([picture_embedding(picture) for picture in pictures.values()])
    space = EmbeddingSpace("demo pictures", "layout, colour and form", embeddings.shape[1], "unit")
    thumbnails = {name: encode_png(picture) for name, picture in pictures.items()}
    return Gallery(tuple(pictures), embeddings, space, {}, thumbnails)


def make_demo(folder: Path) -> None:
    """Simulate, train and write the demo's files.

    Parameters
    ----------
    folder : Path
        Where to; files of the same names are replaced.
    """
    gallery, demo = demo_gallery(), DEMOS["eeg"]
    runs = simulate_demo(gallery.embeddings, gallery.names, n_runs=_N_TRAINING_RUNS + 1, seed=_SEED)
    bundle, _ = train(
        runs[:_N_TRAINING_RUNS],
        name="demo-eeg",
        modality="eeg",
        model="channel-attention",
        gallery=gallery,
        seed=_SEED,
        report=lambda text: print(text, file=sys.stderr),
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_bundle(bundle, folder / demo.bundle, overwrite=True)
    (folder / demo.recording).unlink(missing_ok=True)
    # The demo plays the run that the decoder has not seen.
    save_fif(runs[_N_TRAINING_RUNS], folder / demo.recording)
    print(bundle.manifest.training)


if __name__ == "__main__":
    make_demo(Path(sys.argv[1]))
