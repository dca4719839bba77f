"""Photos for seeds and load: landscapes painted by Pillow, the same for the same number."""

from __future__ import annotations

import colorsys
import io
import math
import random

from PIL import Image, ImageDraw, ImageFilter


def landscape(number: int, size: tuple[int, int] = (1080, 1080)) -> Image.Image:
    """An evening sky with a sun over ranges of hills."""
    dice = random.Random(number)
    width, height = size
    hue = dice.random()
    image = _sky(size, hue)
    draw = ImageDraw.Draw(image)
    radius = width * dice.uniform(0.06, 0.14)
    x, y = width * dice.uniform(0.2, 0.8), height * dice.uniform(0.2, 0.5)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(hue + 0.08, 0.25, 1.0))
    for layer in range(4):
        base = height * (0.5 + 0.13 * layer)
        colour = _colour(hue + 0.5 + 0.03 * layer, 0.35 + 0.1 * layer, 0.62 - 0.14 * layer)
        draw.polygon(_hills(dice, width, height, base), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(0.8))


def jpeg(number: int, size: tuple[int, int] = (1080, 1080)) -> bytes:
    """`landscape(number)` as a JPEG file."""
    out = io.BytesIO()
    landscape(number, size).save(out, "JPEG", quality=88)
    return out.getvalue()


def _sky(size: tuple[int, int], hue: float) -> Image.Image:
    column = Image.new("RGB", (1, 64))
    for y in range(64):
        column.putpixel((0, y), _colour(hue + y / 640, 0.65 - y / 160, 0.55 + y / 150))
    return column.resize(size, Image.Resampling.BICUBIC)


def _hills(dice: random.Random, width: int, height: int, base: float) -> list[tuple[float, float]]:
    phase, waves = dice.uniform(0, 6), dice.uniform(1, 3)
    steps = range(0, width + 12, 12)
    swing = height * dice.uniform(0.04, 0.09)

    def edge(x: int) -> float:
        turn = phase + waves * 2 * math.pi * x / width
        return base - swing * (math.sin(turn) + 0.35 * math.sin(2.7 * turn))

    return [(0, height), *((x, edge(x)) for x in steps), (width, height)]


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(red * 255), round(green * 255), round(blue * 255)
