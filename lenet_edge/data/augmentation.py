"""Random changes of a whole batch at once, of place and of light, on whatever device the batch lies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from lenet_edge.networks.recipes import Recipe

DENSEST = 0.8  # of a veil, an even grey over the image: so much of the contrast it takes at most


@dataclass(frozen=True)
class Augmentation:
    """How far an image may be changed and still show the same thing; each amount is drawn from -x to +x.

    The last three are what shows nothing of the classes any more: which of them, by their index, once it is mirrored,
    upside down (turned by 180 degrees), or turned by 90 degrees either way.
    """

    rotation_degrees: float
    scale: float  # share of the size, horizontally and vertically apart
    shear: float  # horizontal shift per vertical shift
    shift_pixels: float
    flip: bool = False  # mirrored left to right, half of the time
    vertical_flip: bool = False  # turned upside down, half of the time
    jitter: float = 0.0  # share of brightness, and of contrast about the image's mean
    veil: float = 0.0  # share of the images that lie behind one
    whole_pixels: float = 0.0  # share of the images that are shifted by whole pixels, and flipped, alone
    strange_mirrored: tuple[int, ...] = ()
    strange_upended: tuple[int, ...] = ()
    strange_turned: tuple[int, ...] = ()


def amounts_for(recipe: Recipe, allowed: Augmentation) -> Augmentation | None:
    """What the data allow, and what the recipe adds; None where the recipe trains on the images as they are."""
    if not recipe.augment:
        return None
    return replace(
        allowed,
        vertical_flip=recipe.vertical_flip,
        jitter=recipe.jitter,
        veil=recipe.veil,
        whole_pixels=recipe.whole_pixels,
    )


def augment(
    pixels: Tensor, padding: int, amounts: Augmentation, generator: Generator, share: slice = slice(None)
) -> Tensor:
    """Change uint8 [n, c, h, w]; return float32 [n, c, h + 2p, w + 2p], 0 to 255, zeros outside the image.

    With a `share` only those of the n images are changed and returned, as they would be among all.

    The amounts are drawn on the CPU by `generator`, so that a seed means the same on every device. Sampling is
    bilinear; padding costs nothing, since the output grid is simply larger than the image.
    """
    import torch.nn.functional as F

    n, _, height, width = pixels.shape
    out_size = height + 2 * padding, width + 2 * padding
    theta = _matrices(n, (height, width), out_size, amounts, generator)[share].to(pixels.device)
    changed: Tensor = F.grid_sample(
        pixels[share].float(), _grid(theta, *out_size), mode="bilinear", padding_mode="zeros", align_corners=False
    )
    if amounts.jitter:
        factors = _jitter_factors(n, amounts.jitter, generator)[:, share]
        changed = _jittered(changed, factors.to(pixels.device))
    if amounts.veil:
        density, grey = _veils(n, amounts.veil, generator)[:, share].to(pixels.device)
        inside = changed[:, :, padding : padding + height, padding : padding + width]  # what is padded stays black
        inside.lerp_(grey, density)
    return changed


def _grid(theta: Tensor, height: int, width: int) -> Tensor:
    """Where each output pixel looks, [n, height, width, 2]: torch's affine_grid bit for bit, in a fifth of its time.

    That one multiplies small matrices; here x and y lie apart, [n, 2, height, width], in a view of the shape wanted.
    """
    import torch

    def centres(count: int) -> Tensor:
        return torch.linspace(-1, 1, count, device=theta.device) * (count - 1) / count

    x, y, shift = theta[:, :, :, None, None].unbind(2)
    grid: Tensor = x * centres(width) + y * centres(height)[:, None] + shift
    return grid.permute(0, 2, 3, 1)


def _jitter_factors(n: int, amount: float, generator: Generator) -> Tensor:
    """Of contrast and of brightness, [2, n, 1, 1, 1]."""
    import torch

    return 1 + (torch.rand(2, n, 1, 1, 1, generator=generator) * 2 - 1) * amount


def _jittered(images: Tensor, factors: Tensor) -> Tensor:
    """Change the contrast, then the brightness, of each image float32 [n, c, h, w]; clipped to 0..255."""
    import torch

    contrast, brightness = factors
    mean = images.mean((1, 2, 3), keepdim=True)
    varied: Tensor = torch.lerp(mean, images, contrast) * brightness
    return varied.clamp(0, 255)


def _veils(n: int, share: float, generator: Generator) -> Tensor:
    """Densities, 0 for all but a `share` of the images, and greys from 0 to 255, of veils: [2, n, 1, 1, 1]."""
    import torch

    chance, density, grey = torch.rand(3, n, 1, 1, 1, generator=generator)
    return torch.stack([torch.where(chance < share, DENSEST * density, 0), 255 * grey])


def _matrices(
    n: int, size: tuple[int, int], out_size: tuple[int, int], amounts: Augmentation, generator: Generator
) -> Tensor:
    """Affine matrices [n, 2, 3] from output to input coordinates, both from -1 to 1 over their image."""
    import torch

    def drawn(amount: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * amount

    angle = drawn(math.radians(amounts.rotation_degrees))
    scale_x, scale_y = 1 + drawn(amounts.scale), 1 + drawn(amounts.scale)
    shear = drawn(amounts.shear)
    height, width = size
    shift_x, shift_y = drawn(2 * amounts.shift_pixels / width), drawn(2 * amounts.shift_pixels / height)
    if amounts.flip:
        scale_x = torch.where(torch.rand(n, generator=generator) < 0.5, -scale_x, scale_x)
    if amounts.vertical_flip:
        scale_y = torch.where(torch.rand(n, generator=generator) < 0.5, -scale_y, scale_y)
    if amounts.whole_pixels:
        whole = torch.rand(n, generator=generator) < amounts.whole_pixels
        angle, shear = torch.where(whole, 0, angle), torch.where(whole, 0, shear)
        scale_x, scale_y = torch.where(whole, scale_x.sign(), scale_x), torch.where(whole, scale_y.sign(), scale_y)
        shift_x = torch.where(whole, (shift_x * width / 2).round() * 2 / width, shift_x)
        shift_y = torch.where(whole, (shift_y * height / 2).round() * 2 / height, shift_y)
    cos, sin = angle.cos(), angle.sin()
    rows = [[cos * scale_x, (shear - sin) * scale_y, shift_x], [sin * scale_x, cos * scale_y, shift_y]]
    theta = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    theta[:, :, 0] *= out_size[1] / width
    theta[:, :, 1] *= out_size[0] / height
    return theta
