"""In what a trial computes, where its GPU has not what the study asks for."""

import warnings

import torch

from raytl.config import TrainConfig
from raytl.devices import described, lacks_bfloat16


def autocasts(train: TrainConfig, device: torch.device) -> bool:
    """Whether training computes in bfloat16. Where the study asks for that and the GPU has it not,
    as a T4 has not, it computes in float32, for emulated it would be slower than that: that is
    warned of."""
    wanted = train.precision == "bfloat16"
    if wanted and lacks_bfloat16(device):
        warnings.warn(
            f"train.precision: {described(device)} has no bfloat16, so this trial trains in "
            "float32; its numbers may differ from those of trials on other GPUs",
            stacklevel=2,
        )
        return False
    return wanted
