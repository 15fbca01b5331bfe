"""Recurrent networks over padded series.

Legend: B rows, S steps of the longest row, C channels, D features.
"""

from pydantic import PositiveInt
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from raytl.config import Frozen
from raytl.modalities.backbone import Backbone, MaxPool
from raytl.rows import Padded

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class RnnArgs(Frozen):
    """`args:` of lstm and gru."""

    layers: PositiveInt = 2  # a block each
    width: PositiveInt = 64  # of a layer's state, in each direction
    bidirectional: bool = True


class RecurrentLayer(nn.Module):
    """One layer: Padded (B, S, C) → Padded (B, S, D), D = width, twice that in both directions.

    Rows are packed, so that the backward direction starts at a row's own last step.
    """

    def __init__(self, cell: str, inside: int, width: int, bidirectional: bool) -> None:
        super().__init__()
        self.rnn = CELLS[cell](inside, width, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Padded) -> Padded:
        # Packing knows no row of length 0: it runs one step of zeros, which is hidden after.
        lengths = x.sizes[:, 0].clamp(min=1).cpu()
        packed = pack_padded_sequence(x.values, lengths, batch_first=True, enforce_sorted=False)
        out, _ = self.rnn(packed)
        h_BSD, _ = pad_packed_sequence(out, batch_first=True, total_length=x.values.shape[1])
        return x.with_values(h_BSD.masked_fill(~x.mask.unsqueeze(2), 0.0))


def build_rnn(name: str, channels: int, args: RnnArgs, example: Padded) -> Backbone:
    """Long short-term memory (Hochreiter & Schmidhuber 1997) or gated recurrent units (Cho et al.
    2014); features are the greatest values over a row's own steps of what the last layer gives
    (Conneau et al. 2017, "Supervised Learning of Universal Sentence Representations", section
    3.2), which on UEA's BasicMotions was surer than their mean."""
    directions = 2 if args.bidirectional else 1
    sizes = [channels, *[args.width * directions] * (args.layers - 1)]
    blocks = [RecurrentLayer(name, size, args.width, args.bidirectional) for size in sizes]
    return Backbone(name, blocks, MaxPool(), example)
