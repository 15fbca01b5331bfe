"""The tokenizer of a network that was trained before, as a decoder says sentences with it."""

from pathlib import Path

from sentences_support import WORDS
from tokenizers import Tokenizer
from translators_support import save_translator

from raytl.tasks.vocabulary import OwnVocabulary


def test_sentences_are_neither_padded_nor_cut_as_their_tokenizer_was_told(tmp_path: Path) -> None:
    file = save_translator(tmp_path / "net", "t5") / "tokenizer.json"
    told = Tokenizer.from_file(str(file))
    told.enable_padding(length=6)
    told.enable_truncation(3)
    vocabulary = OwnVocabulary(told.to_str(), 0, 2)
    words = list(WORDS)
    sentences = [words[0], " ".join(words[i % len(words)] for i in range(9))]
    encoded = vocabulary.encoded(sentences)
    assert [len(row) for row in encoded] == [1, 9]
    assert vocabulary.decoded(encoded) == sentences
