"""URLs of files and folders: s3://, gs://, abfs://, and what else pyarrow or fsspec know."""

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from raytl.errors import UserError

_URL = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://")
_SECRET = re.compile("secret|key|token|password|sas|^sig$|signature|(amz|goog)-credential")
# How a name is written in which these would end the path; all else is as it is written
_WRITTEN = {"%": "%25", "#": "%23", "?": "%3F"}
_READ = {written: mark for mark, written in _WRITTEN.items()}


class Url(str):
    """A file or folder behind a URL; `url / "name"` is one in it, whatever its name. What follows a
    `?`, such as a region, is kept. Raises ValueError for a URL that holds a password or a key."""

    __slots__ = ()

    def __new__(cls, text: str) -> "Url":
        parts = urlsplit(text)
        secret = [name for name, _ in parse_qsl(parts.query) if _SECRET.search(name.lower())]
        if parts.password is not None or (parts.username and parts.scheme == "s3") or secret:
            raise ValueError(
                "must hold no credentials, for it is written into the run, but got some; leave "
                "them to the environment (AWS_ACCESS_KEY_ID and the like)"
            )
        return super().__new__(cls, text)

    def __truediv__(self, name: str) -> "Url":
        parts = urlsplit(self)
        return Url(url_of(parts._replace(path=f"{parts.path.rstrip('/')}/{_written(name)}")))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(path_in(self)).name or urlsplit(self).netloc

    @property
    def folder(self) -> "Url":
        """The folder that it is in."""
        parts = urlsplit(self)
        return Url(url_of(parts._replace(path=parts.path.rstrip("/").rpartition("/")[0])))

    @property
    def shown(self) -> str:
        """What to call it: the URL without what follows a `?`, names in it as they are."""
        return url_of(urlsplit(self)._replace(path=path_in(self), query="", fragment=""))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


Place = Path | Url


def is_url(text: object) -> bool:
    """Whether this is a URL, and no path."""
    return isinstance(text, str) and _URL.match(text) is not None


def place_of(text: str | Path) -> Place:
    """Return what is meant: a URL, or a path, which `file://` is another way to write. Raises
    UserError for a URL that holds a password or a key."""
    if not isinstance(text, str):
        return Path(text)
    try:
        return Url(text) if is_url(text) else Path(text.removeprefix("file://"))
    except ValueError as error:
        raise UserError(str(error)) from None


def path_in(url: str) -> str:
    """Return the path of a URL, names in it as they are."""
    return re.sub("%2[35]|%3F", lambda found: _READ[found[0]], urlsplit(url).path)


def _written(name: str) -> str:
    return re.sub("%(?=2[35]|3F)|[#?]", lambda found: _WRITTEN[found[0]], name)


def url_of(parts: SplitResult) -> str:
    """Return the URL of these parts. `urlunsplit` drops the two slashes where there is no host, as
    in local:///x, but for schemes that it knows."""
    query, fragment = (
        mark + of if of else "" for mark, of in (("?", parts.query), ("#", parts.fragment))
    )
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}{fragment}"
