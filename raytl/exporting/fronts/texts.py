"""The front of networks that read tokens.

Legend: B batch, S tokens of the longest row.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from raytl.exporting.fronts.base import BATCH, LENGTH, Front, Slot, drawn_lengths
from raytl.modalities.text.transform import (
    TokenizerTransform,
    VocabularyTransform,
    load_tokenizer,
)
from raytl.rows import Padded, Rows

IN_FILES = ("tokenizer", "network")  # facts that do not stand with the others


class TextFront(Front):
    """Token numbers and how many of them are each row's own."""

    def __init__(self, name: str, transform: VocabularyTransform | TokenizerTransform) -> None:
        super().__init__()
        facts = transform.facts()
        self.transform, self.longest = transform, int(facts["max_length"])
        if isinstance(transform, TokenizerTransform):
            how = "as tokenizer.json (the tokenizers library) numbers them, special tokens included"
        else:
            how = "by their places in `vocabulary` from 2 on, 1 for one that is not in it"
        self.slots = (
            Slot(name, "int64", (BATCH, LENGTH),
                 f"tokens {how}, {self.longest} a row at most; 0 behind a row's end"),
            Slot(f"{name}_length", "int64", (BATCH,), "how many tokens each row has, 1 at least"),
        )  # fmt: skip

    def forward(self, *tensors: Tensor) -> Padded:
        return Padded(tensors[0], tensors[1].unsqueeze(1))

    def trial(self, rows: int, random: np.random.Generator) -> tuple[tuple[Tensor, ...], Rows]:
        assert self.longest is not None
        lengths_B = drawn_lengths(rows, min(self.longest, 12), random)
        most = int(lengths_B.max())
        tokens_BS = torch.from_numpy(random.integers(1, self.transform.size, (rows, most)))
        tokens_BS = tokens_BS * (torch.arange(most) < lengths_B.unsqueeze(1))
        prepared = Padded(tokens_BS.to(torch.int32), lengths_B.unsqueeze(1))
        return (tokens_BS, lengths_B), prepared

    def own_facts(self) -> dict[str, Any]:
        return {key: of for key, of in self.transform.facts().items() if key not in IN_FILES}

    def own_files(self) -> dict[str, str]:
        facts = self.transform.facts()
        if "tokenizer" not in facts:
            return {}
        # A network's own file may pad and cut otherwise
        tokenizer = load_tokenizer(facts["tokenizer"])
        tokenizer.no_padding()
        tokenizer.enable_truncation(facts["max_length"])
        return {"tokenizer.json": tokenizer.to_str()}
