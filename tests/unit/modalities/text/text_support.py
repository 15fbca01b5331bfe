"""A tokenizer and networks of the Hugging Face libraries, tiny, made on the spot."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film"]


def tiny_tokenizer(special: bool = True) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    if special:
        tokenizer.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return tokenizer


COMMON = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 40,
}  # fmt: skip
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
T5 = {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": COMMON,
    "camembert": COMMON,
    "deberta": COMMON | RELATIVE,
    "deberta-v2": COMMON | RELATIVE | {"position_buckets": 8, "norm_rel_ebd": "layer_norm"},
    "distilbert": {
        "vocab_size": 50, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32,
        "max_position_embeddings": 40,
    },
    "electra": COMMON | {"embedding_size": 8},
    "marian": {
        "vocab_size": 50, "d_model": 16, "encoder_layers": 3, "decoder_layers": 2,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32, "max_position_embeddings": 40, "pad_token_id": 0,
        "eos_token_id": 3, "decoder_start_token_id": 0,
    },
    "mpnet": COMMON,
    "mt5": T5,
    "roberta": COMMON,
    "t5": T5,
    "xlm-roberta": COMMON,
}  # fmt: skip


def tiny_network(kind: str) -> Any:
    """A network with random weights, large enough that positions and masks show in its features."""
    from raytl.modalities.text.huggingface import fresh_network

    torch.manual_seed(0)
    network = fresh_network({"model_type": kind} | CONFIGS[kind])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return network.eval()


def save_folder(folder: Path, kind: str = "bert", network: Any = None) -> Path:
    """Write a Hugging Face folder: network and tokenizer."""
    (network or tiny_network(kind)).save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def texts(*rows: str) -> np.ndarray:
    return np.array(rows, dtype=object)
