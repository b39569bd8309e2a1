"""Networks with random weights and their specs, for tests of the exporters."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lenet_edge.networks.models import build_model
from lenet_edge.networks.recipes import RECIPES
from lenet_edge_exporters import FORMATS, ExportJob, own_files
from lenet_edge_exporters.formats import sha256_of
from lenet_edge_runtime import ModelSpec
from specs import GREY_SPEC


class UserNet(nn.Module):
    """A net of a user's own: RGB, padding inside the convolution, a residual sum, global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.output = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = x + torch.relu(self.second(x))
        return self.output(x.mean((2, 3)))


USER_SPEC = ModelSpec(("cat", "dog", "bird"), 20, 24, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def make_job(name: str, opset: int = 18) -> ExportJob:
    torch.manual_seed(0)
    if name == "user's own":
        spec, net = USER_SPEC, UserNet()
    else:
        spec, net = replace(GREY_SPEC, padding=RECIPES[name].padding), build_model(RECIPES[name].model)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):  # as after training, so that folding has work to do
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (64, *spec.pixel_shape), dtype=np.uint8)
    pixels.flags.writeable = False  # as arrays read from a file are
    return ExportJob(net.eval(), spec, pixels, pixels, opset, {"recipe": name})


def reference(job: ExportJob, pixels: np.ndarray | None = None) -> np.ndarray:
    """The network's logits with the preprocessing written out, in float64."""
    pixels = job.check_pixels if pixels is None else pixels
    p = job.spec.padding
    images = np.pad(pixels / 255, ((0, 0), (0, 0), (p, p), (p, p)))
    mean, std = (np.array(values).reshape(1, -1, 1, 1) for values in (job.spec.mean, job.spec.std))
    with torch.inference_mode():
        return copy.deepcopy(job.net).double()(torch.from_numpy((images - mean) / std)).numpy().astype(np.float32)


def written(job: ExportJob, format_name: str, folder: Path) -> Path:
    """The exported file; not by way of `export`, whose gate is for trained nets and not for random weights."""
    path = folder / f"net{FORMATS[format_name].suffix}"
    content = FORMATS[format_name].export(job)
    assert isinstance(content, bytes)
    path.write_bytes(content)
    own_files.remember(sha256_of(content))
    return path


NETS = ["lenet5", "lenet5-classic", "lenet5-clothes", "lenet5-partial", "digits-cnn", "user's own"]
