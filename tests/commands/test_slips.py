"""A nearly right command, option, choice or file, as it is typed, is answered with the near one."""

import pytest

from command_line import CommandLine

SLIPS = {
    "option": (("export", "--actvation", "relu"), "--activation"),
    "command": (("exprt",), "'export'"),
    "choice of Typer": (("export", "--input", "float23"), "did you mean 'float32'?"),
    "--activation": (("export", "w.pth", "--dataset", "digits", "--activation", "rleu"), "did you mean 'relu'?"),
    "--calibration-method": (("export", "--int8", "--calibration-method", "entrpy"), "did you mean 'entropy'?"),
    "--engine": (("export", "--web", "page", "--engine", "wsam"), "did you mean 'wasm'?"),
    "--api": (("bench", "--api", "io-bindng"), "did you mean 'io-binding'?"),
    "--fit": (("predict", "d.png", "--fit", "resise"), "did you mean 'resize'?"),
    "--format": (("predict", "d.png", "--format", "jsnol"), "did you mean 'jsonl'?"),
    "--class-weights": (("train", "--class-weights", "balnced"), "did you mean 'balanced'?"),
    "recipe": (("train", "lenet5-clasic"), "did you mean 'lenet5-classic'?"),
    "recipe of a study": (("compare", "lenet-5"), "did you mean 'lenet5'?"),
    "data set": (("train", "--dataset", "mnits"), "did you mean 'mnist'?"),
    "own images": (("train", "--dataset", "phtos"), "did you mean 'photos'?"),
    "weights": (("export", "w.pht", "--dataset", "digits"), "did you mean 'w.pth'?"),
    "file": (("info", "theirs.onx"), "did you mean 'theirs.onnx'?"),
    "ending": (("verify", "net.onxn"), "did you mean '.onnx'?"),
    "network that comes along": (("predict", "pretrained:mnst", "d.png"), "did you mean 'mnist'?"),
    "program": (("train", "--net", "mynt.py:Net"), "did you mean 'mynet.py'?"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_every_command_says_what_was_meant(name: str, cli: CommandLine) -> None:
    for file in ("w.pth", "d.png", "theirs.onnx", "net.onxn", "mynet.py"):
        (cli.folder / file).touch()
    (cli.folder / "photos").mkdir()
    command, meant = SLIPS[name]
    result = cli(*command)
    assert result.exit_code in (1, 2)
    assert meant in " ".join(result.stderr.split())
