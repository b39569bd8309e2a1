"""Data sets: found where they should be, checked, split, and never written beside."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lenet_edge.data import datasets
from lenet_edge.data.datasets import DATASETS, find_dataset, load_dataset, search_path
from lenet_edge.data.image_data import split_indices
from lenet_edge_runtime.errors import DataError


def write_idx(path: Path, array: np.ndarray) -> str:
    """Write a gzipped IDX file; return its md5."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes(), mtime=0))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in torchvision's layout with 40 and 20 images, and a table that knows their md5s."""
    generator = np.random.default_rng(0)
    row = DATASETS["mnist"]
    md5s = {}
    for name in row.md5s:
        count = 40 if name.startswith("train") else 20
        array = generator.integers(0, 256, (count, 28, 28)) if "images" in name else np.arange(count) % 10
        md5s[name] = write_idx(tmp_path / "lent" / "MNIST" / "raw" / name, array.astype(np.uint8))
    monkeypatch.setitem(DATASETS, "mnist", replace(row, md5s=md5s))
    monkeypatch.setattr(datasets, "user_cache_path", lambda _name: tmp_path / "cache")
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
    return tmp_path / "lent"


def test_lent_folder_is_read_and_left_alone(tiny_mnist: Path) -> None:
    before = sorted(tiny_mnist.rglob("*"))
    data = load_dataset("mnist", tiny_mnist)
    assert data.train_pixels.shape == (40, 1, 28, 28)
    assert data.train_pixels.dtype == np.uint8
    assert data.test_labels.tolist() == [*range(10), *range(10)]
    assert sorted(tiny_mnist.rglob("*")) == before


def test_lookup_order(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(datasets.DATA_VARIABLE, str(tiny_mnist))
    assert search_path(tmp_path) == [tmp_path, tiny_mnist, tmp_path / "cache"]
    assert load_dataset("mnist").name == "mnist"  # by the variable
    assert load_dataset("mnist", tmp_path / "nothing-here").name == "mnist"  # the next place in order


def test_what_is_here_is_found_by_its_md5s_and_nothing_is_downloaded(
    tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lenet_edge.data.idx_files.torchvision_datasets", lambda: pytest.fail("a download"))
    md5s = DATASETS["mnist"].md5s
    found = find_dataset("mnist", tiny_mnist, md5s)
    assert found is not None
    assert len(found.train_labels) == 40
    assert find_dataset("mnist", tiny_mnist / "nothing-here", md5s) is None
    assert find_dataset("mnist", tiny_mnist, {**md5s, next(iter(md5s)): "other"}) is None
    assert find_dataset(str(tiny_mnist / "no-folder"), None, md5s) is None
    (tiny_mnist / "MNIST" / "raw" / next(iter(md5s))).write_bytes(b"damaged")
    assert find_dataset("mnist", tiny_mnist, md5s) is None


def test_damaged_file_is_named_with_what_to_do(tiny_mnist: Path) -> None:
    path = tiny_mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is damaged.*official.*delete it"):
        load_dataset("mnist", tiny_mnist)


def test_missing_and_offline(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchvision import datasets as torchvision_datasets

    def offline(root: Path, download: bool) -> None:
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nTried mirror, got:\n<urlopen error>")

    monkeypatch.setattr(torchvision_datasets, "MNIST", offline)
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", tmp_path / "empty")
    message = str(caught.value)
    assert str(tmp_path / "empty" / "MNIST" / "raw") in message
    assert str(tmp_path / "cache" / "MNIST" / "raw") in message
    assert "--dataset digits" in message


@pytest.mark.parametrize("name", [name for name, row in DATASETS.items() if row.md5s])
def test_md5s_are_torchvisions(name: str) -> None:
    from torchvision import datasets as torchvision_datasets

    row = DATASETS[name]
    official = getattr(torchvision_datasets, row.torchvision_name)
    assert dict(official.resources) == row.md5s
    if name != "mnist":  # torchvision calls MNIST's classes "0 - zero"
        assert tuple(official.classes) == row.labels


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"did you mean 'mnist'\? choose mnist, .*, or give the path of your own"):
        load_dataset("minst")


def test_digits_are_scikit_learns(digits) -> None:
    from sklearn.datasets import load_digits

    assert len(digits.train_labels) + len(digits.test_labels) == len(load_digits().target) == 1797
    whole = np.concatenate([digits.train_pixels, digits.test_pixels])
    assert whole.shape == (1797, 1, 28, 28)
    assert whole[:, :, :4].max() == whole[:, :, 24:].max() == 0  # drawn in MNIST's 20 x 20 box
    assert digits.md5s == load_dataset("digits").md5s


def test_mean_and_std_are_of_the_training_pixels(digits) -> None:
    scaled = digits.train_pixels / 255
    assert digits.mean == (pytest.approx(scaled.mean(), abs=5e-5),)
    assert digits.std == (pytest.approx(scaled.std(), abs=5e-5),)


def test_mean_and_std_of_each_colour(digits) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, [[[[200]], [[9]], [[256]]]], (150, 3, 8, 8)).astype(np.uint8)
    colours = replace(digits, train_pixels=pixels)
    assert colours.mean == pytest.approx(pixels.mean((0, 2, 3)) / 255, abs=5e-5)
    assert colours.std == pytest.approx(pixels.std((0, 2, 3)) / 255, abs=5e-5)
    assert replace(digits, train_pixels=np.full_like(pixels, 77)).std == (0, 0, 0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 1000))
