"""Answers that are files are called after the rows' own."""

from pathlib import Path

from raytl.training.answers import Answers
from raytl.training.prediction_files import write_answers


def test_no_image_takes_the_place_of_another(tmp_path: Path) -> None:
    names = ["a.jpg", "a.jpg.png", "b.JPG", "b.JPG.PNG", "c.jpg", "c.jpg.png/d.gif", "d.png"]
    rows: list[tuple[str, bytes]] = [(name, name.encode()) for name in names]
    write_answers(Answers("segmentation", ("file", "mask"), rows, [], []), tmp_path / "masks")
    written = {
        file.relative_to(tmp_path / "masks").as_posix(): file.read_bytes().decode()
        for file in (tmp_path / "masks").rglob("*")
        if file.is_file()
    }
    assert written == {
        "a.jpg.png.png": "a.jpg", "a.jpg.png": "a.jpg.png", "b.JPG.png": "b.JPG",
        "b.JPG.PNG": "b.JPG.PNG", "c.jpg.png.png": "c.jpg",
        "c.jpg.png/d.gif.png": "c.jpg.png/d.gif", "d.png": "d.png",
    }  # fmt: skip
