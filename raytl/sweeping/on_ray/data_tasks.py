"""Work that a cluster does as Ray Data hands it out: by tasks, or by actors that have prepared
themselves once. What is met on the way is said as raytl's own error."""

import contextlib
import logging
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from ray.exceptions import RayError

from raytl.errors import RaytlError, UserError
from raytl.packages import check_raytl, source_digest
from raytl.sweeping.on_ray.faults import describe
from raytl.sweeping.on_ray.retries import MOST_FAULTS

# Of a row: its number, what there is to do, and what was returned, pickled
PART, WHAT, DONE = "part", "what", "done"
ROUNDS = 3  # a part that failed is handed out so often
MOST_TEXT = 300  # characters of what another package says


@dataclass(frozen=True)
class Work:
    """What a cluster does in parts, each described by a pickled value. `name`: of the work;
    `again`: how a person goes on with it after a fault. `raytl`: the driver's source."""

    name: str
    again: str
    raytl: str = field(default_factory=source_digest)

    def by_tasks(
        self, do: Callable[[Any], Any], what: Sequence[bytes], workers: int
    ) -> Iterator[Any]:
        """Yield what `do` returns of each part, in order, of up to so many at once.

        Needs a Ray cluster to be connected to. Raises RaytlError for what a task met, where that is
        a person's mistake or comes again, and where the cluster lost one.
        """
        import ray.data

        def begun(left: Mapping[int, bytes]) -> Any:
            todo = _rows(left)
            todo.context.execution_options.preserve_order = True
            at_once = ray.data.TaskPoolStrategy(size=min(workers, len(left)))
            answer = partial(self.answer, do)
            return todo.map(answer, num_cpus=1, compute=at_once, max_retries=MOST_FAULTS)

        return _in_order(self.all_done(what, begun))

    def by_actors(
        self,
        begin: Callable[[], Callable[[Any], Any]],
        what: Sequence[bytes],
        workers: int,
        *,
        cpus: float | None,
        gpus: float | None,
    ) -> Iterator[Any]:
        """Yield what is returned of each part, in any order, by up to so many actors, with what
        `begin` returned in each of them. `cpus` and `gpus`: an actor's. Else as `by_tasks`."""
        import ray.data

        doer: Any = Doer  # a class whose objects are called, which Ray's types do not know

        def begun(left: Mapping[int, bytes]) -> Any:
            pool = ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(left)))
            return _rows(left).map(
                doer, fn_constructor_args=(self, begin), compute=pool, num_cpus=cpus, num_gpus=gpus,
                max_restarts=MOST_FAULTS, max_task_retries=MOST_FAULTS,  # else for ever
            )  # fmt: skip

        return (found for _, found in self.all_done(what, begun))

    def answer(self, do: Callable[[Any], Any], row: dict[str, Any]) -> dict[str, Any]:
        """Do a part, in a process of the cluster. What is raised comes back as a value: Ray would
        wrap it, or keep no more of it than a trace."""
        try:
            check_raytl(self.raytl)
            found = do(pickle.loads(row[WHAT]))
        except RaytlError as error:
            found = error
        except Exception as error:
            found = RaytlError(
                f"{socket.gethostname()}: {self.name} failed: {describe(error)[:MOST_TEXT]}; look "
                f"at this node, and {self.again}"
            )
        return {PART: row[PART], DONE: pickle.dumps(found)}

    def all_done(
        self, what: Sequence[bytes], begun: Callable[[Mapping[int, bytes]], Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each part with what was returned of it. `begun`: begins with parts by
        their numbers, and returns what has the rows of their answers. What a machine may be at
        fault for is handed out again once the others are done. Raises as `by_tasks`."""
        left: Mapping[int, bytes] = dict(enumerate(what))
        for others in reversed(range(ROUNDS)):
            failed = dict[int, bytes]()
            for number, found in self._answers(begun(left)):
                if not isinstance(found, RaytlError):
                    yield number, found
                elif isinstance(found, UserError) or not others or len(failed) >= MOST_FAULTS:
                    raise found
                else:
                    failed[number] = left[number]
            if not failed:
                return
            left = failed

    def _answers(self, done: Any) -> Iterator[tuple[int, Any]]:
        from ray.data.exceptions import SystemException

        with _saying_it_here():
            try:
                for row in done.iter_rows():
                    yield row[PART], pickle.loads(row[DONE])
            except (RayError, SystemException) as error:
                raise RaytlError(
                    f"{self.name}: the cluster lost a process: {describe(error)[:MOST_TEXT]}; look "
                    f"at its nodes, and {self.again}"
                ) from None


class Doer:
    """Does parts of a work, in an actor."""

    def __init__(self, work: Work, begin: Callable[[], Callable[[Any], Any]]) -> None:
        self._work, self._begin = work, begin

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Do one part."""
        return self._work.answer(lambda part: self._do(part), row)

    @cached_property
    def _do(self) -> Callable[[Any], Any]:
        return self._begin()


def _in_order(numbered: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """Yield values by their numbers, each as soon as those before it have come."""
    waiting, due = dict[int, Any](), 0
    for number, value in numbered:
        waiting[number] = value
        while due in waiting:
            yield waiting.pop(due)
            due += 1


def _rows(what: Mapping[int, bytes]) -> Any:
    import ray.data

    todo = [{PART: number, WHAT: one} for number, one in what.items()]
    rows = ray.data.from_items(todo, override_num_blocks=len(todo))
    rows.context.enable_progress_bars = False
    return rows


@contextlib.contextmanager
def _saying_it_here() -> Iterator[None]:
    """Leave out what Ray Data says of plans and errors: raytl says it in a line."""
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
