"""Tensors on disk as safetensors, which holds no code: the final weights, and the state that training resumes from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from lenet_edge_exporters import atomic
from lenet_edge_runtime import records
from lenet_edge_runtime.errors import RunError, WeightsError
from lenet_edge_runtime.reading import check_regular, read_bytes
from lenet_edge_runtime.records import Within


@dataclass(frozen=True)
class TrainingState:
    """All that decides how training goes on: with it, a resumed run is bit-equal to one that never stopped."""

    epoch: int  # finished epochs
    tensors: dict[str, Tensor]  # network, average, momentum and random number generators, by dotted name

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below `name.`, without that prefix."""
        prefix = name + "."
        return {key[len(prefix) :]: value for key, value in self.tensors.items() if key.startswith(prefix)}


def flatten(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Name the tensors of several parts `part.key`; copies, so that training may go on meanwhile."""
    return {
        f"{part}.{key}": value.detach().cpu().clone().contiguous()
        for part, tensors in parts.items()
        for key, value in tensors.items()
    }


@dataclass(frozen=True)
class _Metadata:
    """What a checkpoint's file says of itself."""

    epoch: Annotated[int, Within(0, 1_000_000)]


def save_state(path: Path, state: TrainingState) -> None:
    """Write a checkpoint, whole or not at all."""
    atomic.write_bytes(path, save(state.tensors, metadata={"epoch": json.dumps(state.epoch)}))


def load_state(path: Path) -> TrainingState:
    """Read a checkpoint; raise RunError where it is missing or damaged."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = file.metadata() or {}
            epoch = records.from_fields(_Metadata, {"epoch": records.parse(metadata.get("epoch", ""))}).epoch
            # Copies: a file that tensors are still mapped to cannot be replaced on Windows.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 - no dict
            return TrainingState(epoch, tensors)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RunError(f"{path} is missing or damaged ({error}); train a new run") from None


def save_weights(path: Path, net: nn.Module) -> None:
    """Write the network's state_dict, whole or not at all."""
    atomic.write_bytes(path, save(flatten({"net": net.state_dict()})))


def load_weights(path: Path, net: nn.Module) -> None:
    """Read weights that `save_weights` wrote into `net`; raise WeightsError where they are damaged or do not fit."""
    try:
        tensors = load(read_bytes(path))
        net.load_state_dict({key.removeprefix("net."): value for key, value in tensors.items()})
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} is damaged or of another architecture ({reason}); train again") from None


def random_state(generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    """The states of all random number generators that training draws from."""
    states = {"generator": generator.get_state(), "torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_state(states: Mapping[str, Tensor], generator: torch.Generator, device: torch.device) -> None:
    """Put back what `random_state` took."""
    generator.set_state(states["generator"])
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
