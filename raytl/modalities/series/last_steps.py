"""The naive forecast as a network without weights: a series does again what it did last.

Legend: B rows, S steps of the longest series, C channels, H steps to come.
"""

from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from raytl.config import Frozen
from raytl.modalities.backbone import Backbone
from raytl.rows import Padded


class LastStepsArgs(Frozen):
    """`args:` of last_steps."""

    horizon: PositiveInt  # steps to come
    season: PositiveInt = 1  # how many of the last steps are said over and over: 1, the last one
    channel: NonNegativeInt = 0  # of which


class SameSteps(nn.Module):
    """Padded (B, S, C) → the same."""

    def forward(self, x: Padded) -> Padded:
        return x.with_values(x.values * x.mask.unsqueeze(2))


class LastSteps(nn.Module):
    """The last `season` steps of a channel, over and over: Padded (B, S, C) → (B, H). Of a shorter
    series its first step stands for those that are missing."""

    def __init__(self, args: LastStepsArgs) -> None:
        super().__init__()
        self.args = args

    def forward(self, x: Padded) -> Tensor:
        horizon, season = self.args.horizon, self.args.season
        places_H = [step % season - season for step in range(horizon)]
        ends_B1 = x.sizes[:, :1].to(x.values.device)
        places_BH = (ends_B1 + ends_B1.new_tensor(places_H)).clamp(min=0)
        return x.values[:, :, self.args.channel].gather(1, places_BH)


def build_last_steps(name: str, channels: int, args: LastStepsArgs, example: Padded) -> Backbone:
    """Hyndman & Athanasopoulos 2021, "Forecasting: Principles and Practice", section 5.2: the naive
    method, and with a season the seasonal naive one."""
    return Backbone(name, [SameSteps()], LastSteps(args), example)