def test_split_is_stratified_and_complete(extra: list[int], seed: int) -> None:
    labels = np.array([*range(5)] * 4 + extra)
    rest, held_out = split_indices(labels, 0.25, seed)
    assert sorted([*rest, *held_out]) == list(range(len(labels)))
    for label in range(5):
        total = int((labels == label).sum())
        assert int((labels[held_out] == label).sum()) == max(1, round(total / 4))
    assert all(np.array_equal(a, b) for a, b in zip(split_indices(labels, 0.25, seed), (rest, held_out), strict=True))


def test_split_needs_two_images_a_class() -> None:
    with pytest.raises(DataError, match="too few to split"):
        split_indices(np.array([0, 0, 1]), 0.5, 0)


# --- a folder of the user's own ----------------------------------------------------------------------------------


@pytest.fixture
def own_images(tmp_path: Path) -> Path:
    """Two classes of five images: different sizes, modes and file formats."""
    folder = tmp_path / "my shapes"
    for index, name in enumerate(["circles", "squares"]):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            size = (20 + 7 * number, 30 + 5 * number)
            colour = (50 * number, 100, 200) if index else 40 * number
            image = Image.new("RGB" if index else "L", size, colour)
            image.save(folder / name / f"{number}.{'png' if number % 2 else 'jpg'}")
    return folder


def test_own_folder(own_images: Path) -> None:
    data = load_dataset(str(own_images))
    assert data.labels == ("circles", "squares")
    assert (len(data.train_labels), len(data.test_labels)) == (8, 2)
    assert data.train_pixels.shape[1:] == (1, 28, 28)
    assert data.polarity == "any"
    assert "shapes" not in data.name  # the folder's name stays out of what is passed on


def test_own_folder_with_its_own_test_part(own_images: Path) -> None:
    (own_images / "train").mkdir()
    for name in ("circles", "squares"):
        (own_images / name).rename(own_images / "train" / name)
        (own_images / "test" / name).mkdir(parents=True)
        Image.new("L", (9, 9)).save(own_images / "test" / name / "only.png")
    data = load_dataset(str(own_images))
    assert (len(data.train_labels), len(data.test_labels)) == (10, 2)


def test_empty_class_is_named(own_images: Path) -> None:
    (own_images / "triangles").mkdir()
    with pytest.raises(DataError, match=r"triangles is empty; add images or remove"):
        load_dataset(str(own_images))


def test_file_that_is_no_image_is_named(own_images: Path) -> None:
    (own_images / "circles" / "notes.txt").write_text("round things")
    with pytest.raises(DataError, match=r"notes\.txt is not an image.*remove or replace"):
        load_dataset(str(own_images))


def test_one_class_is_no_classification(own_images: Path) -> None:
    with pytest.raises(DataError, match="needs two or more"):
        load_dataset(str(own_images / "circles"))
