"""Photos as they come in: checked, turned upright, stripped of metadata, and made in three sizes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
SIZES = (150, 640, 1080)
"""Edge of the square thumbnail, then the longest edge of the two larger sizes, in pixels."""

SMALLEST_EDGE = 16
LARGEST_PROFILE = 64 << 10

# Pillow only warns below twice its limit; `_check_dimensions` refuses, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

QUALITY = 85


class PhotoError(ValueError):
    """A photo that can't be taken; the message is for the person who sent it."""


@dataclass(frozen=True)
class Photo:
    """JPEG bytes by size (150, 640, 1080); width and height of the largest."""

    files: Mapping[int, bytes]
    width: int
    height: int


def process(upload: IO[bytes], *, max_bytes: int, max_pixels: int) -> Photo:
    """The photo in `upload` in all sizes; PhotoError says what is wrong with it.

    Dimensions are read from the header and judged before a pixel is decoded.
    """
    data = upload.read(max_bytes + 1)
    if not data:
        raise PhotoError("Choose a photo first.")
    if len(data) > max_bytes:
        raise PhotoError(f"The photo is larger than {max_bytes / (1 << 20):.0f} MB. Choose a smaller one.")
    with _reading(data, max_pixels) as image:
        upright = _flattened(ImageOps.exif_transpose(image))
        profile = _colour_profile(image)
        large = _fitted(upright, SIZES[2])
        files = {
            SIZES[0]: _jpeg(ImageOps.fit(large, (SIZES[0], SIZES[0]), Image.Resampling.LANCZOS), profile),
            SIZES[1]: _jpeg(_fitted(large, SIZES[1]), profile),
            SIZES[2]: _jpeg(large, profile),
        }
        return Photo(files, large.width, large.height)


@contextmanager
def _reading(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The decoded image; what Pillow raises about it becomes a PhotoError."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_dimensions(image, max_pixels)
            # JPEG decoders can shrink while decoding: a fraction of the time and memory.
            image.draft("RGB", (SIZES[2] * 2, SIZES[2] * 2))
            image.load()
            yield image
    except UnidentifiedImageError:
        raise PhotoError("This isn't a photo we can read. Send a JPEG, PNG or WebP file.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, PhotoError):
            raise
        raise PhotoError("The photo is damaged or incomplete. Export it again and retry.") from None


def _check_dimensions(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise PhotoError(
            f"The photo has more than {max_pixels / 1e6:.0f} million pixels. Choose a smaller one."
        )
    if min(image.size) < SMALLEST_EDGE:
        raise PhotoError(f"The photo is too small: each side needs at least {SMALLEST_EDGE} pixels.")


def _flattened(image: Image.Image) -> Image.Image:
    """RGB, with white where the image was transparent."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _colour_profile(image: Image.Image) -> bytes | None:
    """The profile that the pixels need to look right; one for other colours than RGB no longer fits."""
    profile: bytes | None = image.info.get("icc_profile")
    return profile if profile and image.mode == "RGB" and len(profile) <= LARGEST_PROFILE else None


def _fitted(image: Image.Image, edge: int) -> Image.Image:
    """`image` no longer than `edge`; smaller ones stay as they are."""
    if max(image.size) <= edge:
        return image
    return ImageOps.contain(image, (edge, edge), Image.Resampling.LANCZOS)


def _jpeg(image: Image.Image, profile: bytes | None) -> bytes:
    out = io.BytesIO()
    # `info` of the source may carry EXIF or comments; only the colour profile is passed on.
    image.info = {}
    image.save(out, "JPEG", quality=QUALITY, progressive=True, icc_profile=profile)
    return out.getvalue()
