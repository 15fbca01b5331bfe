"""The mean of token vectors, and layers over it.

Legend: B rows, S positions, C features of a token, D features.
"""

from pydantic import PositiveInt
from torch import Tensor, nn

from raytl.config.base import Count
from raytl.modalities.backbone import Backbone, MeanPool
from raytl.modalities.text.embedding import Embedding, EmbeddingArgs
from raytl.modalities.text.transform import VocabularyTransform
from raytl.rows import Padded, mean_of


class BagArgs(EmbeddingArgs):
    """Arguments of `bag_of_embeddings`."""

    hidden: PositiveInt = 128  # features of each layer
    layers: Count = 1  # over the mean; 0: the mean itself, as fastText has it


class MeanLayer(nn.Module):
    """relu(W · mean over the row's own positions + b): Padded (B, S, C) → (B, D)."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inside, outside)

    def forward(self, h: Padded) -> Tensor:
        return self.linear(mean_of(h)).relu()


def bag_of_embeddings(name: str, transform: VocabularyTransform, args: BagArgs) -> Backbone:
    """Iyyer et al. 2015, "Deep unordered composition rivals syntactic methods" (DAN), eq. 1 and
    section 3, with ReLU for tanh: block 0 is the token vectors, then a block a layer, the first of
    which takes their mean. Without layers it is fastText (Joulin et al. 2017)."""
    stem = Embedding(transform, args)
    example = transform.example(2)
    if args.layers == 0:
        return Backbone(name, [stem], MeanPool(), example)
    blocks: list[nn.Module] = [stem, MeanLayer(stem.dim, args.hidden)]
    for _ in range(args.layers - 1):
        blocks.append(nn.Sequential(nn.Linear(args.hidden, args.hidden), nn.ReLU()))
    return Backbone(name, blocks, nn.Identity(), example)
