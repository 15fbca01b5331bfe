"""A study's text reads back as the study, whatever its names are."""

from typing import Any

import pytest

from raytl.config.yaml_text import parse_yaml
from raytl.starting.candidates import Candidate
from raytl.starting.study_text import Notes, study_text


@pytest.mark.parametrize(
    "name", ["2024", "no", "null", "1e5", "1E-3", "2024-01-05", "1_000", "010", "1:30", "photos"]
)
def test_names_are_words(name: str) -> None:
    study: dict[str, Any] = {
        "study": name, "target_domain": {"dataset": f"data/{name}"},
        "defaults": {"source_model": name, "optimizer.lr": 1e-5},
        "space": {"source_model": {"choice": [name]}},
        "search": {"trials": 3}, "train": {}, "confirm": {}, "resources": {},
    }  # fmt: skip
    model = Candidate(name, {"path": name}, pretrained=True, note="small")
    read, _ = parse_yaml(study_text(study, [model], [], Notes()), "study.yaml")
    assert read == study | {"source_models": {name: {"path": name}}}
