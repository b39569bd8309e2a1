"""From weights that were trained elsewhere to a run, which exports and verifies like any other.

A file of weights does not say what net they are for. What its shapes leave open is found on training images
(`variant_search`), or said by its user; and what recognises far less than such a net does is stopped.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lenet_edge import console
from lenet_edge.artefacts.import_candidates import Said, candidates, chains_in, likeliest, of_recipe
from lenet_edge.artefacts.imported_run import write_imported
from lenet_edge.artefacts.variant_search import NEAR, Chains, Finding, Scored, search
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks import measured
from lenet_edge.networks.imported import as_imported
from lenet_edge.networks.models import Network, build_model, deployed_parameters
from lenet_edge.networks.recipes import RECIPES, Recipe
from lenet_edge.networks.tensor_files import read_tensors
from lenet_edge.networks.variants import Variant, build
from lenet_edge.runs.record import fitted_to, spec_for
from lenet_edge.runs.run import Run
from lenet_edge_runtime.errors import GateError, UnclearWeightsError, WeightsError

NAME = "imported"  # of a net that is no recipe's
SHOWN = 3  # runners-up
LINEAR_IMAGES = 2000  # that a linear classifier is fitted on, and as many that it is tried on
OPTIONS = ("activation", "pooling", "padding", "normalisation")  # that settle what several variants leave open


@dataclass(frozen=True)
class Imported:
    """The run that weights became, what they turned out to be, and what was tried; no finding where nothing was."""

    run: Run
    variant: Variant
    finding: Finding | None


def import_weights(
    path: Path, data: ImageData, recipe: Recipe | None = None, said: Said | None = None, out: Path | None = None
) -> Imported:
    """Make a run of weights that were trained elsewhere; `recipe` names the layers, `said` what is known of the net.

    Raises WeightsError for weights that do not fit or that no temperature can be folded into, UnclearWeightsError where
    several nets fit alike, and GateError where the best of them recognises far less than such nets do.
    """
    said = said or Said()
    file = read_tensors(path)
    if file.remark:
        console.say(file.remark)
    chains = chains_in(file, data, recipe)
    variant, finding = _settle(path, chains, data, recipe, said)
    if len(chains) > 1:
        console.say(f"of the tables in the file ({', '.join(map(repr, chains))}) {variant.key!r} is taken")
    run = _write(variant, chains, data, recipe, finding, said.calibrate, out)
    return Imported(run, variant, finding)


def least_accuracy(data: ImageData) -> float:
    """The training accuracy below which an import is stopped.

    Twice the errors of the weakest recipe measured on these data, and three percentage points more at the least; where
    none was measured, the accuracy of a linear classifier.
    """
    reached = [found.mean for name in RECIPES if (found := measured.accuracy_of(name, data.name))]
    if not reached:
        return _linear_accuracy(data)
    errors = 1 - min(reached)
    return 1 - errors - max(errors, 0.03)


def _settle(
    path: Path, chains: Chains, data: ImageData, recipe: Recipe | None, said: Said
) -> tuple[Variant, Finding | None]:
    found = candidates(chains, data, recipe, said)
    if not found:
        raise WeightsError(
            f"{path}: no net of its layers takes images of {data.train_pixels.shape[1:]} with the options given; "
            f"leave some out, or give another --dataset"
        )
    if not said.check:
        variant = likeliest(found, recipe, said)
        console.say(f"nothing was checked (--no-check): the weights are taken as {variant}")
        return variant, None
    least = least_accuracy(data)
    finding = _search(found, chains, data, recipe, said, least)
    if _is_chance(finding, data) and recipe is not None and said.mean is not None:
        variant = likeliest(found, recipe, said)
        console.say(
            f"no net that fits does better than chance with these weights ({console.percent(finding.best.accuracy)} of "
            f"{finding.images:,} training images at best): they look untrained, and are taken as said: {variant}"
        )
        return variant, None
    _say(finding)
    if finding.reached >= least or said.accept_accuracy:
        check_is_clear(path, finding)
    if finding.best.accuracy < least and not said.accept_accuracy:
        raise GateError(
            f"{path}: the best net that fits its weights recognises {console.percent(finding.best.accuracy)} of "
            f"{finding.images:,} training images of {data.name}, where such nets reach {console.percent(least)} and "
            f"more ({finding.best.variant}); {_advice(chains, data, recipe, said, least)}"
        )
    return finding.best.variant, finding


def _search(
    found: list[Variant], chains: Chains, data: ImageData, recipe: Recipe | None, said: Said, least: float
) -> Finding:
    """Try the usual nets, and where none is good the unusual ones, with the usual best as a rival if it is near."""
    favoured = of_recipe(recipe, data) if recipe else None
    finding = search(found, chains, data, favoured)
    if finding.reached >= least or (_is_chance(finding, data) and said.mean is not None):
        return finding
    rare = search(candidates(chains, data, recipe, said, rare=True), chains, data, favoured)
    usual = finding.best
    if rare.best.accuracy <= usual.accuracy:
        return finding
    is_rival = rare.best.accuracy - usual.accuracy < NEAR and not usual.answers_like(rare.best)
    return replace(rare, rivals=(*rare.rivals, usual), alike=(*rare.alike, *finding.alike)) if is_rival else rare


def _advice(chains: Chains, data: ImageData, recipe: Recipe | None, said: Said, least: float) -> str:
    """What to type next: the options without which, or with which, it is right; else how to take it anyway."""
    if said.of_the_net:
        free = _search(candidates(chains, data, recipe, Said()), chains, data, recipe, Said(), least)
        if free.best.accuracy >= least:
            return f"{console.percent(free.best.accuracy)} with {free.best.variant}: correct the options"
    return "name another --dataset, or take it anyway by --accept-accuracy"


def check_is_clear(path: Path, finding: Finding) -> None:
    """Raise UnclearWeightsError where another net, which an option would name, does as well and answers otherwise.

    It names every value that one of the nets that it may be has, also where two of them answer alike.
    """
    rivals: list[Scored] = []
    for item in sorted(finding.rivals, key=lambda item: len(_to_ask(finding.best, item))):
        if not any(item.answers_like(other) for other in rivals):  # else it asks no more than that one does
            rivals.append(item)
    open_parts = list(dict.fromkeys(name for item in rivals for name in _to_ask(finding.best, item)))
    if open_parts:
        nets = [item.variant.parts for item in finding.close]
        choices = "; ".join(" or ".join(dict.fromkeys(net[name] for net in nets if name in net)) for name in open_parts)
        raise UnclearWeightsError(
            f"{path}: {len(nets)} nets fit these weights and cannot be told apart on {finding.images:,} training "
            f"images ({console.percent(finding.best.accuracy)}); say which is theirs: {choices}"
        )


def _to_ask(best: Scored, rival: Scored) -> list[str]:
    """The options that would tell a rival from the best."""
    mine, theirs = best.variant.parts, rival.variant.parts
    return [name for name in OPTIONS if name in mine and name in theirs and mine[name] != theirs[name]]


def _say(finding: Finding) -> None:
    console.say(
        f"of the nets that fit these weights, on training images of {finding.images:,} (fewer for those behind):"
    )
    for item in (finding.best, *finding.others[:SHOWN]):
        console.say(f"  {console.percent(item.accuracy):>8}  {item.variant}")
    if finding.set_aside:
        console.say(
            f"the first is the net that --model names; {finding.set_aside[0].variant} does as well and answers some "
            f"images otherwise: where that is meant, give its options"
        )


def _is_chance(finding: Finding, data: ImageData) -> bool:
    """Whether even the best of many does hardly better than naming one class."""
    chance = np.bincount(data.train_labels).max() / len(data.train_labels)
    return bool(finding.best.accuracy < chance + 0.2 * (1 - chance))


def _linear_accuracy(data: ImageData) -> float:
    """Accuracy of ridge regression to the classes on training images that it was not fitted on."""
    order = np.random.default_rng(0).permutation(len(data.train_labels))[: 2 * LINEAR_IMAGES]
    rows = data.train_pixels[order].reshape(len(order), -1).astype(np.float32) / 255
    rows, labels = np.c_[rows, np.ones(len(rows), np.float32)], data.train_labels[order]
    half = len(rows) // 2
    fitted, targets = rows[:half], np.eye(len(data.labels), dtype=np.float32)[labels[:half]]
    found = np.linalg.solve(fitted.T @ fitted + 10 * np.eye(rows.shape[1], dtype=np.float32), fitted.T @ targets)
    return float(((rows[half:] @ found).argmax(1) == labels[half:]).mean())


def _recipe_of(variant: Variant, data: ImageData, recipe: Recipe | None) -> Recipe:
    """The recipe whose net it is, or one that says that it is none's."""
    for known in [recipe] if recipe else RECIPES.values():
        fitted = fitted_to(known, data)
        if as_imported(fitted.model) == variant.config and fitted.padding == variant.padding:
            return fitted
    if recipe is not None:
        return replace(recipe, model=variant.config, padding=variant.padding)
    summary, source = f"weights from elsewhere: {variant}", "found on training images"
    return replace(
        RECIPES["lenet5"], name=NAME, summary=summary, source=source, model=variant.config, padding=variant.padding
    )


def _write(
    variant: Variant,
    chains: Chains,
    data: ImageData,
    recipe: Recipe | None,
    finding: Finding | None,
    calibrated: bool,
    out: Path | None,
) -> Run:
    found = _recipe_of(variant, data, recipe)
    net = _in_our_words(build(variant, chains[variant.key]), found)
    norm = variant.normalisation
    spec = replace(spec_for(found, data), mean=norm.mean, std=norm.std)
    metrics = {"parameters": deployed_parameters(net), "import": _as_metric(variant, finding)}
    return write_imported(net, found, data, spec, metrics, calibrated=calibrated, out=out)


def _in_our_words(net: Network, recipe: Recipe) -> Network:
    """The recipe's own net with these weights: the same tensors in the same order under its own names."""
    if net.config == recipe.model:
        return net
    own = build_model(recipe.model)
    own.load_state_dict(dict(zip(own.state_dict(), net.state_dict().values(), strict=True)))
    return own.eval()


def _as_metric(variant: Variant, finding: Finding | None) -> dict[str, Any]:
    found: dict[str, Any] = {"taken_as": str(variant), "checked_on": finding.images if finding else 0}
    return found | ({"train_accuracy": finding.best.accuracy} if finding else {})
