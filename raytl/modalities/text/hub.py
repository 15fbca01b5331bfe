"""Folders of Hugging Face networks, on disk or from the hub: found, checked, read. Code that lies
in such a folder is never run."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from raytl.config.source_model import network_here
from raytl.errors import CorruptError, MissingModelError, ModelError, RaytlError
from raytl.folders import rooted
from raytl.modalities.text.families import family_of, most_positions
from raytl.modalities.text.options import MAX_LENGTH
from raytl.modalities.text.transform import TokenizerFacts, TokenizerTransform, load_tokenizer
from raytl.urls import Url, is_url

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
BESIDE = ("*.json", "*.txt", "*.model")  # what else is read of a folder
# What a tokenizer may lie in; its settings alone do not make one
TOKENIZERS = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
    "spm.model",
)  # fmt: skip
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def is_folder(origin: str) -> bool:
    """Whether a network lies in a folder; raises ModelError where it does not and no name of the
    hub is like that."""
    if is_url(origin) or rooted(origin).is_dir():
        return True
    if not _NAME.fullmatch(origin):
        raise MissingModelError(
            f"{origin}: no such folder; give a Hugging Face folder or a hub's name"
        )
    return False


def folder_of(origin: str) -> Path:
    """Return the folder of a network: one's own, or the hub's, which is downloaded where this
    machine does not have it yet. Raises RaytlError where the download fails."""
    if is_url(origin):
        return network_here(Url(origin), "config.json", (*BESIDE, *WEIGHTS))
    if is_folder(origin):
        return rooted(origin)
    from huggingface_hub import snapshot_download

    wanted = [*BESIDE]
    try:
        with contextlib.suppress(OSError, ValueError, ModelError):
            folder = Path(snapshot_download(origin, local_files_only=True))
            check_folder(folder)
            return folder
        for weights in WEIGHTS:
            wanted.append(weights)
            # Subfolders hold the same network for other libraries.
            folder = Path(snapshot_download(origin, allow_patterns=wanted, ignore_patterns=["*/*"]))
            if _weights_in(folder):
                break
        return folder
    except Exception as error:  # what the hub's client raises is of many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise RaytlError(
            f"{origin}: no folder has this name here, and the hub gives nothing: "
            f"{type(error).__name__}: {reason}; download it elsewhere and give its folder"
        ) from None


def _weights_in(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in WEIGHTS)


def check_folder(folder: Path) -> dict[str, Any]:
    """Return the content of config.json; raises ModelError where the folder lacks a part or holds
    a network that is not cut into blocks. Reads no weights."""
    config = _read_config(folder)
    family_of(config, str(folder))
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise MissingModelError(
            f"{folder}: has no tokenizer ({', '.join(TOKENIZERS)}); save it there with "
            "tokenizer.save_pretrained"
        )
    if not _weights_in(folder):
        raise MissingModelError(
            f"{folder}: has no weights ({' or '.join(WEIGHTS)}); save them there with "
            "model.save_pretrained"
        )
    return config


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise MissingModelError(
            f"{folder}: has no config.json, so it is no Hugging Face network; give the folder that "
            "model.save_pretrained wrote"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptError(f"{path}: is no JSON: {error}; copy or save it again") from None
    if not isinstance(config, dict):
        raise CorruptError(f"{path}: holds no keys and values; copy or save it again")
    return config


def read_tokenizer(folder: Path, max_length: int | None) -> TokenizerTransform:
    """Return the transform of a network's own tokenizer; raises ModelError where it does not fit
    its network, or `max_length` does not."""
    config = check_folder(folder)
    whole = _whole_config(folder)
    most = most_positions(whole, family_of(config, str(folder)))
    if max_length is not None and most is not None and max_length > most:
        raise ModelError(
            f"transform.max_length <= {most} must hold for {folder}, which has so many positions, "
            f"but got {max_length}; lower it"
        )
    content = _tokenizer_json(folder, str(config["model_type"]))
    length = max_length or min(MAX_LENGTH, most or MAX_LENGTH)
    try:
        facts = TokenizerFacts(
            tokenizer=content, max_length=length, unknown=_unknown(content), network=whole
        )
        transform = TokenizerTransform(facts)
    except ValueError as error:
        raise ModelError(f"{folder}: {error}") from None
    if transform.size > whole["vocab_size"]:
        raise ModelError(
            f"{folder}: a tokenizer that does not fit its network: its token numbers go up to "
            f"{transform.size - 1}, but the network has {whole['vocab_size']} tokens"
        )
    return transform


def _whole_config(folder: Path) -> dict[str, Any]:
    """Return the network's configuration with the defaults of its kind, of which config.json need
    not say all."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers checks values in ways of its own
        raise ModelError(f"{folder}/config.json: cannot be used: {_first_line(error)}") from None
    whole = json.loads(config.to_json_string(use_diff=False))
    passing = ("_name_or_path", "architectures", "auto_map", "dtype", "transformers_version")
    return {key: value for key, value in whole.items() if key not in passing}


