"""`lenet-edge samples`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.networks.recipes import DEFAULT_RECIPE, find_recipe
from lenet_edge.options import (
    MAX_SEED,
    ChannelsOption,
    DataDirOption,
    DatasetHelp,
    JsonOption,
    SizeOption,
    SkipUnreadableOption,
    image_form,
)

NAME = "samples"


def run(
    dataset: Annotated[str, typer.Argument(help=DatasetHelp)],
    out: Annotated[Path | None, typer.Option(help="The PNG file; samples-DATASET.png by default.")] = None,
    per_class: Annotated[int, typer.Option(min=1, max=50, help="Images of each class.")] = 10,
    augmented: Annotated[
        bool, typer.Option("--augmented", help="Show what training makes of one image of each class.")
    ] = False,
    recipe: Annotated[
        str, typer.Option(help="With --augmented: the recipe whose augmentation is shown.")
    ] = DEFAULT_RECIPE,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the draw.")] = 0,
    data_dir: DataDirOption = None,
    size: SizeOption = None,
    channels: ChannelsOption = None,
    skip_unreadable: SkipUnreadableOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw training images of every class as a PNG.

    A look at the data before anything is trained; the images are counted, too.

    Example: lenet-edge samples fashion-mnist --augmented
    """
    chosen = find_recipe(recipe)
    if augmented and not chosen.augment:
        raise typer.BadParameter(f"{recipe} does not augment: leave out --augmented, or name another --recipe")
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.report.sheet import count_classes, draw_augmented, draw_sheet, drawn_samples

    data = load_dataset(dataset, data_dir, image_form(size, channels, None, skip_unreadable))
    for remark in data.remarks:
        console.say(remark)
    path = out or Path(f"samples-{data.name}{'-augmented' if augmented else ''}.png")
    rows = draw_augmented(data, chosen, per_class, seed) if augmented else drawn_samples(data, per_class, seed)
    draw_sheet(rows, data.labels, path)
    counts = count_classes(data)
    if as_json:
        console.print_json({"dataset": data.name, "path": str(path), "md5s": data.md5s, "classes": counts})
    else:
        _print(data, counts)
        console.say(f"the sheet: {path}")


def _print(data: Any, counts: list[dict[str, Any]]) -> None:
    channels, height, width = data.train_pixels.shape[1:]
    console.print_table(
        f"{data.name}: {len(data.train_labels):,} training and {len(data.test_labels):,} test images, "
        f"{width} x {height}, {'grey' if channels == 1 else 'colour'}",
        ["class", "training", "test"],
        [[row["label"], f"{row['train']:,}", f"{row['test']:,}"] for row in counts],
    )
