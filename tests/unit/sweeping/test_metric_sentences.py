"""The verdict in words, by other metrics than accuracy."""

import pytest

from raytl.config import Study, TrialConfig
from raytl.scoring.metrics import METRICS
from raytl.sweeping.search.control_facts import facts_of
from raytl.sweeping.verdict.confirmation import of_other_models
from raytl.sweeping.verdict.decision import Decision
from raytl.sweeping.verdict.intervals import Difference
from raytl.sweeping.verdict.sentences import (
    Trained,
    amount,
    control_words,
    plain_sentence,
    trained_by,
    verdict_sentence,
)

WHAT = "transfer from net by dann"


def of(decision: Decision) -> str:
    return facts_of(decision.control).words


def difference(value: float, half: float) -> Difference:
    return Difference(
        difference=value, interval=(value - half, value + half), level=0.95, n=3, rows=100,
        units=100, looks=1, seed_variance=1.0, row_variance=1.0, shared_variance=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "half", "text"),
    [
        ("accuracy", 0.032, 0.011, "+3.2 ± 1.1 points"),
        ("accuracy", 0.0004, 0.0003, "+0.04 ± 0.03 points"),
        ("accuracy", -0.0004, 0.000012, "-0.040 ± 0.001 points"),
        ("average_precision", -0.032, 0.011, "-3.2 ± 1.1 points of average precision"),
        ("log_loss", 0.0324, 0.0111, "lower by 0.032 ± 0.011 nats (log loss)"),
        ("rmse", 3.24, 1.13, "lower by 3.2 ± 1.1 (root mean squared error)"),
        ("rmse", -3.24, 1.13, "higher by 3.2 ± 1.1 (root mean squared error)"),
        ("mae", 0.0, 0.0, "lower by 0 ± 0 (mean absolute error)"),
    ],
)
def test_amounts(name: str, value: float, half: float, text: str) -> None:
    assert amount(difference(value, half), METRICS[name]) == text


def test_a_control_of_another_source_model_is_said_to_be_one() -> None:
    ours, theirs = TrialConfig(source_model="large"), TrialConfig(source_model="small")
    assert control_words("source_only", ours, ours) == "source_only (no look at the target)"
    said = control_words("source_only", theirs, ours)
    assert said == "source_only (no look at the target) of small"
    assert control_words("constant", theirs, ours) == "a constant guess"
    probe = control_words("small_frozen", theirs, ours)
    assert probe == "linear_probe (small frozen)"
    plain = control_words("linear_probe", ours, ours)
    assert plain == "linear_probe (the source model frozen)"
    assert control_words("small.name_alone", theirs, ours) == "name alone of small"
    assert control_words("name_alone", theirs, ours) == "name alone of small"
    assert control_words("name_alone", ours, ours) == "name alone"


def test_a_candidate_is_compared_with_its_own_source_model_where_it_can_be() -> None:
    ours, other = TrialConfig(source_model="large"), TrialConfig(source_model="small")
    controls = {
        "linear_probe": other, "large_frozen": ours, "target_only": other,
        "name_alone": other, "large.name_alone": ours,
    }  # fmt: skip
    assert of_other_models(controls, ours) == {"linear_probe", "name_alone"}
    assert of_other_models(controls, other) == {"large_frozen", "large.name_alone"}
    assert of_other_models({"name_alone": other}, ours) == set()


def test_of_errors_less_is_better_in_every_verdict() -> None:
    rmse = METRICS["rmse"]

    def said(kind: str, value: float, half: float) -> str:
        decision = Decision(kind=kind, control="scratch", difference=difference(value, half))
        return verdict_sentence(Trained(WHAT), decision, of(decision), 1, 0.25, rmse)

    less = "by 3.2 ± 1.1 (root mean squared error) than with training from scratch"
    assert said("helps", 3.24, 1.13) == f"{WHAT} helps: lower {less}"
    hurts = said("hurts", -3.24, 1.13)
    assert hurts == f"{WHAT} hurts (negative transfer): higher {less}; do not transfer"
    alike = said("equivalent", 0.05, 0.11)
    assert alike.endswith("than with training from scratch, within ± 0.25")
    plain = plain_sentence(WHAT, facts_of("target_only").words, difference(-3.24, 1.13), rmse, 0.25)
    assert "worse than the simpler transfer: higher by 3.2 ± 1.1" in plain


def test_a_simpler_transfer_within_the_margin_makes_no_difference() -> None:
    accuracy = METRICS["accuracy"]

    def said(half: float, margin: float = 1.0) -> str:
        return plain_sentence(WHAT, "linear_probe", difference(0.0002, half), accuracy, margin)

    assert said(0.001) == (
        f"{WHAT} makes no difference to the simpler transfer: +0.0 ± 0.1 points against "
        "linear_probe, within ± 1 points"
    )
    assert "against the simpler transfer is undecided" in said(0.001, margin=0.1)
    assert "against the simpler transfer is undecided" in said(0.05)


def test_a_constant_guess_advises_not_to_transfer() -> None:
    decision = Decision(kind="hurts", control="constant", difference=difference(-0.1, 0.01))
    said = verdict_sentence(Trained(WHAT), decision, of(decision), 1, 1.0, METRICS["auc"])
    assert said == (
        f"{WHAT} hurts (negative transfer): -10.0 ± 1.0 points of area under the ROC curve against "
        "a constant guess; do not transfer"
    )


FRESH, LEARNT = {"backbone": "small_cnn"}, {"torchvision": "resnet18", "weights": "DEFAULT"}


def study(labels: str = "all", source: bool = False) -> Study:
    return Study.model_validate(
        {
            "study": "s",
            "source_domain": {"dataset": "source"} if source else None,
            "target_domain": {"dataset": "target", "labels": labels},
            "source_models": {
                "plain": FRESH, "learnt": LEARNT, "half": {"parts": {"a": FRESH, "b": LEARNT}},
            },
            "space": {},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flat", "words"),
    [
        ({"source_model": "learnt"}, "transfer from learnt by finetune"),
        ({"source_model": "plain"}, "training plain from scratch by finetune"),
        ({"source_model": "learnt", "recipe": "scratch"}, "training learnt from scratch by "
         "scratch"),
        ({"source_model": "plain", "recipe": "dann"}, "transfer from the source domain to plain by "
         "dann"),
        ({"source_model": "half"}, "transfer from half by finetune"),
        ({"source_model": "half", "inputs": "b"}, "transfer from half by finetune"),
        ({"source_model": "half", "inputs": "a"}, "training half from scratch by finetune"),
        ({"source_model": "plain", "recipe": "relational_distillation", "student": "learnt"},
         "transfer from plain by relational_distillation"),
    ],
)  # fmt: skip
def test_what_is_no_transfer_is_not_called_one(flat: dict[str, str], words: str) -> None:
    found = trained_by(study(source=True), TrialConfig.from_flat(flat))
    assert (found.words, found.transfers) == (words, "from scratch" not in words)


def test_a_fresh_network_without_target_labels_learns_from_the_source_domain() -> None:
    trial = TrialConfig(source_model="plain", recipe="finetune")
    found = trained_by(study("none", source=True), trial)
    assert found == Trained("transfer from the source domain to plain by finetune")


def test_training_from_scratch_is_no_negative_transfer() -> None:
    decision = Decision(kind="hurts", control="scratch", difference=difference(-0.1, 0.01))
    trained = Trained("training plain from scratch by finetune", transfers=False)
    said = verdict_sentence(trained, decision, of(decision), 1, 1.0, METRICS["accuracy"])
    assert said == f"{trained.words} hurts: -10.0 ± 1.0 points against training from scratch"
