"""What looks like a key, a password or a token: refused where given, hidden where shown.

Guesses by form; knows nothing of where a text comes from.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

HIDDEN = "[hidden: looks like a secret]"

RULE = (
    "any value that is no reference under a name such as password, secret, token or access key, "
    "and what has the form of a key, a token or a sign-in"
)
"""By what a text is taken for a secret, in words."""

_NAMED = (
    # written together, as dbPassword; `_` ends a word in DB_PWD
    r"(?:[a-z](?:Password|Passphrase|Passwd|Pwd|ClientSecret|ApiKey|AccessKey|AccessToken)"
    r"|(?i:(?:\b|_)(?:account_?key|shared_?access_?key|access_?key|password|passphrase|passwd|pwd"
    r"|secret|client_?secret|api_?key|access_?token|token)))\d{0,2}[\"'\]]?\s*"
)
_REFERENCE = (
    r"(?![\"']{2}|[\"']?(?:\$\{|\$\(|\{\{|\*{3}|\[hidden|@Microsoft\.KeyVault"
    r"|(?i:env|file|ref|secretref|\w*vault)(?::|\+|//)"
    r"|(?:\$[A-Z_]+|<[^>]*>|%\w+%|(?i:none|null|true|false))(?=[\"'\s;&,}]|$)))"
)
"""What follows a name and its sign is no reference to where the secret is kept, and no word."""
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)-----(?s:.*)"
    r"|\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)+"  # a JSON web token
    r"|[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"  # an Entra client secret
    r"|://[^/\s:@]*:[^/\s@]*@"  # user and password in a URL, or a token in place of the user
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|(?i:\bbearer\s+[\w.~+/=-]{20,})"
    # by their name: connection strings, environments, mappings; a sentence goes on after a colon
    rf"|{_NAMED}(?:=\s*{_REFERENCE}[^\s;&]+|:\s*{_REFERENCE}(?:[\"'][^\"']+|[^\s;&]{{8,}}"
    r"|(?=[^\s;&]*\d)(?=[^\s;&]*[A-Za-z])[^\s;&]{6,}))"
    r"|(?i:(?:\b|_)sig[\"'\]]?\s*[=:]\s*[^\s;&]{8,})"  # of a signed URL
    # 32 hexadecimal digits are the key of an Azure service where their name says so, else a digest
    r"|(?i:(?:subscription|account|api|access|admin|query|openai|cognitive|services?|speech|vision"
    r"|search|translator|language|maps|storage)[_-]?key|\bkey[12])[\"'\]]*\s*[=:]\s*"
    r"[\"']?[0-9A-Fa-f]{32}(?![\w-])"
)
_BASIC = re.compile(r"(?i:\bbasic\s+)([A-Za-z0-9+/]{4,}={0,2})")
_LONG_WORD = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
_LONG_RUN = re.compile(r"[A-Za-z0-9]{20,}")
_RANDOM_CHANGES = 0.4
"""Share of neighbors of different kind (lower, upper, digit) from which text reads as random.

Random base64 has about 0.6, words in CamelCase with a year about 0.2; our choice between them.
"""


def looks_secret(value: object) -> bool:
    """Return whether a value, or anything in a list or mapping, looks like a key or a token.

    Digests (`sha256:` and hexadecimal), GUIDs, ARM ids and paths do not.
    """
    if isinstance(value, str):  # as nearly all cells of a file are
        return _is_secret_text(value)
    return any(_is_secret_text(text) for text in _texts(value))


def shown(name: str, value: str) -> str:
    """Return a value as it may be written down: itself, or `HIDDEN` where it looks like a secret.

    Args:
        name: its key or path; under `password` a value is one that would not look so by itself.
    """
    return HIDDEN if looks_secret({name: value}) else value


def hide_secrets(text: str) -> str:
    """Return a foreign sentence with `HIDDEN` in place of each part that looks like a secret."""
    known = _FORMS.sub(HIDDEN, text)
    known = _BASIC.sub(lambda found: HIDDEN if _is_sign_in(found[1]) else found[0], known)
    return _LONG_WORD.sub(lambda found: HIDDEN if _holds_random(found[0]) else found[0], known)


def parts(value: object) -> Iterator[object]:
    """Yield a value and all that is in it; a list or mapping, which may hold itself, only once."""
    found, seen = [value], set[int]()
    for part in found:
        if isinstance(part, str):
            yield part
        elif id(part) not in seen:
            seen.add(id(part))
            yield part
            if isinstance(part, Mapping | Sequence):
                found += part.values() if isinstance(part, Mapping) else part


def _texts(value: object) -> Iterator[str]:
    for part in parts(value):
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            yield from (f"{k}={v}" if isinstance(v, str) else str(k) for k, v in part.items())


@lru_cache(maxsize=4096)  # the cells of a file say the same again and again
def _is_secret_text(text: str) -> bool:
    return (
        _FORMS.search(text) is not None
        or any(_is_sign_in(found[1]) for found in _BASIC.finditer(text))
        or any(_holds_random(word) for word in _LONG_WORD.findall(text))
    )


def _is_sign_in(text: str) -> bool:
    """Return whether base64 text is user and password, as a Basic header has them."""
    try:
        return ":" in base64.b64decode(text, validate=True).decode()
    except ValueError:  # the word after "basic" is a word
        return False


def _holds_random(word: str) -> bool:
    for run in _LONG_RUN.findall(word):
        kinds = ["d" if sign.isdigit() else "u" if sign.isupper() else "l" for sign in run]
        changes = sum(a != b for a, b in pairwise(kinds))
        if len(set(kinds)) == 3 and changes / (len(run) - 1) >= _RANDOM_CHANGES:
            return True
    return False
