"""What one pass measures, against scikit-learn and by hand."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from image_models import IMAGE, image_model
from sklearn.metrics import confusion_matrix, recall_score

from raytl.config import MapperConfig
from raytl.data.batch import Batch
from raytl.modalities.image.catalogue import build_backbone
from raytl.models.mappers import build_mapper
from raytl.models.transfer_model import TransferModel
from raytl.ranks import WHOLE, Share
from raytl.rows import Given
from raytl.scoring.classification import class_recall
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn
from raytl.training.evaluation import evaluate

BACKBONE = build_backbone("small_cnn", (1, 8, 8))
TASK = Classification(LabelColumn(classes=("a", "b", "c", "d", "e")))


def test_the_recall_of_each_class_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    truth, said = generator.integers(0, 4, 60), generator.integers(0, 5, 60)
    confusion = confusion_matrix(truth, said, labels=range(6)).tolist()
    recall = recall_score(truth, said, labels=range(4), average=None)
    assert class_recall(confusion) == [*(pytest.approx(r) for r in recall), None, None]


class Logits:
    """A feed whose rows are logits already."""

    def __init__(self, logits: torch.Tensor, y: torch.Tensor) -> None:
        self.logits, self.y, self.rows = logits, y, len(y)

    batch_size, share = 7, WHOLE

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        raise AssertionError("evaluation never trains")

    def eval_batches(self, batch_size: int = 7, share: Share = WHOLE) -> Iterator[Batch]:
        for i in range(0, len(self.y), 7):
            features = Given(self.logits[i : i + 7], done=BACKBONE.steps)
            ids = torch.arange(len(self.y))
            yield Batch({IMAGE: features}, self.y[i : i + 7], ids[i : i + 7])


def reads_logits() -> TransferModel:
    mapper = build_mapper(MapperConfig(), BACKBONE.feature_dim)
    return image_model(BACKBONE, (1, 8, 8), mapper, torch.nn.Identity(), transferred=False)


def test_one_pass_measures_accuracy_loss_entropy_and_calibration() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(100, 5, generator=generator)
    y = torch.randint(0, 5, (100,), generator=generator)
    result = evaluate(reads_logits(), TASK, Logits(logits, y), torch.device("cpu"))
    found = result.metrics
    assert result.predictions.predicted_N.tolist() == logits.argmax(1).tolist()
    assert result.predictions.target_N.tolist() == y.tolist()
    assert result.predictions.id_N.tolist() == list(range(100))

    p = logits.double().softmax(1).numpy()
    said, confidence, truth = p.argmax(1), p.max(1), y.numpy()
    assert result.rows == 100
    assert found["accuracy"] == pytest.approx((said == truth).mean())
    assert result.loss == pytest.approx(-np.log(p[np.arange(100), truth]).mean(), rel=1e-5)
    assert found["entropy"] == pytest.approx(-(p * np.log(p)).sum(1).mean(), rel=1e-5)
    assert found["confusion"] == confusion_matrix(truth, said).tolist()
    bins = np.minimum(np.ceil(confidence * 15), 15)
    expected = sum(
        (bins == b).mean() * abs((said == truth)[bins == b].mean() - confidence[bins == b].mean())
        for b in np.unique(bins)
    )
    assert found["calibration_error"] == pytest.approx(expected, rel=1e-4)


def test_certain_and_always_wrong_is_the_worst_calibration() -> None:
    logits = 100 * torch.eye(5)[torch.arange(20) % 5]
    feed = Logits(logits, (torch.arange(20) + 1) % 5)
    found = evaluate(reads_logits(), TASK, feed, torch.device("cpu")).metrics
    assert found["calibration_error"] == pytest.approx(1.0)
    assert found["macro_f1"] == 0.0
