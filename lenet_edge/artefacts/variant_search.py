"""Which net do weights from elsewhere belong to? Those they fit are tried on training images with known answers.

A net in the wrong order, with the wrong activation or fed otherwise than in its training, recognises less. What comes
out best is taken where it is clear: where every other variant recognises fewer images (McNemar's exact test on the same
images), or recognises as many with a higher loss (cross entropy at each variant's best temperature, which takes out how
sure a net is of itself; four standard errors), or answers alike anyway, also where the images are moved and dimmed: a
net that has learned its training images by heart gives them their classes however they are fed. The loss decides only
between nets that are right nearly always: one that was trained too little may be surer of images fed otherwise. A best
that needs several unusual things at once is not clear while a more usual one comes near.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from lenet_edge.data.image_data import ImageData
from lenet_edge.evaluation.statistics import mcnemar_exact
from lenet_edge.networks.layer_tensors import Layer
from lenet_edge.networks.models import Network
from lenet_edge.networks.variants import Variant, build
from lenet_edge_runtime.images import normalise
from lenet_edge_runtime.spec import ModelSpec

Chains = Mapping[str, Sequence[Layer]]  # by the key of their table in the file

STAGES = ((30, 128), (100, 32), (400, 16), (2000, 4))  # training images, and how many variants go on at most
MOST_IMAGES = 8_000  # where the last stage leaves it open
TEMPERATURES = tuple(2 ** (step / 8) for step in range(-20, 21))  # by which logits are divided
P_WORSE = 0.001  # McNemar's p below which a variant is worse
SURE = 4.0  # standard errors of the mean loss
GOOD = 0.97  # accuracy from which the loss decides
ALIKE = 0.998  # share of images with the same answer from which two variants are one
MOVED = 500  # images that are answered moved and dimmed too
ALIKE_MOVED = 0.98  # share of those; their answers are less sure
DOUBTFUL = 3  # unusual things at once (`Variant.unlikeliness`) that accuracy alone does not settle
NEAR = 0.05  # of accuracy: a likelier variant this close is asked about then; nets that trained little do such things


@dataclass(frozen=True, eq=False)
class Scored:
    """A variant on training images: the class it gave each, whether that was right, and its loss in nats.

    `ask_moved` gives the class of each where the image is moved and dimmed.
    """

    variant: Variant
    answers: NDArray[np.int64]
    right: NDArray[np.bool_]
    losses: NDArray[np.float64]
    ask_moved: Callable[[], NDArray[np.int64]]

    @cached_property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @cached_property
    def moved(self) -> NDArray[np.int64]:
        return self.ask_moved()

    @cached_property
    def loss(self) -> float:
        return float(self.losses.mean())

    def is_worse_than(self, other: "Scored") -> bool:
        """Whether it recognises fewer of the same images, beyond chance."""
        lost, gained = int((other.right & ~self.right).sum()), int((self.right & ~other.right).sum())
        return lost > gained and mcnemar_exact(lost, gained) < P_WORSE

    def is_less_sure_than(self, other: "Scored") -> bool:
        """Whether its loss on the same images is higher, beyond chance."""
        differences = self.losses - other.losses
        error = float(differences.std()) / len(differences) ** 0.5
        return bool(float(differences.mean()) > SURE * error)

    def answers_like(self, other: "Scored") -> bool:
        """Whether it gives the same class to nearly all images, as they are and moved and dimmed."""
        if float((self.answers == other.answers).mean()) < ALIKE:
            return False
        return float((self.moved == other.moved).mean()) >= ALIKE_MOVED


@dataclass(frozen=True)
class Finding:
    """The best variant, the others that were tried to the end, best first, and those it cannot be told from.

    `rivals` do as well and answer otherwise; `alike` do as well and answer as the best does, so that it does not matter
    which is taken, but any of them may be the one that the weights were trained in. `set_aside` are rivals that a named
    recipe decided against.
    """

    best: Scored
    others: tuple[Scored, ...]
    rivals: tuple[Scored, ...]
    set_aside: tuple[Scored, ...] = ()
    alike: tuple[Scored, ...] = ()

    @property
    def close(self) -> tuple[Scored, ...]:
        """All that it may be, the most accurate first."""
        return tuple(_best_first((self.best, *self.rivals, *self.alike)))

    @property
    def reached(self) -> float:
        """The accuracy of the most accurate of those that it may be."""
        return max(item.accuracy for item in (self.best, *self.rivals))

    @property
    def images(self) -> int:
        """How many training images the best one was tried on."""
        return len(self.best.right)


def search(
    variants: Iterable[Variant], chains: Chains, data: ImageData, favoured: Callable[[Variant], bool] | None = None
) -> Finding:
    """Try the variants on training images, many on few and the best on many; `favoured`: see `judge`."""
    measure = measure_on(data, chains)
    left = list(variants)
    scored: list[Scored] = []
    out: list[Scored] = []
    for images, kept in STAGES:
        scored = _best_first(measure(left, images))
        goes_on = _going_on(scored, kept, favoured)
        out = [*(item for item in scored if item not in goes_on), *out]
        left = [item.variant for item in goes_on]
    finding = judge(scored, out, favoured)
    if finding.rivals and len(data.train_labels) > STAGES[-1][0]:
        again = measure([item.variant for item in finding.close], MOST_IMAGES)
        behind = [item for item in scored if item.variant not in [x.variant for x in again]]
        finding = judge(again, [*behind, *out], favoured)
    return finding


def _going_on(scored: Sequence[Scored], kept: int, favoured: Callable[[Variant], bool] | None) -> list[Scored]:
    """Of variants, best first, the best that are kept; and as many favoured ones that are no worse."""
    good = [item for item in scored if not item.is_worse_than(scored[0])]
    mine = [item for item in good if favoured and favoured(item.variant)]
    return [item for item in good if item in good[:kept] or item in mine[:kept]]


def judge(
    scored: Sequence[Scored], others: Sequence[Scored] = (), favoured: Callable[[Variant], bool] | None = None
) -> Finding:
    """The best of variants that were tried on the same images, and its rivals; `others` were out before.

    Where variants that are `favoured` (of a recipe that was named) do as well as the best, only they count.
    """
    top = _best_first(scored)[0]
    contenders = [item for item in scored if not item.is_worse_than(top)]
    if top.accuracy >= GOOD:
        surest = min(contenders, key=lambda item: item.loss)
        contenders = [item for item in contenders if not item.is_less_sure_than(surest)]
    mine = [item for item in contenders if favoured and favoured(item.variant)] or contenders
    best = min(mine, key=lambda item: (item.variant.unlikeliness, item.loss))
    rest = _best_first([item for item in scored if item is not best])
    possible = [item for item in rest if item in mine or (item not in contenders and _is_likelier(item, best))]
    alike = [item for item in possible if item.answers_like(best)]
    rivals = [item for item in possible if item not in alike]
    set_aside = [item for item in rest if item in contenders and item not in mine and not item.answers_like(best)]
    return Finding(best, (*rest, *others), tuple(rivals), tuple(set_aside), tuple(alike))


def _is_likelier(item: Scored, best: Scored) -> bool:
    """Whether it is so much less unusual than a doubtful best, and so near, that it may be the right one."""
    unusual = best.variant.unlikeliness
    return item.variant.unlikeliness < unusual >= DOUBTFUL and best.accuracy - item.accuracy < NEAR


def measure_on(data: ImageData, chains: Chains) -> Callable[[Sequence[Variant], int], list[Scored]]:
    """What tries variants on the first so many of the training images, in an order drawn once."""
    order = np.random.default_rng(0).permutation(len(data.train_labels))
    nets: dict[tuple[object, ...], Network] = {}
    fed: dict[tuple[object, ...], torch.Tensor] = {}

    def images_for(variant: Variant, count: int, *, moved: bool = False) -> torch.Tensor:
        norm = variant.normalisation
        key = (variant.padding, norm.mean, norm.std, count, moved)
        if key not in fed:
            if len(fed) > 32:
                fed.clear()
            height, width = data.train_pixels.shape[2:]
            spec = ModelSpec(data.labels, height, width, norm.mean, norm.std, variant.padding)
            pixels = data.train_pixels[order[:count]]
            fed[key] = torch.from_numpy(normalise(_moved_and_dimmed(pixels) if moved else pixels, spec))
        return fed[key]

    def answer_moved(net: Network, variant: Variant, count: int) -> Callable[[], NDArray[np.int64]]:
        return lambda: _logits(net, images_for(variant, min(count, MOVED), moved=True)).argmax(1).numpy()

    def measure(variants: Sequence[Variant], count: int) -> list[Scored]:
        labels = data.train_labels[order[:count]]
        fed_otherwise: dict[tuple[object, ...], list[Variant]] = {}  # variants that are one net
        for variant in variants:
            key = (variant.config, variant.channels_last, variant.key)
            fed_otherwise.setdefault((*key, variant.padding), []).append(variant)
            if key not in nets:
                nets[key] = build(variant, chains[variant.key])
        found: dict[Variant, Scored] = {}
        for (*same, _), group in fed_otherwise.items():
            net = nets[tuple(same)]
            rows = _logits(net, torch.cat([images_for(variant, count) for variant in group])).double()
            for variant, logits in zip(group, rows.view(len(group), len(labels), -1), strict=True):
                answers, losses = logits.argmax(1).numpy(), losses_of(logits, torch.tensor(labels))
                moved = answer_moved(net, variant, count)
                found[variant] = Scored(variant, answers, answers == labels, losses, moved)
        return [found[variant] for variant in variants]

    return measure


def _logits(net: Network, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([net(images[start : start + 500]) for start in range(0, len(images), 500)])


def _moved_and_dimmed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images, [n, channels, height, width], moved down and to the right by a tenth of their side, half as bright."""
    step = pixels.shape[2] // 10
    return np.pad(
        pixels[..., : pixels.shape[2] - step, : pixels.shape[3] - step] // 2, ((0, 0),) * 2 + ((step, 0),) * 2
    )


def losses_of(logits: torch.Tensor, labels: torch.Tensor) -> NDArray[np.float64]:
    """Cross entropy of each image in nats, at the temperature where their mean is least."""
    rows = torch.nan_to_num(logits)
    scaled = rows / torch.tensor(TEMPERATURES, dtype=rows.dtype)[:, None, None]
    losses = scaled.logsumexp(2) - scaled[:, torch.arange(len(labels)), labels]
    return losses[losses.mean(1).argmin()].numpy()


def _best_first(scored: Sequence[Scored]) -> list[Scored]:
    return sorted(scored, key=lambda item: (-item.accuracy, item.loss))
