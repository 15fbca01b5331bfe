"""Work in parts: what a machine may be at fault for is handed out again."""

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from raytl.errors import DataError, RaytlError
from raytl.sweeping.on_ray.data_tasks import PART, ROUNDS, WHAT, Work, _in_order
from raytl.sweeping.on_ray.retries import MOST_FAULTS

COUNTING = Work("counting", "count again")


@dataclass
class Rows:
    """Answers as Ray Data gives them."""

    answers: Iterator[dict[str, Any]]

    def iter_rows(self) -> Iterator[dict[str, Any]]:
        return self.answers


@dataclass
class Faulty:
    """Does parts, of which some fail so often; `done`: how often each was tried."""

    fails: Mapping[int, int]
    error: Exception
    done: Counter[int]

    def __call__(self, part: int) -> int:
        self.done[part] += 1
        if self.done[part] <= self.fails.get(part, 0):
            raise self.error
        return part + 100


def results(do: Callable[[int], int], parts: int = 5) -> list[Any]:
    def begun(left: Mapping[int, bytes]) -> Rows:
        rows = ({PART: number, WHAT: part} for number, part in left.items())
        return Rows(COUNTING.answer(do, row) for row in rows)

    return list(_in_order(COUNTING.all_done([*map(pickle.dumps, range(parts))], begun)))


@pytest.mark.parametrize("error", [RaytlError("the bucket is slow"), OSError("reset by peer")])
def test_a_part_that_fails_for_a_while_is_done_in_the_end(error: Exception) -> None:
    do = Faulty({0: 1, 3: ROUNDS - 1}, error, Counter())
    assert results(do) == [100, 101, 102, 103, 104]
    assert do.done == {0: 2, 1: 1, 2: 1, 3: ROUNDS, 4: 1}


def test_what_comes_again_and_again_is_raised() -> None:
    do = Faulty({3: ROUNDS}, RaytlError("the bucket is gone"), Counter())
    with pytest.raises(RaytlError, match="^the bucket is gone$"):
        results(do)


def test_where_all_parts_fail_the_rest_is_left() -> None:
    do = Faulty(dict.fromkeys(range(100), 1), KeyError("a bug"), Counter())
    with pytest.raises(RaytlError, match="counting failed: KeyError: 'a bug'; look at"):
        results(do, parts=100)
    assert do.done.total() == MOST_FAULTS + 1


def test_a_persons_mistake_is_raised_at_once() -> None:
    do = Faulty({3: 1}, DataError("row 7 has no label"), Counter())
    with pytest.raises(DataError, match="row 7"):
        results(do)
    assert do.done == {0: 1, 1: 1, 2: 1, 3: 1}
