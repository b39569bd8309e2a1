"""Images that show none of the classes, made from a batch of images that do and from random numbers: no other data.

A network that is trained to answer them flatly refuses strangers of other kinds too (outlier exposure, Hendrycks et
al. 2019, arXiv:1812.04606). Kinds that benchmarks/strangers.py measures and that are not made here stay unseen:
stripes, letters, digits over each other or on their head, and the images of other data sets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lenet_edge.data.augmentation import Augmentation

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Maker = Callable[["Tensor", "Generator"], "Tensor"]  # images float32 [n, c, h, w] to as many strangers

BRIGHTEST = 255.0


def strangers(images: Tensor, labels: Tensor, allowed: Augmentation, polarised: bool, generator: Generator) -> Tensor:
    """As many strangers as `images`, float32 [n, c, h, w] from 0 to 255 with square sides and `labels` int64 [n].

    Every kind gives about the same number of them. Turned ones are made of the classes that `allowed` names for it,
    inverted ones only where the data are `polarised`, always light on dark or always dark on light. All draws are the
    CPU's, so that a seed means the same on every device.
    """
    import torch

    kinds = [*MAKERS, *([inverted] if polarised else [])]
    turns = [(turn, classes) for turn, classes in _turns(allowed) if len(classes)]
    parts = torch.randperm(len(images), generator=generator).tensor_split(len(kinds) + len(turns))
    order = torch.randperm(len(parts), generator=generator).tolist()  # the first parts may have an image more
    made = []
    for part, kind in zip(parts, order, strict=True):
        if not len(part):
            continue
        chosen = part.to(images.device)
        if kind < len(kinds):
            made.append(kinds[kind](images[chosen], generator))
            continue
        turn, classes = turns[kind - len(kinds)]
        fit = torch.isin(labels, torch.tensor(classes, device=labels.device)).nonzero()[:, 0]
        if len(fit):
            chosen = fit[torch.randint(len(fit), (len(part),), generator=generator).to(fit.device)]
            made.append(turn(images[chosen]))
        else:
            made.append(noise(images[chosen], generator))
    return torch.cat(made)


def _turns(allowed: Augmentation) -> list[tuple[Callable[[Tensor], Tensor], tuple[int, ...]]]:
    return [
        (lambda images: images.flip(3), allowed.strange_mirrored),
        (lambda images: images.rot90(2, (2, 3)), allowed.strange_upended),
        (lambda images: images.rot90(1, (2, 3)), allowed.strange_turned),
        (lambda images: images.rot90(3, (2, 3)), allowed.strange_turned),
    ]


def flat(images: Tensor, generator: Generator) -> Tensor:
    """Of one colour each: a third black, a third white."""
    import torch

    n, channels = images.shape[:2]
    which = torch.randint(3, (n, 1, 1, 1), generator=generator)
    greys = torch.rand(n, channels, 1, 1, generator=generator)
    values = torch.where(which == 2, greys, which.float()) * BRIGHTEST
    return values.to(images.device).expand(images.shape)


def noise(images: Tensor, generator: Generator) -> Tensor:
    """Uniform noise, or points of one brightness as dense as chance has it; in cells of 1 to 4 pixels."""
    import torch

    n, channels, height, width = images.shape
    cell = int(torch.randint(1, 5, (), generator=generator))
    values = torch.rand(n, channels, -(-height // cell), -(-width // cell), generator=generator)
    density = torch.rand(n, 1, 1, 1, generator=generator) * 0.6
    speckled = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
    values = torch.where(speckled, (values < density).float(), values)
    values = values.repeat_interleave(cell, 2).repeat_interleave(cell, 3)[:, :, :height, :width]
    return (values * BRIGHTEST).to(images.device)


def clouds(images: Tensor, generator: Generator) -> Tensor:
    """Smooth random spots, some of them with hard edges."""
    import torch
    import torch.nn.functional as F

    n, channels, height, width = images.shape
    side = int(torch.randint(3, 9, (), generator=generator))
    coarse = torch.randn(n, channels, side, side, generator=generator)
    fine = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    steepness = 10 ** (torch.rand(n, 1, 1, 1, generator=generator) * 1.5 - 0.3)
    level = torch.randn(n, 1, 1, 1, generator=generator) * 0.5
    return (torch.sigmoid(steepness * (fine - level)) * BRIGHTEST).to(images.device)


def shapes(images: Tensor, generator: Generator) -> Tensor:
    """Two filled ellipses or rectangles each, evenly bright or textured, on black."""
    import torch

    n, channels, height, width = images.shape
    y, x = _grid(height, width)
    centre = torch.rand(2, n, 2, 1, 1, generator=generator) - 0.5
    radius = 0.2 + 0.8 * torch.rand(2, n, 2, 1, 1, generator=generator)
    angle = torch.rand(n, 2, 1, 1, generator=generator) * torch.pi
    u = ((x - centre[0]) * angle.cos() + (y - centre[1]) * angle.sin()) / radius[0]
    v = ((y - centre[1]) * angle.cos() - (x - centre[0]) * angle.sin()) / radius[1]
    is_round = torch.rand(n, 2, 1, 1, generator=generator) < 0.5
    distance = torch.where(is_round, (u**2 + v**2).sqrt(), torch.maximum(u.abs(), v.abs()))
    inside = (12 * (1 - distance)).clamp(0, 1)
    bright = (inside * (0.3 + 0.7 * torch.rand(n, 2, 1, 1, generator=generator))).amax(1, keepdim=True)
    texture = torch.rand(n, channels, height, width, generator=generator) * torch.rand(n, 1, 1, 1, generator=generator)
    return (bright * (1 - texture) * BRIGHTEST).to(images.device)


def strokes(images: Tensor, generator: Generator) -> Tensor:
    """A line of four to eight straight pieces, scribbled by a pen of any width."""
    import torch

    n, channels, height, width = images.shape
    y, x = _grid(height, width)
    corners = int(torch.randint(5, 10, (), generator=generator))
    points = torch.rand(2, n, corners, 1, 1, generator=generator) * 1.7 - 0.85
    start, along = points[:, :, :-1], points[:, :, 1:] - points[:, :, :-1]
    away_x, away_y = x - start[0], y - start[1]
    length = (along[0] ** 2 + along[1] ** 2).clamp(min=1e-6)
    share = ((away_x * along[0] + away_y * along[1]) / length).clamp(0, 1)
    distance = ((away_x - share * along[0]) ** 2 + (away_y - share * along[1]) ** 2).amin(1, keepdim=True).sqrt()
    pen = 0.04 + 0.16 * torch.rand(n, 1, 1, 1, generator=generator)
    ink = (12 * (pen - distance) + 0.5).clamp(0, 1)
    colour = 0.4 + 0.6 * torch.rand(n, channels, 1, 1, generator=generator)
    return (ink * colour * BRIGHTEST).to(images.device)


def beside(images: Tensor, generator: Generator) -> Tensor:
    """Two images in the place of one, squeezed side by side or one above the other."""
    import torch
    import torch.nn.functional as F

    (*_, height, width), pair = images.shape, (images, images.roll(1, 0))
    wide, tall = (F.adaptive_avg_pool2d(torch.cat(pair, dim), (height, width)) for dim in (3, 2))
    lying = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.7
    return torch.where(lying.to(images.device), wide, tall)


def shuffled(images: Tensor, generator: Generator) -> Tensor:
    """Cut into 2 x 2 or 4 x 4 tiles that change their places; those of one column are from another image."""
    import torch

    tiles = 2 if torch.rand((), generator=generator) < 0.5 else 4
    height, width = images.shape[2] // tiles, images.shape[3] // tiles
    cycle = [divmod(place, tiles) for place in torch.randperm(tiles**2, generator=generator).tolist()]
    result = images.clone()
    for (row, column), (from_row, from_column) in zip(cycle, cycle[1:] + cycle[:1], strict=True):
        piece = images.roll(column, 0)[:, :, height * from_row :, width * from_column :][:, :, :height, :width]
        result[:, :, height * row : height * (row + 1), width * column : width * (column + 1)] = piece
    return result


def magnified(images: Tensor, generator: Generator) -> Tensor:
    """A corner of each, a quarter of the image, in twice its size."""
    import torch
    import torch.nn.functional as F

    height, width = images.shape[2:]
    low, right = torch.randint(2, (2,), generator=generator).tolist()
    corner = images[:, :, low * (height // 2) :, right * (width // 2) :][:, :, : height // 2, : width // 2]
    return F.interpolate(corner, (height, width), mode="bilinear", align_corners=False)


def inverted(images: Tensor, _generator: Generator) -> Tensor:
    """Dark where they were light."""
    return BRIGHTEST - images


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Coordinates from -1 to 1, [h, 1] and [1, w]."""
    import torch

    return torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)[None]


MAKERS: tuple[Maker, ...] = (flat, noise, clouds, shapes, strokes, beside, shuffled, magnified)
