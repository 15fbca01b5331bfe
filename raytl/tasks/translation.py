"""Translation: a sentence for each row, said token by token.

Legend: B batch, T tokens of the longest target, V tokens known, M statistics of a row.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import HeadConfig, MetricName, TaskName
from raytl.modalities.column import Column, Values
from raytl.predictions import Predictions
from raytl.rows import Padded, move, padded, trimmed
from raytl.scoring.sentence_metrics import need_sacrebleu, sentence_counts
from raytl.tasks.base import HeadReads, Predicted, Task
from raytl.tasks.beam_search import beam_search
from raytl.tasks.class_counts import log_shares
from raytl.tasks.columns import NO_LABEL
from raytl.tasks.decoders import DECODERS, Decoder
from raytl.tasks.map_heads import Taps
from raytl.tasks.sentence_column import SentenceColumn
from raytl.tasks.vocabulary import END, Tokens, Vocabulary

MOST_TOKENS = 128  # of a sentence that is learnt from or said, its end among them


class Translation(Task):
    """Teacher forcing: the mean cross-entropy of a row's tokens and of its end. `longest`: tokens
    of the longest sentence that was fitted to, beyond which nothing is learnt or said. `counts`:
    how often each token was fitted to, none where it is not fitted."""

    name: ClassVar[TaskName] = "translation"
    scored_by: ClassVar[MetricName] = "bleu"
    shown: ClassVar[tuple[str, ...]] = ("bleu", "chrf")
    figures: ClassVar[tuple[str, ...]] = ()
    no_target: ClassVar[int | float] = NO_LABEL
    reads: ClassVar[HeadReads] = "state"

    def __init__(
        self, vocabulary: Vocabulary, longest: int, counts: Sequence[int] | None = None
    ) -> None:
        self.column: SentenceColumn = SentenceColumn()
        self.vocabulary, self.longest, self.counts = vocabulary, longest, counts

    @classmethod
    def fitted(cls, column: SentenceColumn, parts: Iterable[Values]) -> "Translation":
        """Return the task with a vocabulary learnt from the rows' sentences. Raises ConfigError
        where they could not be judged."""
        need_sacrebleu()
        sentences = [text for part in parts for text in part if text is not None]
        vocabulary = Vocabulary.learnt(sentences)
        tokens = [[*row, END] for row in vocabulary.encoded(sentences)]
        lengths = [len(row) for row in tokens]
        longest = min(MOST_TOKENS, max(lengths, default=MOST_TOKENS))
        flat = np.concatenate([np.asarray(row) for row in tokens]) if tokens else None
        counts = None if flat is None else np.bincount(flat, minlength=vocabulary.size).tolist()
        task = cls(vocabulary, longest, counts)
        task.notes = _cut_off(lengths)
        return task

    @classmethod
    def stored(cls, facts: Mapping[str, Any]) -> "Translation":
        vocabulary, longest = facts.get("vocabulary"), facts.get("longest")
        if not isinstance(vocabulary, str) or not isinstance(longest, int) or longest < 1:
            raise ValueError("a translation has a vocabulary and a longest sentence of 1 or more")
        return cls(Vocabulary(vocabulary), longest)

    @property
    def out_dim(self) -> int:
        return self.vocabulary.size

    def row_numbers(self, head: nn.Module) -> int:
        assert isinstance(head, Decoder)
        return head.out_dim * self._longest(head)

    def head(self, config: HeadConfig, in_dim: int, taps: Taps = ()) -> nn.Module:
        """Build the head: an encoder's positions, (B, S, `in_dim`) → what is looked at while a
        sentence is said."""
        return DECODERS[config.name](config, in_dim, self.out_dim)

    def prepare(self, values: Values) -> Padded:
        """Return token numbers, int64 (B, T), each row ended by END; a row without a sentence is of
        length 0."""
        there = [text is not None for text in values]
        rows = _ended(self.vocabulary, [text or "" for text in values])
        return padded([row if known else row[:0] for row, known in zip(rows, there, strict=True)])

    def loss(
        self,
        out: Any,
        target: Padded,
        smoothing: float = 0.0,
        *,
        balanced: bool = False,
        head: nn.Module | None = None,
    ) -> Tensor:
        """Return the mean cross-entropy of each row's tokens, in nats, with `smoothing` (Szegedy et
        al. 2016, section 7); `balanced` means nothing here."""
        assert isinstance(head, Decoder)
        if not len(target.values):
            return target.values.new_zeros(0, dtype=torch.float32)
        token_BT, mask_BT = self._learnt(target, head)
        given_BT = F.pad(token_BT[:, :-1], (1, 0), value=self._said_with(head).start)
        logits_BTV = head.logits(out, given_BT)
        own = F.cross_entropy(
            logits_BTV[mask_BT].float(), token_BT[mask_BT], reduction="none",
            label_smoothing=smoothing,
        )  # fmt: skip
        loss_BT = own.new_zeros(mask_BT.shape).masked_scatter(mask_BT, own)
        return loss_BT.sum(1) / mask_BT.sum(1).clamp(min=1)

    def _learnt(self, target: Padded, head: Decoder) -> tuple[Tensor, Tensor]:
        """Return the tokens that the head learns, (B, T), and which of them are the row's own."""
        whole = trimmed(target)
        if head.vocabulary is not None:
            texts = self.vocabulary.decoded(target.values.tolist())
            whole = move(padded(_ended(head.vocabulary, texts)), target.values.device)
        assert isinstance(whole, Padded)
        most = self._longest(head)
        return whole.values[:, :most], whole.mask[:, :most]

    def _said_with(self, head: Decoder) -> Tokens:
        return self.vocabulary if head.vocabulary is None else head.vocabulary

    def _longest(self, head: Decoder) -> int:
        return self.longest if head.vocabulary is None else MOST_TOKENS

    def predict(self, out: Any, head: nn.Module | None = None) -> Predicted:
        """The sentence that beam search finds."""
        assert isinstance(head, Decoder)
        tokens = self._said_with(head)
        found = beam_search(head, out, self._longest(head), tokens.start, tokens.end)
        return Predicted(tokens.decoded(found))

    def statistics(self, said: Predicted, target: Padded) -> Tensor:
        """Return what BLEU and chrF count, float64 (B, M): see `scoring.sentence_metrics`."""
        targets = self.vocabulary.decoded(target.values.tolist())
        counts_BM = torch.from_numpy(sentence_counts(said.answer, targets))
        return counts_BM.to(target.values.device)

    def encoded(self, said: Predicted) -> list[str]:
        """Return each sentence."""
        return list(said.answer)

    def constant_out(self) -> Tensor:
        """The logarithms of the tokens' shares: see `log_shares`."""
        assert self.counts is not None, "the task was fitted to labelled rows"
        return log_shares(self.counts)

    @staticmethod
    def known(targets: Any) -> Any:
        """Rows that have a sentence; of predictions, that are not NO_LABEL."""
        if isinstance(targets, Padded):
            return targets.sizes[:, 0] > 0
        return targets != NO_LABEL

    def _figure(self, name: str, predictions: Predictions) -> Any:
        raise AssertionError(f"{name} is none of {self.figures}")

    def facts(self) -> Mapping[str, Any]:
        return {
            "kind": self.name, "vocabulary": self.vocabulary.content, "longest": self.longest
        }  # fmt: skip

    def mismatch(self, other: Column) -> str | None:
        if not isinstance(other, SentenceColumn):
            return f"it asks for sentences, and the other for a {other.kind}"
        return None


def _cut_off(lengths: Sequence[int]) -> tuple[str, ...]:
    """Return a note on how many sentences are too long, if any are; `lengths` in tokens."""
    long = sum(length > MOST_TOKENS for length in lengths)
    if not long:
        return ()
    are, what = ("is", "it") if long == 1 else ("are", "them")
    return (
        f"{long} of {len(lengths)} training sentences {are} longer than {MOST_TOKENS} tokens, of "
        f"which no more are learnt or said; split {what}",
    )


def _ended(tokens: Tokens, texts: Sequence[str]) -> list[Tensor]:
    """Return the token numbers of each sentence, (T_i,), with the end."""
    return [torch.tensor([*row, tokens.end]) for row in tokens.encoded(texts)]
