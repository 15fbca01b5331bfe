import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from text_support import save_folder, texts, tiny_network, tiny_tokenizer
from translators_support import save_translator

from raytl.config import SourceModelConfig
from raytl.errors import CorruptError, ModelError, RaytlError
from raytl.modalities.backbone import Backbone
from raytl.modalities.text.column import TextColumn
from raytl.modalities.text.wing import Text
from raytl.rows import Padded

WING = Text()
ROWS = texts("good film", "bad film", "good", "")


def config(**origin: Any) -> SourceModelConfig:
    return SourceModelConfig.model_validate(origin)


def loaded(**origin: Any) -> tuple[Any, Backbone]:
    """Check, fit and load as a study does."""
    source = config(**origin)
    WING.check(source)
    transform = WING.fit(source, TextColumn(), lambda: ROWS)
    torch.manual_seed(0)
    return transform, WING.load(source, transform).eval()


def vectors(path: Path) -> str:
    words = ["film", "good", "elsewhere"]
    np.savez(path, words=words, vectors=np.arange(1.0, 7).reshape(3, 2).astype(np.float32))
    return str(path)


def test_words_start_from_their_vectors_and_the_others_small(tmp_path: Path) -> None:
    given = {"vectors": vectors(tmp_path / "v.npz")}
    transform, network = loaded(backbone="bilstm", transform=given)
    assert transform.vocabulary == ["film", "good", "bad"]
    rows = network.blocks[0].vectors.weight
    assert rows[:2].tolist()[0] == [0, 0] and rows[2:4].tolist() == [[1, 2], [3, 4]]
    assert 0 < rows[4].abs().max() < 0.6 and 0 < rows[1].abs().max() < 0.6


def test_words_of_the_vectors_alone_are_known_where_that_is_asked_for(tmp_path: Path) -> None:
    given = {"vectors": vectors(tmp_path / "v.npz"), "vector_words": "all"}
    transform, network = loaded(backbone="bilstm", transform=given)
    assert transform.vocabulary == ["film", "good", "bad", "elsewhere"]
    assert network.blocks[0].vectors.weight[5].tolist() == [5, 6]


def test_fresh_weights_have_no_vectors_in_them_but_their_width(tmp_path: Path) -> None:
    given = {"vectors": vectors(tmp_path / "v.npz")}
    transform, _ = loaded(backbone="bilstm", transform=given)
    fresh = WING.build("bilstm", transform, {})
    assert fresh.blocks[0].vectors.weight.shape == (5, 2)
    assert fresh.blocks[0].vectors.weight.abs().max() < 1


def test_vectors_without_any_word_of_the_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("Film 1 2\nGood 3 4\n")
    with pytest.raises(ModelError, match="no vector for any of 3 words.*lowercase"):
        loaded(backbone="bilstm", transform={"vectors": str(path)})


def test_a_width_that_is_not_the_vectors_is_refused(tmp_path: Path) -> None:
    given = {"vectors": vectors(tmp_path / "v.npz")}
    with pytest.raises(ModelError, match=r"args\.dim must be .* got 3 for vectors of 2"):
        loaded(backbone="bilstm", transform=given, args={"dim": 3})


