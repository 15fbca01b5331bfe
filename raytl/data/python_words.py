"""Messages of importers, whose options are called as the command line has them, for Python."""

import re
from typing import get_args

from raytl.data.importers.options import ShardOptions


def _choices() -> set[str]:
    fields = ShardOptions.model_fields.values()
    return {
        word
        for field in fields
        for kind in (field.annotation, *get_args(field.annotation))
        for word in get_args(kind)
        if isinstance(word, str)
    }


CHOICES = _choices()  # regression, crop, …
FLAGS = {
    name
    for name, field in ShardOptions.model_fields.items()
    if field.annotation is bool
} | {"force", "resume"}  # fmt: skip
OF_PYTHON = {"set": "overrides", "split": "splits"}


def in_python(text: str) -> str:
    """Return a message with options as Python writes them: --skip-bad is skip_bad=True, --test 0.2
    is test=0.2."""

    def written(match: re.Match[str]) -> str:
        name, value = match[1].replace("-", "_"), match[2]
        if name in FLAGS:
            return f"{name}=True" + (f" {value}" if value else "")
        name = OF_PYTHON.get(name, name)
        if value is None:
            return f"{name}="
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return f"{name}={value}"
        return f"{name}='{value}'" if value in CHOICES else f"{name}= {value}"

    text = re.sub(r"leave out --test\b(?! \d)", "give test=None", text)
    return re.sub(r"--([a-z]+(?:-[a-z]+)*)(?: (\d+(?:\.\d+)?|[a-z]+))?", written, text)
