"""`lenet-edge export`."""

from functools import partial
from pathlib import Path
from typing import Any

import typer

from lenet_edge import console
from lenet_edge.commands.export_folder_options import NameOption, PackageOption, check_folders
from lenet_edge.commands.export_options import (
    CalibrationDrawsOption,
    CalibrationImagesOption,
    CalibrationMethodOption,
    CalibrationSeedOption,
    CdnOption,
    EngineOption,
    FormatsOption,
    InputOption,
    Int8LayersOption,
    Int8Option,
    OpsetOption,
    OutOption,
    RunArgument,
    SbomOption,
    TfliteLogitsOption,
    WebOption,
    check_web_options,
    chosen_formats,
    int8_plan,
)
from lenet_edge.commands.export_sources import foreign_run, own_run, run_to_export
from lenet_edge.commands.export_tables import print_report
from lenet_edge.commands.import_options import (
    AcceptAccuracyOption,
    ActivationOption,
    CalibrateOption,
    CheckOption,
    ModelOption,
    PaddingOption,
    PoolingOption,
    WeightsDatasetOption,
    WeightsMeanOption,
    WeightsOption,
    WeightsStdOption,
    check_foreign_options,
    check_own_options,
    is_foreign,
    scaled,
    weights_said,
)
from lenet_edge.commands.verify import why_it_failed
from lenet_edge.options import (
    DataDirOption,
    JsonOption,
    LabelsOption,
    MaxDropOption,
    MlflowOption,
    NetOption,
    ScaleOption,
    TrustOption,
)
from lenet_edge.web.engines import DEFAULT_ENGINE, ENGINES, engine_for
from lenet_edge_exporters.export_job import (
    CALIBRATION_IMAGES,
    DEFAULT_OPSET,
)
from lenet_edge_exporters.formats import check_tools
from lenet_edge_exporters.opening import check_trust
from lenet_edge_runtime.extras import require
from lenet_edge_runtime.pretrained_files import pretrained_name

NAME = "export"
OF_A_PAGE = ("run", "--web", "--engine", "--cdn", "--trust", "--json")  # what goes with an exported file and --web


