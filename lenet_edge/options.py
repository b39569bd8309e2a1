"""Options that more than one command has, and what those for another tool's classifier mean together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lenet_edge import console
from lenet_edge_runtime.extras import require
from lenet_edge_runtime.near_names import did_you_mean

if TYPE_CHECKING:
    from lenet_edge.data.image_data import ImageForm
    from lenet_edge_runtime.foreign_classifier import ForeignClassifier

Choice = TypeVar("Choice", bound=str)
MAX_SECONDS = 86_400.0  # a day: the limits of the child process are no infinite ones
MAX_SEED = 2**64 - 1  # that torch takes

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
DataDirOption = Annotated[
    Path | None,
    typer.Option(help="Folder with the data in torchvision's layout; looked in before $LENET_EDGE_DATA and the cache."),
]
DatasetHelp = (
    "mnist, fashion-mnist, kmnist, digits, emnist-letters, emnist-balanced, emnist-digits, emnist-byclass, or your own "
    "images: a folder with one sub-folder of images per class, a .csv or .jsonl of path and label, an .npz, a .parquet."
)
SizeOption = Annotated[
    int | None,
    typer.Option(help="Of your own images: their side in pixels, 16 to 96.  [default: 28]", show_default=False),
]
ChannelsOption = Annotated[
    int | None, typer.Option(help="Of your own images: 1 (grey) or 3 (colour).  [default: 1]", show_default=False)
]
SkipUnreadableOption = Annotated[
    bool,
    typer.Option("--skip-unreadable", help="Of your own images: leave out files that are none, and count them."),
]


def _import_program(argument: str | None) -> str | None:
    if argument is None:
        return None
    from lenet_edge.networks.own import give

    return give(argument)


def split_names(values: list[str] | None) -> list[str] | None:
    """The names of an option that may be given more than once, each time with one name or several between commas."""
    return values and [name.strip() for value in values for name in value.split(",")]


NetOption = Annotated[
    str | None,
    typer.Option(
        "--net",
        help="Your own network: module:callable or file.py:callable, which gives a torch.nn.Module. It is run.",
        callback=_import_program,
        show_default=False,
    ),
]
MaxDropOption = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Accuracy drop, in percentage points, that the upper end of its 95 % interval may reach.",
        show_default=False,
    ),
]
FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="Exported files; without any, all those of the run.", show_default=False),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        help="For another tool's ONNX classifier: its labels separated by commas, or a text file with one per line.",
        show_default=False,
    ),
]
MeanOption = Annotated[
    list[float] | None,
    typer.Option(help="With --labels: the mean of pixels in [0, 1] it was trained with; once, or once per channel."),
]
StdOption = Annotated[
    list[float] | None,
    typer.Option(help="With --labels: the standard deviation, like --mean."),
]
ScaleOption = Annotated[
    float | None,
    typer.Option(
        min=1e-6,
        help="With --labels, in place of --mean and --std: the net takes pixels of 0 to this number. "
        "255: raw pixels, the same as --mean 0 --std 1/255.",
        show_default=False,
    ),
]
TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        min=1.0,
        max=MAX_SECONDS,
        help="With --labels: seconds that the file may run.  [default: 25]",
        show_default=False,
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        envvar="DASK_SCHEDULER_ADDRESS",
        help="In place of --jobs: the scheduler of a Dask cluster whose workers do it, such as tcp://HOST:8786.",
        show_default=False,
    ),
]
StrangersOption = Annotated[
    bool,
    typer.Option("--strangers", help="Also train on made images of none of the classes, so that they are refused."),
]
TensorBoardOption = Annotated[
    bool, typer.Option("--tensorboard", help="Also write figures and images for TensorBoard into the run's folder.")
]
MlflowOption = Annotated[
    str | None,
    typer.Option(
        help="Also tell MLflow at this address, such as http://HOST:5000 or sqlite:///mlflow.db.", show_default=False
    ),
]
JobsOption = Annotated[int, typer.Option(min=1, max=256, help="Processes that read images.")]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust", help="Open files that can run code and that others made, in a process of their own under limits."
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", help="The run the files belong to; the latest finished one by default."),
]


def check_scheduler(scheduler: str | None, jobs: int) -> None:
    """Refuse processes of this machine beside a cluster, and raise MissingExtraError where Dask is missing."""
    if jobs > 1 and scheduler:
        raise typer.BadParameter(f"--jobs is for this machine, and the cluster at {scheduler} was named: give one")
    if scheduler:
        require("cluster", "--scheduler")


def one_of(choices: Iterable[Choice], given: str, option: str) -> Choice:
    """The choice of this name; another one is a usage error, which names the near one."""
    known = list(choices)
    for choice in known:
        if choice == given:
            return choice
    near = did_you_mean(given, known).rstrip()
    raise typer.BadParameter(f"{option} is one of {', '.join(known)}, got {given!r}{'; ' + near if near else ''}")


def image_form(
    size: int | None, channels: int | None, val: Path | None = None, skip_unreadable: bool = False
) -> ImageForm | None:
    """How the user's own images are to be read; None where nothing was said of it."""
    if size is None and channels is None and val is None and not skip_unreadable:
        return None
    from lenet_edge.data.image_data import ImageForm

    return ImageForm(28 if size is None else size, 1 if channels is None else channels, val, skip_unreadable)


def open_foreign(
    files: Sequence[Path],
    labels: str | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    seconds: float | None = None,
    scale: float | None = None,
) -> list[ForeignClassifier]:
    """Open the files as `--labels`, `--mean` and `--std` describe them, all under one limit of time.

    Without any of the options the list is empty: the files are ours. Contradictions are usage errors.
    """
    from lenet_edge.evaluation.foreign_accuracy import read_labels
    from lenet_edge_runtime.classifier import carries_spec
    from lenet_edge_runtime.foreign_classifier import ForeignClassifier
    from lenet_edge_runtime.guard import Guard, Limits

    if labels is None:
        if mean or std or scale or seconds is not None:
            raise typer.BadParameter("--mean, --std and --time-limit go with --labels, for another tool's classifier")
        return []
    if scale and (mean or std):
        raise typer.BadParameter("--scale stands in place of --mean and --std: give one or the other")
    if scale:
        mean, std = (0.0,), (1 / scale,)
    if not files:
        raise typer.BadParameter("--labels describes a file: give its path")
    for path in files:
        if carries_spec(path):
            raise typer.BadParameter(f"{path} carries its own labels and normalisation: leave out --labels")
    guard = Guard(Limits() if seconds is None else Limits(seconds=seconds))
    found = [ForeignClassifier(path, read_labels(labels), mean or (), std or (), guard) for path in files]
    for classifier in found:
        if classifier.ends_in_sigmoid:
            console.say(f"{classifier.path.name} ends in Sigmoid: probabilities are the shares of its values")
    return found
