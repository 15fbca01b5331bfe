"""TensorBoard's hyperparameters: what was searched and applies to a trial, no constants."""

from collections.abc import Mapping
from typing import Any

from raytl.config import Distribution, Study
from raytl.recipes import applies
from raytl.search_space.checks import as_list
from raytl.sweeping.kept.records import Config

OBJECTIVE = "objective"  # the tags of what trials are compared by, as TensorBoard lists them
CONFIRMED = "confirmed"
CONTROL = "control"
SEARCHED = "none, searched"  # of a trial that is no control
# Of a control in a space whose keys are known only trial by trial
ALWAYS = ("recipe", "source_model")
Value = str | float


def hparams_of(config: Config, study: Study) -> dict[str, Value]:
    """Return a trial's hyperparameters by dotted keys, and which control it is: of a searched trial
    those that it searched, of a control those that the space has for one like it, and of these
    those that its recipe reads."""
    trial: Mapping[str, Any] = config["trial"]
    keys = config["searched"] if config["control"] is None else _like(trial, study)
    own = {key: trial.get(key) for key in keys if applies(key, trial["recipe"])}
    values = {key: _plain(value, number=_numbers(key, study)) for key, value in own.items()}
    known = {key: value for key, value in values.items() if value is not None}
    return known | {CONTROL: config["control"] or SEARCHED}


def _like(trial: Mapping[str, Any], study: Study) -> list[str]:
    if isinstance(study.space, str):
        return list(ALWAYS)
    return [
        key
        for key, distribution in study.space.items()
        if all(trial.get(k) in as_list(v) for k, v in distribution.when.items())
    ]


def _numbers(key: str, study: Study) -> bool | None:
    """Whether a key's values are all numbers, as TensorBoard wants a key to have one type; None
    where the space does not say."""
    if isinstance(study.space, str) or key not in study.space:
        return None
    return _is_numeric(study.space[key])


def _is_numeric(distribution: Distribution) -> bool:
    choices = distribution.choice
    return choices is None or all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in choices
    )


def _plain(value: Any, *, number: bool | None) -> Value | None:
    """Return a value of the type that its key has; None where it is of another, as a control's
    learning rate may be "auto" where numbers are searched."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if number is None:
        number = is_number
    if number:
        return float(value) if is_number else None
    return None if value is None else str(value)


def experiment(study: Study, label: str) -> Any:
    """Return the summary that names the columns of TensorBoard's table, in their order: the
    objective, which is called `label`, and the confirmed test metric first, then the space's keys.

    None for a callable space: TensorBoard then finds them in the trials.
    """
    if isinstance(study.space, str):
        return None
    from tensorboard.plugins.hparams import api_pb2, metadata

    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name)
        for tag, name in (
            (OBJECTIVE, f"objective: {label}"),
            (confirmed_tag(study), f"confirmed test {study.metric}"),
        )
    ]
    kinds = {key: _is_numeric(distribution) for key, distribution in study.space.items()}
    infos = [
        api_pb2.HParamInfo(
            name=name,
            type=api_pb2.DATA_TYPE_FLOAT64 if number else api_pb2.DATA_TYPE_STRING,
        )
        for name, number in {**kinds, CONTROL: False}.items()
    ]
    found = api_pb2.Experiment(hparam_infos=infos, metric_infos=metrics)
    return _summary(metadata.EXPERIMENT_TAG, experiment=found)


def confirmed_tag(study: Study) -> str:
    """Return the tag of a confirmed candidate's mean over its seeds on the test rows."""
    return f"{CONFIRMED}/test_{study.metric}"


def session(values: Mapping[str, Value], *, good: bool) -> list[Any]:
    """Return the summaries of a trial with these hyperparameters. `good`: it has not failed."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo()
    for key, value in values.items():
        if isinstance(value, str):
            start.hparams[key].string_value = value
        else:
            start.hparams[key].number_value = value
    status = api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status)
    return [
        _summary(metadata.SESSION_START_INFO_TAG, session_start_info=start),
        _summary(metadata.SESSION_END_INFO_TAG, session_end_info=end),
    ]


def _summary(tag: str, **content: Any) -> Any:
    """Return a summary of the plugin's own data: TensorBoard's function for it asks for
    TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
    own = SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString()
    )
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=own))])
