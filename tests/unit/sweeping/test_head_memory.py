"""What stands on the head for each trial is small."""

import subprocess
import sys

import pytest

ON_THE_HEAD = [
    "raytl.sweeping.on_ray.trainable",  # the process of Tune's trial
    "raytl.sweeping.on_ray.parallel_trial",  # the driver of a trial with several workers
    "raytl.sweeping.on_ray.workers",  # what Ray Train's controller is given to start
]


@pytest.mark.parametrize("module", ON_THE_HEAD)
def test_torch_is_not_imported_there(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
