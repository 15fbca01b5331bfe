"""What a new study says of itself in comments."""

from dataclasses import dataclass

from raytl.folders import printable
from raytl.starting.draft import Draft
from raytl.starting.drafting import Sized
from raytl.starting.measuring import device

NAMES = 8  # of classes or columns that a line lists
OF_KEY = {
    "frozen_depth": "share of the pretrained network's blocks that stays as it is; 0: none",
    "recipe": "what is trained with which losses",
    "inputs": "which columns are read",
    "mapper": "between features and head",
    "class_weights": "some classes have few rows",
    "adversarial_lambda": "λ in L = L_task + λ·L_domain",
    "alignment_lambda": "weight of the loss that draws the domains together",
}


@dataclass(frozen=True)
class Origin:
    """What raw data came from: the `commands` that shard them, and the `notes` on them. `left`:
    lines about source models that are not taken; `asked`: minutes."""

    commands: tuple[str, ...]
    notes: tuple[str, ...]
    left: tuple[str, ...]
    asked: float


def remark(draft: Draft, sized: Sized, origin: Origin) -> None:
    """Write the comments of a study."""
    notes = draft.notes
    notes.head = _head(draft, origin)
    notes.target = _target(draft)
    notes.models = _models(draft, sized, origin)
    notes.space = {key: OF_KEY[key] for key in draft.study["space"] if key in OF_KEY}
    notes.budget = _budget(draft, sized, origin)
    if sized.reason is None:
        notes.metric = f"metric: here {sized.metric}"
    else:
        notes.budget.append(f"{sized.reason[0].upper()}{sized.reason[1:]}.")


def _head(draft: Draft, origin: Origin) -> list[str]:
    facts = draft.facts
    inputs = _some([f"{name} ({column.kind})" for name, column in facts.inputs.items()])
    lines = [
        f"{facts.task.capitalize()}: {facts.target}{_classes(draft)}, from {inputs}. "
        f"{facts.train_rows:,} training rows, {facts.rows(facts.parts.test):,} test rows."
    ]
    if origin.commands:
        lines.append("Paths are taken from the folder in which raytl runs. The data come from")
        lines += [f"    {command}" for command in origin.commands]
    lines += [f"{note[0].upper()}{note[1:]}." for note in origin.notes]
    return lines


def _classes(draft: Draft) -> str:
    classes, counts = draft.facts.classes, draft.facts.counts
    if not classes:
        return ""
    named = [
        f"{printable(name)}: {counts[k]:,}" if counts else printable(name)
        for k, name in enumerate(classes)
    ]
    return f" ({len(classes)} classes: {_some(named)})"


def _some(words: list[str]) -> str:
    return ", ".join(words[:NAMES]) + (", …" if len(words) > NAMES else "")


def _target(draft: Draft) -> list[str]:
    facts, lines = draft.facts, []
    if facts.parts.stands_in:
        lines.append(
            f"No split is called test, so {facts.parts.test} is it: it is read once, for the "
            "verdict. Rows to select by are held out of train."
        )
    unread = facts.parts.unread(facts.dataset.info.splits)
    if unread:
        lines.append(f"Splits that are not read: {_some(unread)}.")
    if draft.labels == "none":
        some = ", where rows have any," if facts.column.may_lack else ""
        none = ": without any there is none" if facts.column.may_lack else ""
        lines.append(f"Its labels{some} are used for the verdict alone, by the test split{none}.")
    elif draft.labels != "all":
        of = "a class" if facts.classes else "in all"
        lines.append(f"{draft.labels} labels {of} are known, those to select by included.")
    return lines


def _models(draft: Draft, sized: Sized, origin: Origin) -> list[str]:
    lines = [f"{line[0].upper()}{line[1:]}." for line in origin.left]
    if not any(model.pretrained for model in draft.models):
        lines.append(
            "Nothing pretrained was found for these rows, so that the study compares networks from "
            "scratch; --source-model takes files and folders of weights, and `raytl pretrain` "
            "makes a source model of a labelled dataset."
        )
    if draft.downloads:
        lines.append(
            "To download a network take the # from its line, and put its name, beside the others, "
            "into space.source_model, as {choice: [NAME, …]}."
        )
    if sized.side is not None:
        lines.append(
            f"Networks read images of {sized.side} pixels a side, for the minutes are few; leave "
            "input_size out for their own, which knows more and takes longer."
        )
    return lines


def _digits(value: float) -> str:
    """Return two digits of a measured number, all of a larger one."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _budget(draft: Draft, sized: Sized, origin: Origin) -> list[str]:
    work, budget = sized.work, sized.budget
    steps = ", ".join(
        f"{name} {_digits(1000 * seconds)}" for name, seconds in sorted(work.step_row.items())
    )
    where = "a GPU" if device() == "cuda" else "one core"
    lines = [f"Measured on {where}: a training step, nothing frozen, takes, ms a row: {steps}."]
    slowest = max(work.step_row, key=lambda name: work.step_row[name])
    rows = work.stream * work.streams
    seconds = _digits(rows * work.step_row[slowest])
    lines.append(
        f"An epoch of {rows:,} rows of {slowest} takes {seconds} s at most. With "
        f"{work.slots} trials at once the whole is reckoned at about "
        f"{max(1, round(budget.minutes))} of {origin.asked:g} minutes."
    )
    if "objective" in draft.study["search"]:
        lines.append(
            "Without target labels trials are selected by iwv, which weighs the loss on source "
            "rows: bnm, the usual one, is safe between recipes, not between networks."
        )
    if budget.minutes > origin.asked:
        lines.append(
            "No smaller study makes sense, so that it takes longer than was asked for: a smaller "
            "source model, smaller images or fewer rows would help."
        )
    return lines
