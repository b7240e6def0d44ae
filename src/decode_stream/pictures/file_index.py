"""Files found by how others name them."""

from collections import defaultdict
from collections.abc import Sequence
from posixpath import splitext

__all__ = ["FileIndex", "name_parts"]

_MOST_TAIL = 3


class FileIndex:
    """Finds files by how a recording names them: other folders above, another ending.

    Parameters
    ----------
    images : sequence of str
        The files, with ``/`` between the parts.
    """

    def __init__(self, images: Sequence[str]) -> None:
        self._tails: defaultdict[str, list[int]] = defaultdict(list)
        self._bare = set[int]()
        for i, image in enumerate(images):
            parts = name_parts(image)
            if len(parts) == 1:
                self._bare.add(i)
            for k in range(1, min(len(parts), _MOST_TAIL) + 1):
                self._tails["/".join(parts[-k:])].append(i)

    def find(self, image: str) -> int | None:
        """Return the place of the file whose last parts are those of `image`, or None where none or several are.

        The file's name alone is enough only where one of the two has no folder: ``faces/1.png`` is not
        ``houses/1.png``.
        """
        parts = name_parts(image)
        for k in range(min(len(parts), _MOST_TAIL), 0, -1):
            found = self._tails.get("/".join(parts[-k:]), [])
            if k == 1 and len(parts) > 1:
                found = [i for i in found if i in self._bare]
            if found:
                return found[0] if len(found) == 1 else None
        return None


def name_parts(image: str) -> list[str]:
    """Return the folders and the name of a file, without its ending."""
    parts = [part for part in image.replace("\\", "/").split("/") if part not in ("", ".")]
    return [*parts[:-1], splitext(parts[-1])[0]] if parts else [""]
