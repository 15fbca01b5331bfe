"""WebDataset's tars: samples found by their members' names, each read where it stands."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from importing import in_order, sharded
from PIL import Image
from scipy.io import wavfile

from raytl.errors import ConfigError, DataError, UserError


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def wav(samples: int) -> bytes:
    buffer = io.BytesIO()
    wavfile.write(buffer, 8000, np.arange(samples, dtype=np.int16))
    return buffer.getvalue()


Members = list[tuple[str, bytes]]


def pack(path: Path, members: Members, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def samples(first: int, count: int) -> Members:
    """Return samples whose picture, text and class tell their number."""
    members = []
    for row in range(first, first + count):
        facts = {"who": f"p{row // 4}", "length": row / 2}
        members += [
            (f"./a/{row:04d}.png", png(row)), (f"./a/{row:04d}.txt", f" text {row}\n".encode()),
            (f"./a/{row:04d}.cls", str(row % 2).encode()),
            (f"./a/{row:04d}.json", json.dumps(facts).encode()),
        ]  # fmt: skip
    return members


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    for number in range(3):
        pack(tmp_path / "in" / f"part-{number:02d}.tar", samples(10 * number, 10))
    return tmp_path / "in"


def test_pictures_texts_and_classes_of_all_tars(tars: Path, tmp_path: Path) -> None:
    report = sharded("webdataset", tars, tmp_path / "out", size=4, test=0.2)
    assert {name: part.rows for name, part in report.info.splits.items()} == {
        "train": 24, "test": 6,
    }  # fmt: skip
    assert list(report.info.columns) == ["image", "text", "label"]
    images, texts, labels = in_order(tmp_path / "out", "train", "image", "text", "label")
    rows = images[:, 0, 0, 0].tolist()
    assert rows == sorted(rows) and len(set(rows)) == 24
    assert texts.tolist() == [f"text {row}" for row in rows]
    assert labels.tolist() == [row % 2 for row in rows]


def test_a_key_of_json_is_a_value_and_another_the_group(tars: Path, tmp_path: Path) -> None:
    splits = {"train": "part-{00..01}.tar", "test": "part-02.tar"}
    sharded(
        "webdataset", tars, tmp_path / "out", splits=splits, target="length", task="regression",
        group="who", drop=["txt"], size=4,
    )  # fmt: skip
    with pytest.raises(DataError, match="a group must stand in one split alone"):
        sharded(
            "webdataset", tars, tmp_path / "bad", target="length", group="who", size=4,
            splits={"train": "part-00.tar", "test": "part-{01,02}.tar"},
        )  # fmt: skip
    values, groups = in_order(tmp_path / "out", "test", "length", "who")
    assert values.tolist() == [row / 2 for row in range(20, 30)]
    assert groups.tolist() == [row // 4 for row in range(20, 30)]


def test_numbers_of_classes_get_their_names(tars: Path, tmp_path: Path) -> None:
    report = sharded("webdataset", tars, tmp_path / "out", classes="cat,dog,emu", size=4)
    assert report.info.columns["label"].model_dump()["classes"] == ("cat", "dog", "emu")
    assert any("1 of 3 classes have no row: emu" in note for note in report.notes)
    pack(tars / "part-03.tar", [("x.png", png(0)), ("x.txt", b"x"), ("x.cls", b"9")])
    with pytest.raises(DataError, match="'9'"):
        sharded("webdataset", tars, tmp_path / "bad", classes="cat,dog", size=4)


def test_sounds(tmp_path: Path) -> None:
    members = [
        m for row in range(4)
        for m in [(f"{row}.wav", wav(90 + row)), (f"{row}.cls", b"ab"[row % 2 :][:1])]
    ]  # fmt: skip
    pack(tmp_path / "a.tar", members)
    sharded("webdataset", tmp_path / "a.tar", tmp_path / "out")
    sounds, labels = in_order(tmp_path / "out", "train", "audio", "label")
    assert [len(sound) for sound in sounds] == [90, 91, 92, 93] and labels.tolist() == [0, 1, 0, 1]


def test_what_is_broken_is_left_out_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    members = samples(0, 4)
    members[0] = (members[0][0], b"no picture")
    pack(tmp_path / "a.tar", [("./._x", b""), *members])
    with pytest.raises(DataError, match=r"a\.tar: \./a/0000\.png: does not decode.*--skip-bad"):
        sharded("webdataset", tmp_path / "a.tar", tmp_path / "out", size=4)
    report = sharded("webdataset", tmp_path / "a.tar", tmp_path / "out", size=4, skip_bad=True)
    assert [text.split(": ")[1:3] for text in report.skipped] == [
        ["./._x", "a hidden file"], ["./a/0000.png", "does not decode as an image"],
    ]  # fmt: skip
    (texts,) = in_order(tmp_path / "out", "train", "text")
    assert texts.tolist() == ["text 1", "text 2", "text 3"]


def more(members: Members, *others: tuple[str, bytes]) -> Members:
    return [*members, *others]


A = [("a.png", png(1)), ("a.cls", b"x")]
B = [("b.png", png(2)), ("b.cls", b"y")]


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([*A, ("b.png", png(2))], {}, r"a\.tar: b: has no \.cls, which tells its target"),
        ([*A, ("b.cls", b"y")], {}, r"b: has no image, but .*a has"),
        ([*A, *B, *A], {}, r"a\.png: the sample is there twice"),
        ([*A, ("a.png", png(1))], {}, r"a\.png: is there twice"),
        ([*A, ("a.jpg", png(1))], {}, r"two members that are image, \.png and \.jpg"),
        ([*A, ("a.npy", b"")], {}, r"a\.npy: is of no kind that is read.*--drop npy"),
        ([("a", b"")], {}, r"a: a member's name is SAMPLE\.EXTENSION"),
        ([("a.cls", b"x"), ("b.cls", b"y")], {}, "has no image, sound or text.* only .cls"),
        ([("a.png", b"")], {}, r"no \.cls members; name a key of its \.json"),
        ([*A, ("a.json", b"{")], {"target": "k"}, r"a\.json: cannot be read"),
        ([*A, ("a.json", b"[]")], {"target": "k"}, r"a\.json: an object"),
        ([*A, ("a.json", b'{"k": [1]}')], {"target": "k"}, r"'k' is a list"),
        ([*A, ("a.json", b"{}")], {"target": "k"}, "'k' has no value in any row"),
        ([*A, *B, ("b.json", b"{}")], {"group": "g"}, r"a: its \.json has no value of 'g'"),
        ([], {}, "holds no sample"),
    ],
)  # fmt: skip
def test_samples_of_no_use(
    tmp_path: Path, members: Members, options: dict[str, Any], message: str
) -> None:
    pack(tmp_path / "a.tar", members)
    with pytest.raises((DataError, ConfigError), match=message):
        sharded("webdataset", tmp_path / "a.tar", tmp_path / "out", size=4, **options)
    assert not (tmp_path / "out").exists()


def test_a_name_that_two_tars_have(tmp_path: Path) -> None:
    pack(tmp_path / "in" / "a.tar", [*A, *B])
    pack(tmp_path / "in" / "b.tar", A)
    with pytest.raises(DataError, match=r"b\.tar: a: .*a\.tar has a sample of this name"):
        sharded("webdataset", tmp_path / "in", tmp_path / "out", size=4)
    splits = {"train": "a.tar", "test": "{a,b}.tar"}
    with pytest.raises(DataError, match=r"a\.tar: stands in two splits"):
        sharded("webdataset", tmp_path / "in", tmp_path / "out", size=4, splits=splits)


@pytest.mark.parametrize("cut", [1, 1024, 1536, 1600, 2560])
def test_a_tar_that_is_cut_off_anywhere(tmp_path: Path, cut: int) -> None:
    content = pack(tmp_path / "a.tar", [*A, *B]).read_bytes()
    end = len(content.rstrip(b"\0")) // 512 * 512 + 512  # where its end mark begins
    (tmp_path / "a.tar").write_bytes(content[: end + 1 - cut])
    with pytest.raises(DataError, match=r"a\.tar: is truncated"):
        sharded("webdataset", tmp_path / "a.tar", tmp_path / "out", size=4)


def test_tars_that_are_none(tmp_path: Path) -> None:
    content = bytearray(pack(tmp_path / "a.tar", [*A, *B]).read_bytes())
    content[1024 + 150] ^= 1  # in a header's checksum
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tar: is broken at byte 1024"):
        sharded("webdataset", tmp_path / "a.tar", tmp_path / "out", size=4)
    (tmp_path / "a.tar").write_bytes(b"no tar" * 500)
    with pytest.raises(DataError, match=r"a\.tar: is no tar that can be read"):
        sharded("webdataset", tmp_path / "a.tar", tmp_path / "out", size=4)
    pack(tmp_path / "b.tar.gz", A, "w:gz")
    with pytest.raises(DataError, match=r"b\.tar\.gz: .*uncompress it"):
        sharded("webdataset", tmp_path / "b.tar.gz", tmp_path / "out", size=4)
    with pytest.raises(DataError, match="no such file or folder"):
        sharded("webdataset", tmp_path / "none", tmp_path / "out")
    with pytest.raises(ConfigError, match="name a file: SOURCE"):
        sharded("webdataset", None, tmp_path / "out")
    with pytest.raises(ConfigError, match="must go up"):
        sharded("webdataset", f"{tmp_path}/a-{{3..1}}.tar", tmp_path / "out")
    with pytest.raises(UserError, match="credentials"):
        sharded("webdataset", "s3://key:word@bucket/a.tar", tmp_path / "out")
