"""The user's own images: every layout gives the same arrays, and what does not fit is said in one line."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight

from command_line import CommandLine
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.emnist import EMNIST_LABELS
from lenet_edge.data.image_data import ImageForm
from lenet_edge.data.own_images import read_by
from lenet_edge.networks.models import build_model
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.runs.record import fitted_to
from lenet_edge_runtime.errors import DataError

NAMES = ("cup", "fork", "pan")
Parts = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def parts() -> Parts:
    """Colour images of 24 x 24, [n, h, w, 3], with the numbers of their classes."""
    generator = np.random.default_rng(0)
    return {
        part: (generator.integers(0, 256, (count, 24, 24, 3), dtype=np.uint8), np.arange(count) % 3)
        for part, count in (("train", 9), ("val", 3), ("test", 6))
    }


def as_folders(parts: Parts, root: Path) -> Path:
    for part, (images, labels) in parts.items():
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = root / part / NAMES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number:03}.png")
    return root


def rows_of(parts: Parts, root: Path) -> list[dict[str, str]]:
    as_folders(parts, root / "pictures")
    return [
        {"path": f"pictures/{part}/{NAMES[label]}/{number:03}.png", "label": NAMES[label], "split": part}
        for part, (_, labels) in parts.items()
        for number, label in enumerate(labels)
    ]


def as_csv(parts: Parts, root: Path) -> Path:
    lines = ["path,label,split", *(",".join(row.values()) for row in rows_of(parts, root))]
    (root / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    return root / "list.csv"


def as_json_lines(parts: Parts, root: Path) -> Path:
    (root / "list.jsonl").write_text("\n".join(map(json.dumps, rows_of(parts, root))), encoding="utf-8")
    return root / "list.jsonl"


def as_npz(parts: Parts, root: Path) -> Path:
    arrays = {f"{kind}_{part}": array for part, pair in parts.items() for kind, array in zip("xy", pair, strict=True)}
    np.savez(root / "set.npz", names=np.array(NAMES), **arrays)
    return root / "set.npz"


def as_hugging_face(parts: Parts, root: Path) -> Path:
    datasets = pytest.importorskip("datasets", reason="the library datasets is not installed (extra hf)")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))})
    splits = {
        part: datasets.Dataset.from_dict(
            {"image": [Image.fromarray(image) for image in images], "label": labels.tolist()}, features=features
        )
        for part, (images, labels) in parts.items()
    }
    datasets.DatasetDict(splits).save_to_disk(str(root / "hub"))
    return root / "hub"


def as_parquet(parts: Parts, root: Path) -> Path:
    hub = as_hugging_face(parts, root)
    import datasets

    (root / "parquet").mkdir()
    for part, split in datasets.load_from_disk(str(hub)).items():
        split.to_parquet(root / "parquet" / f"{part}-00000-of-00001.parquet")
    return root / "parquet"


LAYOUTS: list[Callable[[Parts, Path], Path]] = [as_folders, as_csv, as_json_lines, as_npz, as_hugging_face, as_parquet]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_layout_gives_the_images_that_went_in(
    layout: Callable[[Parts, Path], Path], parts: Parts, tmp_path: Path
) -> None:
    data = load_dataset(str(layout(parts, tmp_path)), form=ImageForm(size=24, channels=3))
    assert data.labels == NAMES
    assert data.remarks == ()
    assert data.validation_images == 3
    train, held_out = data.split(seed=5)
    for part, pixels, labels in (
        ("train", data.train_pixels[train], data.train_labels[train]),
        ("val", data.train_pixels[held_out], data.train_labels[held_out]),
        ("test", data.test_pixels, data.test_labels),
    ):
        images, classes = parts[part]
        found = {(pixels[i].tobytes(), int(labels[i])) for i in range(len(labels))}
        assert found == {(images[i].transpose(2, 0, 1).tobytes(), int(classes[i])) for i in range(len(classes))}


def test_own_idx_files(parts: Parts, tmp_path: Path) -> None:
    for prefix, part in (("train", "train"), ("t10k", "test")):
        images, labels = parts[part][0][..., 0], parts[part][1].astype(np.uint8)
        head = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in images.shape)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
        head = b"\0\0\x08\x01" + len(labels).to_bytes(4, "big")
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    data = load_dataset(str(tmp_path), form=ImageForm(size=24))
    assert data.labels == ("0", "1", "2")
    assert {image.tobytes() for image in data.test_pixels} == {image[..., 0].tobytes() for image in parts["test"][0]}


def test_what_was_done_to_images_is_counted(parts: Parts, tmp_path: Path) -> None:
    root = as_folders(parts, tmp_path / "own")
    (root / "train" / "pan" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"notes\.txt is not an image.*--skip-unreadable"):
        load_dataset(str(root))
    data = load_dataset(str(root), form=ImageForm(skip_unreadable=True))
    assert data.remarks[0] == "18 of 18 images were resized to 28 x 28"
    assert "1 file" in data.remarks[1]
    assert "notes.txt" in data.remarks[1]


@pytest.mark.parametrize("jobs", [2, 3])
def test_several_processes_read_the_same(jobs: int, tmp_path: Path) -> None:
    """Pixels, labels, md5s, and what is said of files that are no images, in the order of the files."""
    images = np.random.default_rng(1).integers(0, 256, (700, 24, 24, 3), dtype=np.uint8)
    root = as_folders({"train": (images, np.arange(700) % 3), "test": (images[:9], np.arange(9) % 3)}, tmp_path)
    for number in (3, 300, 600):
        (root / "train" / "cup" / f"{number:03}.png").write_bytes(b"no image")
    form = ImageForm(channels=3, skip_unreadable=True)
    expected = load_dataset(str(root), form=form)
    with read_by(jobs):
        found = load_dataset(str(root), form=form)
        with pytest.raises(DataError) as caught:
            load_dataset(str(root), form=ImageForm(channels=3))
    assert "003.png is not an image" in str(caught.value)
    assert "(and 2 more in" in str(caught.value)
    assert len(found.train_labels) == 697
    assert (found.md5s, found.remarks, found.labels) == (expected.md5s, expected.remarks, expected.labels)
    for name in ("train_pixels", "train_labels", "test_pixels", "test_labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("path,label\na.png\n", "line 2 of .* lacks a path or a label"),
        ("path,label,split\na.png,x,holdout\n", "'holdout' is no part"),
        ("path,label,split\na.png,x,train\nb.png,y,\n", "needs both train and test, or neither"),
        ("", "is empty"),
    ],
)
def test_list_that_does_not_fit_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=complaint):
        load_dataset(str(tmp_path / "list.csv"))


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"x_train": np.zeros((4, 8), np.uint8), "y_train": np.arange(4)}, r"takes \[n, h, w\]"),
        ({"x_train": np.zeros((4, 8, 8), np.uint8), "y_train": np.arange(3)}, "images of shape"),
        ({"pictures": np.zeros(3)}, "it needs x_train and y_train, or images and labels"),
        ({"images": np.array([{}], object), "labels": np.arange(1)}, "no .npz file of plain arrays"),
    ],
)
def test_arrays_that_do_not_fit_are_named(arrays: dict[str, np.ndarray], complaint: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=complaint):
        load_dataset(str(tmp_path / "set.npz"))


@pytest.mark.parametrize("form", [{"size": 15}, {"size": 97}, {"channels": 2}])
def test_form_that_there_is_not(form: dict[str, int]) -> None:
    with pytest.raises(DataError, match="got --"):
        ImageForm(**form)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("size", [16, 23, 28, 64, 96])
def test_every_recipe_takes_images_of_this_size(name: str, size: int, digits: object) -> None:
    import torch

    from lenet_edge.data.image_data import ImageData

    assert isinstance(digits, ImageData)
    data = ImageData("images", ("a", "b"), np.zeros((2, 3, size, size), np.uint8), *[np.zeros(2, np.int64)] * 3,
                     {}, "any", digits.augmentation)  # fmt: skip
    recipe = fitted_to(RECIPES[name], data)
    net = build_model(recipe.model)
    for mode in (net.train(), net.eval()):
        assert mode(torch.zeros(2, 3, size + 2 * recipe.padding, size + 2 * recipe.padding)).shape == (2, 2)


EMNIST = "emnist-letters-{}-{}-ubyte"


def test_emnist_is_upright_and_counts_from_zero(tmp_path: Path) -> None:
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (26, 28, 28), dtype=np.uint8)
    labels = np.arange(1, 27, dtype=np.uint8)
    for part in ("train", "test"):
        head = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in images.shape)
        (raw / EMNIST.format(part, "images-idx3")).write_bytes(head + images.tobytes())
        (raw / EMNIST.format(part, "labels-idx1")).write_bytes(
            b"\0\0\x08\x01" + (26).to_bytes(4, "big") + labels.tobytes()
        )
    data = load_dataset("emnist-letters", tmp_path)
    assert data.labels[0] == "A"
    assert data.test_labels.tolist() == list(range(26))
    np.testing.assert_array_equal(data.test_pixels[3, 0], images[3].T)


def test_labels_of_emnist_are_torchvisions() -> None:
    from torchvision import datasets

    classes = datasets.EMNIST.classes_split_dict
    assert list(EMNIST_LABELS["letters"]) == [name.upper() for name in classes["letters"][1:]]
    for split in ("balanced", "digits", "byclass"):
        assert list(EMNIST_LABELS[split]) == classes[split]


def test_class_weights_are_scikit_learns() -> None:
    import torch

    from lenet_edge.training.objective import class_weights

    labels = np.array([0] * 7 + [1] * 2 + [2])
    recipe = RECIPES["lenet5"].__class__(**{**vars(RECIPES["lenet5"]), "class_weights": "balanced"})
    model = recipe.model.__class__(**{**vars(recipe.model), "classes": 3})
    found = class_weights(recipe.__class__(**{**vars(recipe), "model": model}), labels, torch.device("cpu"))
    assert found is not None
    np.testing.assert_allclose(found, compute_class_weight("balanced", classes=np.arange(3), y=labels), rtol=1e-6)


def test_own_images_of_64_from_training_to_verify(cli: CommandLine, parts: Parts, tmp_path: Path) -> None:
    """Two bright and one dark kind of colour picture: learned in a moment, and kept in size and colour all the way."""
    bright = {
        part: ((images // 8 + 96 * labels[:, None, None, None] // 2 + 16).astype(np.uint8), labels)
        for part, (images, labels) in parts.items()
    }
    root = as_folders(bright, tmp_path / "own")
    trained = cli("train", "lenet5", "--dataset", root, "--size", "64", "--channels", "3", "--epochs", "2",
                  "--threads", "1", "--patience", "1", "--class-weights", "balanced", "--json")  # fmt: skip
    assert trained.exit_code == 0, trained.output
    assert "18 of 18 images were resized to 64 x 64" in trained.stderr
    exported = cli("export", "--format", "onnx", "--max-drop", "100", "--json")
    assert exported.exit_code == 0, exported.output
    (artifact,) = json.loads(exported.stdout)["artifacts"]
    assert cli("verify", "--dataset", root, "--max-drop", "100").exit_code == 0
    assert cli("evaluate", artifact["path"], "--dataset", root).exit_code == 0
    Path(artifact["path"]).rename("alone.onnx")
    Path("runs").rename("elsewhere")
    alone = cli("verify", "alone.onnx", "--dataset", root, "--max-drop", "100")
    assert alone.exit_code == 0, alone.output


def test_sizes_are_for_own_images(cli: CommandLine) -> None:
    assert "digits has images (1, 28, 28): --size" in cli.fails("train", "--dataset", "digits", "--size", "64")
