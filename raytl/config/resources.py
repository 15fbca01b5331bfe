"""What trials get of a cluster, and where a run is kept."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PositiveInt

from raytl.config.base import Frozen, NonNegative, bounds_of, number_or_range
from raytl.urls import Url


def _a_url(text: object) -> str:
    if not isinstance(text, str) or not urlsplit(text).scheme:
        raise ValueError(f"must be a URL such as s3://bucket/runs, got {text}; a folder is --out")
    return text


StorageUrl = Annotated[Url, BeforeValidator(_a_url)]
Workers = Annotated[int | tuple[int, int], number_or_range("workers", 1)]


class DataTasks(Frozen):
    """Tasks of Ray Data, which read for `train.feed: ray_data`."""

    at_once: PositiveInt = 2  # for each worker of a trial
    # Labels of the nodes that they run on, with a CPU each; none: any node, beside the trials
    nodes: dict[str, str] = Field(default_factory=dict)


ON_ANY_NODE = DataTasks()


class ResourcesConfig(Frozen):
    """What one trial gets, and how many run at once."""

    workers_per_trial: Workers = 1  # [1, 4]: as many as there is room for just now
    cpus_per_worker: PositiveInt = 1
    gpus_per_worker: NonNegative = 0
    max_concurrent: PositiveInt | None = None  # None: what the cluster has room for at the start
    wait_s: NonNegative = 600  # on a cluster without room for one trial, for its autoscaler
    # Of all trials that are kept for later studies, on the driver's machine
    trial_store_bytes: PositiveInt = 2 * 2**30
    # s3://, gs:// or another URL of pyarrow or fsspec, under which the run is kept; None: in its
    # folder, which every node must then share
    storage_path: StorageUrl | None = None

    data_tasks: DataTasks = ON_ANY_NODE

    @property
    def workers(self) -> tuple[int, int]:
        """The fewest and the most workers of a trial."""
        return bounds_of(self.workers_per_trial)
