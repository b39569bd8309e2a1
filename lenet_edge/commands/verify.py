"""`lenet-edge verify`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import DataDirOption, DatasetHelp, FilesArgument, JsonOption, MaxDropOption, RunOption

NAME = "verify"


def run(
    files: FilesArgument = None,
    run: RunOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(help=f"Test images: {DatasetHelp}  [default: the run's own]", show_default=False),
    ] = None,
    max_drop: MaxDropOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure exported files against the PyTorch model on the whole test set; exit 3 when one is worse than allowed.

    Example: lenet-edge verify --max-drop 0.3
    """
    from lenet_edge.datasets import load_dataset
    from lenet_edge.reference import load_run_data
    from lenet_edge.runs import find_run
    from lenet_edge.verification import exported_files, run_of, verify

    found = run_of(files) if files and run is None else find_run(run)
    data = load_dataset(dataset, data_dir) if dataset else load_run_data(found, found.read(), data_dir)
    result = verify(files or exported_files(found), found, data, max_drop, same_weights=run is None)
    if as_json:
        console.print_json(as_document(result))
    else:
        print_verification(result)
    if not result.passed:
        raise typer.Exit(3)


def as_document(result: Any) -> dict[str, Any]:
    """What `verify --json` prints."""
    return {
        "passed": result.passed,
        "dataset": result.dataset,
        "images": result.images,
        "max_drop_pp": result.max_drop_pp,
        "reference": {"accuracy": result.reference_accuracy, "accuracy_ci95": result.reference_ci95},
        "models": result.verdicts,
    }


def print_verification(result: Any) -> None:
    """Print the verdicts, and in words what a failed gate means."""
    low, high = (console.percent(end) for end in result.reference_ci95)
    console.print_table(
        f"PyTorch: {console.percent(result.reference_accuracy)} of {result.images:,} test images of {result.dataset} "
        f"(95 % interval {low} to {high}); gate {result.max_drop_pp:g} pp",
        ["file", "accuracy", "agreement", "drop, pp", "95 % interval", "McNemar p", "logits differ", "gate"],
        [
            [
                Path(item.path).name,
                console.percent(item.accuracy),
                console.percent(item.agreement),
                f"{item.accuracy_drop_pp:+.2f}",
                f"{item.drop_lower95_pp:+.3f} to {item.drop_upper95_pp:+.3f}",
                f"{item.mcnemar_p:.3g}",
                f"{item.max_abs_logit_difference:.2g}",
                "passed" if item.passed else "FAILED",
            ]
            for item in result.verdicts
        ],
    )
    if result.passed:
        return
    console.say(why_it_failed(result.max_drop_pp, result.images))


def why_it_failed(max_drop_pp: float, images: int) -> str:
    """One sentence on a failed gate: the file is worse, or the test set too small to show that it is not."""
    from lenet_edge.verification import smallest_provable_drop

    smallest = smallest_provable_drop(images)
    if smallest > max_drop_pp:
        return (
            f"{images} test images cannot show a drop below {smallest:.2f} pp, even for a file that never differs: "
            f"use more images, or --max-drop above that"
        )
    return f"failed: the accuracy drop may be above the gate, {max_drop_pp:g} percentage points (--max-drop)"
