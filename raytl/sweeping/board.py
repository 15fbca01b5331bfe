"""The leaderboard of a study that is running."""

import math
import time

from raytl.config import Study
from raytl.sweeping.kept.errands import Errands
from raytl.sweeping.kept.lease import Lease
from raytl.sweeping.kept.records import Record
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.leaderboard import build_leaderboard, save_leaderboard
from raytl.sweeping.search.asked_and_told import Listener
from raytl.sweeping.search.searcher import StudySearch

BOARD_EVERY_S = 1.0  # at most
BOARD_SHARE = 0.02  # of the time that writing it may take: it takes longer with every trial
SNAPSHOT_EVERY_S = 60.0  # at most


class Board(Listener):
    """Writes the leaderboard as trials end, and has it kept, so that a killed study has one too."""

    def __init__(self, study: Study, storage: RunStorage, lease: Lease, errands: Errands) -> None:
        self._study, self._storage, self._lease, self._errands = study, storage, lease, errands
        self._due = self._snapshot_due = -math.inf
        self.search: StudySearch | None = None

    def ended(self, record: Record) -> None:
        """Write it, unless it was written a moment ago."""
        start = time.monotonic()
        if start < self._due:
            return
        assert self.search is not None
        board = build_leaderboard(self._study, self.search.records(), complete=False)
        save_leaderboard(board, self._storage.run)
        now = time.monotonic()
        self._due = now + max(BOARD_EVERY_S, (now - start) / BOARD_SHARE)
        if now > self._snapshot_due:
            self._snapshot_due = math.inf  # one at a time
            self._errands.do(self._push)

    def _push(self) -> None:
        if self._lease.lost is not None:  # the run is another driver's
            return
        self._storage.push(whole=False)
        self._snapshot_due = time.monotonic() + SNAPSHOT_EVERY_S
