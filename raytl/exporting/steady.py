"""Layers that no program can be traced through, replaced by others that compute the same in eval
mode.

Legend: B rows, S steps of the longest row, C channels, D features.
"""

import copy

import torch
from torch import Tensor, nn

from raytl.modalities.series.inception import MaskedBatchNorm, Own
from raytl.modalities.series.rnn import RecurrentLayer
from raytl.modalities.text.bilstm import LstmLayer
from raytl.rows import Padded


class SteadyNorm(nn.Module):
    """`MaskedBatchNorm` with fixed statistics: they need not be told which steps are rows' own."""

    def __init__(self, masked: MaskedBatchNorm) -> None:
        super().__init__()
        self.norm = masked.norm

    def forward(self, x_BCS: Tensor, own: Own) -> Tensor:
        """(B, C, S) → (B, C, S), zeros where a step is no row's own."""
        return self.norm(x_BCS).masked_fill(own.hidden_B1S, 0.0)


class SteadyRecurrence(nn.Module):
    """A recurrent layer over rows that are not packed: forward as they stand, backward with each
    row's own steps turned round. Padded (B, S, C) → Padded (B, S, D)."""

    def __init__(self, rnn: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.directions = nn.ModuleList(_direction(rnn, end) for end in _ends(rnn))

    def forward(self, x: Padded) -> Padded:
        places_S = torch.arange(x.values.shape[1], device=x.values.device)
        last_B1 = x.sizes[:, :1].clamp(min=1) - 1
        turned_BS = torch.where(places_S <= last_B1, last_B1 - places_S, places_S)
        found = []
        for number, one in enumerate(self.directions):
            if number == 0:
                found.append(one(x.values)[0])
            else:
                found.append(_turned(one(_turned(x.values, turned_BS))[0], turned_BS))
        h_BSD = torch.cat(found, dim=2)
        return x.with_values(h_BSD.masked_fill(~x.mask.unsqueeze(2), 0.0))


def _turned(x_BSC: Tensor, places_BS: Tensor) -> Tensor:
    return x_BSC.gather(1, places_BS.unsqueeze(2).expand(-1, -1, x_BSC.shape[2]))


def _ends(rnn: nn.LSTM | nn.GRU) -> tuple[str, ...]:
    """How the names of each direction's weights end."""
    assert rnn.num_layers == 1, "a block is a layer"
    return ("_l0", "_l0_reverse") if rnn.bidirectional else ("_l0",)


def _direction(rnn: nn.LSTM | nn.GRU, end: str) -> nn.Module:
    """Return one direction of a layer as a layer of its own."""
    one = type(rnn)(rnn.input_size, rnn.hidden_size, batch_first=True)
    weights = {n.removesuffix(end): w for n, w in rnn.state_dict().items() if n.endswith(end)}
    one.load_state_dict({f"{name}_l0": weight for name, weight in weights.items()})
    return one


def steady(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode, without gradients, whose layers can be traced."""
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    for name, module in list(twin.named_modules()):
        new: nn.Module | None = None
        if isinstance(module, MaskedBatchNorm):
            new = SteadyNorm(module)
        elif isinstance(module, RecurrentLayer):
            new = SteadyRecurrence(module.rnn)
        elif isinstance(module, LstmLayer):  # its dropout is off
            new = SteadyRecurrence(module.lstm)
        if new is not None:
            parent, _, last = name.rpartition(".")
            setattr(twin.get_submodule(parent), last, new.eval().requires_grad_(False))
    return twin
