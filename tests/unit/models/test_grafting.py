"""Grafts: the body of a tiny BERT, made on the spot, under stems of images and series."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several_columns import COLUMNS, GRU, run_of, study_of, trained, values_of, write_rows

from raytl.config import HeadConfig, MapperConfig, SourceModelConfig
from raytl.errors import CorruptError, ModelError
from raytl.models.branch import Branch, Part
from raytl.models.fusion import Single
from raytl.models.grafting import GRAFT
from raytl.models.mappers import build_mapper
from raytl.models.source_folder import inspect_source_model, load_complete_model
from raytl.models.source_model import SourceModel, load_source_model, save_source_model
from raytl.models.transfer_model import TransferModel
from raytl.rows import Given, Padded
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn

sys.path.append(str(Path(__file__).parents[1] / "modalities" / "text"))
from text_support import save_folder, texts

KINDS = ("image", "series")
TASK = Classification(LabelColumn(classes=("rows", "columns")))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(tmp_path_factory.mktemp("hub") / "bert"))


def sample(column: str) -> np.ndarray:
    return values_of(column, np.arange(20) % 2, 0)


def grafted(kind: str, body: str, seed: int = 0, **more: Any) -> SourceModel:
    config = SourceModelConfig.model_validate({"graft": {"huggingface": body}, **more})
    return load_source_model("net", config, {kind: COLUMNS[kind]}, sample, seed)


def features(part: Part, kind: str, rows: int = 6) -> torch.Tensor:
    values = values_of(kind, np.arange(rows) % 2, 5)
    with torch.no_grad():
        return Branch(part, ()).eval()(Given(part.transform.prepare(values))).features


def body_state(part: Part) -> dict[str, torch.Tensor]:
    return {
        f"{i}.{key}": value
        for i, block in enumerate(part.backbone.blocks)
        for key, value in block.state_dict().items()
        if i > 0
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_body_keeps_the_weights_of_the_network_that_it_is_of(kind: str, bert: str) -> None:
    config = SourceModelConfig(huggingface=bert)
    whole = load_source_model("text", config, {"text": COLUMNS["text"]}, sample, 0)
    part = grafted(kind, bert).parts[kind]
    assert part.backbone.name == GRAFT and part.transferred
    own, theirs = body_state(part), body_state(whole.parts["text"])
    assert own.keys() == theirs.keys() and len(own) > 10
    assert all(torch.equal(value, theirs[key]) for key, value in own.items())


@pytest.mark.parametrize("kind", KINDS)
def test_the_body_reads_what_the_stem_gives_as_it_reads_its_own_tokens(
    kind: str, bert: str
) -> None:
    from transformers import AutoModel

    part = grafted(kind, bert).parts[kind]
    rows = part.transform.prepare(values_of(kind, np.arange(6) % 2, 5))
    part.backbone.eval()
    with torch.no_grad():
        tokens = part.backbone.blocks[0](part.transform(rows))
        hidden_BSD = tokens.values
        mask = (1.0 - tokens.mask[:, None, None].float()) * -1e9
        for layer in AutoModel.from_pretrained(bert).eval().encoder.layer:
            out = layer(hidden_BSD, attention_mask=mask)
            hidden_BSD = out[0] if isinstance(out, tuple) else out
    expected = [h_SD[:n].mean(0) for h_SD, (n,) in zip(hidden_BSD, tokens.sizes, strict=True)]
    torch.testing.assert_close(features(part, kind), torch.stack(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stem_is_drawn_by_seed_and_the_global_generator_is_left_alone(
    kind: str, bert: str
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, again, other = (grafted(kind, bert, seed).parts[kind] for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    stems = [part.backbone.blocks[0].state_dict() for part in (one, again, other)]
    assert all(torch.equal(value, stems[1][key]) for key, value in stems[0].items())
    assert not all(torch.equal(value, stems[2][key]) for key, value in stems[0].items())


def test_images_become_patches_of_the_side_that_is_asked_for(bert: str) -> None:
    for patch, size, tokens in ((4, None, 4), (2, None, 16), (3, None, 9), (4, 16, 16)):
        part = grafted("image", bert, args={"patch": patch}, input_size=size).parts["image"]
        out = part.backbone.run(part.transform(part.transform.example(2)), 0, 1)
        assert isinstance(out, Padded) and out.sizes.tolist() == [[tokens]] * 2


def test_options_of_series_reach_their_transform(bert: str) -> None:
    part = grafted("series", bert, transform={"max_length": 2}).parts["series"]
    rows = part.transform.prepare(values_of("series", np.arange(6) % 2, 5))
    assert isinstance(rows, Padded) and rows.sizes.max() == 2


def test_classes_of_tokens_pool_as_the_body_is_told_to(bert: str) -> None:
    config = {"graft": {"huggingface": bert, "args": {"pooling": "cls"}}}
    model = load_source_model(
        "net", SourceModelConfig.model_validate(config), {"image": COLUMNS["image"]}, sample, 0
    )
    mean = grafted("image", bert).parts["image"]
    assert not torch.allclose(features(model.parts["image"], "image"), features(mean, "image"))


def saved(model: SourceModel, kind: str, out: Path) -> Part:
    """Write a source model with a head behind it; return its part."""
    part = model.parts[kind]
    mapper = build_mapper(MapperConfig(), part.backbone.feature_dim)
    head = TASK.head(HeadConfig(), mapper.out_dim)
    whole = TransferModel(
        {kind: Branch(part, ())}, Single({kind: part.backbone.feature_dim}), mapper, head
    )
    told = {"task": dict(TASK.facts()), "mapper": MapperConfig(), "head": HeadConfig()}
    save_source_model(out, whole, model.spec.model_copy(update=told))
    return part


@pytest.mark.parametrize("kind", KINDS)
def test_a_grafted_model_is_saved_and_loaded(kind: str, bert: str, tmp_path: Path) -> None:
    own = tmp_path / "bert"
    own.symlink_to(bert)
    part = saved(grafted(kind, str(own)), kind, tmp_path / "out")
    own.unlink()  # the folder of the body is not asked again
    expected = features(part, kind)
    config = SourceModelConfig(path=tmp_path / "out")
    loaded = load_source_model("again", config, {kind: COLUMNS[kind]}, sample, 7).parts[kind]
    assert loaded.backbone.name == GRAFT and loaded.transferred
    assert torch.equal(features(loaded, kind), expected)
    complete = load_complete_model(tmp_path / "out").model.branch(kind).eval()
    values = values_of(kind, np.arange(6) % 2, 5)
    with torch.no_grad():
        given = Given(complete.transform.prepare(values))
        assert torch.equal(complete(given).features, expected)
    facts = inspect_source_model(tmp_path / "out")
    assert facts["parts"][kind]["backbone"] == GRAFT and facts["verified"]


Damage = Callable[[dict[str, Any]], Any]
DAMAGES: dict[str, Damage] = {
    "no body": lambda args: args.pop("body"),
    "no stem": lambda args: args.pop("stem"),
    "no patch": lambda args: args["stem"].pop("patch"),
    "a body of nothing known": lambda args: args["body"].update(modality="smell"),
    "a body without a transform": lambda args: args["body"].update(transform={}),
    "a body that is no table of keys": lambda args: args.update(body=3),
    "a body with other layers": lambda args: args["body"]["transform"]["network"].update(
        num_hidden_layers=2
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_graft_is_told_in_a_sentence(damage: str, bert: str, tmp_path: Path) -> None:
    saved(grafted("image", bert), "image", tmp_path / "out")
    file = tmp_path / "out" / "source.json"
    content = json.loads(file.read_text())
    DAMAGES[damage](content["parts"]["image"]["args"])
    file.write_text(json.dumps(content))
    with pytest.raises(CorruptError, match="copy or make the source model again"):
        load_complete_model(tmp_path / "out")


@pytest.mark.parametrize("kind", ["deberta-v2", "mpnet"])
def test_a_body_that_shares_weights_of_its_stem_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="shares weights of its stem.*such as BERT, RoBERTa or"):
        grafted("image", str(save_folder(tmp_path / kind, kind)))


@pytest.mark.parametrize("kind", ["distilbert", "roberta", "t5"])
def test_other_bodies_read_rows_however_far_they_are_padded(kind: str, tmp_path: Path) -> None:
    part = grafted("series", str(save_folder(tmp_path / kind, kind))).parts["series"]
    values, branch = values_of("series", np.arange(6) % 2, 5), Branch(part, ()).eval()
    with torch.no_grad():
        alone = [branch(Given(part.transform.prepare(values[i : i + 1]))) for i in range(6)]
    expected = torch.cat([output.features for output in alone])
    torch.testing.assert_close(features(part, "series"), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["table", "text", "audio"])
def test_what_has_no_stem_is_refused(kind: str, bert: str) -> None:
    from raytl.modalities.audio.column import AudioColumn

    columns = COLUMNS | {"audio": AudioColumn(rate=8000)}
    config = SourceModelConfig.model_validate({"graft": {"huggingface": bert}})
    with pytest.raises(ModelError, match=f"no stem that makes tokens of {kind} rows"):
        load_source_model("net", config, {kind: columns[kind]}, sample, 0)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a patch of nothing": ("image", {"args": {"patch": 0}}, "patch alone, pixels >= 1"),
    "an unknown argument": ("image", {"args": {"pach": 2}}, "patch alone"),
    "options of texts": ("image", {"transform": {"max_length": 3}}, "no transform options"),
    "patches of series": ("series", {"args": {"patch": 2}}, "args means nothing to a stem of"),
    "the size of series": ("series", {"input_size": 8}, "input_size means nothing"),
    "an unknown option": ("series", {"transform": {"per_rows": True}}, "did you mean 'per_row'"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_options_that_would_be_ignored_are_refused(case: str, bert: str) -> None:
    kind, more, message = REFUSED[case]
    with pytest.raises(ModelError, match=message):
        grafted(kind, bert, **more)


@pytest.mark.parametrize("body", [{"backbone": "bilstm"}, {"path": "somewhere"}])
def test_a_body_that_is_no_hugging_face_network_is_refused(body: dict[str, str]) -> None:
    config = SourceModelConfig.model_validate({"graft": body})
    with pytest.raises(ModelError, match="graft: bodies come from huggingface"):
        load_source_model("net", config, {"image": COLUMNS["image"]}, sample, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_tuning_the_stem_alone_leaves_the_body_as_it_was(
    kind: str, bert: str, tmp_path: Path
) -> None:
    target = write_rows(tmp_path / "target", {kind: kind})
    study = study_of(target, {"net": {"graft": {"huggingface": bert}}})
    run = run_of(study, tuned_blocks="0")
    part = run.parts.model.branch(kind)
    before = {k: v.clone() for k, v in part.backbone.state_dict().items()}
    run.train()
    run.judge({})
    for key, value in part.backbone.state_dict().items():
        assert torch.equal(value, before[key]) == (not key.startswith("blocks.0.")), key
    assert run.parts.model.num_frozen_blocks() == 3


def test_scratch_draws_the_body_anew(bert: str, tmp_path: Path) -> None:
    target = write_rows(tmp_path / "target", {"series": "series"})
    study = study_of(target, {"net": {"graft": {"huggingface": bert}}})
    graft, fresh = run_of(study), run_of(study, recipe="scratch")
    own, drawn = (run.parts.model.branch("series").backbone for run in (graft, fresh))
    assert own.state_dict().keys() == drawn.state_dict().keys()
    key = "blocks.1.layer.attention.self.query.weight"
    assert not torch.equal(own.state_dict()[key], drawn.state_dict()[key])
    assert graft.parts.model.transferred and not fresh.parts.model.transferred


def test_a_graft_stands_among_parts(bert: str, tmp_path: Path) -> None:
    target = write_rows(tmp_path / "target", {"image": "image", "series": "series"})
    parts = {"image": {"graft": {"huggingface": bert}}, "series": GRU}
    metrics = trained(study_of(target, {"net": {"parts": parts}}))
    assert np.isfinite(metrics[-1]["train/loss/total"]) and metrics[-1]["test/rows"] == 30


def test_texts_of_the_body_are_not_asked_for(bert: str) -> None:
    assert texts().shape == (0,)  # what its transform is fitted to
    assert grafted("image", bert).spec.parts["image"].transform.keys() >= {"input_shape"}
