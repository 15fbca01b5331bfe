"""What is known of a shard that was written, and stands beside it until the whole dataset does."""

from pydantic import BaseModel, ConfigDict

from raytl.data.schema import ShardInfo

RECORDS = "begun"  # the folder of records, in the one that a dataset is written into


class Written(BaseModel):
    """One shard's record. `info` is None where every row was left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str  # of what was to be read
    info: ShardInfo | None
    left_out: list[int]  # places in the source of rows that could not be read
    messages: list[str]  # and why
    held: dict[str, list[int]]  # which classes and groups there are, by column
