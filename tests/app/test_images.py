"""Uploaded photos: what is taken, what becomes of it, and what is refused with which words."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from heapwatch_app.media.images import PhotoError, process
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

MAX_BYTES = 2 << 20
MAX_PIXELS = 6_000_000


def taken(data: bytes) -> dict[int, Image.Image]:
    photo = process(io.BytesIO(data), max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
    return {size: Image.open(io.BytesIO(file)) for size, file in photo.files.items()}


def refusal(data: bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        taken(data)
    return str(caught.value)


def drawing(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), "red")
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    return image.convert(mode)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_three_sizes_are_made(encoded: Callable[..., bytes], kind: str) -> None:
    made = taken(encoded(drawing(2400, 1200), kind))
    assert {size: image.size for size, image in made.items()} == {
        150: (150, 150),
        640: (640, 320),
        1080: (1080, 540),
    }
    assert all(image.format == "JPEG" for image in made.values())
    left, right = made[640].getpixel((10, 10)), made[640].getpixel((630, 10))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    assert left[0] > 200 > left[2]
    assert right[2] > 200 > right[0]


def test_a_small_photo_is_not_enlarged(encoded: Callable[..., bytes]) -> None:
    made = taken(encoded(drawing(200, 100), "JPEG"))
    assert [made[size].size for size in (150, 640, 1080)] == [(150, 150), (200, 100), (200, 100)]


def test_a_rotated_photo_stands_upright_and_loses_its_metadata(encoded: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010F] = "Camera of somebody"
    exif.get_ifd(0x8825)[1] = "N"  # a place
    made = taken(encoded(drawing(300, 200), "JPEG", exif=exif, comment=b"secret"))
    for size, image in made.items():
        assert not image.getexif(), size
        assert "comment" not in image.info
        assert "exif" not in image.info
    assert made[640].size == (200, 300)
    top, bottom = made[640].getpixel((100, 10)), made[640].getpixel((100, 290))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[0] > 200
    assert bottom[2] > 200


def test_a_colour_profile_is_kept(encoded: Callable[..., bytes]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = taken(encoded(drawing(40, 30), "JPEG", icc_profile=profile))
    assert made[640].info["icc_profile"] == profile


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_other_kinds_of_pixels_are_taken(encoded: Callable[..., bytes], mode: str) -> None:
    source = Image.new("I;16", (40, 30)) if mode == "I;16" else drawing(40, 30).convert(mode)
    assert taken(encoded(source, "PNG"))[640].mode == "RGB"


def test_cmyk_is_taken(encoded: Callable[..., bytes]) -> None:
    assert taken(encoded(drawing(40, 30, "CMYK"), "JPEG"))[640].mode == "RGB"


def test_transparency_becomes_white(encoded: Callable[..., bytes]) -> None:
    clear = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    corner = taken(encoded(clear, "PNG"))[640].getpixel((5, 5))
    assert corner == (255, 255, 255)


@pytest.mark.parametrize(
    "data",
    [b"%PDF-1.7 not a photo", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff", b"\0" * 500],
    ids=["pdf", "svg", "only a start", "zeros"],
)
def test_what_is_no_photo_is_refused(data: bytes) -> None:
    assert "Send a JPEG, PNG or WebP file" in refusal(data)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "ICO"])
def test_other_formats_are_refused(encoded: Callable[..., bytes], kind: str) -> None:
    assert "Send a JPEG, PNG or WebP file" in refusal(encoded(drawing(40, 30), kind))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_photo_is_refused(encoded: Callable[..., bytes], kind: str) -> None:
    noise = Image.effect_noise((300, 300), 80).convert("RGB")
    data = encoded(noise, kind)
    assert "damaged or incomplete" in refusal(data[: len(data) // 2])


def test_a_bomb_is_refused_by_its_header() -> None:
    assert "more than 6 million pixels" in refusal(_png_of_zeros(50_000, 50_000))


def test_large_dimensions_just_over_the_limit_are_refused(encoded: Callable[..., bytes]) -> None:
    assert "million pixels" in refusal(encoded(drawing(3001, 2000), "PNG"))
    assert taken(encoded(drawing(3000, 2000), "PNG"))


def test_too_many_bytes_are_refused() -> None:
    assert refusal(b"x" * (MAX_BYTES + 1)) == "The photo is larger than 2 MB. Choose a smaller one."


def test_a_tiny_photo_is_refused(encoded: Callable[..., bytes]) -> None:
    assert "at least 16 pixels" in refusal(encoded(drawing(100, 15), "PNG"))


def test_nothing_is_refused() -> None:
    assert refusal(b"") == "Choose a photo first."


@given(st.data())
def test_damage_is_either_taken_or_refused_never_an_error(data: st.DataObject) -> None:
    source = bytearray(_SOURCES[data.draw(st.sampled_from(sorted(_SOURCES)))])
    for _ in range(data.draw(st.integers(1, 8))):
        source[data.draw(st.integers(0, len(source) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PhotoError):
        assert set(taken(bytes(source[: data.draw(st.integers(1, len(source)))]))) == {150, 640, 1080}


def _source(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    drawing(40, 30).save(out, kind, **options)
    return out.getvalue()


def _png_of_zeros(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1_000_000))
        + chunk(b"IEND", b"")
    )


_EXIF = Image.Exif()
_EXIF[0x0112] = 8
_SOURCES = {kind: _source(kind, exif=_EXIF) for kind in ("JPEG", "PNG", "WEBP")}
