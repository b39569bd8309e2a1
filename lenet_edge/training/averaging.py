"""The exponential moving average of a network's weights, which becomes the final weights of a training."""

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """A copy of a network whose parameters and buffers follow the trained ones; `module` is that copy.

    Bit for bit torch.optim.swa_utils.AveragedModel with its exponential average, and with its names in `state_dict`.
    That one looks for the tensors, their devices and types anew at each step, which takes longer than averaging.
    """

    def __init__(self, net: nn.Module) -> None:
        self.module = copy.deepcopy(net)
        self._updates = 0
        # Where they stand, rather than the tensors: a module may put another one in its buffer's place.
        self._pairs = list(zip(_places(self.module), _places(net), strict=True))

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move the average towards the trained network by a share of 1 - `decay`; all the way at the first call."""
        lists: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for (kept, name), (trained, _) in self._pairs:
            averaged, current = lists.setdefault(kept[name].dtype, ([], []))
            averaged.append(kept[name])
            current.append(trained[name])
        for averaged, current in lists.values():
            if self._updates:
                get_ema_multi_avg_fn(decay)(averaged, current, None)  # type: ignore[no-untyped-call]
            else:
                torch._foreach_copy_(averaged, current)
        self._updates += 1

    def state_dict(self) -> dict[str, Tensor]:
        """All that the next update depends on."""
        return {"n_averaged": torch.tensor(self._updates), **self.module.state_dict(prefix="module.")}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go back to what `state_dict` gave."""
        tensors = {name.removeprefix("module."): value for name, value in state.items() if name != "n_averaged"}
        self.module.load_state_dict(tensors)
        self._updates = int(state["n_averaged"])


def _places(net: nn.Module) -> Iterator[tuple[dict[str, Tensor], str]]:
    """Each parameter and buffer once, as the dictionary of its module and its name there."""
    seen: set[int] = set()
    for module in net.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield tensors, name  # type: ignore[misc]
