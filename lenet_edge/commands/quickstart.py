"""`lenet-edge quickstart`: the whole line on data that needs no download."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import JsonOption
from lenet_edge_runtime.extras import require

NAME = "quickstart"
DATASET = "digits"
SHOWN = 5  # test images classified at the end


def run(
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/lenet5-digits-N by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Go through all steps on real digits, in under a minute.

    Trains, exports, verifies, measures and predicts on the handwritten digits that scikit-learn carries.

    Example: lenet-edge quickstart
    """
    require("train", "this command")
    console.say("1/5  training LeNet-5 on 1,797 handwritten digits that scikit-learn carries")
    from lenet_edge.artefacts.exporting import export_run
    from lenet_edge.bench.measuring import BenchPlan, bench, describe_bench_host
    from lenet_edge.commands.train import train_run
    from lenet_edge.data.datasets import load_dataset
    from lenet_edge.evaluation.run_verification import verify
    from lenet_edge.networks.recipes import DEFAULT_RECIPE, find_recipe
    from lenet_edge.runs.opened import open_run
    from lenet_edge.training.training import start_run

    data = load_dataset(DATASET)
    created = start_run(find_recipe(DEFAULT_RECIPE), data, out, device="cpu")
    trained = train_run(created, data)
    console.say("2/5  exporting TorchScript, ONNX and int8 ONNX, each compared with the PyTorch model")
    finished = open_run(created)
    exported = export_run(finished, ["torchscript", "onnx", "int8"])
    files = [artifact.path for artifact in exported.artifacts]
    console.say(f"3/5  measuring their accuracy on {len(data.test_labels)} test images")
    verified = verify(files, finished, data, None, same_weights=True)
    console.say("4/5  measuring their latency")
    rows = bench(files, created, data.test_pixels, batches=[1], threads=[1], plan=BenchPlan())
    console.say(f"5/5  classifying {SHOWN} test images with the int8 file")
    predictions = _predict(created.folder / "samples", files[-1], data)
    if as_json:
        host = describe_bench_host()
        console.print_json(
            {
                "run": str(created.folder),
                "train": trained,
                "export": exported.artifacts,
                "verify": {"passed": verified.passed, "models": verified.verdicts},
                "bench": {"host": host, "rows": rows},
                "predict": predictions,
            }
        )
    else:
        _print(created, data, trained, verified, rows, predictions)
    if not verified.passed:
        raise typer.Exit(3)


def _predict(folder: Path, model: Path, data: Any) -> list[dict[str, Any]]:
    """Write the first test images of different classes as PNG files and classify those files."""
    from PIL import Image

    from lenet_edge_runtime import Classifier

    classifier = Classifier(model)
    folder.mkdir(exist_ok=True)
    found = []
    for label in range(SHOWN):
        index = int((data.test_labels == label).argmax())
        path = folder / f"{data.labels[label]}.png"
        Image.fromarray(data.test_pixels[index, 0]).save(path)
        found.append({"path": str(path), **vars(classifier.predict(path))})
    return found


def _print(created: Any, data: Any, trained: Any, verified: Any, rows: list[Any], predictions: list[Any]) -> None:
    from lenet_edge.bench.tables import int8_beside_float32

    latency = {row.format: row for row in rows}
    reference = latency["pytorch"]
    lines = [
        [
            "PyTorch", console.kilobytes(reference.bytes), console.percent(verified.reference_accuracy), "", "",
            f"{reference.p50_us:.1f}", "1.0", "",
        ]
    ]  # fmt: skip
    for item in verified.verdicts:
        row = latency[item.format]
        lines.append(
            [
                item.format,
                console.kilobytes(row.bytes),
                console.percent(item.accuracy),
                console.percent(item.agreement),
                f"{item.drop_lower95_pp:+.2f} to {item.drop_upper95_pp:+.2f}",
                f"{row.p50_us:.1f}",
                f"{1 / row.relative_to_pytorch:.1f}",
                "passed" if item.passed else "FAILED",
            ]
        )
    console.print_table(
        f"LeNet-5 on {data.name}, {verified.images} test images; trained in {trained['seconds']:.0f} s",
        ["", "size", "accuracy", "agreement", "drop, pp (95 %)", "latency, us", "times faster", "gate"],
        lines,
    )
    for remark in int8_beside_float32(rows):
        console.say(remark)
    answers = ", ".join(f"{Path(item['path']).name} is {item['label']}" for item in predictions)
    console.say(f"predictions of the int8 file: {answers}")
    console.say(f"everything is in {created.folder}/: weights, history, curves.png, export/, samples/")
    console.say("next: lenet-edge train (MNIST), or lenet-edge predict YOUR-IMAGE.png")
