"""The likeliest sentence that a decoder says, by beam search.

Legend: B rows still searched, k hypotheses a row, V tokens known.
"""

from typing import Any

import torch
from torch import Tensor

from raytl import rows
from raytl.tasks.decoders import Decoder

BEAM = 4  # hypotheses a row
LENGTH_PENALTY = 0.6  # α: 0 favours short sentences


def beam_search(
    decoder: Decoder, memory: Any, longest: int, start: int, end: int, beam: int = BEAM
) -> list[list[int]]:
    """Return the tokens that are said of each row, `end` not among them, `longest` at most.

    Wu et al. 2016, "Google's Neural Machine Translation System", eq. 14: hypotheses are compared by
    log P / ((5 + length) / 6)^α. A row's search ends when its best hypothesis has ended, so what
    is said of a row does not hang on the rows beside it.
    """
    count = rows.count(memory)
    search = _Search(decoder, memory, count, beam, start, end)
    answers: list[list[int]] = [[] for _ in range(count)]
    for length in range(1, longest + 1):
        if not len(search.row_B):
            break
        search.say()
        done_B = search.ended_Bk[:, 0] | (length == longest)
        for row, said in zip(
            search.row_B[done_B].tolist(), search.said_BkT[done_B, 0].tolist(), strict=True
        ):
            answers[row] = said[: said.index(end)] if end in said else said
        search.keep(~done_B)
    return answers


class _Search:
    """The hypotheses of the rows that are still searched, each row's best one first."""

    def __init__(
        self, decoder: Decoder, memory: Any, count: int, beam: int, start: int, end: int
    ) -> None:
        self.decoder, self.beam, self.end = decoder, beam, end
        device = next(decoder.parameters()).device
        self.row_B = torch.arange(count, device=device)
        self.state = decoder.begin(rows.cut(memory, self.row_B.repeat_interleave(beam)))
        self.said_BkT = torch.empty(count, beam, 0, dtype=torch.int64, device=device)
        self.last_Bk = torch.full((count, beam), start, device=device)
        self.score_Bk = torch.zeros(count, beam, device=device)
        self.score_Bk[:, 1:] = -torch.inf  # all are the same at first
        self.ended_Bk = torch.zeros(count, beam, dtype=torch.bool, device=device)
        self.length_Bk = torch.zeros(count, beam, device=device)

    def say(self) -> None:
        """Say one token more. A hypothesis that has ended goes on with `end` at no cost."""
        logits, self.state = self.decoder.step(self.state, self.last_Bk.flatten())
        more_BkV = logits.float().log_softmax(1).view(*self.last_Bk.shape, -1)
        more_BkV = more_BkV.masked_fill(self.ended_Bk.unsqueeze(2), -torch.inf)
        more_BkV[..., self.end].masked_fill_(self.ended_Bk, 0.0)
        length_Bk = self.length_Bk + ~self.ended_Bk
        score_BkV = self.score_Bk.unsqueeze(2) + more_BkV
        compared_BkV = score_BkV / ((5 + length_Bk) / 6).pow(LENGTH_PENALTY).unsqueeze(2)
        best_Bk = compared_BkV.flatten(1).topk(self.beam, dim=1).indices
        of_Bk, self.last_Bk = best_Bk // logits.shape[1], best_Bk % logits.shape[1]
        self.score_Bk = score_BkV.flatten(1).gather(1, best_Bk)
        self.length_Bk = length_Bk.gather(1, of_Bk)
        self.ended_Bk = self.ended_Bk.gather(1, of_Bk) | (self.last_Bk == self.end)
        before_BkT = self.said_BkT.gather(
            1, of_Bk.unsqueeze(2).expand(-1, -1, self.said_BkT.shape[2])
        )
        self.said_BkT = torch.cat([before_BkT, self.last_Bk.unsqueeze(2)], dim=2)
        first_B1 = torch.arange(len(of_Bk), device=of_Bk.device).unsqueeze(1) * self.beam
        self.state = rows.cut(self.state, (first_B1 + of_Bk).flatten())

    def keep(self, kept_B: Tensor) -> None:
        """Search on for some of the rows."""
        if kept_B.all():
            return
        self.state = rows.cut(self.state, kept_B.repeat_interleave(self.beam).nonzero()[:, 0])
        self.row_B, self.said_BkT = self.row_B[kept_B], self.said_BkT[kept_B]
        self.last_Bk, self.score_Bk = self.last_Bk[kept_B], self.score_Bk[kept_B]
        self.ended_Bk, self.length_Bk = self.ended_Bk[kept_B], self.length_Bk[kept_B]
