"""Batches: what is cut, moved and left out."""

import torch

from raytl.data.batch import Batch, TrainBatch
from raytl.rows import Given, Padded, padded


def batch(labelled: bool = True) -> Batch:
    """Six rows, of which this worker has the even ones."""
    own = torch.tensor([0, 2, 4])
    texts = padded([torch.full((k + 1,), k) for k in own.tolist()])
    inputs = {"image": Given(own.view(3, 1)), "text": Given(texts)}
    return Batch(inputs, torch.arange(6) * 10 if labelled else None, torch.arange(6) + 100)


def test_the_rows_that_are_a_workers_own_are_those_of_its_inputs() -> None:
    assert batch().own_rows == 3
    assert len(batch().id) == 6


def test_a_cut_takes_own_rows_of_inputs_and_all_of_targets_and_ids() -> None:
    part = batch().cut(slice(1, 3), slice(2, 6))
    image, text = part.inputs["image"], part.inputs["text"]
    assert isinstance(image.rows, torch.Tensor) and image.rows.flatten().tolist() == [2, 4]
    assert isinstance(text.rows, Padded) and text.rows.sizes.tolist() == [[3], [5]]
    assert part.target is not None and part.target.tolist() == [20, 30, 40, 50]
    assert part.id.tolist() == [102, 103, 104, 105] and part.own_rows == 2


def test_a_cut_by_numbers() -> None:
    part = batch().cut(torch.tensor([2, 0]), torch.tensor([4, 0]))
    image = part.inputs["image"].rows
    assert isinstance(image, torch.Tensor) and image.flatten().tolist() == [4, 0]
    assert part.id.tolist() == [104, 100]


def test_targets_that_may_not_be_seen_stay_unseen() -> None:
    hidden = batch(labelled=False)
    assert hidden.cut(slice(1), slice(1)).target is None
    assert hidden.to(torch.device("meta")).target is None


def test_ids_stay_where_they_are() -> None:
    moved = batch().to(torch.device("meta"))
    assert moved.id.device.type == "cpu"
    assert moved.target is not None and moved.target.device.type == "meta"
    image = moved.inputs["image"].rows
    assert isinstance(image, torch.Tensor) and image.device.type == "meta"


def test_a_step_has_the_streams_that_are_there_in_order() -> None:
    one, other = batch(), batch(labelled=False)
    step = TrainBatch(target=other, source=one)
    assert list(step.streams) == ["source", "target"]
    assert step.streams["source"] is one and step.streams["target"] is other
    assert list(TrainBatch(one, other, one).streams) == ["source", "target", "labelled"]
    assert TrainBatch().streams == {}


def test_a_step_moves_with_all_its_streams() -> None:
    moved = TrainBatch(labelled=batch()).to(torch.device("meta"))
    assert moved.source is None and moved.target is None and moved.labelled is not None
    assert moved.labelled.target is not None and moved.labelled.target.device.type == "meta"
