"""`lenet-edge recipes`."""

from dataclasses import asdict
from typing import Any

import typer

from lenet_edge import console
from lenet_edge.networks.recipes import RECIPES, Recipe
from lenet_edge.options import JsonOption

NAME = "recipes"


def run(as_json: JsonOption = False) -> None:
    """List the recipes and the accuracy measured with each.

    With data set, size of the network, epochs and source.

    Example: lenet-edge recipes
    """
    rows = [_described(recipe) for recipe in RECIPES.values()]
    if as_json:
        console.print_json(rows)
        return
    console.print_table(
        "recipes, each with the data set it is made for",
        ["recipe", "data set", "parameters", "MACs", "epochs", "test accuracy"],
        [
            [
                row["name"],
                row["dataset"],
                f"{row['parameters']:,}",
                f"{row['macs']:,}",
                str(row["epochs"]),
                _accuracy(row["measured"]),
            ]
            for row in rows
        ],
    )
    for row in rows:
        typer.echo(f"{row['name']}: {row['summary']}\n    after {row['source']}")
    console.say("next: lenet-edge train RECIPE")


def _described(recipe: Recipe) -> dict[str, Any]:
    from lenet_edge.networks.measured import accuracy_of
    from lenet_edge.networks.models import build_model, deployed_parameters, multiply_accumulates

    net, measured = build_model(recipe.model), accuracy_of(recipe.name, recipe.made_for)
    return {
        "name": recipe.name,
        "dataset": recipe.made_for,
        "parameters": deployed_parameters(net),
        "macs": multiply_accumulates(net),
        "epochs": recipe.epochs,
        "summary": recipe.summary,
        "source": recipe.source,
        "measured": asdict(measured) if measured else None,
    }


def _accuracy(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return "not measured"
    spread = "" if measured["sd"] is None else f" ± {100 * measured['sd']:.2f}"
    return f"{console.percent(measured['mean'])}{spread} (n = {measured['n']})"
