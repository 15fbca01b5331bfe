"""How much work a study asks for. What is hardly meant is a warning: the study still starts."""

import math

from raytl.sweeping.opening import Opened

MOST_HOURS = 48.0  # more, one trial after another, is warned of
MOST_STEPS = 10_000_000  # and more than these, where a GPU does what nobody has timed
BACKWARD = 3.0  # forward and backward pass take about three times the forward pass


def effort_warnings(opened: Opened, trials: int, row_seconds: float, backbone: str) -> list[str]:
    """Return what to warn of, in a line each.

    `trials`: of the search, controls included. `row_seconds`: of the forward pass of the slowest
    source model, whose `backbone` is named, on this machine's CPU.
    """
    train, longest = opened.study.train, _longest_stream(opened)
    warnings = []
    if train.batch_size > longest:
        warnings.append(
            f"train.batch_size: a batch of {train.batch_size:,} is larger than the {longest:,} "
            "rows of the longest stream, so each step reads rows again; lower it"
        )
    per_epoch = train.steps_per_epoch or math.ceil(longest / train.batch_size)
    steps = trials * train.epochs * per_epoch
    hours = steps * train.batch_size * BACKWARD * row_seconds / 3600
    amount = f"{trials} trials and controls come to {steps:,} steps of {train.batch_size:,} rows"
    remedy = "lower train.epochs, train.steps_per_epoch or search.trials"
    if opened.study.resources.gpus_per_worker:
        if steps > MOST_STEPS:
            warnings.append(f"train: {amount}, not counting confirmation; {remedy}")
    elif hours > MOST_HOURS:
        warnings.append(
            f"train: {amount}, about {hours:,.0f} hours one after another on this machine if "
            f"nothing were frozen or stopped early (a forward pass of {backbone} took "
            f"{1000 * row_seconds:.2g} ms a row); {remedy}"
        )
    return warnings


def _longest_stream(opened: Opened) -> int:
    """Return the rows of the longest stream that a trial may read."""
    target, source = opened.target_rows, opened.source_rows
    return max(len(target.labelled), len(target.unlabelled), len(source.train) if source else 0)
