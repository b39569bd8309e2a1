"""A nearly right name of a recipe, a data set or a format is answered with the near one."""

from collections.abc import Callable

import pytest

from lenet_edge.data.datasets import load_dataset
from lenet_edge.networks.recipes import find_recipe
from lenet_edge_exporters.formats import checked_names


@pytest.mark.parametrize(
    ("find", "given", "meant"),
    [
        (find_recipe, "lenet5-clasic", "lenet5-classic"),
        (find_recipe, "LeNet5", "lenet5"),
        (load_dataset, "fashion_mnist", "fashion-mnist"),
        (load_dataset, "MNIST", "mnist"),
        (lambda name: checked_names([name]), "onxx", "onnx"),
    ],
)
def test_the_near_name_is_suggested(find: Callable[[str], object], given: str, meant: str) -> None:
    with pytest.raises(Exception, match=f"did you mean '{meant}'\\?"):
        find(given)
    with pytest.raises(Exception, match="is called 'zzzzzz'; choose"):
        find("zzzzzz")
