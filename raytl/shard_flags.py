"""How the command line declares the options of `raytl shard`, in panels by what they are about."""

from typing import Annotated, Any

import typer

ROWS, IMAGES, TARGET = "Splits and rows", "Images", "The target"
COLUMNS, FILES = "Columns of tables", "Text, audio and series files"


def _flag(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


Words = list[str] | None
Test = Annotated[float | None, _flag(ROWS, "Share of train that becomes the split test, as 0.2.")]
Validation = Annotated[float | None, _flag(ROWS, "Likewise, the split validation.")]
Seed = Annotated[int | None, _flag(ROWS, "Seed of what is drawn.")]
Split = Annotated[
    Words,
    _flag(
        ROWS,
        "NAME=FILE, or of arrays NAME=IMAGES,LABELS (NAME=SERIES of forecasts); repeat for each "
        "split.",
    ),
]
SplitColumn = Annotated[str | None, _flag(ROWS, "Column that names each row's split.")]
Group = Annotated[
    str | None, _flag(ROWS, "Column whose rows stay together, in one split: a patient's, say.")
]
Where = Annotated[Words, _flag(ROWS, "COLUMN=VALUE: keep these rows alone; repeatable.")]
SkipBad = Annotated[
    bool, _flag(ROWS, "Leave out images and sounds that cannot be read.", "--skip-bad")
]

Size = Annotated[int | None, _flag(IMAGES, "Side of the stored images, pixels.")]
Fit = Annotated[str | None, _flag(IMAGES, "How another shape is fitted: stretch, pad or crop.")]
Box = Annotated[int | None, _flag(IMAGES, "Scale into a centred box of this side, as MNIST does.")]
ImageShape = Annotated[
    str | None, _flag(IMAGES, "arrays: shape of flattened images, such as 16x16.")
]
Rows = Annotated[int | None, _flag(IMAGES, "rendered-digits: number of images.")]
Root = Annotated[str | None, _flag(IMAGES, "torchvision: folder of the downloaded files.")]

Target = Annotated[str | None, _flag(TARGET, "Column that is to be learnt.")]
Task = Annotated[
    str | None,
    _flag(TARGET, "classification, regression or translation; by default what it looks like."),
]
Classes = Annotated[
    str | None, _flag(TARGET, "Class names by commas, in this order; of arrays also their key.")
]
Positive = Annotated[
    str | None, _flag(TARGET, "Make classes no and yes: '>0' of numbers, or the words of yes: a,b.")
]
Unlabelled = Annotated[bool, _flag(TARGET, "Keep rows without a target.", "--unlabelled")]
Void = Annotated[int | None, _flag(TARGET, "Value of a mask's pixels that have no class (255).")]

Text = Annotated[Words, _flag(COLUMNS, "A column of text; repeatable.")]
Image = Annotated[
    str | None, _flag(COLUMNS, "Column of paths of images, or a pattern: 'pictures/{row}.png'.")
]
Audio = Annotated[str | None, _flag(COLUMNS, "Likewise, of .wav files.")]
Number = Annotated[Words, _flag(COLUMNS, "A column that is a number; repeatable.")]
Category = Annotated[Words, _flag(COLUMNS, "A column that is a category; repeatable.")]
Drop = Annotated[Words, _flag(COLUMNS, "A column to leave out; repeatable.")]
NoHeader = Annotated[
    bool, _flag(COLUMNS, "The first line is a row; columns are c0, c1, ….", "--no-header")
]
SeriesId = Annotated[str | None, _flag(COLUMNS, "series: column that tells one series' rows.")]
Time = Annotated[str | None, _flag(COLUMNS, "series: column that orders them.")]
Horizon = Annotated[
    int | None,
    _flag(
        COLUMNS,
        "series, of tables, .ts files or arrays: steps to come of the channel --target, to be "
        "forecast.",
    ),
]
Window = Annotated[
    int | None,
    _flag(COLUMNS, "With --horizon: steps of a row that is cut from a series; else each is a row."),
]
Step = Annotated[int | None, _flag(COLUMNS, "From one such row to the next; else --horizon.")]
Season = Annotated[int | None, _flag(COLUMNS, "Steps that the seasonal control says again.")]

Delimiter = Annotated[str | None, _flag(FILES, "One character between columns, or tab.")]
LabelFirst = Annotated[bool, _flag(FILES, "text-lines: LABEL, then the text.", "--label-first")]
ClassFile = Annotated[Words, _flag(FILES, "text-lines: CLASS=FILE; repeat for each class.")]
Encoding = Annotated[str | None, _flag(FILES, "Of text; utf-8 by default, e.g. latin-1.")]
Pattern = Annotated[
    str | None, _flag(FILES, "audio-folder: of names, as '{label}_{group}_{take}.wav'.")
]
Rate = Annotated[int | None, _flag(FILES, "Samples a second; by default those of most files.")]

Force = Annotated[bool, typer.Option(help="Replace what stands at OUT.")]
