"""What was trained before is not trained again: neither in a run that is resumed, nor in the next
study that wants the same trial."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pyarrow.fs import LocalFileSystem, copy_files

from raytl.errors import RaytlError, UserError
from raytl.files import digest_of
from raytl.sweeping.identity import Identity
from raytl.sweeping.kept.errands import Errand, at_once
from raytl.sweeping.kept.records import (
    IDENTITY,
    TRAINED_ON,
    Config,
    Trained,
    read_record,
    write_record,
)
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import checkpoint_name
from raytl.sweeping.kept.trial_store import TrialStore


class Recall:
    """The searcher's memory: the run's own records first, then the store."""

    def __init__(
        self,
        storage: RunStorage,
        identity: Identity,
        study: str,
        epochs: int,
        store: TrialStore | None,
        *,
        resumed: bool,
        workers: str | None = None,
        do: Callable[[Errand], None] = at_once,
    ) -> None:
        """`epochs`: of a whole trial. `study`: by name, for who lists the store. `store`: None
        where trials are neither taken from it nor kept there. `resumed`: whether the run's folder
        may hold trials. `workers`: see `records.workers_of`. `do`: has what is kept of a trial
        written, now or soon (see `errands`)."""
        self._do = do
        self._storage, self._identity, self._study = storage, identity, study
        self._epochs, self._store, self._resumed = epochs, store, resumed
        self._workers = workers
        self.found = 0  # trials that another run had trained
        self._own = set[str]()  # names of what this run had trained
        self._ended = dict[str, set[str]]()  # group → its trials that have ended
        self._taken = dict[str, Trained]()  # name → what the store had
        self._doubted = dict[str, Trained]()  # name → how it failed, perhaps once only
        self._mixed = set[str]()  # names of what was begun with other workers or threads
        self._once_redone = set[str]()  # names of what had failed and did otherwise, now or before
        self._redone = False  # there are such: others may be suggested after them
        self.store_failed: str | None = None  # why it is used no more

    @property
    def scope(self) -> str:
        """What names this run among all: its place, and what its numbers hang on."""
        return f"{self._identity.digest[:16]}-{digest_of(str(self._storage.run.absolute()))[:8]}"

    def recall(self, config: Config) -> Trained | Literal["busy"] | None:
        """Return what was trained of a trial, as far as it can be used.

        Raises UserError where this run has another trial in its place.
        """
        if self._resumed:
            kept = read_record(self._storage, config["name"])
            begun = self._begun(config) if kept is None or kept.doubted else None
            if begun is not None and set(begun.get(TRAINED_ON, [])) - {self._workers}:
                self._mixed.add(config["name"])
            if not self._is_same(config, kept.config if kept else begun):
                self._storage.trial(config["name"]).clear()  # it was another's
                kept = None
            if kept is not None and kept.redone:
                self._once_redone.add(config["name"])
            if kept is not None and kept.doubted:
                self._doubted[config["name"]] = kept
                return Trained(config, kept.curve)
            elif kept is not None and self._usable(config, kept):
                self._own.add(config["name"])
                return kept
        return self._from_store(config)

    def _begun(self, config: Config) -> Config | None:
        saved = self._storage.trial(config["name"]).newest()
        return None if saved is None else saved.config

    def _is_same(self, config: Config, kept: Config | None) -> bool:
        """Whether what is kept under a trial's name is of this trial."""
        for key in IDENTITY if kept is not None else ():
            assert kept is not None
            if kept.get(key) == config[key]:
                continue
            if self._redone:
                return False
            difference = _difference(kept.get(key), config[key])
            raise UserError(
                f"{self._storage.run}: the search now suggests another {config['name']} than "
                f"the one that was trained here ({key} {difference}); something that numbers "
                "hang on has changed: give another --out"
            )
        return True

    def _usable(self, config: Config, kept: Trained) -> bool:
        """Whether all that is wanted of a trial is there: a retraining's weights, too."""
        if config["phase"] == "search" or kept.error is not None:
            return True
        saved = self._storage.trial(config["name"]).newest()
        return saved is not None and len(saved.curve) >= self._epochs

    def _from_store(self, config: Config) -> Trained | Literal["busy"] | None:
        if self._store is None:
            return None
        key = self._identity.key(config)
        taken = self._take(self._store, key, config)
        if taken is not None and self._is_all(taken):
            return taken
        try:
            if not self._store.claim(key):
                return "busy"
        except OSError as error:
            self._give_up(error)
            return None
        return self._take(self._store, key, config)  # by now another process may have ended it

    def _give_up(self, error: Exception) -> None:
        """Do without the store from now on: a full disk, say, ends it, not the study."""
        assert self._store is not None
        self.store_failed = str(error)
        self._store.close()
        self._store = None

    def _is_all(self, trained: Trained) -> bool:
        return trained.error is not None or len(trained.curve) >= self._epochs

    def _take(self, store: TrialStore, key: str, config: Config) -> Trained | None:
        """Copy a trial of the store into the run. Of one that was stopped early, its curve: it may
        be stopped early again."""
        entry = store.find(key)
        if entry is None:
            return None
        stored, checkpoint = entry
        error = None if stored.doubted else stored.error
        trained = Trained(config, stored.curve, error)
        if config["phase"] == "confirm" and trained.error is None:
            if checkpoint is None:
                return None
            self._adopt(config, checkpoint)
        self._taken[config["name"]] = trained
        return trained

    def _adopt(self, config: Config, checkpoint: Path) -> None:
        target = f"{self._storage.path}/{config['name']}/{checkpoint_name(self._epochs)}"
        self._storage.filesystem.create_dir(target, recursive=True)
        copy_files(
            str(checkpoint), target, source_filesystem=LocalFileSystem(),
            destination_filesystem=self._storage.filesystem,
        )  # fmt: skip

    def keep(self, trained: Trained) -> None:
        """Keep a trial of which nothing more comes, here and in the store. Weights are kept of
        retrainings, and of what is tried again when the run is resumed."""
        needless = self._needless(trained)
        name = trained.config["name"]
        failed = self._doubted.get(name)
        if failed is not None and not _is_alike(failed, trained):
            self._once_redone.add(name)
        # Only now: until then the search has not been told of it.
        self._redone = self._redone or name in self._once_redone
        if name in self._own:
            if "fused" in trained.config:  # the last of its group, perhaps
                self._do(lambda: self._clear(needless))
            return
        found = trained == self._taken.get(name)
        self.found += found
        kept = replace(trained, redone=name in self._once_redone)
        self._do(lambda: self._write(kept, needless, found=found))
        if self._store is None:
            return
        key = self._identity.key(trained.config)
        if trained.doubted or name in self._mixed:
            self._store.release(key)
            return
        try:
            with self._checkpoint(trained) as checkpoint:
                self._store.put(key, self._study, trained, checkpoint)
        except (RaytlError, OSError) as error:
            self._give_up(error)
        else:
            self._store.release(key)

    def _needless(self, trained: Trained) -> list[str]:
        """Return the trials whose checkpoints nobody asks for any more, now that this one has
        ended. Those of a group's trials are needed until all have ended: whoever runs trains all
        (see `training.fused_group`)."""
        config = trained.config
        if config["phase"] != "search" or trained.doubted:
            return []
        if "fused" not in config:
            return [config["name"]]
        names = {of["name"] for of in config["fused"]["members"]}
        ended = self._ended.setdefault(config["fused"]["group"], set())
        ended.add(config["name"])
        return sorted(names) if ended == names else []

    def _write(self, trained: Trained, needless: list[str], *, found: bool) -> None:
        """Keep a trial's record in its folder. Only then checkpoints go: lost in between, it would
        be reported from the last one."""
        write_record(self._storage, trained)
        if found and trained.error is not None:
            folder = self._storage.trial(trained.config["name"])
            folder.write_error(f"{trained.error}\n(it was trained in another run)\n")
        self._clear(needless)

    def _clear(self, needless: list[str]) -> None:
        for name in needless:
            self._storage.trial(name).clear()

    @contextlib.contextmanager
    def _checkpoint(self, trained: Trained) -> Iterator[Path | None]:
        folder = self._storage.trial(trained.config["name"])
        saved = folder.newest() if trained.config["phase"] == "confirm" else None
        if saved is None:
            yield None
            return
        with folder.fetched(saved) as checkpoint:
            yield checkpoint


def _is_alike(then: Trained, now: Trained) -> bool:
    """Whether a trial failed as it did before, as far as others hang on it."""
    return now.error is not None and len(now.curve) == len(then.curve)


def _difference(then: object, now: object) -> str:
    """Return what differs, in few letters."""
    if isinstance(then, dict) and isinstance(now, dict):
        key = next(key for key in {**then, **now} if then.get(key) != now.get(key))
        return f"has {key} {then.get(key)} there, {now.get(key)} now"
    return f"{then} there, {now} now"
