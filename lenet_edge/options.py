"""Options that more than one command has."""

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
DataDirOption = Annotated[
    Path | None,
    typer.Option(help="Folder with the data in torchvision's layout; looked in before $LENET_EDGE_DATA and the cache."),
]
DatasetHelp = "mnist, fashion-mnist, kmnist, digits, or a folder with one sub-folder of images per class."
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
        help="For another tool's ONNX classifier: its labels by commas, or a text file with one a line.",
        show_default=False,
    ),
]
MeanOption = Annotated[
    list[float] | None,
    typer.Option(help="With --labels: the mean of pixels in [0, 1] it was trained with; once, or once a channel."),
]
StdOption = Annotated[
    list[float] | None,
    typer.Option(help="With --labels: the standard deviation, like --mean."),
]
TimeLimitOption = Annotated[
    float | None,
    typer.Option(min=1.0, help="With --labels: seconds that the file may run.  [default: 25]", show_default=False),
]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", help="The run the files belong to; the latest finished one by default."),
]
