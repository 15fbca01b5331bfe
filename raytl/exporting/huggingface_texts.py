"""Texts for transformers: an encoder of its own with the head for sequence classification.

That head puts a layer and an activation between the first token's features and the classifier.
Where the activation a has a(x) - a(-x) = x, as ReLU and GELU have, a linear head of K numbers
stands in 2K of its units: W f in one half, -W f in the other, their difference behind. tanh has it
not, and no head takes the mean of tokens.

Legend: B batch, S tokens, D features, K numbers that the head gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.exporting.fronts.texts import TextFront
from raytl.exporting.linear import OTHERS, LinearModel, linear_model, trial_of
from raytl.exporting.whole import check_same
from raytl.modalities.backbone import Backbone
from raytl.modalities.text.families import FAMILIES
from raytl.modalities.text.hub import quiet
from raytl.modalities.text.huggingface import NAME, FirstPool, Layer, Stem
from raytl.modalities.text.transform import TokenizerTransform
from raytl.models.source_folder import CompleteModel
from raytl.rows import Padded

TO = "huggingface"
OF_LABELS = ("id2label", "label2id", "problem_type", "num_labels")  # settings that are set anew


@dataclass(frozen=True)
class Layers:
    """Where a kind of model has its layer and its classifier, and settings that make its activation
    one that can be seen through."""

    dense: str
    classifier: str
    settings: Mapping[str, Any]


# By `model_type`; the others' heads have tanh, or read a decoder
HEADS: Mapping[str, Layers] = {
    "distilbert": Layers("pre_classifier", "classifier", {}),
    "electra": Layers("classifier.dense", "classifier.out_proj", {}),
    "deberta": Layers("pooler.dense", "classifier", {"pooler_hidden_act": "relu"}),
    "deberta-v2": Layers("pooler.dense", "classifier", {"pooler_hidden_act": "relu"}),
}


def write_texts(complete: CompleteModel, folder: Path) -> tuple[float, str]:
    """Write network and tokenizer; return how far its outputs lie from raytl's, at most, and how it
    is used. Raises ModelError for a network whose pooling or head transformers has not."""
    from transformers import AutoModelForSequenceClassification

    linear = linear_model(complete, TO)
    transform = linear.branch.transform
    if linear.branch.backbone.name != NAME or not isinstance(transform, TokenizerTransform):
        raise ModelError(
            f"--to {TO} needs a network of Hugging Face for texts, but this model's is "
            f"{linear.branch.backbone.name}; {OTHERS}"
        )
    config = _config(complete, linear, transform)
    with quiet(), torch.random.fork_rng(devices=[]):
        model = AutoModelForSequenceClassification.from_config(config)
    _take_encoder(model, linear.branch.backbone, transform.network["model_type"])
    _take_head(model, linear, HEADS[transform.network["model_type"]])
    tokenizer = _tokenizer(transform, config)
    with quiet():
        model.eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        loaded = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    apart = _compared(loaded, complete, transform, int(config.pad_token_id or 0))
    how = (
        "```python\nfrom transformers import AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained(".")\n'
        'tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")\n'
        "logits = model(**tokens).logits\n```"
    )
    return apart, how


def _config(complete: CompleteModel, linear: LinearModel, transform: TokenizerTransform) -> Any:
    """Return the configuration of the model with its head. Raises ModelError as `write_texts`."""
    import transformers

    kind, count = transform.network["model_type"], len(linear.labels)
    if kind not in HEADS:
        raise ModelError(
            f"--to {TO}: a {kind} for sequence classification has a tanh or a decoder in front of "
            f"its classifier, which a linear head has not (of {', '.join(HEADS)} one can be "
            f"written); {OTHERS}"
        )
    if not isinstance(linear.branch.backbone.pool, FirstPool):
        raise ModelError(
            f"--to {TO}: a {kind} for sequence classification reads the first token, but this "
            f"model reads the mean of all (args: {{pooling: cls}} reads the first); {OTHERS}"
        )
    width = linear.branch.backbone.feature_dim
    if 2 * count > width:
        raise ModelError(
            f"--to {TO}: 2 · numbers of the head <= features must hold, but got {count} and "
            f"{width}; {OTHERS}"
        )
    given = {key: value for key, value in transform.network.items() if key not in OF_LABELS}
    problem = {"classification": "single_label_classification"}.get(complete.task.name)
    with quiet():
        return transformers.AutoConfig.for_model(
            **(given | dict(HEADS[kind].settings)),
            id2label=dict(enumerate(linear.labels)),
            label2id={name: number for number, name in enumerate(linear.labels)},
            problem_type=problem or "regression",
        )


def _take_encoder(model: Any, backbone: Backbone, kind: str) -> None:
    """Put the backbone's weights into the model's own encoder, module by module."""
    encoder = getattr(model, model.base_model_prefix)
    parts = FAMILIES[kind].parts(encoder)
    stem, *layers = backbone.blocks
    assert isinstance(stem, Stem)
    pairs: list[tuple[nn.Module, nn.Module]] = [(parts.embeddings, stem.embeddings)]
    pairs += [*zip(parts.then, stem.then, strict=True), *zip(parts.owned, stem.owned, strict=True)]
    for own, layer in zip(parts.layers, layers, strict=True):
        assert isinstance(layer, Layer) and layer.last is None
        pairs.append((own, layer.layer))
    for own, given in pairs:
        own.load_state_dict(given.state_dict())


@torch.no_grad()
def _take_head(model: Any, linear: LinearModel, at: Layers) -> None:
    """Put a linear head into layer and classifier."""
    dense, classifier = model.get_submodule(at.dense), model.get_submodule(at.classifier)
    count = len(linear.labels)
    for module in (dense, classifier):
        module.weight.zero_()
        module.bias.zero_()
    dense.weight[:count] = linear.weight
    dense.weight[count : 2 * count] = -linear.weight
    classifier.weight[:, :count] = torch.eye(count)
    classifier.weight[:, count : 2 * count] = -torch.eye(count)
    classifier.bias.copy_(linear.bias)


def _tokenizer(transform: TokenizerTransform, config: Any) -> Any:
    """Return the network's tokenizer as transformers has it."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    facts = transform.facts()
    own = Tokenizer.from_str(facts["tokenizer"])
    padding = own.id_to_token(int(config.pad_token_id or 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token=padding, model_max_length=facts["max_length"],
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


@torch.inference_mode()
def _compared(
    model: Any, complete: CompleteModel, transform: TokenizerTransform, padding: int
) -> float:
    """Return how far the model's logits lie from raytl's, for rows of unequal lengths."""
    (_, lengths_B), rows = TextFront("text", transform).trial(4, np.random.default_rng(0))
    assert isinstance(rows, Padded)
    mask_BS: Tensor = rows.mask
    ids_BS = rows.values.long().masked_fill(~mask_BS, padding)
    got = model(input_ids=ids_BS, attention_mask=mask_BS.long()).logits
    return check_same(got, trial_of(complete, rows, (ids_BS, lengths_B)), "transformers")
