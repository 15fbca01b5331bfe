"""What `datasets` of Hugging Face says of columns, where options say nothing."""

from collections.abc import Mapping

from raytl.data.importers.base import ShardOptions


def by_kinds(kinds: Mapping[str, str], options: ShardOptions) -> ShardOptions:
    """Return the options with the parts that follow from each column's kind, `string` of strings:
    the one ClassLabel is the target, the one Image and Audio are such columns, strings texts."""
    target = options.target or _only(kinds, "ClassLabel")
    other = {*options.category, *options.number, *options.drop, target, options.group}
    free = {name: kind for name, kind in kinds.items() if name not in other}
    texts = (name for name, kind in free.items() if kind == "string")
    return options.model_copy(
        update={
            "target": target,
            "image": options.image or _only(free, "Image"),
            "audio": options.audio or _only(free, "Audio"),
            "text": options.text or tuple(texts),
        }
    )


def _only(kinds: Mapping[str, str], wanted: str) -> str | None:
    names = [name for name, kind in kinds.items() if kind == wanted]
    return names[0] if len(names) == 1 else None
