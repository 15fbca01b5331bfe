"""The studies of search_spaces/ on real data, whole: the rows of docs/guide/studies.md.

    python benchmarks/real_studies.py --inputs FOLDER --work DIR [ROW …]

`--inputs` holds the public files in the layout that `DATA` names. What the asked rows read is
sharded into DIR/data first; then each is one `raytl sweep` in a process tree of its own, one after
the other, timed from its start to its exit. A row is printed as it ends: what was chosen, every
confirmed candidate's test metric, the verdict. Stopped, it goes on where it was: a study that had
ended is read from its run again, its seconds from DIR/runs/ROW/seconds.
"""

import argparse
import gzip
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import raytl

SPACES = Path(__file__).resolve().parent.parent / "search_spaces"
SCENES = "sky,building,pole,road,pavement,tree,sign,fence,car,pedestrian,bicyclist"
SENTENCES = "text-lines {inputs}/text/sentiment/{name}.txt {out} --test 0.2"
HEART = (
    "table {inputs}/tabular/heart/{hospital}.csv {out} --target target --positive '>0' --test 0.3"
)
SPEAKER = (
    "audio-folder {inputs}/speech/fsdd {out} --pattern '{{label}}_{{group}}_{{take}}.wav' "
    "--where group={speaker} --test 0.3"
)
EMOJI = (
    "table {inputs}/emoji/emoji.csv {out} --image '{vendor}/{{row}}.png' --size 32 "
    "--target category --test 0.3"
)
PAIRS = "text-pairs {out} --split train=train.en,train.de"


def camvid_by_light(inputs: Path) -> None:
    """Part the scenes as camvid_dusk.yaml says, into the folders day/ and dusk/."""
    for split in ("train", "val", "test"):
        masks = {mask.stem: mask for mask in (inputs / f"camvid/{split}_masks").iterdir()}
        for image in sorted((inputs / f"camvid/{split}").iterdir()):
            to = Path("day/train")
            if image.name.startswith("0001TP"):
                frame = int("".join(filter(str.isdigit, image.stem.split("_")[1])))
                to = Path("dusk/train" if frame % 2 == 0 else "dusk/test")
            for file, folder in ((image, to), (masks[image.stem], Path(f"{to}_masks"))):
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, folder)


def first_pairs(inputs: Path) -> None:
    """Write the first 4,000 pairs of Multi30k as multi30k.yaml says."""
    for language in ("en", "de"):
        name = f"text/multi30k/train.{language}.gz"
        with gzip.open(inputs / name, "rt", encoding="utf-8") as file:
            Path(f"train.{language}").write_text("".join(islice(file, 4000)), encoding="utf-8")


def multi30k(split: str) -> str:
    return f"{{inputs}}/text/multi30k/{split}.en.gz,{{inputs}}/text/multi30k/{split}.de.gz"


# What makes data/NAME: what `raytl shard` is told, or the input that is copied.
DATA: dict[str, str | Path] = {
    "amazon_cells": SENTENCES,
    "imdb": SENTENCES,
    "yelp": SENTENCES,
    "heart_cleveland": HEART.replace("{hospital}", "cleveland"),
    "heart_hungarian": HEART.replace("{hospital}", "hungarian"),
    "heart_switzerland": HEART.replace("{hospital}", "switzerland"),
    "german": "table {inputs}/tabular/german.csv {out} --no-header --target c20 --test 0.2",
    "mammography": "table {inputs}/tabular/mammography.csv {out} --no-header --target c6 "
    "--positive \"'1'\" --test 0.2",
    "motions": "series {inputs}/timeseries/BasicMotions {out}",
    "diabetes": "diabetes {out}",
    "digits": "digits {out} --size 28",
    "fsdd_george": SPEAKER.replace("{speaker}", "george"),
    "fsdd_theo": SPEAKER.replace("{speaker}", "theo"),
    "emoji_google": EMOJI.replace("{vendor}", "google") + " --text name",
    "emoji_twitter": EMOJI.replace("{vendor}", "twitter") + " --text name",
    "emoji_pictures": EMOJI.replace("{vendor}", "google") + " --drop name",
    "membranes": "mask-folder {inputs}/unet_membrane {out} --size 256 --test 0.34",
    "camvid": f"mask-folder {{inputs}}/camvid {{out}} --void 11 --classes {SCENES}",
    "camvid_day": f"mask-folder day {{out}} --void 11 --classes {SCENES}",
    "camvid_dusk": f"mask-folder dusk {{out}} --void 11 --classes {SCENES}",
    "bccd": "box-folder {inputs}/bccd/BCCD {out} --size 192",
    "multi30k": f"{PAIRS} --split test={multi30k('test_2016_flickr')}",
    "multi30k_all": f"text-pairs {{out}} --split train={multi30k('train')} "
    f"--split test={multi30k('test_2016_flickr')}",
    "multi30k_mscoco": f"{PAIRS} --split test={multi30k('test_2017_mscoco')}",
    "mnist": "mnist {inputs}/mnist {out}",
    "usps": "arrays {inputs}/usps/usps.h5 {out} --split train=train/data,train/target "
    "--split test=test/data,test/target --image-shape 16x16 --size 28",
    "hymenoptera": "image-folder {inputs}/hymenoptera/hymenoptera_data {out}",
    "minilm_l6": Path("pretrained/minilm_l6"),
    "glove.npz": Path("pretrained/glove_twitter_25d_12k.npz"),
    "squeezenet1_0.pth": Path("pretrained/squeezenet1_0_imagenet_deepcompression.pth"),
    "tf_efficientnet_lite0.pth": Path("pretrained/tf_efficientnet_lite0_imagenet.pth"),
}  # fmt: skip
BEFORE: dict[str, Callable[[Path], None]] = {
    "camvid_day": camvid_by_light,
    "camvid_dusk": camvid_by_light,
    "multi30k": first_pairs,
    "multi30k_mscoco": first_pairs,
}
HUNGARY = (
    "source_domain.dataset=data/heart_cleveland",
    "target_domain.dataset=data/heart_hungarian",
)
EIGHT = (
    "target_domain.labels=8",
    "defaults.recipe=joint",
    "space.recipe={choice: [joint, dann, mcc, deep_coral]}",
)
# A row of the table: the study's file, and what is set in it.
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sentiment": ("sentiment", ()),
    "sentiment_yelp": ("sentiment", ("target_domain.dataset=data/yelp",)),
    "sentiment_16": ("sentiment", ("target_domain.labels=16", "search.objective=auto")),
    "sentiment_bilstm": ("sentiment_bilstm", ()),
    "heart": ("heart", ()),
    "heart_hungary": ("heart", HUNGARY),
    "heart_8": ("heart", EIGHT),
    "heart_hungary_8": ("heart", (*HUNGARY, *EIGHT)),
    "german": ("german", ()),
    "mammography": ("mammography", ()),
    "emoji": ("emoji", ()),
    "speech": ("speech", ()),
    "speech_imagenet": ("speech_imagenet", ()),
    "teacher": ("teacher", ()),
    "motions": ("motions", ()),
    "diabetes": ("diabetes", ()),
    "graft": ("graft", ()),
    "membranes": ("membranes", ()),
    "mnist_to_usps": ("mnist_to_usps", ()),
    "hymenoptera": ("hymenoptera", ()),
    "camvid": ("camvid", ()),
    "camvid_16": (
        "camvid",
        ("target_domain.labels=16", "train.epochs=60", "train.batch_size=4"),
    ),
    "camvid_dusk": ("camvid_dusk", ()),
    "blood_cells": ("blood_cells", ()),
    "multi30k": ("multi30k", ()),
    "multi30k_mscoco": ("multi30k", ("target_domain.dataset=data/multi30k_mscoco",)),
    "multi30k_all": (
        "multi30k",
        ("target_domain.dataset=data/multi30k_all", "target_domain.labels=all"),
    ),
}
SHOWN = ("source_model", "recipe", "frozen_depth", "mapper")  # of what was confirmed


