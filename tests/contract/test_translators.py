"""Encoders and decoders of transformers as source models of translation: tiny ones, made here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract_run import run
from sentences_support import study_of_pairs
from translators_support import CONFIGS, save_translator, tiny_translator

from raytl.config import Study, TrialConfig
from raytl.errors import ModelError
from raytl.models.source_folder import load_complete_model
from raytl.models.source_model import save_source_model
from raytl.rows import Padded
from raytl.sweeping.preflight import preflight
from raytl.tasks.pretrained_decoder import PretrainedDecoder
from raytl.tasks.translation import MOST_TOKENS
from raytl.training import evaluation
from raytl.training.building import build_trial
from raytl.training.material import Material

pytest.importorskip("sacrebleu", reason="sentences are judged by sacrebleu: raytl[text]")


def material_of(folder: Path, kind: str, **train: Any) -> Material:
    plain = study_of_pairs(folder, source_domain=None)
    if not (folder / kind).exists():
        save_translator(folder / kind, kind)
    plain["source_models"] |= {"own": {"huggingface": str(folder / kind)}}
    return Material.of(Study.model_validate(plain | {"train": plain["train"] | train}))


def trial(**flat: Any) -> TrialConfig:
    plain = {
        "source_model": "own", "head": "pretrained_decoder", "frozen_depth": 2,
        "optimizer": "adam",
    }  # fmt: skip
    return TrialConfig.from_flat(plain | flat)


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_encoder_and_decoder_together_are_the_network(tmp_path: Path, kind: str) -> None:
    material = material_of(tmp_path, kind)
    model = build_trial(material, trial(), 5).model.eval()
    branch, head = model.branch("text"), model.head
    assert isinstance(head, PretrainedDecoder) and len(branch.backbone.blocks) == 3
    rows = branch.transform.prepare(np.array(["one red dog", "two"], dtype=object))
    given_BT = torch.tensor([[0, 5, 7], [0, 4, 9]])
    found = head.logits(head(branch.backbone.run(rows)), given_BT)
    expected = tiny_translator(kind)(
        input_ids=rows.values.long(), attention_mask=rows.mask.long(), decoder_input_ids=given_BT
    ).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    state = head.begin(head(branch.backbone.run(rows)))
    for place in range(3):
        logits_BV, state = head.step(state, given_BT[:, place])
        torch.testing.assert_close(logits_BV, expected[:, place], atol=1e-4, rtol=1e-4)


def test_rows_are_evaluated_by_the_numbers_of_the_decoders_own_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = build_trial(material_of(tmp_path, next(iter(CONFIGS))), trial(), 5)
    head = parts.model.head
    assert isinstance(head, PretrainedDecoder)
    given_BT = torch.zeros(1, 1, dtype=torch.int64)
    width = parts.model.branch("text").backbone.state_dim
    memory = head(Padded(torch.zeros(1, 1, width), torch.ones(1, 1, dtype=torch.int64)))
    assert head.out_dim == head.logits(memory, given_BT).shape[2] != parts.task.out_dim
    assert parts.task.row_numbers(head) == head.out_dim * MOST_TOKENS
    monkeypatch.setattr(evaluation, "MOST_NUMBERS", 10 * head.out_dim * MOST_TOKENS)
    assert evaluation.rows_at_a_time(parts.task, head) == 10


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_trial_trains_resumes_and_is_kept(tmp_path: Path, kind: str) -> None:
    material = material_of(tmp_path, kind)
    whole, parts = run(material, trial(), keep=tmp_path / "kept")
    assert all(np.isfinite(v) for m in whole for k, v in m.items() if k.startswith("train/"))
    rest, resumed = run(material, trial(), resume=tmp_path / "kept" / "1")
    assert rest == whole[1:]
    for name, value in parts.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value)
    spec = parts.spec.model_copy(
        update={
            "task": dict(parts.task.facts()), "mapper": trial().mapper, "head": trial().head,
        }
    )  # fmt: skip
    save_source_model(tmp_path / "best", parts.model, spec)
    again = load_complete_model(tmp_path / "best").model
    assert isinstance(again.head, PretrainedDecoder)
    for name, value in parts.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_training_lowers_the_loss_of_what_is_said_in_its_own_tokens(tmp_path: Path) -> None:
    material = material_of(tmp_path, "t5", epochs=6, steps_per_epoch=8)
    reported, _ = run(material, trial(frozen_depth=0, **{"optimizer.lr": 0.02}))
    assert reported[-1]["train/loss/task"] < 0.7 * reported[0]["train/loss/task"]


def test_a_scratch_trial_has_fresh_weights(tmp_path: Path) -> None:
    material = material_of(tmp_path, "t5")
    parts = [build_trial(material, trial(recipe=name), 5) for name in ("finetune", "scratch")]
    weights = [p.model.head.state_dict()["network.lm_head.weight"] for p in parts]
    assert not torch.allclose(*weights)
    assert torch.equal(weights[0], tiny_translator("t5").lm_head.weight)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("net", "head pretrained_decoder is that of a source model .*, but bilstm has none"),
        ("bert", r"needs a network with a decoder \(marian, mt5, t5\).*but it is a bert"),
        ("no start", "but it is a t5 with decoder_start_token_id=None and eos_token_id=2"),
        ("encoder", "the weights do not fit config.json: 'decoder.* is missing"),
        ("stored", "takes weights from a source model .*, but stored is .*; take another head"),
    ],
)
def test_a_source_model_without_a_decoder_is_refused(
    tmp_path: Path, source: str, text: str
) -> None:
    material = material_of(tmp_path, "t5")
    folder = tmp_path / "t5"
    made: dict[str, Any] = {"huggingface": str(folder)}
    if source == "bert":
        import transformers

        network = transformers.BertModel(
            transformers.BertConfig(
                vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                intermediate_size=16,
            )
        )  # fmt: skip
        network.save_pretrained(tmp_path / "bert")
        (tmp_path / "bert" / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
        made = {"huggingface": str(tmp_path / "bert")}
    elif source == "no start":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"decoder_start_token_id": None}))
    elif source == "encoder":
        import transformers

        transformers.T5EncoderModel.from_pretrained(folder).save_pretrained(folder)
    elif source == "stored":
        parts = build_trial(material, trial(), 5)
        save_source_model(tmp_path / "stored", parts.model, parts.spec)
        made = {"path": tmp_path / "stored"}
    plain = study_of_pairs(tmp_path, source_domain=None)
    plain["source_models"] |= {source: made} if source != "net" else {}
    with pytest.raises(ModelError, match=text):
        build_trial(Material.of(Study.model_validate(plain)), trial(source_model=source), 5)


def test_a_study_with_such_a_source_model_is_refused_before_it_starts(tmp_path: Path) -> None:
    save_translator(tmp_path / "t5", "t5")
    study = study_of_pairs(tmp_path)
    study["source_models"] |= {"own": {"huggingface": str(tmp_path / "t5")}}
    head = {"choice": ["gru_decoder", "pretrained_decoder"], "when": {"source_model": "own"}}
    study["space"] = {"source_model": {"choice": ["net", "own"]}, "head": head}
    study["defaults"] = {"head": "gru_decoder"}
    assert preflight(Study.model_validate(study)).study.task == "translation"
    head.pop("when")
    with pytest.raises(ModelError, match="source_models.net: head pretrained_decoder is that of"):
        preflight(Study.model_validate(study))
