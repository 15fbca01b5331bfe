"""raytl beside AutoGluon-MM, Ludwig and Quick-Tune-Tool: the same rows, weights and minutes.

Each cell is a tool on a data set, as the tool's own documentation says, run by a script that a user
would write (`benchmarks/peers/`, whose lines are counted), in the tool's own environment, on two
cores, without a network, for `--minutes` with its start and its predictions. A tool is told four
fifths of them. Rows are drawn by `--seed`, the same for all; labels of test rows stay here, and one
scorer (scikit-learn's) judges what was predicted. Intervals are bootstraps over test rows, of
raytl minus a peer paired: what another training seed or draw of labels would change is not in them.

  hymenoptera  244 pictures of ants and bees; accuracy on 153
  office       Amazon's 10 classes of Office-31, 8 pictures a class; accuracy on the others
  sentiment    sentences on films, 16 a class; accuracy on the others
  german       700 credits; average precision of the bad ones among 300
  emoji        seven tenths of Google's emoji with their names; accuracy of the others' category

    python benchmarks/peers.py --data data --envs envs --out runs/peers.jsonl

`--data` holds hymenoptera/hymenoptera_data/{train,val}/CLASS/*.jpg, office/amazon/CLASS/*.jpg,
text/sentiment/imdb.txt (text, tab, 0 or 1), tabular/german.csv (UCI's, no header, 1 or 2 last),
emoji/emoji.csv (row, name, category) with emoji/google/NNNN.png, and, in pretrained/,
squeezenet1_0_imagenet_deepcompression.pth, tf_efficientnet_lite0_imagenet.pth and minilm_l6/.
Environments are made in `--envs` where they are missing (some 7 GB each; Ludwig's with a python3.12
on the PATH). A cell that is done, or that failed, is one line in `--out`; started again, the
benchmark goes on with what is missing.
"""

import argparse
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peer_cells import Asked, Record, records_of, run_cell
from peer_data import SOURCES, Split, split_of
from peer_scores import Interval, difference, interval
from peer_tools import OURS, SCRIPTS, TOOLS, Installed, installed, lines_of

CORES = 2
Cell = tuple[str, str]  # tool, data set
Records = dict[Cell, Record]


def wanted_cells(only: list[str] | None) -> list[Cell]:
    """Return the cells that are asked for, in order of data sets: `only` has TOOL:DATASET, either
    of which may be left empty for all. Raises SystemExit for what is neither."""
    every = [(tool, dataset) for dataset in SOURCES for tool in TOOLS]
    if not only:
        return every
    chosen: set[Cell] = set()
    for pair in only:
        tool, mark, dataset = pair.partition(":")
        found = {
            cell for cell in every if tool in ("", cell[0]) and dataset in ("", cell[1]) and mark
        }
        if not found:
            raise SystemExit(
                f"--only {pair}: must be TOOL:DATASET, of {', '.join(TOOLS)} and "
                f"{', '.join(SOURCES)}"
            )
        chosen |= found
    return [cell for cell in every if cell in chosen]


