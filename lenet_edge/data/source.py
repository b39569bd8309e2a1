"""What a row of the table of data sets says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lenet_edge.data.augmentation import Augmentation
from lenet_edge.data.image_data import ImageData
from lenet_edge_runtime.spec import Fit


@dataclass(frozen=True)
class Source:
    """A row of the table of data sets; `load` gets the row and the folders to look in."""

    name: str
    title: str
    labels: tuple[str, ...]
    load: Callable[["Source", list[Path]], ImageData]
    augmentation: Augmentation  # changes that leave the label as it is: a property of the images
    torchvision_name: str = ""  # class in torchvision.datasets, and the folder's name in its layout
    md5s: Mapping[str, str] = field(default_factory=dict)  # file -> md5, as torchvision checks them
    fit: Fit = "resize"
