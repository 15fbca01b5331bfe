import gzip
from pathlib import Path

import numpy as np
import pytest

from raytl.errors import CorruptError, ModelError
from raytl.modalities.text.word_vectors import check_vectors, read_vectors, vector_dim

GLOVE = "the 1 2\n. . . 3 4\nünï 5 6\nthe 9 9\n"
WORDS = ["the", ". . .", "ünï"]


def written(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def npz(path: Path, words: object, vectors: object, **more: object) -> Path:
    np.savez(path, words=np.array(words), vectors=np.array(vectors), **more)
    return path


@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz", "v.vec"])
@pytest.mark.parametrize("header", ["", "4 2\n"])
def test_lines_are_read_with_and_without_a_header_and_a_words_first_vector_counts(
    tmp_path: Path, name: str, header: str
) -> None:
    path = written(tmp_path / name, header + GLOVE)
    found = read_vectors(path)
    assert found.words == WORDS
    assert found.vectors_ND.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert found.vectors_ND.dtype == np.float32
    assert vector_dim(path) == 2


def test_arrays_are_read(tmp_path: Path) -> None:
    path = npz(tmp_path / "v.npz", ["a", "b", "a"], [[1.0, 2.0, 3.0]] * 2 + [[9.0] * 3])
    found = read_vectors(path)
    assert found.words == ["a", "b"]
    assert found.vectors_ND.tolist() == [[1, 2, 3]] * 2
    assert vector_dim(path) == 3


def test_only_the_words_asked_for_are_kept(tmp_path: Path) -> None:
    lines = written(tmp_path / "v.txt", GLOVE)
    arrays = npz(tmp_path / "v.npz", WORDS, [[1, 2], [3, 4], [5, 6]])
    for path in (lines, arrays):
        assert read_vectors(path, {"ünï", "other"}).words == ["ünï"]
        assert read_vectors(path, {"other"}).vectors_ND.shape == (0, 2)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file of word vectors"):
        check_vectors(tmp_path / "v.npz")


def test_a_file_of_another_kind_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"v\.bin: .*\.npz with keys"):
        check_vectors(written(tmp_path / "v.bin", "x"))


@pytest.mark.parametrize("text", ["", "\n", "word\n"])
def test_a_first_line_without_a_vector_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(ModelError, match="first line is no word with its vector"):
        read_vectors(written(tmp_path / "v.txt", text))


def test_a_short_line_is_named_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match=r"v\.txt:3: expected a word and 2 numbers"):
        read_vectors(written(tmp_path / "v.txt", "a 1 2\nb 1 2\nc\n"))


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_vector_that_is_not_finite_is_named(tmp_path: Path, number: str) -> None:
    with pytest.raises(CorruptError, match="the vector of 'b' is not finite"):
        read_vectors(written(tmp_path / "v.txt", f"a 1 2\nb 1 {number}\n"))


def test_broken_bytes_are_said(tmp_path: Path) -> None:
    letters = written(tmp_path / "v.txt", "a 1 2\nb 1 x\n")
    whole = written(tmp_path / "w.txt.gz", GLOVE * 50).read_bytes()
    half = tmp_path / "half.txt.gz"
    half.write_bytes(whole[: len(whole) // 2])
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"\xff 1 2\n")
    no_zip = written(tmp_path / "v.npz", "no zip")
    objects = tmp_path / "objects.npz"
    np.savez(objects, words=np.array(["a"], dtype=object), vectors=np.ones((1, 2)))
    for path in (letters, half, latin, no_zip, objects):
        with pytest.raises(CorruptError, match="no whole file of word vectors"):
            read_vectors(path)


def test_arrays_of_other_names_or_lengths_are_said(tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, x=np.ones(3))
    with pytest.raises(ModelError, match="has keys x"):
        read_vectors(other)
    with pytest.raises(ModelError, match="a vector a word, got 2 words"):
        vector_dim(npz(tmp_path / "v.npz", ["a", "b"], [[1.0, 2.0]]))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a 1 2\nb 3 4 5\n", r":2: expected a word and 2 numbers"),
        ("3 2\na 1 2\nb 3 4\n", "promises 3 words, but 2 follow; copy it again"),
    ],
)
def test_a_wider_line_and_a_file_cut_at_a_line_are_told(
    tmp_path: Path, content: str, told: str
) -> None:
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(CorruptError, match=told):
        read_vectors(tmp_path / "v.txt")
    (tmp_path / "v.txt").write_text("2 2\n. . 1 2\nb 3 4\n")
    assert read_vectors(tmp_path / "v.txt").words == [". .", "b"]


def test_words_are_one_a_vector(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", words=np.array([["a"], ["b"]]), vectors=np.ones((2, 3)))
    with pytest.raises(ModelError, match=r"a vector a word, got 2 words of shape \(2, 1\)"):
        read_vectors(tmp_path / "v.npz")
