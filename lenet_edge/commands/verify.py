"""`lenet-edge verify`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import (
    DataDirOption,
    DatasetHelp,
    FilesArgument,
    JsonOption,
    LabelsOption,
    MaxDropOption,
    MeanOption,
    NetOption,
    RunOption,
    ScaleOption,
    StdOption,
    TimeLimitOption,
    TrustOption,
    open_foreign,
)

NAME = "verify"


def run(
    files: FilesArgument = None,
    run: RunOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(help=f"Test images: {DatasetHelp}  [default: the run's own]", show_default=False),
    ] = None,
    net: NetOption = None,
    max_drop: MaxDropOption = None,
    labels: LabelsOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    scale: ScaleOption = None,
    time_limit: TimeLimitOption = None,
    trust: TrustOption = False,
    public_key: Annotated[
        Path | None,
        typer.Option(help="Check first that this key (KEY.pub of keygen) signed the files or the run, or exit 3."),
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check exported files against the PyTorch model.

    Measures their accuracy on the test set, and checks the evidence that they carry.

    A file whose run is not here (or without torch) is checked on its own evidence alone: the seal over its bytes, its
    known answers, its card, and with --dataset its accuracy: on the card's test set the same again, on other data
    within --max-drop of it. Exit 3 when a file fails. With --labels and --dataset the accuracy of another tool's ONNX
    classifier is measured, in a process of its own, under limits.

    Example: lenet-edge verify --max-drop 0.3
    """
    del net  # its program is imported by now
    if foreign := open_foreign(files or [], labels, mean, std, time_limit, scale):
        if run is not None or max_drop is not None:
            raise typer.BadParameter("--run and --max-drop compare with a run's model: another tool's file has none")
        if public_key is not None:
            raise typer.BadParameter("--public-key is for files of lenet-edge: another tool's file is not signed by it")
        _verify_foreign(foreign, dataset, data_dir, as_json)
        return
    signatures = _check_signatures(files, run, public_key, data_dir)
    found = _run_to_compare_with(files, run, data_dir, trust)
    if found is None:
        passed = _verify_alone(files or [], dataset, data_dir, max_drop, as_json, signatures)
    else:
        passed = _verify_against(found, files, dataset, max_drop, run is None, trust, as_json, signatures)
    if not passed:
        raise typer.Exit(3)


def _run_to_compare_with(files: list[Path] | None, run: Path | None, data_dir: Path | None, trust: bool) -> Any:
    """The run whose PyTorch model the files are compared with; None where it is not here, or torch is not."""
    from importlib.util import find_spec

    from lenet_edge.evaluation.file_verification import is_damaged
    from lenet_edge.runs.exported import run_of
    from lenet_edge.runs.finding import find_run

    if run is not None or not files:
        return find_run(run, data_dir=data_dir)
    return run_of(files[0], data_dir, trust) if find_spec("torch") and not is_damaged(files[0]) else None


def _verify_alone(
    files: list[Path],
    dataset: str | None,
    data_dir: Path | None,
    max_drop: float | None,
    as_json: bool,
    signatures: Any,
) -> bool:
    if max_drop is not None and dataset is None:
        raise typer.BadParameter("--max-drop needs images: the run of these files is not here, so give --dataset")
    from lenet_edge.evaluation.file_verification import data_for, examine

    data = data_for(files[0], dataset, data_dir) if dataset else None
    found = [examine(path, data, max_drop) for path in files]
    passed = all(item.passed for item in found)
    if as_json:
        console.print_json({"passed": passed, "reference": None, "models": found, **signatures})
    else:
        _print_evidence(found)
    return passed


def _verify_foreign(classifiers: list[Any], dataset: str | None, data_dir: Path | None, as_json: bool) -> None:
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.evaluation.foreign_accuracy import better_normalisation, measure_accuracy, of_its_size

    if dataset is None:
        raise typer.BadParameter("give --dataset: another tool's file has no card and no known answers to verify")
    data = load_dataset(dataset, data_dir)
    found = []
    for classifier in classifiers:
        sized, remark = of_its_size(data, classifier.spec)
        found.append(measure_accuracy(classifier, sized))
        for text in (remark, better_normalisation(classifier, sized)):
            if text:
                console.say(text)
    if as_json:
        console.print_json({"passed": True, "reference": None, "models": found})
        return
    console.print_table(
        f"on {len(data.test_labels):,} test images of {data.name}",
        ["file", "accuracy", "95 % interval"],
        [
            [
                Path(item.path).name,
                console.percent(item.accuracy),
                " to ".join(console.percent(end) for end in item.accuracy_ci95),
            ]
            for item in found
        ],
    )


