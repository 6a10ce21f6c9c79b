"""Which licences this project takes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PERMISSIVE: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "CNRI-Python",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Unlicense",
        "Zlib",
    }
)
"""Anything may be made of what they cover, for a notice at the most. Names as in SPDX."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A library that is taken although its licence, or what it says of it, is none of the permissive ones."""

    licence: str
    reason: str


_MPL: Final = "a library that is imported unchanged: the MPL covers its own files only"

TAKEN: Final[Mapping[str, Taken]] = {
    "github.com/hashicorp/errwrap": Taken("MPL-2.0", _MPL),
    "github.com/hashicorp/go-immutable-radix": Taken("MPL-2.0", _MPL),
    "github.com/hashicorp/go-multierror": Taken("MPL-2.0", _MPL),
    "github.com/hashicorp/go-sockaddr": Taken("MPL-2.0", _MPL),
    "github.com/hashicorp/go-version": Taken("MPL-2.0", _MPL),
    "github.com/hashicorp/golang-lru": Taken("MPL-2.0", _MPL),
    "github.com/hashicorp/golang-lru/v2": Taken("MPL-2.0", _MPL),
    "github.com/hashicorp/memberlist": Taken("MPL-2.0", _MPL),
    "certifi": Taken("MPL-2.0", _MPL),
    "orjson": Taken("MPL-2.0 AND (Apache-2.0 OR MIT)", _MPL),
    "pathspec": Taken("MPL-2.0", _MPL),
    "tqdm": Taken("MPL-2.0 AND MIT", _MPL),
}


def permitted(name: str, licence: str) -> bool:
    """Whether a package may be used under the licence, an SPDX expression."""
    if name in TAKEN:
        return TAKEN[name].licence == licence
    alternatives = re.split(r" OR ", re.sub(r"[()]", "", licence)) if "(" not in licence else [licence]
    return any(set(each.split(" AND ")) <= PERMISSIVE for each in alternatives)