def run(
    context: typer.Context,
    run: RunArgument = None,
    formats: FormatsOption = None,
    int8: Int8Option = False,
    int8_layers: Int8LayersOption = "all",
    calibration_images: CalibrationImagesOption = CALIBRATION_IMAGES,
    calibration_method: CalibrationMethodOption = "minmax",
    seed: CalibrationSeedOption = None,
    calibration_draws: CalibrationDrawsOption = 0,
    out: OutOption = None,
    opset: OpsetOption = DEFAULT_OPSET,
    input_type: InputOption = "uint8",
    tflite_logits: TfliteLogitsOption = "int8",
    name: NameOption = None,
    package: PackageOption = None,
    data_dir: DataDirOption = None,
    max_drop: MaxDropOption = None,
    model: ModelOption = None,
    net: NetOption = None,
    weights: WeightsOption = None,
    dataset: WeightsDatasetOption = None,
    mean: WeightsMeanOption = None,
    std: WeightsStdOption = None,
    activation: ActivationOption = None,
    pooling: PoolingOption = None,
    padding: PaddingOption = None,
    check: CheckOption = True,
    accept_accuracy: AcceptAccuracyOption = False,
    calibrate: CalibrateOption = False,
    web: WebOption = None,
    engine: EngineOption = None,
    cdn: CdnOption = None,
    labels: LabelsOption = None,
    scale: ScaleOption = None,
    sbom: SbomOption = False,
    trust: TrustOption = False,
    mlflow: MlflowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a run to files, each checked as it is written.

    Every file is loaded again and compared with the PyTorch model.

    Example: lenet-edge export --int8
    """
    check_web_options(web, engine, cdn)
    shown = ENGINES[engine or DEFAULT_ENGINE]
    foreign = is_foreign(run, labels, scale)
    if web and run and engine_for(run) and not foreign:
        _refuse_what_exports(context, run)
        check_trust(run, trust)
        _say_page(_write_page(run, web, shown.name, cdn), as_json)
        return
    names = chosen_formats(
        formats or (["onnx"] if foreign else None), (["int8"] if int8 else []) + ([shown.format] if web else [])
    )
    # All that can be wrong on the command line, or is missing here, is found before weights become a run.
    check_folders(name, package, names)
    _check_what_is_here(names, sbom, mlflow)
    plan = int8_plan(calibration_images, calibration_method, seed, int8_layers, calibration_draws)
    if foreign:
        check_foreign_options(run, names, dataset, model or net or activation or pooling or padding or not check)
        mean, std = scaled(mean, std, scale)
        source = partial(foreign_run, run, dataset, data_dir, labels, mean, std, accept_accuracy, calibrate)
    elif net and (dataset or weights):
        check_own_options(run, model, dataset, mean, std)
        source = partial(own_run, net, weights, dataset, data_dir, mean, std, calibrate)
    else:
        said = weights_said(
            run, model, dataset, mean, std, activation, pooling, padding, check, accept_accuracy, calibrate
        )
        source = partial(run_to_export, run, said, model, dataset, data_dir)
    from lenet_edge.artefacts.exporting import export_run

    found = source()
    if out is None and run is not None and (packaged := pretrained_name(run)):
        out = Path(f"{packaged}-export")  # the package is no place for files
    with found.run.locked_for(out):
        report = export_run(
            found,
            names,
            out=out,
            opset=opset,
            int8=plan,
            max_drop_pp=max_drop,
            input_type=input_type,
            tflite_logits=tflite_logits,
            c_name=name,
            packages=package or [],
            bill=sbom,
        )
    fit_to_show = [item.path for item in report.artifacts if item.format == shown.format and item.passed]
    page = _write_page(fit_to_show[0], web, shown.name, cdn) if web and fit_to_show else None
    _print(found.run, report, page, as_json)
    if mlflow:
        _send(found, report, mlflow)
    if not report.passed:
        raise typer.Exit(3)
    console.say("next: lenet-edge verify")


def _check_what_is_here(names: list[str], sbom: bool, mlflow: str | None) -> None:
    """Raise LenetEdgeError where a package or a tool that is needed is missing, or MLflow cannot be told."""
    from lenet_edge.tracking.choice import Tracking

    require("train", "this command")
    check_tools(names)
    if sbom:
        require("sbom", "--sbom")
    Tracking(mlflow=mlflow).check()


def _send(found: Any, report: Any, uri: str) -> None:
    from lenet_edge.tracking.mlflow import Mlflow

    passed = [item.path for item in report.artifacts if item.passed]
    Mlflow(found.run, uri).send(found.record, [*passed, report.model_card])


def _print(run: Any, report: Any, page: Any, as_json: bool) -> None:
    """Print what was written, and in words what was rejected."""
    if as_json:
        console.print_json(as_document(run, report) | ({"web": page} if page else {}))
    else:
        print_report(report)
    if page:
        _say_page(page)
    if not report.passed:
        _say_why_rejected(report)


def _refuse_what_exports(context: typer.Context, path: Path) -> None:
    """Refuse the options that say how a run is exported, for a file that was exported before."""
    sources = {option.opts[0]: context.get_parameter_source(str(option.name)) for option in context.command.params}
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    if given := [name for name in given if name not in OF_A_PAGE]:
        raise typer.BadParameter(
            f"{path} is exported already, and --web shows it as it is: leave out {', '.join(given)}, or name its run"
        )


def _write_page(path: Path, web: Path, engine: str, cdn: str | None) -> Any:
    from lenet_edge.web.page import write_page

    return write_page(path, web, engine, cdn)


def _say_page(page: Any, as_json: bool = False) -> None:
    if as_json:
        console.print_json({"web": page})
    console.say(page.remark)
    console.say(f"the web page: {page.folder}/, {page.files} files, {page.bytes / 1e6:.2f} MB")
    console.say(f"next: lenet-edge serve {page.folder}")


def as_document(run: Any, report: Any) -> dict[str, Any]:
    """What `export --json` prints; the last four keys only where they were asked for, or int8 was rejected."""
    optional = {
        "int8_selection": report.selection,
        "calibration_draws": report.calibration_draws,
        "layer_sensitivity": report.sensitivity,
        "packages": report.packages or None,
    }
    return {
        "run": str(run.folder),
        "passed": report.passed,
        "artifacts": report.artifacts,
        "model_card": report.model_card,
        **{key: value for key, value in optional.items() if value is not None},
    }


def _say_why_rejected(report: Any) -> None:
    card = next(item.card for item in report.artifacts if item.card and not item.passed)
    console.say(why_it_failed(card["max_drop_pp"], card["images"]))
    if report.sensitivity:
        console.say("'lenet-edge train --qat' fine-tunes the run for int8")