def read_records(out: Path, splits: dict[str, Split], minutes: float, seed: int) -> Records:
    """Return the cells that are done with these minutes, this seed and these test rows."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    found = records_of(map(json.loads, lines))
    keys = {
        (tool, name, minutes, seed, len(split.test))
        for tool in TOOLS
        for name, split in splits.items()
    }
    return {(r.tool, r.dataset): r for key, r in found.items() if key in keys}


def fill(cells: list[Cell], splits: dict[str, Split], asked: Asked, out: Path) -> Records:
    """Run the cells that the results file lacks, one after another; return all of them."""
    records = read_records(out, splits, asked.minutes, asked.seed)
    missing = [cell for cell in cells if cell not in records]
    print(f"{len(cells) - len(missing)} of {len(cells)} cells are there", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    for tool, dataset in missing:
        never = dataset in TOOLS[tool].cannot
        found = Installed(Path()) if never else installed(tool, asked.envs)
        record = run_cell(tool, dataset, splits[dataset], asked, found)
        records[tool, dataset] = record
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record.line()) + "\n")
        said = record.why_not or f"{100 * (record.score or 0):.1f} in {record.seconds:.0f} s"
        print(f"{dataset}, {TOOLS[tool].called}: {said}", flush=True)
    return {cell: records[cell] for cell in cells}


def show(records: Records, splits: dict[str, Split]) -> dict[str, Any]:
    """Print the table as Markdown and why cells are empty; return the figures."""
    print("\n| data set | tool | score, % | raytl minus it, points | seconds | lines |")
    print("|---|---|---|---|---|---|")
    figures: dict[str, Any] = {}
    for (tool, dataset), record in records.items():
        own: dict[str, Any] = {"lines": record.lines}
        figures.setdefault(dataset, {})[tool] = own
        found, minus = "–", "–"
        if record.score is not None:
            truth, rare = splits[dataset].truth, SOURCES[dataset].rare
            scored = interval(truth, record.answers, rare)
            found, own["score"] = _shown(scored), asdict(scored)
            ours = records.get((OURS, dataset))
            if tool != OURS and ours is not None and ours.score is not None:
                less = difference(truth, ours.answers, record.answers, rare)
                minus, own["minus"] = _shown(less, "+"), asdict(less)
        seconds = "–" if record.seconds is None else f"{record.seconds:.0f}"
        seconds += " (late)" if record.late else ""
        called = f"{TOOLS[tool].called} {record.version}"
        print(f"| {dataset} | {called} | {found} | {minus} | {seconds} | {record.lines} |")
    for (tool, dataset), record in records.items():
        if record.why_not is not None:
            print(f"\n{dataset}, {TOOLS[tool].called}: {record.why_not}")
            figures[dataset][tool]["why_not"] = record.why_not
    return figures


def _shown(found: Interval, sign: str = "") -> str:
    low, high = f"{100 * found.low:{sign}.1f}", f"{100 * found.high:{sign}.1f}"
    return f"{100 * found.value:{sign}.1f} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--envs", type=Path, default=Path("envs"), help="the tools' environments")
    parser.add_argument("--out", type=Path, default=Path("runs/peers.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("runs/peers"), help="logs, predictions")
    parser.add_argument("--minutes", type=float, default=15.0, help="of each cell")
    parser.add_argument(
        "--grace", type=float, default=240.0, help="seconds after which a late cell is ended"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the rows that are drawn")
    parser.add_argument("--only", nargs="*", help="cells, e.g. raytl:german ludwig: :emoji")
    parser.add_argument("--test-rows", type=int, help="that are predicted at most; all by default")
    parser.add_argument("--quick", action="store_true", help="one minute a cell, 60 test rows")
    args = parser.parse_args()
    if args.quick:
        args.minutes, args.test_rows = 1.0, 60
    minutes = args.minutes
    if not minutes > 0 or not args.grace >= 0:
        raise SystemExit(f"--minutes > 0 and --grace >= 0 must hold, got {minutes}, {args.grace}")
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)  # which all that is started from here keeps
    asked = Asked(minutes, args.seed, args.grace, args.data.resolve(), args.envs, args.work)
    cells = wanted_cells(args.only)
    splits = {name: split_of(name, asked.data, args.seed) for name in {cell[1] for cell in cells}}
    if args.test_rows is not None:
        splits = {name: Split(s.train, s.test[: args.test_rows]) for name, s in splits.items()}
    figures = show(fill(cells, splits, asked, args.out), splits)
    lines = {tool: lines_of(SCRIPTS / TOOLS[tool].script) for tool in TOOLS}
    machine = f"{len(cores)} CPUs, {platform.machine()}, Python {platform.python_version()}"
    line = {"name": "peers", "minutes": minutes, "figures": figures, "lines": lines}
    print(json.dumps(line | {"machine": machine}))


if __name__ == "__main__":
    main()
