"""Every study of search_spaces/ holds as it stands."""

from pathlib import Path

import pytest
from tests_support import SEARCH_SPACES

from raytl.config import load_study
from raytl.search_space import SearchSpace

STUDIES = sorted(SEARCH_SPACES.glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_study_is_valid(path: Path) -> None:
    study = load_study(path)
    assert study.study == path.stem
    space = SearchSpace(study)
    assert space.resolve(space.default_params() or {}).source_model in study.source_models
