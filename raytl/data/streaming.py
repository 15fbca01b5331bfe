"""The streaming feed, for shards larger than memory: reads a batch while one is trained on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from raytl.data.batch import Batch
from raytl.data.resident import ResidentFeed


class StreamingFeed(ResidentFeed):
    """Reads the same batches as the resident feed, one ahead."""

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        batches = super().train_batches(start_step)
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(next, batches)
            while True:
                batch = ahead.result()
                ahead = reader.submit(next, batches)
                yield batch
