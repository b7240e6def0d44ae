"""Makes the file of the two hundred objects from the pictures that Microsoft published.

``python -m decode_stream.replay_data.pictures.object_atlas ASSETS`` writes ``objects.webp`` anew, where ASSETS is the
folder ``assets`` of the npm package ``@lobehub/fluent-emoji-3d`` 1.1.0; ``objects.json`` says which of its
files are taken, in which order, and what they are called.
"""

import json
import sys
from pathlib import Path

from PIL import Image

__all__ = ["write_atlas"]

# Alpha below this is the soft end of a shadow; it does not count towards an object's extent.
_SEEN_ALPHA = 8
_QUALITY = 88


def write_atlas(assets: Path, table: Path, out: Path) -> None:
    """Write all objects into one file, every one as large as its cell allows, in the order of the table.

    Parameters
    ----------
    assets : Path
        Folder of the source pictures, named by code points: ``1f34e.webp``.
    table : Path
        ``objects.json``.
    out : Path
        The WebP file, with transparency.
    """
    entries = json.loads(table.read_text(encoding="utf-8"))
    cell_px, columns = entries["cell_px"], entries["columns"]
    rows = -(-len(entries["objects"]) // columns)
    atlas = Image.new("RGBA", (columns * cell_px, rows * cell_px))
    for i, entry in enumerate(entries["objects"]):
        with Image.open(assets / f"{entry['code']}.webp") as file:
            fitted = _fitted(file.convert("RGBA"), cell_px - 2 * entries["margin_px"])
        left = i % columns * cell_px + (cell_px - fitted.width) // 2
        top = i // columns * cell_px + (cell_px - fitted.height) // 2
        atlas.paste(fitted, (left, top))
    atlas.save(out, quality=_QUALITY, alpha_quality=90, method=6)


def _fitted(picture: Image.Image, side_px: int) -> Image.Image:
    """Cut away what is empty and scale the rest to a longest side of `side_px`."""
    extent = picture.getchannel("A").point(lambda alpha: 255 * (alpha > _SEEN_ALPHA)).getbbox()
    cut = picture.crop(extent)
    scale = side_px / max(cut.size)
    size = (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    return cut.resize(size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    folder = Path(__file__).parent
    write_atlas(Path(sys.argv[1]), folder / "objects.json", folder / "objects.webp")
