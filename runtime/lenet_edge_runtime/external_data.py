"""Weights that an ONNX file keeps in other files: read where they lie in its own folder, and nowhere else.

torch.onnx.export writes NAME.onnx.data beside NAME.onnx by default since torch 2.9. A hostile file names /etc/passwd.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.reading import check_regular, real_path


def check_locations(path: Path, locations: Sequence[str], limit: int) -> None:
    """Raise ModelFileError unless every location is a regular file in the folder of `path`, of `limit` bytes at most.

    No absolute path, none that goes up, and no link that leads out of the folder.
    """
    folder = real_path(path.parent)
    for location in locations:
        parts = PurePosixPath(location).parts
        windows = PureWindowsPath(location)
        leads_out = windows.drive or windows.root or "\\" in location or ".." in parts or not parts
        if leads_out or not real_path(folder / location).is_relative_to(folder):
            raise ModelFileError(
                f"{path} keeps weights outside of its own folder (external data in {location!r}): not read; save it as "
                f"one file: onnx.save(onnx.load({path.name!r}), 'one.onnx')"
            )
        try:
            check_regular(folder / location, limit)
        except OSError as error:
            raise ModelFileError(
                f"{path} keeps weights in external data, {location!r}, which cannot be read ({error.strerror}): put it "
                f"beside the file, or save it as one file: onnx.save(onnx.load({path.name!r}), 'one.onnx')"
            ) from None
