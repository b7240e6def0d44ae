"""Which versions of what a bundle or a generator was made with."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["library_versions"]


def library_versions() -> dict[str, str]:
    """Return the versions of this program and of the libraries that are installed, by name."""
    found = {}
    for package in (
        "decode-stream",
        "numpy",
        "scipy",
        "torch",
        "onnx",
        "onnxscript",
        "scikit-learn",
        "himalaya",
        "diffusers",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
