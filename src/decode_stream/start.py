"""What a training begins with: the network of a bundle, or weights that public code has saved."""

from collections.abc import Sequence
from pathlib import Path

from decode_stream.decoders.bundle import is_bundle, load_bundle
from decode_stream.decoders.fit_options import Start
from decode_stream.stream.errors import UsageError

__all__ = ["read_start"]


def read_start(paths: Sequence[Path]) -> Start:
    """Read what is given to ``--init-from``.

    Parameters
    ----------
    paths : sequence of Path
        A bundle alone, or the files of weights of one model.

    Raises
    ------
    UsageError
        If there is no such file, a bundle is not alone, or it keeps no weights.
    BundleError
        If a bundle is damaged.
    """
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is nothing at {path}; --init-from takes a bundle or files of weights.")
    bundles = [path for path in paths if is_bundle(path)]
    if not bundles:
        return Start(public=tuple(paths))
    if len(paths) > 1:
        raise UsageError(f"--init-from takes one bundle, or files of weights; {bundles[0]} is a bundle.")
    bundle = load_bundle(bundles[0], weights=True)
    if not bundle.weights:
        raise UsageError(
            f"{bundles[0]} was made by --model {bundle.manifest.training.model} and keeps no weights to begin with; "
            "give a bundle of a network."
        )
    return Start(weights=bundle.weights)
