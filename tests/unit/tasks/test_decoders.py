"""Decoders say step by step what they say at once; beam search finds the likeliest sentence."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from raytl.config import HeadConfig
from raytl.rows import Padded, cut
from raytl.tasks.beam_search import LENGTH_PENALTY, beam_search
from raytl.tasks.decoders import DECODERS, ConstantDecoder, Decoder

START, END, TOKENS = 1, 2, 9
NAMES = ("transformer_decoder", "gru_decoder")


def decoder_of(name: Any) -> Decoder:
    torch.manual_seed(0)
    return DECODERS[name](HeadConfig(name=name, hidden=16), 6, TOKENS).eval()


def states() -> Padded:
    generator = torch.Generator().manual_seed(1)
    sizes = torch.tensor([[4], [2], [5]])
    padded = Padded(torch.randn(3, 5, 6, generator=generator), sizes)
    return padded.with_values(padded.values * padded.mask.unsqueeze(2))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_steps_give_the_logits_that_all_tokens_at_once_give(name: str) -> None:
    decoder = decoder_of(name)
    memory, given_BT = decoder(states()), torch.tensor([[1, 5, 3, 8], [1, 4, 4, 2], [1, 7, 6, 5]])
    whole_BTV, state = decoder.logits(memory, given_BT), decoder.begin(memory)
    for place in range(4):
        logits_BV, state = decoder.step(state, given_BT[:, place])
        torch.testing.assert_close(logits_BV, whole_BTV[:, place], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_what_is_said_of_a_row_hangs_on_its_own_positions(name: str) -> None:
    decoder, given_BT = decoder_of(name), torch.tensor([[1, 5, 3]])
    whole, alone = decoder(states()), decoder(Padded(states().values[1:2, :2], torch.tensor([[2]])))
    torch.testing.assert_close(
        decoder.logits(cut(whole, slice(1, 2)), given_BT), decoder.logits(alone, given_BT)
    )
    blank = Padded(torch.zeros(1, 1, 6), torch.tensor([[0]]))
    assert decoder.logits(decoder(blank), given_BT).isfinite().all()


@torch.no_grad()
def test_a_transformer_looks_at_no_token_to_come() -> None:
    decoder = decoder_of("transformer_decoder")
    memory = decoder(states())
    one, other = (decoder.logits(memory, torch.tensor([[1, 5, last]] * 3)) for last in (3, 4))
    torch.testing.assert_close(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2], other[:, 2])


@torch.no_grad()
def test_tokens_without_a_mask_are_taken_whole() -> None:
    decoder, h_BSC = decoder_of("gru_decoder"), states().values
    padded = Padded(h_BSC, torch.full((3, 1), 5))
    torch.testing.assert_close(decoder(h_BSC).values, decoder(padded).values)


class Chain(Decoder):
    """What follows a token has fixed probabilities, (B, V, V), whatever was said before."""

    def __init__(self, logits_BVV: Tensor) -> None:
        super().__init__()
        self.logits_BVV = torch.nn.Parameter(logits_BVV)

    def forward(self, state: Any) -> Tensor:
        return torch.arange(len(self.logits_BVV)).unsqueeze(1)

    def logits(self, memory: Any, given_BT: Tensor) -> Tensor:
        raise NotImplementedError

    def begin(self, memory: Tensor) -> Any:
        return (memory,)

    def step(self, state: Any, token_B: Tensor) -> tuple[Tensor, Any]:
        return self.logits_BVV[state[0][:, 0], token_B], state


def likeliest(log_p_VV: Tensor, longest: int) -> list[int]:
    """Try every sentence; as beam search compares them."""
    best: tuple[float, list[int]] = (-1e9, [])
    words = [token for token in range(len(log_p_VV)) if token != END]
    for length in range(longest + 1):
        for said in product(words, repeat=length):
            tokens = [*said, END] if length < longest else list(said)
            steps = zip([START, *tokens], tokens, strict=False)
            log_p = float(sum(log_p_VV[a, b] for a, b in steps))
            compared = log_p / ((5 + len(tokens)) / 6) ** LENGTH_PENALTY
            best = max(best, (compared, list(said)))
    return best[1]


@torch.no_grad()
def test_a_wide_beam_finds_the_likeliest_sentence() -> None:
    log_p = torch.randn(6, 4, 4, generator=torch.Generator().manual_seed(3)).mul(2).log_softmax(2)
    chain = Chain(log_p)
    found = beam_search(chain, chain(None), 4, START, END, beam=64 // 16)
    assert len(found) == 6 and len({len(said) for said in found}) > 1
    wanted = [likeliest(log_p[row], 4) for row in range(6)]
    assert sum(ours == theirs for ours, theirs in zip(found, wanted, strict=True)) >= 5


@torch.no_grad()
def test_a_beam_of_one_takes_the_likeliest_token_each_time() -> None:
    log_p = torch.randn(5, 4, 4, generator=torch.Generator().manual_seed(4)).log_softmax(2)
    chain, greedy = Chain(log_p), []
    for row in range(5):
        said, token = list[int](), START
        while len(said) < 6:
            token = int(log_p[row, token].argmax())
            if token == END:
                break
            said.append(token)
        greedy.append(said)
    assert beam_search(chain, chain(None), 6, START, END, beam=1) == greedy


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_what_is_said_does_not_hang_on_the_rows_beside(name: str) -> None:
    decoder = decoder_of(name)
    memory = decoder(states())
    together = beam_search(decoder, memory, 7, START, END)
    alone = [beam_search(decoder, cut(memory, slice(i, i + 1)), 7, START, END) for i in range(3)]
    assert together == [said[0] for said in alone]
    assert all(END not in said and len(said) <= 7 for said in together)


def test_a_constant_decoder_says_the_same_of_every_row() -> None:
    decoder = ConstantDecoder(HeadConfig(name="constant"), 6, TOKENS)
    with torch.no_grad():
        decoder.bias[5] = 3.0
        said = beam_search(decoder, decoder(states()), 3, START, END)
    assert said == [[5, 5, 5]] * 3