def command(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "raytl.cli", *words], check=False)
    if done.returncode:
        raise SystemExit(f"`raytl {shlex.join(words)}` ended with {done.returncode}")


def prepare(name: str, inputs: Path) -> None:
    """Make data/`name` where it is not there yet."""
    out, made_by = Path("data") / name, DATA[name]
    if out.exists():
        return
    out.parent.mkdir(exist_ok=True)
    if isinstance(made_by, Path):
        copy = shutil.copytree if (inputs / made_by).is_dir() else shutil.copy
        copy(inputs / made_by, out)
        return
    if name in BEFORE:
        BEFORE[name](inputs)
    words = made_by.format(inputs=shlex.quote(str(inputs)), out=out, name=name)
    command("shard", *shlex.split(words))


def prepare_teacher(inputs: Path) -> None:
    """Pretrain the network of pictures as teacher.yaml says."""
    if Path("sources/emoji_pictures").exists():
        return
    prepare("emoji_pictures", inputs)
    command(
        "pretrain", "--dataset", "data/emoji_pictures", "--backbone", "small_cnn",
        "--optimizer", "sgd", "--lr", "0.05", "--out", "sources/emoji_pictures",
    )  # fmt: skip


def run_row(row: str, inputs: Path) -> dict[str, Any]:
    """Run a row's study, or what is left of it; return its figures."""
    name, overrides = ROWS[row]
    file, run = SPACES / f"{name}.yaml", Path("runs") / row
    said = "\n".join(
        line.partition("#")[0] for line in file.read_text(encoding="utf-8").splitlines()
    )
    for data in sorted(set(re.findall(r"\bdata/([\w.]+)", " ".join((said, *overrides))))):
        prepare(data, inputs)
    if "sources/emoji_pictures" in said:
        prepare_teacher(inputs)
    seconds = run / "seconds"
    if not seconds.exists():
        start = time.perf_counter()
        again = run.exists()
        sets = [word for override in overrides for word in ("--set", override)]
        command("sweep", str(file), *sets, "--out", str(run), "--resume")
        took = time.perf_counter() - start
        seconds.write_text("in parts" if again else f"{took:.0f}", encoding="utf-8")
    return {"row": row, "seconds": seconds.read_text(encoding="utf-8")} | figures(run)


def figures(run: Path) -> dict[str, Any]:
    found = raytl.results(run)
    confirmed = found.confirmations
    score = confirmed.groupby("candidate", sort=False)["score"].agg(["mean", "count"])
    chosen = json.loads((run / "confirmation.json").read_text(encoding="utf-8"))
    return {
        "metric": found.verdict.metric,
        "scores": {name: (round(mean, 4), int(n)) for name, mean, n in score.itertuples()},
        "chosen": found.verdict.candidate,
        "configs": {
            one["name"]: {key: one["config"][key] for key in SHOWN} for one in chosen["candidates"]
        },
        "verdict": [str(found.verdict), *found.verdict.against_plain, *found.verdict.remarks],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; default: all")
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    if unknown := [row for row in args.rows if row not in ROWS]:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    inputs = args.inputs.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    os.chdir(args.work)
    done = []
    for row in args.rows or ROWS:
        done.append(run_row(row, inputs))
        print(json.dumps(done[-1], indent=1), flush=True)
    print(json.dumps({"benchmark": "real_studies", "cpus": os.cpu_count(),
                      "python": platform.python_version(), "rows": done}))  # fmt: skip


if __name__ == "__main__":
    main()
