"""TrAdaBoost's idea in a deep loop: source rows that contradict the few target labels fade.

Legend: B rows of one stream, N row ids of a domain's dataset, all splits.
"""

import math

import torch
from torch import Tensor

from raytl.data.batch import TrainBatch
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import (
    Context,
    Losses,
    Recipe,
    Stream,
    both_labelled_streams,
    run_streams,
    targets_of,
)
from raytl.rows import moved

ROUNDS = 10  # of boosting, as far as the rate β of the source is concerned
LEAST_ERROR, LARGEST_ERROR = 0.05, 0.45


class TrAdaBoost(Recipe):
    """Dai et al. 2007, "Boosting for Transfer Learning", ICML, algorithm 1, with one network.

    Every row has a weight, 1 at first. Each time that a row is drawn, it is multiplied by
    β^|h(x) - y| with β = 1 / (1 + √(2 ln n / ROUNDS)) for one of the n source rows that are learnt
    from, and by β_t^-|h - y| with β_t = ε / (1 - ε) for a target row, ε the weighted error on the
    batch's target rows cut to [0.05, 0.45]. Deviations: the rounds of boosting are passes over the
    data of one network instead of an ensemble; the error |h(x) - y| is 1 - p_y instead of 0 or 1; a
    row's log-weight shrinks by 1 / ROUNDS at each update, so that weights do not run away.
    """

    name = "tradaboost"
    needs = frozenset({"classes"})
    source_log_weights_N: Tensor
    target_log_weights_N: Tensor

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert context.id_bounds is not None and context.source_rows is not None
        for domain in ("source", "target"):
            ids = context.id_bounds[domain]
            self.register_buffer(f"{domain}_log_weights_N", torch.zeros(ids))
        log_n = math.log(max(2, context.source_rows))
        self.log_beta = -math.log1p(math.sqrt(2 * log_n / ROUNDS))

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        return both_labelled_streams(cls.name, labelled, has_source)

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        outputs = run_streams(model, batch)
        source, target = batch.source, batch.labelled
        assert source is not None and target is not None
        device = self.source_log_weights_N.device
        source_id, target_id = moved(source.id, device), moved(target.id, device)
        weights = [
            self.source_log_weights_N[source_id].exp(), self.target_log_weights_N[target_id].exp()
        ]  # fmt: skip
        logits = [outputs["source"].out, outputs["labelled"].out]
        labels = [targets_of(source), targets_of(target)]
        self._update(source_id, target_id, logits, labels, weights[1])
        losses = torch.cat(
            [
                self.row_losses("source", outputs, batch),
                self.row_losses("labelled", outputs, batch),
            ]
        )
        every = torch.cat(weights)
        return {"task": (every * losses).sum() / every.sum()}

    @torch.no_grad()
    def _update(
        self, source_id: Tensor, target_id: Tensor, logits: list[Tensor], labels: list[Tensor],
        target_weights_B: Tensor,
    ) -> None:  # fmt: skip
        if not self.training:
            return
        of_source, of_target = (
            1.0 - scores.softmax(1).gather(1, y.unsqueeze(1)).squeeze(1)
            for scores, y in zip(logits, labels, strict=True)
        )
        error = (target_weights_B * of_target).sum() / target_weights_B.sum()
        error = error.double().clamp(LEAST_ERROR, LARGEST_ERROR)  # nobody waits for its value
        keep = 1.0 - 1.0 / ROUNDS
        old = self.source_log_weights_N[source_id]
        self.source_log_weights_N[source_id] = keep * old + self.log_beta * of_source
        old = self.target_log_weights_N[target_id]
        rise = -torch.log(error / (1.0 - error)).to(old.dtype)
        self.target_log_weights_N[target_id] = keep * old + rise * of_target
