"""The only place that opens an onnxruntime session."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lenet_edge_runtime.errors import ArgumentError, ModelFileError, ProviderError
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.reading import read_bytes

# More than there are processors gains nothing, and each takes memory.
MOST_THREADS = os.cpu_count() or 1

if TYPE_CHECKING:
    import onnxruntime


def open_session(
    path: Path | str, threads: int = 1, *, with_external_data: bool = False
) -> onnxruntime.InferenceSession:
    """Open an ONNX or ORT file on the CPU, see `open_content`; raises ModelFileError for one that is missing too.

    `with_external_data`: the weights beside it are read too; where they lie has to be checked before.
    """
    return open_content(str(path) if with_external_data else read_model(path), str(path), threads)


def open_content(
    content: bytes | str, name: str, threads: int = 1, provider: str = "cpu", *, optimised: Path | None = None
) -> onnxruntime.InferenceSession:
    """Open an ONNX or ORT file's bytes with exactly `threads` threads, which do not spin between calls.

    A path in place of bytes opens a file with its weights beside it.

    One thread is the default because two spinning ones gave a p99 of 4.2 ms and kept 87 % of a core busy at 50
    requests a second. `provider` runs the whole model, or ProviderError says that it does not: onnxruntime itself
    would give to the CPU what another provider cannot run. Raises ModelFileError for what is no model; `name` is what
    errors call it. The graph that is run, after onnxruntime's own rewriting, is written to `optimised`.
    """
    import onnxruntime  # 0.4 s, which `lenet-edge --help` need not wait for

    check_threads(threads)
    wanted = _provider(provider)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    if wanted != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    try:
        # From bytes: a file that refers to others (external data) cannot reach them.
        session = onnxruntime.InferenceSession(content, options, providers=[wanted], enable_fallback=0)
    except Exception as error:  # onnxruntime raises a dozen types of its own, with no common base
        reason = str(error).strip().split("\n")[0][:200]
        if wanted != CPU:
            raise ProviderError(f"{provider} cannot run all of {name} ({reason}); use provider cpu") from None
        raise ModelFileError(f"{name} is not an ONNX model that onnxruntime can run ({reason})") from None
    if session.get_providers()[0] != wanted:
        raise ProviderError(f"onnxruntime has the provider {provider}, but it did not start on this machine; use cpu")
    return session


CPU = "CPUExecutionProvider"


def check_threads(threads: int) -> None:
    """Raise ArgumentError for another number of threads than 1 to this machine's: each takes memory of its own."""
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
        raise ArgumentError(
            f"threads is a whole number from 1 to {MOST_THREADS}, the processors of this machine; got {threads!r}"
        )


def _provider(name: str) -> str:
    """onnxruntime's own word for a provider; raise ProviderError for one that this build of it has not."""
    import onnxruntime

    has = {full.removesuffix("ExecutionProvider").lower(): full for full in onnxruntime.get_available_providers()}
    if name not in has:
        raise ProviderError(
            f"the installed onnxruntime has no provider {name!r}, it has {', '.join(sorted(has))}; "
            f"install the build of onnxruntime that brings it, onnxruntime-gpu for cuda"
        )
    full: str = has[name]
    return full


def read_model(path: Path | str) -> bytes:
    """Read a model file whole; raise ModelFileError where there is none or it is too large."""
    path = Path(path)
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise ModelFileError(
            f"{path} does not exist: {near_path(Path(path))}give the path of an exported model"
        ) from None
    except IsADirectoryError:
        raise ModelFileError(
            f"{path} is a folder, expected a file: give an exported model, or, of a folder of C, the library that "
            f"'make' builds in it"
        ) from None
    except (OSError, ValueError) as error:  # a zero byte in a name is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"{path} cannot be read ({reason}): give the path of an exported model") from None


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    return hashlib.sha256(read_bytes(path)).hexdigest()
