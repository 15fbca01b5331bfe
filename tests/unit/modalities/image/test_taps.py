"""Maps that dense heads read have channels first, whatever a network does inside."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raytl.modalities.image.catalogue import build_backbone
from raytl.modalities.image.timm_cut import channels_last
from raytl.models.tapping import Tapped, packed, run_tapped, unpacked

SWIN = {"depths": (1, 1, 1, 1), "embed_dim": 12, "num_heads": (1, 1, 1, 1)}
# Name, arguments, height (width is twice that), channels of the taps
NETWORKS: list[tuple[str, dict[str, Any], int, tuple[int, ...]]] = [
    ("small_cnn", {}, 32, (32, 64, 128)),
    ("cifar_resnet20", {}, 32, (16, 32, 64)),
    ("resnet18", {}, 64, (64, 128, 256, 512)),
    ("squeezenet1_1", {}, 64, (64, 128, 256, 512)),
    ("vgg11", {}, 64, (64, 256, 512, 512, 512)),
    ("densenet121", {}, 64, (256, 512, 1024, 1024)),
    ("mobilenet_v3_small", {}, 64, (16, 16, 24, 48, 576)),
    ("efficientnet_b0", {}, 64, (16, 24, 40, 112, 1280)),
    ("convnext_tiny", {}, 64, (96, 192, 384, 768)),
    ("timm/resnet10t", {}, 64, (64, 128, 256, 512)),
    ("timm/swin_tiny_patch4_window7_224", SWIN, 224, (12, 24, 48, 96)),
    ("timm/swinv2_cr_tiny_224", SWIN, 224, (12, 24, 48, 96)),
    (
        "timm/mambaout_femto",
        {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 40)},
        64,
        (8, 16, 24, 40),
    ),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "args", "height", "channels"), NETWORKS)
def test_taps_have_the_channels_first(
    name: str, args: dict[str, Any], height: int, channels: tuple[int, ...]
) -> None:
    shape = (3, height, 2 * height)
    backbone = build_backbone(name, shape, **args).eval()
    assert tuple(c for c, _, _ in backbone.tap_shapes) == channels
    assert all(abs(wide - 2 * high) <= 1 for _, high, wide in backbone.tap_shapes)
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tapped = run_tapped(backbone, Tapped(x, 0, {}))
    maps = [tuple(tapped.taps[number].shape[1:]) for number in backbone.taps]
    assert maps == list(backbone.tap_shapes)


@pytest.mark.parametrize("done", [2, 3])
def test_what_is_kept_of_a_network_with_channels_last_runs_on_as_it_was(done: int) -> None:
    backbone = build_backbone("timm/swin_tiny_patch4_window7_224", (3, 224, 224), **SWIN).eval()
    assert backbone.channels_last
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = run_tapped(backbone, Tapped(x, 0, {}))
        kept = packed(backbone, run_tapped(backbone, Tapped(x, 0, {}), done))
        rest = run_tapped(backbone, unpacked(backbone, kept, done))
        features = backbone(x)
    assert torch.equal(backbone.pool(rest.h), features)
    assert all(torch.equal(rest.taps[n], whole.taps[n]) for n in backbone.taps)


class Cube(nn.Module):
    """Maps of as many channels as rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(1, 8, 8, 8)


@pytest.mark.parametrize("nhwc", [False, True])
def test_where_sizes_do_not_tell_a_network_is_believed(nhwc: bool) -> None:
    assert (0 in channels_last([Cube()], torch.zeros(1, 3, 32, 32), nhwc)) is nhwc
