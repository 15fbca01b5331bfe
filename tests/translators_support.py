"""Tiny encoders and decoders of transformers for the made-up languages of sentences_support."""

from pathlib import Path
from typing import Any

import torch
from sentences_support import WORDS

SPECIAL = ["<pad>", "<unk>", "</s>"]
IDS = {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
CONFIGS: dict[str, dict[str, Any]] = {
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
    "marian": {
        "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "max_position_embeddings": 140,
    },
}  # fmt: skip


def tiny_translator(kind: str) -> Any:
    """A network with random weights, large enough that positions and masks show."""
    import transformers

    from raytl.modalities.text.families import FAMILIES

    torch.manual_seed(0)
    words = len(SPECIAL) + len({*WORDS, *WORDS.values()})
    config = transformers.AutoConfig.for_model(kind, vocab_size=words, **IDS, **CONFIGS[kind])
    network = getattr(transformers, str(FAMILIES[kind].translator))(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "embed_positions" not in name:  # Marian's are computed, and not saved
                parameter += 0.2 * torch.randn_like(parameter)
    return network.eval()


def save_translator(folder: Path, kind: str) -> Path:
    """Write a Hugging Face folder: network, and a tokenizer that knows both languages' words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing

    tiny_translator(kind).save_pretrained(folder)
    words = [*SPECIAL, *sorted({*WORDS, *WORDS.values()})]
    tokenizer = Tokenizer(
        WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
