"""Exported files with a payload: opened, each would write the file at `canary`."""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import torch

from lenet_edge_exporters import torchscript
from lenet_edge_exporters.c import wasm


class _Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.canary), "w"))


def torchscript_file(good: Path, canary: Path) -> None:
    """A traced network would compute; this one maps a file of its maker's choice into memory, which makes it."""
    extra = {torchscript.METADATA_ENTRY: ""}
    torch.jit.load(good, _extra_files=extra)

    class Net(torch.nn.Module):
        path: str

        def __init__(self) -> None:
            super().__init__()
            self.path = str(canary)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.zeros(pixels.size(0), 10) + torch.from_file(self.path, True, 16).sum()

    torch.jit.save(torch.jit.script(Net()), good, _extra_files=extra)


def rewritten(good: Path, changed: dict[str, bytes]) -> None:
    """The archive with other contents of these parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            part = entry.filename.partition("/")[2]
            target.writestr(entry.filename, changed.pop(part, source.read(entry)))
        for part, content in changed.items():
            target.writestr(f"archive/{part}", content)
    good.write_bytes(buffer.getvalue())


def pt2_weights(good: Path, canary: Path) -> None:
    """Weights that the archive asks to be unpickled."""
    with zipfile.ZipFile(good) as archive:
        (name,) = [item for item in archive.namelist() if item.endswith("model_weights_config.json")]
        config = json.loads(archive.read(name))
    for entry in config["config"].values():
        entry["use_pickle"] = True
    payload = pickle.dumps(_Payload(canary))
    weights = {f"data/weights/{entry['path_name']}": payload for entry in config["config"].values()}
    rewritten(good, {"data/weights/model_weights_config.json": json.dumps(config).encode(), **weights})


def pt2_inputs(good: Path, canary: Path) -> None:
    """Sample inputs, which torch unpickles."""
    rewritten(good, {"data/sample_inputs/model.pt": pickle.dumps(_Payload(canary))})


def c_folder(good: Path, canary: Path) -> None:
    """A constructor, which runs as the library is opened."""
    source = good / "lenet_metadata.c"
    source.write_text(
        source.read_text()
        + "\n#include <stdio.h>\n__attribute__((constructor)) static void evil(void) { "
        + f'FILE *file = fopen("{canary}", "w"); if (file) fclose(file); }}\n'
    )


def wasm_folder(good: Path, canary: Path) -> None:
    """A loader that writes a file, sealed anew."""
    files, metadata = wasm.read(good)
    loader = f'import fs from "node:fs";\nfs.writeFileSync({json.dumps(str(canary))}, "");\n'.encode()
    sealed = wasm._sealed({**files, wasm.LOADER: loader + files[wasm.LOADER]}, metadata)
    shutil.rmtree(good)
    good.mkdir()
    for name, content in sealed.items():
        (good / name).write_bytes(content)


HOSTILE = {
    "torchscript": torchscript_file,
    "pt2": pt2_weights,
    "pt2 inputs": pt2_inputs,
    "c": c_folder,
    "wasm": wasm_folder,
}
