"""Where processed photos are kept: a folder, one file per photo and size."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from heapwatch_app.media.images import SIZES, Photo

_NAME = re.compile(r"[0-9a-f]{32}")


class MediaStore:
    """Photos under `folder`, by a random name that says nothing of their owner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, photo: Photo) -> str:
        """Keep `photo`; its new name."""
        name = secrets.token_hex(16)
        for size, data in photo.files.items():
            path = self.path(name, size)
            path.parent.mkdir(exist_ok=True)
            # A reader sees a whole file or none.
            draft = path.with_suffix(".part")
            draft.write_bytes(data)
            draft.rename(path)
        return name

    def link(self, name: str) -> str:
        """Another name for a stored photo that needs no further space."""
        other = secrets.token_hex(16)
        for size in SIZES:
            path = self.path(other, size)
            path.parent.mkdir(exist_ok=True)
            path.hardlink_to(self.path(name, size))
        return other

    def path(self, name: str, size: int) -> Path:
        """The file of a photo in a size; KeyError if there can't be such a photo."""
        if not _NAME.fullmatch(name) or size not in SIZES:
            raise KeyError(name)
        return self.folder / name[:2] / f"{name}-{size}.jpg"

    def remove(self, name: str) -> None:
        """Delete a photo in all sizes; one that isn't there is no error."""
        for size in SIZES:
            self.path(name, size).unlink(missing_ok=True)
