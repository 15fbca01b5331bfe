"""Where source models come from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from raytl.config.base import (
    Finite,
    Frozen,
    Location,
    Positive,
    Weights,
    absolute,
    is_weights_file,
)
from raytl.errors import MissingModelError
from raytl.folders import rooted
from raytl.urls import Place, Url, is_url, place_of

SPEC_FILE, WEIGHTS_FILE = "source.json", "model.safetensors"  # of raytl's own folders


class Normalization(Frozen):
    """Per-channel mean and standard deviation of pixels scaled to [0, 1]."""

    mean: tuple[Finite, ...]
    std: tuple[Positive, ...]

    @model_validator(mode="after")
    def _a_number_a_channel(self) -> "Normalization":
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(
                "give a number a channel; mean and std must be as long, got "
                f"{len(self.mean)} and {len(self.std)}"
            )
        return self


def _absolute_vectors(transform: dict[str, Any]) -> dict[str, Any]:
    """Word vectors are a file, and trials run in folders of their own."""
    vectors = transform.get("vectors")
    if not isinstance(vectors, str):
        return transform
    return transform | {"vectors": str(absolute(vectors))}


def _absolute_folder(origin: str) -> str:
    """A folder is meant from where the study is read, too; what is none, and no URL, is a name of
    the hub."""
    return str(absolute(origin)) if is_url(origin) or rooted(origin).is_dir() else origin


def here(place: Place) -> Path:
    """Return where a file of a source model lies on this machine; a URL is fetched. Raises
    MissingModelError where no file is there, RaytlError where it cannot be reached."""
    if not isinstance(place, Url):
        return place
    from raytl.node_cache import local_file

    try:
        return local_file(place)
    except FileNotFoundError as error:
        raise MissingModelError(str(error)) from None


def model_here(place: Place) -> Path:
    """Return where a source model's folder lies on this machine; raises as `network_here`."""
    return network_here(place, SPEC_FILE, (SPEC_FILE, WEIGHTS_FILE))


def network_here(place: Place, told_by: str, patterns: Sequence[str]) -> Path:
    """Return where a network's folder lies on this machine; of a URL the files are fetched whose
    names fit `patterns`. Raises MissingModelError where the file `told_by` is missing there,
    RaytlError where it cannot be reached."""
    if not isinstance(place, Url):
        return place
    from raytl.node_cache import local_folder

    try:
        return local_folder(place, told_by, patterns)
    except FileNotFoundError:
        raise MissingModelError(
            f"{place.shown}: no source model here ({told_by} is missing); give the folder that "
            "holds it, as a run's best/"
        ) from None


ORIGINS = ("path", "torchvision", "timm", "huggingface", "parts", "graft", "backbone")


class SourceModelConfig(Frozen):
    """Where a source model comes from: `path` (raytl's own folder), `torchvision` or `timm` (a name
    and its weights), `huggingface` (a local folder or a name), `backbone` (fresh weights, or a
    local state dict in `weights`), `parts` (one such for each column), or `graft` (a network of
    tokens whose body reads another modality through a fresh stem)."""

    path: Location | None = None
    torchvision: str | None = None
    timm: str | None = None
    huggingface: Annotated[str, AfterValidator(_absolute_folder)] | None = None
    parts: Annotated[dict[str, "SourceModelConfig"], Field(min_length=1)] | None = None  # by column
    graft: "SourceModelConfig | None" = None
    backbone: str | None = None
    # torchvision: DEFAULT or a member's name; timm: true for the hub's; or a file of one's own
    weights: Literal[True] | Weights | None = None
    args: dict[str, Any] = Field(default_factory=dict)  # arguments of the backbone
    # Side in pixels, at most 4096; None: the data's, or the least allowed
    input_size: Annotated[int, Field(gt=0, le=4096)] | None = None
    normalization: Normalization | None = None  # None: ImageNet's with weights, else mean=std=0.5
    # How rows that are no images become what the network reads: see each modality's options
    transform: Annotated[dict[str, Any], AfterValidator(_absolute_vectors)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "SourceModelConfig":
        origins = [name for name in ORIGINS if getattr(self, name) is not None]
        if len(origins) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(ORIGINS[:-1])} and {ORIGINS[-1]}, got "
                f"{origins or 'none'}"
            )
        fixed = ("weights", "args", "input_size", "normalization", "transform")
        given = [name for name in fixed if getattr(self, name)]
        if self.path is not None and given:
            raise ValueError(f"path already fixes {', '.join(fixed)}; remove {', '.join(given)}")
        if self.parts is not None and given:
            raise ValueError(f"each of parts has its own {', '.join(given)}; put them there")
        if self.graft is not None and self.weights is not None:
            raise ValueError("graft brings its weights along; remove weights")
        nested = [*(self.parts or {}).values(), *([self.graft] if self.graft else [])]
        if any(p.parts is not None or (p.graft and self.graft) for p in nested):
            raise ValueError("parts and graft take plain source models, no parts or grafts again")
        if self.torchvision is not None and self.weights is None:
            raise ValueError(
                "torchvision needs weights: DEFAULT, a member's name or a .pth file; "
                "for fresh weights write backbone: instead"
            )
        if self.timm is not None and self.weights is None:
            raise ValueError("timm needs weights: true for the hub's, or a local file")
        if self.weights is True and self.timm is None:
            raise ValueError("weights: true means something to timm alone; give a name or a file")
        if self.huggingface is not None and self.weights is not None:
            raise ValueError("huggingface has its weights in its folder; remove weights")
        return self

    @property
    def origin(self) -> str:
        """The name of the network, or the folder that it lies in."""
        names = (self.path, self.torchvision, self.timm, self.huggingface, self.backbone)
        return str(next(name for name in names if name is not None))

    @property
    def folder(self) -> Path | None:
        """`path` on this machine, fetched if it is a URL. Raises MissingModelError where a
        URL has no source model, RaytlError where it cannot be reached."""
        return None if self.path is None else model_here(self.path)

    @property
    def weights_file(self) -> Path:
        """`weights`, a file of one's own, on this machine; raises as `here`."""
        return here(place_of(str(self.weights)))

    @property
    def has_local_weights(self) -> bool:
        """Whether `weights` is a file of one's own."""
        return isinstance(self.weights, str) and is_weights_file(self.weights)

    @property
    def is_fresh(self) -> bool:
        """Whether the weights are random, so that nothing is transferred."""
        if self.parts is not None:
            return all(part.is_fresh for part in self.parts.values())
        if self.graft is not None:
            return self.graft.is_fresh
        given = (self.path, self.huggingface, self.weights, self.transform.get("vectors"))
        return all(origin is None for origin in given)

    @property
    def trains_fresh(self) -> bool:
        """Whether what is trained starts from random weights, but for word vectors, if any."""
        return all(p.weights is None and p.path is p.huggingface is None for p in self.plain)

    @property
    def plain(self) -> tuple["SourceModelConfig", ...]:
        """The source models that it is made of: itself, or its parts, or what is grafted."""
        nested = [*(self.parts or {}).values(), *([self.graft] if self.graft else [])]
        return tuple(p for n in nested for p in n.plain) if nested else (self,)
