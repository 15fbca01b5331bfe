"""Image networks that read smaller images."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.text.column import TextColumn
from raytl.starting.candidates import Candidate
from raytl.starting.facts import Facts
from raytl.starting.smaller_inputs import sides_of, with_side

SQUEEZENET = {"torchvision": "squeezenet1_0", "weights": "DEFAULT"}


@dataclass
class Inputs:
    inputs: dict[str, Column]
    gives: frozenset[str] = frozenset({"classes"})


def facts(side: int = 224, gives: str = "classes") -> Facts:
    image = ImageColumn(shape=(side, side, 3), dtype="uint8")
    return cast(Facts, Inputs({"image": image, "name": TextColumn()}, frozenset({gives})))


def test_work_goes_with_the_pixels() -> None:
    model = Candidate("net", SQUEEZENET, pretrained=True)
    sides = dict(sides_of([model], facts()))
    assert list(sides) == [None, 160, 128, 96, 64]
    assert sides[128]["net"] == pytest.approx((128 / 224) ** 2)
    assert dict(sides_of([model], facts(100))).keys() == {None, 96, 64}


def test_what_is_drawn_keeps_half_of_its_side() -> None:
    model = Candidate("net", SQUEEZENET, pretrained=True)
    assert dict(sides_of([model], facts(gives="maps"))).keys() == {None, 160, 128}


def test_the_part_that_reads_images_gets_the_size() -> None:
    plain = with_side(Candidate("net", SQUEEZENET, pretrained=True), 96, facts())
    assert plain.config == SQUEEZENET | {"input_size": 96}
    both = {"parts": {"image": SQUEEZENET, "name": {"backbone": "bilstm"}}}
    found = with_side(Candidate("both", both, pretrained=True), 96, facts())
    assert found.config["parts"] == both["parts"] | {"image": SQUEEZENET | {"input_size": 96}}


@pytest.mark.parametrize(
    "config",
    [
        {"backbone": "small_cnn"},
        {"torchvision": "vit_b_16", "weights": "DEFAULT"},
        SQUEEZENET | {"input_size": 64},
    ],
)
def test_others_stay_as_they_are(config: dict[str, Any]) -> None:
    model = Candidate("net", config, pretrained=True)
    assert with_side(model, 96, facts()) == model
