#!/usr/bin/env python3
"""Writes data/augment.txt: what torchvision and Pillow make of an image of a formula by given numbers.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 torchvision==0.29.2 pillow==13.0.0
    venv/bin/python tests/oracles/make_augment.py

A case is a line `name channels grey numbers...` and a line of the bytes, plane after plane, in hexadecimal. grey 1: all channels of
the image are the same.
"""
import os

import numpy
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode, RandAugment
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import _apply_op

HEIGHT, WIDTH = 20, 16
BILINEAR = InterpolationMode.BILINEAR


def make(channels, grey):
    y, x, c = numpy.meshgrid(range(HEIGHT), range(WIDTH), range(channels), indexing="ij")
    data = (x * x * 3 + y * 7 + x * y * ((0 if grey else c) + 1) + (0 if grey else c) * 40) % 256
    data = numpy.where(x + y < 6, 90 + (0 * c if grey else 30 * c), data)  # a plain corner
    return torch.tensor(data.transpose(2, 0, 1).astype(numpy.uint8))


def resized(image, top, left, height, width):
    planes = [Image.fromarray(p.numpy()).crop((left, top, left + width, top + height)).resize((WIDTH, HEIGHT), Image.BILINEAR)
              for p in image]
    return torch.stack([torch.tensor(numpy.array(p)) for p in planes])


def randaugment(image, op, magnitude, negative):
    space = RandAugment()._augmentation_space(31, (HEIGHT, WIDTH))
    name = list(space)[op]
    magnitudes, signed = space[name]
    much = float(magnitudes[magnitude].item()) if magnitudes.ndim > 0 else 0.0
    return _apply_op(image, name, -much if signed and negative else much, BILINEAR, None)


FUNCTIONS = {
    "rotate": lambda image, degrees: F.rotate(image, degrees, BILINEAR),
    "scale": lambda image, factor: F.affine(image, 0.0, [0, 0], factor, [0.0, 0.0], BILINEAR),
    "part": resized,
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
    "sharpness": F.adjust_sharpness,
    "posterize": F.posterize,
    "solarize": F.solarize,
    "autocontrast": F.autocontrast,
    "equalize": F.equalize,
    "randaugment": randaugment,
}

CASES = [("rotate", d) for d in (0.0, 7.25, -37.5, 90.0, 180.0, -90.0)]
CASES += [("scale", f) for f in (0.5, 0.73, 1.0, 1.9)]
CASES += [("part", *box) for box in ((0, 0, 20, 16), (3, 2, 7, 9), (11, 0, 9, 16), (0, 15, 20, 1), (19, 3, 1, 1), (4, 4, 10, 8))]
CASES += [("brightness", f) for f in (0.0, 0.3, 1.7)]
CASES += [("contrast", f) for f in (0.0, 0.45, 1.6)]
CASES += [("saturation", f) for f in (0.0, 0.2, 1.9)]
CASES += [("hue", f) for f in (-0.5, -0.13, 0.0, 0.02, 0.34, 0.5)]
CASES += [("sharpness", f) for f in (0.0, 0.4, 1.8)]
CASES += [("posterize", b) for b in (1, 4, 8)]
CASES += [("solarize", t) for t in (0.0, 100.5, 178.5, 255.0)]
CASES += [("autocontrast",), ("equalize",)]
CASES += [("randaugment", op, m, n) for op in range(14) for m, n in ((9, 0), (9, 1), (22, 1))]
GREYS = [("brightness", 1.2), ("contrast", 0.7), ("saturation", 0.5), ("hue", 0.2), ("autocontrast",), ("equalize",),
         ("randaugment", 7, 20, 0)]

with open(os.path.join(os.path.dirname(__file__), "data", "augment.txt"), "w") as out:
    out.write(f"# torchvision {torchvision.__version__.split('+')[0]}, Pillow {PIL.__version__}, by make_augment.py\n")
    for channels, grey, cases in ((3, 0, CASES), (3, 1, GREYS), (1, 0, GREYS)):
        for name, *numbers in cases:
            made = FUNCTIONS[name](make(channels, grey), *numbers)
            assert made.dtype == torch.uint8 and made.shape == (channels, HEIGHT, WIDTH), name
            out.write(" ".join([name, str(channels), str(grey)] + [repr(n) for n in numbers]) + "\n")
            out.write(made.contiguous().numpy().tobytes().hex() + "\n")