def test_weights_of_ones_own_are_loaded(tmp_path: Path) -> None:
    _, network = loaded(backbone="text_cnn", args={"filters": 4})
    for suffix in (".pth", ".safetensors"):
        path = tmp_path / f"w{suffix}"
        state = {key: value + 1 for key, value in network.state_dict().items()}
        torch.save(state, path) if suffix == ".pth" else save_file(state, path)
        _, again = loaded(backbone="text_cnn", args={"filters": 4}, weights=str(path))
        assert all(torch.equal(again.state_dict()[key], state[key]) for key in state)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    _, network = loaded(backbone="text_cnn", args={"filters": 4})
    torch.save(network.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="the weights do not fit"):
        loaded(backbone="text_cnn", args={"filters": 5}, weights=str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ({"torchvision": "resnet18", "weights": "DEFAULT"}, "torchvision is of pictures"),
        ({"timm": "resnet18", "weights": True}, "timm is of pictures"),
        ({"backbone": "bilstm", "input_size": 32}, "input_size is of pictures"),
        ({"backbone": "lstm"}, "unknown backbone 'lstm' of texts; did you mean 'bilstm'"),
        ({"backbone": "bilstm", "args": {"hiden": 3}}, "did you mean 'hidden'"),
        ({"backbone": "bilstm", "transform": {"most": 0}}, r"transform\.most"),
        ({"backbone": "bilstm", "transform": {"vectors": "/no/v.npz"}}, "/no/v.npz: no such file"),
        ({"backbone": "bilstm", "weights": "DEFAULT"}, "no weights by name"),
        ({"backbone": "bilstm", "weights": "/no/w.pth"}, "/no/w.pth: no such weights file"),
        ({"huggingface": "/no/folder"}, "/no/folder: no such folder"),
        ({"huggingface": "x", "args": {"poling": "cls"}}, "did you mean 'pooling'"),
        ({"huggingface": "x", "transform": {"tokens": "words"}}, "unknown key 'tokens'"),
    ],
)
def test_a_source_model_that_cannot_be_is_refused_before_anything_is_read(
    origin: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        WING.check(config(**origin))


def test_a_column_that_holds_no_texts_is_refused() -> None:
    other: Any = type("Pictures", (), {"kind": "image"})()
    with pytest.raises(ModelError, match="reads texts, but the column is of image"):
        WING.fit(config(backbone="bilstm"), other, lambda: ROWS)


@pytest.mark.parametrize("kind", ["bert", "roberta", "t5", "mpnet"])
def test_a_folder_is_loaded_and_rebuilt_without_it(tmp_path: Path, kind: str) -> None:
    folder = save_folder(tmp_path / "hf", kind)
    transform, network = loaded(huggingface=str(folder), args={"pooling": "cls"})
    rows = transform.prepare(ROWS)
    original = tiny_network(kind)
    ids = rows.values.long().masked_fill(~rows.mask, original.config.pad_token_id)
    with torch.no_grad():
        expected = original(input_ids=ids, attention_mask=rows.mask.long()).last_hidden_state[:, 0]
        features = network(rows)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)

    for file in folder.iterdir():
        file.unlink()
    again = WING.transform(json.loads(json.dumps(transform.facts())))
    twin = WING.build(network.name, again, {"pooling": "cls"}).eval()
    with torch.no_grad():
        assert not torch.allclose(twin(again.prepare(ROWS)), features)  # fresh weights
        twin.load_state_dict(network.state_dict())
        assert torch.equal(twin(again.prepare(ROWS)), features)


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf", network=tiny_network("bert").half())
    _, network = loaded(huggingface=str(folder))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("whole", "kind"),
    [("BertForMaskedLM", "bert"), ("T5ForConditionalGeneration", "t5")],
)
def test_the_encoder_is_taken_out_of_a_larger_network(
    tmp_path: Path, whole: str, kind: str
) -> None:
    import transformers

    network = getattr(transformers, whole)(tiny_network(kind).config)
    loaded(huggingface=str(save_folder(tmp_path / "hf", network=network)))


def test_as_many_tokens_are_read_as_the_network_has_positions(tmp_path: Path) -> None:
    folder = str(save_folder(tmp_path / "hf", "roberta"))
    transform, network = loaded(huggingface=folder)
    rows = transform.prepare(texts("good " * 99))
    assert rows.sizes.tolist() == [[38]]
    assert network(rows).isfinite().all()
    short, _ = loaded(huggingface=folder, transform={"max_length": 5})
    assert short.prepare(texts("good " * 99)).sizes.tolist() == [[5]]
    with pytest.raises(ModelError, match=r"max_length <= 38 must hold.*got 39"):
        loaded(huggingface=folder, transform={"max_length": 39})
    with pytest.raises(ModelError, match="max_length > 2 must hold"):
        loaded(huggingface=folder, transform={"max_length": 2})