def _verify_against(
    found: Any,
    files: list[Path] | None,
    dataset: str | None,
    max_drop: float | None,
    same_weights: bool,
    trust: bool,
    as_json: bool,
    signatures: dict[str, Any],
) -> bool:
    from lenet_edge.evaluation.run_verification import verify
    from lenet_edge.runs.exported import exported_files

    data = found.images(dataset)
    if data.md5s != found.record.data_md5s:
        console.say(
            f"{data.name} is not what {found.run.folder} was trained on: files are compared with "
            f"{found.record.reference} on it"
        )
    if not files:
        _check_manifest(found.run)
    result = verify(files or exported_files(found.run), found, data, max_drop, same_weights=same_weights, trust=trust)
    if as_json:
        console.print_json(as_document(result) | signatures)
    else:
        print_verification(result)
    return bool(result.passed)


def _check_signatures(
    files: list[Path] | None, run: Path | None, public_key: Path | None, data_dir: Path | None
) -> dict[str, Any]:
    """Who signed the files, or the run, as part of the JSON document; nothing of them is opened before."""
    if public_key is None:
        return {}
    from lenet_edge.artefacts.signing import check
    from lenet_edge.runs.finding import find_run

    found = [check(path, public_key) for path in files or [find_run(run, data_dir=data_dir).run.folder]]
    for item in found:
        console.say(f"{item.path}: signed by {item.fingerprint}")
    return {"signatures": found}


def _check_manifest(run: Any) -> None:
    """Compare all files of a run with its manifest, those too that no format opens."""
    from lenet_edge_exporters import manifest

    if not manifest.read(run.folder):
        console.say(f"{run.folder} has no manifest of its files; 'lenet-edge export' writes one")
    for name in manifest.check_all(run.folder):
        console.say(f"{run.folder}/{name} is in the manifest and not there any more")


def _print_evidence(found: list[Any]) -> None:
    """Print what files prove by themselves, and their cards."""
    console.print_table(
        "on their own evidence (their run is not here, or torch is not installed)",
        ["file", "seal", "known answers", "card: accuracy", "test set", "drop, pp (95 %)", "measured now", ""],
        [
            [
                Path(item.path).name,
                "whole" if item.proof.sealed else "BROKEN",
                describe_answers(item.proof),
                console.percent(item.card["accuracy"]) if item.card else "-",
                f"{item.card['images']:,} of {item.card['dataset']}" if item.card else "-",
                "{:+.3f} to {:+.3f}".format(*item.card["drop_ci95_pp"]) if item.card else "-",
                "-" if item.accuracy is None else console.percent(item.accuracy),
                "passed" if item.passed else "FAILED",
            ]
            for item in found
        ],
    )
    for item in found:
        if item.remark:
            console.say(f"{item.path}: {item.remark}")


def describe_answers(proof: Any) -> str:
    """How the known answers were given: exactly, within the tolerance, or not."""
    if proof.known_answers == 0:
        return "not replayed"
    if proof.greatest_difference > proof.tolerance:
        return f"WRONG by {proof.greatest_difference:.2g}"
    return f"{proof.known_answers} " + ("exact" if proof.tolerance == 0 else f"within {proof.tolerance:.1g}")


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
        f"against {result.reference}: {console.percent(result.reference_accuracy)} of {result.images:,} test "
        f"images of {result.dataset} (95 % interval {low} to {high}); gate {result.max_drop_pp:g} pp",
        [
            "file",
            "accuracy",
            "agreement",
            "drop, pp",
            "95 % interval",
            "McNemar p",
            "logits differ",
            "own evidence",
            "gate",
        ],
        [
            [
                Path(item.path).name,
                console.percent(item.accuracy),
                console.percent(item.agreement),
                f"{item.accuracy_drop_pp:+.2f}",
                f"{item.drop_lower95_pp:+.3f} to {item.drop_upper95_pp:+.3f}",
                f"{item.mcnemar_p:.3g}",
                f"{item.max_abs_logit_difference:.2g}",
                "-" if item.proof is None else describe_answers(item.proof) if item.proof.sealed else "SEAL BROKEN",
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
    from lenet_edge.evaluation.comparison import smallest_provable_drop

    smallest = smallest_provable_drop(images)
    if smallest > max_drop_pp:
        return (
            f"{images} test images cannot show a drop below {smallest:.2f} pp, even for a file that never differs: "
            f"use more images, or --max-drop above that"
        )
    return f"failed: the accuracy drop may be above the gate, {max_drop_pp:g} percentage points (--max-drop)"
