"""The decoder that a source model of transformers brings: of T5, say, or Marian.

Legend: B rows, S positions of the encoder, T tokens said, C channels, V tokens known.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.modalities.text.families import FAMILIES
from raytl.modalities.text.hub import read_network
from raytl.modalities.text.transform import TokenizerTransform
from raytl.rows import Padded
from raytl.tasks.decoders import Decoder, attended
from raytl.tasks.vocabulary import OwnVocabulary


class PretrainedDecoder(Decoder):
    """A decoder and its output layer, with its network's own tokenizer. Token vectors and output
    weights, which the library may tie, are trained apart."""

    def __init__(self, network: Any, vocabulary: OwnVocabulary, facts: Mapping[str, Any]) -> None:
        """`network`: an encoder and decoder of transformers, whose encoder is left out."""
        super().__init__()
        self.network, self.vocabulary, self._facts = _without_encoder(network), vocabulary, facts
        self.out_dim = network.lm_head.out_features

    @classmethod
    def fresh(cls, transform: TokenizerTransform) -> "PretrainedDecoder":
        """Build the decoder of the network that a tokenizer belongs to, with fresh weights. Raises
        ModelError where that has none."""
        import transformers

        facts = transform.network
        translator = FAMILIES[facts["model_type"]].translator
        start, end = facts.get("decoder_start_token_id"), facts.get("eos_token_id")
        if translator is None or not isinstance(start, int) or not isinstance(end, int):
            able = ", ".join(name for name, family in FAMILIES.items() if family.translator)
            raise ModelError(
                f"head pretrained_decoder needs a network with a decoder ({able}) that says by "
                f"which tokens sentences start and end, but it is a {facts['model_type']} with "
                f"decoder_start_token_id={start} and eos_token_id={end}; take another head"
            )
        given = {key: value for key, value in facts.items() if key != "model_type"}
        config = transformers.AutoConfig.for_model(facts["model_type"], **given)
        vocabulary = OwnVocabulary(transform.facts()["tokenizer"], start, end)
        return cls(getattr(transformers, translator)(config), vocabulary, facts)

    def load(self, folder: Path) -> None:
        """Take the weights of a folder; raises ModelError where it has no such decoder."""
        whole = _without_encoder(read_network(folder, self._facts, translator=True))
        self.network.load_state_dict(whole.state_dict())

    def forward(self, state: Padded) -> Padded:
        """The encoder's positions, as they are."""
        return state

    def logits(self, memory: Padded, given_BT: Tensor) -> Tensor:
        return self._run(memory, given_BT, use_cache=False).logits

    def _run(self, memory: Padded, given_BT: Tensor, **caching: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        return self.network(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory.values),
            attention_mask=attended(memory)[:, 0, 0].long(), decoder_input_ids=given_BT, **caching,
        )  # fmt: skip

    def begin(self, memory: Padded) -> Any:
        return memory, ()

    def step(self, state: Any, token_B: Tensor) -> tuple[Tensor, Any]:
        """`state`: the memory, and of each layer the keys and values of the tokens said and of the
        memory, which the library's cache is made of anew: it has no rows to be cut."""
        from transformers import DynamicCache, EncoderDecoderCache

        memory, layers = state
        cache = (
            EncoderDecoderCache(layers)
            if layers
            else EncoderDecoderCache(DynamicCache(), DynamicCache())
        )
        found = self._run(memory, token_B.unsqueeze(1), past_key_values=cache, use_cache=True)
        layers = tuple(_tensors(layer) for layer in found.past_key_values)
        return found.logits[:, -1], (memory, layers)


def _tensors(layer: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Return keys and values of what was said and of the memory. The library may tell of sliding
    windows after each pair, which translators have not."""
    of_memory = len(layer) // 2
    return *layer[:2], *layer[of_memory : of_memory + 2]


def _without_encoder(network: Any) -> nn.Module:
    """Return the network without its encoder, and with output weights of its own."""
    network.lm_head.weight = nn.Parameter(network.lm_head.weight.detach().clone())
    whole = network.base_model
    whole.encoder = whole.shared = None
    return network.train()
