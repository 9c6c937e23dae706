#!/usr/bin/env python3
"""Writes data/images.txt: what Pillow makes of images of a formula, resized and cropped as the formats of images do it.

    python3 -m venv venv && venv/bin/pip install pillow==13.0.0 && venv/bin/python tests/oracles/make_images.py

A case is a line `width height channels -> height width resize channels` and a line of the sample's bytes, plane after plane, in
hexadecimal. resize 0 is ImageOps.fit; else the shorter side becomes `resize`, rounded as torchvision's Resize, and the middle is
cut out as by its CenterCrop.
"""
import os

import PIL
from PIL import Image, ImageOps

CASES = [
    ((37, 23, 3), (12, 12, 0, 3)),
    ((37, 23, 3), (12, 12, 15, 3)),
    ((23, 37, 3), (9, 14, 16, 3)),
    ((23, 37, 1), (9, 14, 0, 1)),
    ((90, 61, 3), (8, 10, 0, 1)),
    ((90, 61, 1), (8, 10, 13, 3)),
    ((5, 4, 3), (12, 16, 0, 3)),
    ((5, 4, 3), (12, 12, 13, 3)),
    ((1, 1, 3), (4, 3, 0, 3)),
    ((200, 3, 3), (6, 6, 7, 3)),
    ((16, 16, 3), (16, 16, 0, 3)),
]


def make(width, height, channels):
    data = bytes((x * x * 3 + y * 7 + x * y * (c + 1) + c * 40) % 256
                 for y in range(height) for x in range(width) for c in range(channels))
    return Image.frombytes("RGB" if channels == 3 else "L", (width, height), data)


def sample(image, height, width, resize, channels):
    image = image.convert("RGB" if channels == 3 else "L")
    if resize == 0:
        return ImageOps.fit(image, (width, height), Image.BILINEAR)
    w, h = image.size
    size = (resize, int(resize * h / w)) if w <= h else (int(resize * w / h), resize)
    left, top = int(round((size[0] - width) / 2.0)), int(round((size[1] - height) / 2.0))
    return image.resize(size, Image.BILINEAR).crop((left, top, left + width, top + height))


with open(os.path.join(os.path.dirname(__file__), "data", "images.txt"), "w") as out:
    out.write(f"# Pillow {PIL.__version__}, by make_images.py\n")
    for image, of in CASES:
        made = sample(make(*image), *of)
        out.write("%d %d %d -> %d %d %d %d\n" % (image + of))
        out.write(b"".join(band.tobytes() for band in made.split()).hex() + "\n")