def test_a_tokenizer_that_does_not_fit_its_network_is_refused(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf")
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"more{i}" for i in range(50)])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(ModelError, match="does not fit its network: .* 56, but .* 50 tokens"):
        loaded(huggingface=str(folder))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("config.json", "has no config.json"),
        ("tokenizer.json", "has no tokenizer"),
        ("model.safetensors", "has no weights"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_before_it_is_read(
    tmp_path: Path, file: str, words: str
) -> None:
    folder = save_folder(tmp_path / "hf")
    (folder / file).unlink()
    with pytest.raises(ModelError, match=words):
        WING.check(config(huggingface=str(folder)))


def changed(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_network_that_is_not_cut_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf")
    changed(folder, model_type="gpt2")
    with pytest.raises(ModelError, match="is a gpt2"):
        WING.check(config(huggingface=str(folder)))


def test_a_config_that_is_no_json_is_said(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf")
    for text in ("{", "[]"):
        (folder / "config.json").write_text(text)
        with pytest.raises(CorruptError, match=r"config\.json"):
            WING.check(config(huggingface=str(folder)))


def test_a_tokenizer_file_that_is_none_is_said(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="no tokenizer of the tokenizers library"):
        loaded(huggingface=str(folder))


def test_a_vocabulary_without_a_tokenizer_file_makes_a_tokenizer(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good"]))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    transform, _ = loaded(huggingface=str(folder))
    assert transform.prepare(texts("Good film")).values.tolist() == [[2, 4, 1, 3]]


def test_a_vocabulary_that_no_tokenizer_can_be_made_of_is_refused(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf")
    (folder / "tokenizer.json").unlink()
    (folder / "spiece.model").write_bytes(b"broken")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    with pytest.raises(ModelError, match=r"has no tokenizer\.json, and none can be made"):
        loaded(huggingface=str(folder))


def test_weights_that_are_cut_short_are_broken(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptError, match="holds no whole weights"):
        loaded(huggingface=str(folder))


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {key: value.clone() for key, value in load_file(folder / "model.safetensors").items()}


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "hf")
    good = state_of(folder)
    name = "encoder.layer.1.output.dense.weight"
    bad = {
        f"'{name}' is missing": {key: value for key, value in good.items() if key != name},
        f"'{name}' has another shape": good | {name: torch.ones(3, 3)},
        f"'{name}' has values that are not finite": good | {name: good[name] * torch.nan},
    }
    for words, state in bad.items():
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ModelError, match=words):
            loaded(huggingface=str(folder))


class Trap:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("trapped"),)


def test_code_in_a_folder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save_folder(tmp_path / "hf")
    good = state_of(folder)
    (folder / "model.safetensors").unlink()
    torch.save(good | {"x": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(RaytlError):
        loaded(huggingface=str(folder))
    assert not Path("trapped").exists()

    torch.save(good, folder / "pytorch_model.bin")
    (folder / "own.py").write_text("from pathlib import Path\nPath('trapped').touch()\n")
    changed(folder, auto_map={"AutoModel": "own.Own", "AutoConfig": "own.Own"})
    loaded(huggingface=str(folder))
    assert not Path("trapped").exists()


def test_a_hub_that_gives_nothing_is_said_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def fail(name: str, **options: Any) -> str:
        asked.append(options.get("local_files_only", False))
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    WING.check(config(huggingface="someone/network"))  # asks for nothing
    with pytest.raises(RaytlError, match="no route.*give its folder"):
        loaded(huggingface="someone/network")
    assert asked == [True, False]


def test_what_the_hub_gave_before_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    folder, asked = save_folder(tmp_path / "hf"), []

    def give(name: str, **options: Any) -> str:
        asked.append(options)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    loaded(huggingface="someone/network")
    assert all(options == {"local_files_only": True} for options in asked)

    # A pickle of weights is fetched only where there are no safetensors.
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "config.json").rename(folder / "other.json")
    asked.clear()
    with pytest.raises(ModelError, match="has no config.json"):
        WING.fit(config(huggingface="someone/network"), TextColumn(), lambda: ROWS)
    assert "*.safetensors" in asked[1]["allow_patterns"]


def test_an_example_of_the_transform_fits_the_network(tmp_path: Path) -> None:
    transform, network = loaded(huggingface=str(save_folder(tmp_path / "hf")))
    example = transform.example(3)
    assert isinstance(example, Padded)
    assert network(example).shape == (3, network.feature_dim)


def test_a_marian_folder_as_the_hub_has_it_is_refused_by_name(tmp_path: Path) -> None:
    folder = save_translator(tmp_path / "opus-mt", "marian")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"<pad>": 0}')
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(b"pieces")
    told = (
        r"opus-mt: a Marian network without a tokenizer\.json, .*; take a T5 network, or a folder"
    )
    with pytest.raises(ModelError, match=told):
        loaded(huggingface=str(folder))
