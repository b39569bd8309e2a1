"""`lenet-edge compare`."""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.networks.recipes import STRANGERS, find_recipe
from lenet_edge.options import (
    DataDirOption,
    DatasetHelp,
    JsonOption,
    MlflowOption,
    SchedulerOption,
    StrangersOption,
    TensorBoardOption,
    check_scheduler,
)
from lenet_edge.training import launcher
from lenet_edge_runtime.extras import require

NAME = "compare"
COLUMNS = {
    "train_accuracy": "train accuracy",
    "val_accuracy": "validation",
    "test_accuracy": "test accuracy",
    "strangers_refused": "strangers refused",
    "test_refused": "test images refused",
}


def run(
    recipes: Annotated[list[str], typer.Argument(help="Names that 'lenet-edge recipes' lists.", metavar="RECIPE...")],
    dataset: Annotated[str, typer.Option(help=DatasetHelp)] = "mnist",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each recipe, with seeds 0, 1, 2 ...")] = 5,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the images; each recipe's own by default.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs trained at the same time; they share the threads.")] = 1,
    strangers: StrangersOption = False,
    scheduler: SchedulerOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="CPU threads of all jobs; all cores by default. With --scheduler: of each run, 1 by default."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; studies/DATASET by default.")] = None,
    data_dir: DataDirOption = None,
    tensorboard: TensorBoardOption = False,
    mlflow: MlflowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train recipes with several seeds and compare them.

    Prints means, deviations, and which differences are more than chance.

    Finished runs in the study's folder are reused; what was interrupted goes on. Train accuracy is that of the final
    weights on 10,000 of the images trained on, at most; p values are of paired t-tests over seeds, corrected by Holm's
    method.

    Example: lenet-edge compare lenet5 lenet5-classic --dataset fashion-mnist --seeds 5 --jobs 2
    """
    require("train", "this command")
    launcher.let_threads_sleep()
    import torch

    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.studies.cluster import connected
    from lenet_edge.studies.cluster_task import device_here
    from lenet_edge.studies.conclusion import conclude
    from lenet_edge.studies.member_training import Source
    from lenet_edge.studies.processes import side_by_side
    from lenet_edge.studies.studies import STUDIES, Study
    from lenet_edge.studies.trainings import one_after_another, train_all
    from lenet_edge.tracking.choice import Tracking
    from lenet_edge.training.follower import follow
    from lenet_edge.training.training import start_record

    if (jobs > 1 or scheduler) and launcher.processes() > 1:
        raise typer.BadParameter("under torchrun each training has all processes; leave out --jobs and --scheduler")
    check_scheduler(scheduler, jobs)
    if launcher.follows():
        follow(data_dir)
        return
    tracking = Tracking(tensorboard, mlflow)
    tracking.check()
    share = STRANGERS if strangers else None
    chosen = [find_recipe(name).changed(strangers=share) for name in dict.fromkeys(recipes)]
    data = load_dataset(dataset, data_dir)
    source = Source(data, dataset, data_dir)
    cores = 1 if scheduler and threads is None else max(1, (threads or torch.get_num_threads()) // jobs)
    study = Study(out or STUDIES / data.name)
    with connected(scheduler) if scheduler else nullcontext() as cluster, study.locked():
        found = (cluster.device if cluster else device_here)(device)
        members = study.enrol(
            [
                replace(start_record(recipe, data, seed=seed, device="cpu", threads=cores, epochs=epochs), device=found)
                for recipe in chosen
                for seed in range(seeds)
            ],
            data,
        )
        todo = sum(not member.finished for member in members)
        console.say(f"{study.folder}: {todo} of {len(members)} runs to train, {len(members) - todo} finished already")
        here = partial(side_by_side, jobs=jobs) if jobs > 1 else one_after_another
        train_all(study, members, source, cluster.train if cluster else here)
        document = conclude(study, members)
    _print(document, as_json)
    for member in members:
        tracking.keep(member.run, data)


def _print(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        console.print_json(document)
    else:
        _print_tables(document)
    for remark in document["remarks"]:
        console.say(remark)


def _print_tables(document: dict[str, Any]) -> None:
    seeds = len(document["seeds"])
    columns = {metric: title for metric, title in COLUMNS.items() if metric in document["recipes"][0]}
    console.print_table(
        f"{document['dataset']}, mean and standard deviation over {seeds} seed{'s' if seeds > 1 else ''}",
        ["", *columns.values(), "parameters", "epochs"],
        [
            [
                row["recipe"],
                *(_spread(row[metric]) for metric in columns),
                f"{row['parameters']:,}",
                str(row["epochs"]),
            ]
            for row in document["recipes"]
        ],
    )
    if document["comparisons"]:
        console.print_table(
            "differences in percentage points, paired by seed",
            ["", "of", "difference", "95 % interval", "p", "p (Holm)", ""],
            [_comparison_cells(row) for row in document["comparisons"]],
        )
    console.say(f"files: {', '.join(document['files'])}")


def _comparison_cells(row: dict[str, Any]) -> list[str]:
    interval = "" if row["lower95_pp"] is None else f"{row['lower95_pp']:+.2f} to {row['upper95_pp']:+.2f}"
    return [
        f"{row['a']} - {row['b']}",
        row["metric"].removesuffix("_accuracy"),
        f"{row['difference_pp']:+.2f}",
        interval,
        _p_value(row["p"]),
        _p_value(row["p_holm"]),
        "significant" if row["significant"] else "",
    ]


def _spread(sample: dict[str, float | None]) -> str:
    deviation = "" if sample["sd"] is None else f" ± {100 * sample['sd']:.2f}"
    return f"{100 * (sample['mean'] or 0.0):.2f}{deviation} %"


def _p_value(p: float | None) -> str:
    return "" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.4f}"