def _tokenizer_json(folder: Path, kind: str) -> str:
    path = folder / "tokenizer.json"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    if kind == "marian":
        raise ModelError(
            f"{folder}: a Marian network without a tokenizer.json, which its source.spm and "
            "target.spm cannot be made into; take a T5 network, or a folder that has one"
        )
    from transformers import AutoTokenizer

    try:
        slow = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_fast=True
        )
        return slow.backend_tokenizer.to_str()
    except Exception as error:  # whatever reading an old tokenizer provokes
        raise ModelError(
            f"{folder}: has no tokenizer.json, and none can be made of what is there: "
            f"{_first_line(error)}; load it with AutoTokenizer where that works and save it"
        ) from None


def _unknown(content: str) -> int:
    """Return the number of the token that stands for what a tokenizer does not know, or 0."""
    tokenizer = load_tokenizer(content)
    model = json.loads(content)["model"]
    if isinstance(model.get("unk_id"), int):
        return model["unk_id"]
    token = model.get("unk_token")
    return (tokenizer.token_to_id(token) if isinstance(token, str) else None) or 0


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:200]


def read_network(folder: Path, config: Mapping[str, Any], *, translator: bool = False) -> nn.Module:
    """Return the network of a folder with its weights in float32; as a `translator` with its
    decoder and output layer.

    Raises ModelError where weights are missing or do not fit, CorruptError where they are broken.
    """
    import torch
    import transformers

    family = family_of(config, str(folder))
    kind = getattr(transformers, str(family.translator if translator else family.network))
    try:
        with quiet():
            network, told = kind.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, weights_only=True,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
    except Exception as error:  # whatever broken bytes provoke
        raise CorruptError(
            f"{folder}: holds no whole weights ({_first_line(error)}); copy or save them again"
        ) from None
    problems = _problems(network, told)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ModelError(
            f"{folder}: the weights do not fit config.json: {', '.join(problems[:3])}{more}"
        )
    return network if translator else family.encoder(network)


def _problems(network: nn.Module, told: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with loaded weights, of what transformers tells and what they hold."""
    # The pooler is another head, which is not used; positions that are computed are not saved.
    missing = sorted(
        key
        for key in told["missing_keys"]
        if not key.startswith("pooler.") and not _is_computed(network, key)
    )
    return [
        *(f"'{key}' is missing" for key in missing),
        *(f"'{key[0]}' has another shape" for key in told["mismatched_keys"]),
        *(
            f"'{key}' has values that are not finite"
            for key, value in network.state_dict().items()
            if value.is_floating_point() and not bool(value.isfinite().all())
        ),
    ]


def _is_computed(network: nn.Module, key: str) -> bool:
    return "Sinusoidal" in type(network.get_submodule(key.rpartition(".")[0])).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from reporting on its own; what matters is told as errors."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
