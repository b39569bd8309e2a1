"""Made strangers: whole images of none of the classes, the same for the same seed, and turned as NumPy turns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet_edge.data.augmentation import Augmentation
from lenet_edge.data.datasets import DATASETS
from lenet_edge.data.image_data import ImageData
from lenet_edge.data.strangers import MAKERS, inverted, strangers

NOTHING = Augmentation(rotation_degrees=0, scale=0, shear=0, shift_pixels=0)
KINDS = (*MAKERS, inverted)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, channels: int, size: int, seed: int = 0) -> torch.Tensor:
    """Random ones that no turning, cutting or squeezing leaves as they are, float32 [n, c, h, w] of whole numbers."""
    return torch.randint(0, 256, (count, channels, size, size), generator=generator(seed)).float()


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    count=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    size=st.integers(16, 40),
    seed=st.integers(0, 2**32),
)
def test_every_kind_makes_whole_images_that_are_not_those(
    kind, count: int, channels: int, size: int, seed: int
) -> None:
    images = pictures(count, channels, size, seed + 1)
    before = images.clone()
    made = kind(images, generator(seed))
    assert made.shape == images.shape
    assert made.dtype == torch.float32
    assert bool(((made >= 0) & (made <= 255)).all())
    assert torch.equal(images, before)
    assert bool(((made - images).abs().amax((1, 2, 3)) > 1).all())
    assert torch.equal(made, kind(images, generator(seed)))


@pytest.mark.parametrize("count", [1, 5, 32])
def test_a_seed_gives_as_many_strangers_as_images(count: int, digits: ImageData) -> None:
    images = torch.tensor(digits.train_pixels[:count]).float()
    labels = torch.tensor(digits.train_labels[:count])
    made = [strangers(images, labels, digits.augmentation, True, generator(seed)) for seed in (3, 3, 4)]
    assert made[0].shape == images.shape
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    ("field", "turned"),
    [
        ("strange_mirrored", [np.fliplr]),
        ("strange_upended", [lambda image: np.rot90(image, 2)]),
        ("strange_turned", [np.rot90, lambda image: np.rot90(image, 3)]),
    ],
)
def test_only_the_named_classes_are_turned(field: str, turned: list) -> None:
    images, labels = pictures(60, 1, 16), torch.arange(60) % 10
    made = strangers(images, labels, replace(NOTHING, **{field: (3, 8)}), False, generator()).numpy()
    whole = images.numpy()
    found = {
        int(labels[i]) for i in range(60) for turn in turned if (made[:, 0] == turn(whole[i, 0])).all((1, 2)).any()
    }
    assert found == {3, 8}
    plain = strangers(images, labels, NOTHING, False, generator()).numpy()
    assert not any((plain[:, 0] == turn(image[0])).all((1, 2)).any() for image in whole for turn in turned)


def test_images_of_no_fixed_polarity_are_not_inverted() -> None:
    images, labels = pictures(60, 1, 16), torch.arange(60) % 10
    negatives = 255 - images[None]
    alike = [
        bool((strangers(images, labels, NOTHING, polarised, generator())[:, None] == negatives).all((2, 3, 4)).any())
        for polarised in (True, False)
    ]
    assert alike == [True, False]


def test_a_batch_without_the_classes_that_may_be_turned_gives_other_strangers() -> None:
    images = pictures(30, 1, 16)
    made = strangers(images, torch.zeros(30), replace(NOTHING, strange_mirrored=(4,)), True, generator())
    assert made.shape == images.shape
    assert not (made[:, None] == images.flip(3)[None]).all((2, 3, 4)).any()


@pytest.mark.parametrize("name", DATASETS)
def test_what_augmentation_makes_is_no_stranger(name: str) -> None:
    row = DATASETS[name]
    assert not (row.augmentation.flip and row.augmentation.strange_mirrored)
    named = {*row.augmentation.strange_mirrored, *row.augmentation.strange_upended, *row.augmentation.strange_turned}
    assert named <= set(range(len(row.labels)))
