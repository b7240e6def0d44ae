"""Generators of diffusers with few random numbers, written once for all that draw by them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decode_stream.decoders.generation.diffusers_generator import DiffusersGenerator, load_diffusers

from .tiny_pipelines import write_folders, write_generator


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with a pipeline of each family, and beside it an adapter, additions, and a tiny autoencoder."""
    folder = tmp_path_factory.mktemp("generators")
    write_folders(folder)
    return folder


@pytest.fixture
def generator(root: Path) -> Callable[..., DiffusersGenerator]:
    """Load a generator of a family by a recipe."""

    def make(family: str, recipe: str, **more: Any) -> DiffusersGenerator:
        if family in ("sd", "sdxl"):
            more = {"adapter": "adapter.safetensors", **more}
        write_generator(root / family, recipe, **more)
        return load_diffusers(root / family)

    return make
