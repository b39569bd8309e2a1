"""How MNIST is usually trained, written in torch: what benchmarks/time_to_accuracy.py sets beside `lenet-edge train`.

    python benchmarks/usual_trainings.py CONTENDER EPOCHS SEED THREADS

Prints the seconds of training and the accuracy on the test images as JSON. The images come from our own reader, which
takes less time than torchvision's and Keras' readers take.
"""

import json
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.models import build_model
from lenet_edge.networks.recipes import RECIPES

Batches = Callable[[], Iterator[tuple[Tensor, Tensor]]]  # one epoch of them


class PerImage(Dataset[tuple[Tensor, int]]):
    """As torchvision.datasets.MNIST: a PIL image at each access, transformed by itself."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, data: ImageData, padding: int = 0) -> None:
        self.pixels, self.labels = pixels, labels
        padded = [transforms.Pad(padding)] if padding else []
        steps = [*padded, transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index, 0])), int(self.labels[index])


def pytorch_examples(data: ImageData, epochs: int) -> tuple[float, float]:
    """github.com/pytorch/examples, mnist/main.py: Adadelta at 1.0, times 0.7 after each epoch, batch 64, no workers."""
    layers = OrderedDict(
        conv1=nn.Conv2d(1, 32, 3), relu1=nn.ReLU(), conv2=nn.Conv2d(32, 64, 3), relu2=nn.ReLU(), pool=nn.MaxPool2d(2),
        dropout1=nn.Dropout(0.25), flatten=nn.Flatten(), fc1=nn.Linear(9216, 128), relu3=nn.ReLU(),
        dropout2=nn.Dropout(0.5), fc2=nn.Linear(128, 10),
    )  # fmt: skip
    net = nn.Sequential(layers)
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    loader = DataLoader(PerImage(data.train_pixels, data.train_labels, data), 64, shuffle=True)
    seconds = trained(net, optimizer, lambda: iter(loader), epochs, schedule.step)
    return seconds, accuracy(net, DataLoader(PerImage(data.test_pixels, data.test_labels, data), 1000))


def keras_convnet(data: ImageData, epochs: int) -> tuple[float, float]:
    """keras.io/examples/vision/mnist_convnet: Adam with Keras' values, batch 128, 54,000 images, arrays, no loader."""
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10),
    )  # fmt: skip
    for module in net:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    images, labels = torch.tensor(data.train_pixels[:54000]).float() / 255, torch.tensor(data.train_labels[:54000])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.randperm(len(images)).split(128):
            yield images[chosen], labels[chosen]

    seconds = trained(net, optimizer, batches, epochs)
    test = torch.tensor(data.test_pixels).float() / 255, torch.tensor(data.test_labels)
    return seconds, accuracy(net, zip(*(part.split(500) for part in test), strict=True))


def usual_lenet(data: ImageData, epochs: int) -> tuple[float, float]:
    """The textbook's LeNet-5 and loop: tanh, average pooling, SGD at 0.01 with momentum 0.9, batch 64, a DataLoader."""
    recipe = RECIPES["lenet5-classic-reported"]
    net = build_model(recipe.model)
    optimizer = torch.optim.SGD(net.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum)
    loader = DataLoader(PerImage(data.train_pixels, data.train_labels, data, recipe.padding), 64, shuffle=True)
    seconds = trained(net, optimizer, lambda: iter(loader), epochs)
    return seconds, accuracy(net, DataLoader(PerImage(data.test_pixels, data.test_labels, data, recipe.padding), 1000))


CONTENDERS: dict[str, Callable[[ImageData, int], tuple[float, float]]] = {
    "pytorch/examples": pytorch_examples,
    "Keras' mnist_convnet": keras_convnet,
    "usual LeNet-5": usual_lenet,
}


def trained(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    epochs: int,
    after_epoch: Callable[[], None] = lambda: None,
) -> float:
    """Train with cross-entropy; return the seconds."""
    start = time.perf_counter()
    net.train()
    for _ in range(epochs):
        for images, labels in batches():
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
        after_epoch()
    return time.perf_counter() - start


@torch.no_grad()
def accuracy(net: nn.Module, batches: "DataLoader[tuple[Tensor, Tensor]] | Iterator[tuple[Tensor, Tensor]]") -> float:
    """Share of these images that get their label."""
    net.eval()
    hits = [net(images).argmax(1) == labels for images, labels in batches]
    return torch.cat(hits).double().mean().item()


def main(name: str, epochs: int, seed: int, threads: int) -> None:
    """Train one contender once."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    seconds, test_accuracy = CONTENDERS[name](load_dataset("mnist"), epochs)
    print(json.dumps({"seconds": seconds, "test_accuracy": test_accuracy}))


if __name__ == "__main__":
    main(sys.argv[1], *(int(value) for value in sys.argv[2:]))
