"""Files that hold weights are known by their content, and what is beside the tensors is no code that is run."""

import argparse
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lenet_edge.networks.tensor_files import read_tensors
from lenet_edge_runtime.errors import WeightsError


class Small(nn.Module):
    """A net whose class a TorchScript archive or a pickle names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.dense = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.dense(self.norm(self.conv(images)).flatten(1))
        return found


@pytest.fixture(scope="module")
def net() -> Small:
    torch.manual_seed(0)
    return Small().eval()


WRAPPED: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "bare": lambda state: state,
    "net": lambda state: {"net": state, "acc": 98.5, "epoch": 3},
    "numpy scalars": lambda state: {"model_state_dict": state, "best": np.float64(1), "n": np.int32(2)},
    "namespace": lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1, out=Path("x"))},
    "ema": lambda state: {"ema": {"decay": 0.99, "shadow": state}, "epoch": 1},
    "nested": lambda state: {"a": {"b": {"c": state, "n": 1}}, "step": 1},
    "arrays": lambda state: {"weights": {key: value.numpy() for key, value in state.items()}, "epoch": 1},
}


@pytest.mark.parametrize("ending", [".pth", ".ckpt", ".pth.tar", ".bin", ".pkl", ""])
@pytest.mark.parametrize("wrapper", WRAPPED)
def test_tensors_are_found_whatever_holds_them(wrapper: str, ending: str, net: Small, tmp_path: Path) -> None:
    path = tmp_path / f"file{ending}"
    torch.save(WRAPPED[wrapper](net.state_dict()), path)
    (table,) = read_tensors(path).tables.values()
    assert list(table) == list(net.state_dict())
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in table.items())


def test_the_optimizers_tensors_are_no_weights(net: Small, tmp_path: Path) -> None:
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(1, 1, 4, 4)).sum().backward()
    optimizer.step()
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "both.pt")
    assert list(read_tensors(tmp_path / "both.pt").tables) == ["model"]


@pytest.mark.parametrize("make", ["trace", "script"])
def test_torchscript_gives_its_tensors_and_is_named(make: str, net: Small, tmp_path: Path) -> None:
    path = tmp_path / "archive.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.trace(net, torch.zeros(1, 1, 4, 4)) if make == "trace" else torch.jit.script(net)
        program.save(str(path))
    file = read_tensors(path)
    assert "TorchScript archive" in file.remark
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in file.tables[""].items())
    assert set(file.tables[""]) == set(net.state_dict())


def test_old_files_and_npz(net: Small, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    np.savez(tmp_path / "arrays.npz", **{key: value.numpy() for key, value in net.state_dict().items()})
    for name in ("old.pt", "arrays.npz"):
        assert list(read_tensors(tmp_path / name).tables[""]) == list(net.state_dict())


class Runs:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return eval, ("open('/tmp/lenet-edge-was-here', 'w')",)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a module": (lambda path: torch.save(Small(), path), r"whole pickled module.*torch\.save\(net\.state_dict\(\)"),
    "a module in a wrapper": (lambda path: torch.save({"model": Small()}, path), "whole pickled module"),
    "code": (lambda path: torch.save({"w": Runs()}, path), "eval.*wants to run code"),
    "plain pickle": (lambda path: path.write_bytes(pickle.dumps({"w": 1})), "a plain pickle, not torch.save's"),
    "Keras HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), r"tf2onnx\.convert\.from_keras"),
    "Git LFS": (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "a web page": (lambda path: path.write_bytes(b"<!DOCTYPE html><html>"), "download it again"),
    "a cut zip": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "not a weights file"),
    "nothing": (lambda path: path.write_bytes(b""), "not a weights file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_no_tensors_is_named(kind: str, tmp_path: Path) -> None:
    write, complaint = REFUSED[kind]
    path = tmp_path / "theirs.pth"
    write(path)
    with pytest.raises(WeightsError, match=complaint):
        read_tensors(path)
    assert not Path("/tmp/lenet-edge-was-here").exists()
