"""What is known of each control, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ControlFacts:
    """`words`: what it is called in a sentence. `transfers`: whether it carries anything over
    between domains or models; if so it is transfer, only simpler. `needs_pretrained`: whether it
    makes no sense without a pretrained source model. `advice`: what a loss against it advises,
    where it transfers nothing. `learns`: whether it is trained at all. `only_of`: what a task has
    to give for it to be one."""

    words: str
    transfers: bool
    needs_pretrained: bool
    advice: str = ""
    learns: bool = True
    only_of: frozenset[str] = frozenset()


CONTROL_FACTS: dict[str, ControlFacts] = {
    "scratch": ControlFacts(
        words="training from scratch",
        transfers=False,
        needs_pretrained=False,
        advice="do not transfer",
    ),
    "source_only": ControlFacts(  # keeps the source model and its task
        words="source_only (no look at the target)",
        transfers=False,
        needs_pretrained=False,
        advice="do not adapt",
    ),
    "linear_probe": ControlFacts(
        words="linear_probe (the source model frozen)",
        transfers=True,
        needs_pretrained=True,
    ),
    "target_only": ControlFacts(
        words="target_only (plain fine-tuning on the target)",
        transfers=True,
        needs_pretrained=True,
    ),
    "constant": ControlFacts(
        words="a constant guess",
        transfers=False,
        needs_pretrained=False,
        advice="do not transfer",
        learns=False,
    ),
    "naive": ControlFacts(
        words="the naive forecast (the last step)",
        transfers=False,
        needs_pretrained=False,
        advice="do not transfer",
        learns=False,
        only_of=frozenset({"steps"}),
    ),
    "seasonal_naive": ControlFacts(
        words="the seasonal naive forecast (the last season)",
        transfers=False,
        needs_pretrained=False,
        advice="do not transfer",
        learns=False,
        only_of=frozenset({"steps"}),
    ),
}
# How the names of controls end that read one of several columns; before the column may stand
# another source model than trial 0's, and a point
ALONE = "_alone"
PROBE = "_frozen"  # how those end that freeze another source model than trial 0's


def facts_of(control: str) -> ControlFacts:
    """Return what is known of a control by its name."""
    if control.endswith(ALONE):
        model, _, column = control.removesuffix(ALONE).rpartition(".")
        words = f"{column} alone" + (f" of {model}" if model else "")
        return ControlFacts(words, transfers=True, needs_pretrained=False)
    if control.endswith(PROBE):
        model = control.removesuffix(PROBE)
        words = f"linear_probe ({model} frozen)"
        return ControlFacts(words, transfers=True, needs_pretrained=True)
    return CONTROL_FACTS[control]


def kind_of(control: str) -> str:
    """Return what a control is, whatever source model or column it has."""
    if control.endswith(PROBE):
        return "linear_probe"
    return ALONE if control.endswith(ALONE) else control


WITHOUT_TRANSFER = tuple(name for name, facts in CONTROL_FACTS.items() if not facts.transfers)
