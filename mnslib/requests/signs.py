r"""Signs that nobody sees, and signs that look like others: told where a text enters.

Names, headings and keys are compared sign by sign, so that none of them is taken there; values keep
the spaces and hyphens of their language, and its letters in words of one script.

    >>> examined("hc\u2011one", is_name=True)
    ('hc-one', 'holds U+2011 NON-BREAKING HYPHEN')
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

_BLANK = "\0\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Zero, and letters and marks without a shape that have not the category of such. Source: Unicode,
Default_Ignorable_Code_Point; the blank pattern of Braille."""

_TWINS = dict(
    zip(
        "аеорсухіѕјһԁԛԝѵӏАВЕКМНОРСТУХІЅЈԚԜѴҮӀαγικνορυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
        "aeopcyxisjhdqwvlABEKMHOPCTYXISJQWVYIayiknopuxABEZHIKMNOPTYX",
        strict=True,
    )
)
"""Letters of Cyrillic and Greek, and the Latin ones that look so. Source: Unicode Technical
Standard 39, confusables."""

_RUSSIAN = {_TWINS[own]: own for own in "аеорсухАВЕКМНОРСТУХ"}
_SCRIPTS = {"LATIN", "CYRILLIC", "GREEK"}
_SAME_SHAPE = ("<noBreak>", "<wide>", "<narrow>", "<font>")
_WORD = re.compile(r"[^\W\d_]+")
_AROUND = " \t\n\r\f\v"
MOST_NAMED = 3
"""Different signs that a message names; our choice."""


def bare(text: str) -> str:
    """Return text without the blanks around it; no-break ones stay, unless they are all of it."""
    return text.strip(_AROUND) if text.strip() else ""


def texts(value: object) -> Iterator[str]:
    """Yield a text, or those in lists and behind the keys of mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from texts(part)


@lru_cache(maxsize=4096)  # the cells of a file say the same again and again
def examined(text: str, *, is_name: bool = False) -> tuple[str, str]:
    """Return the text as it was probably meant, and which signs of it are not what they seem.

    Args:
        is_name: it is compared sign by sign: also no-break and wide signs and foreign hyphens are
            told, and words of nothing but twins of Latin letters.

    Returns:
        The clean text, empty where nobody can know it; and what is wrong, empty where all is well.
    """
    if text.isascii() and text.isprintable():
        return text, ""
    seen = {sign: _seen(sign, is_name) for sign in text}
    odd = [sign for sign, as_seen in seen.items() if as_seen != sign]
    clean, is_known = "".join(seen[sign] for sign in text), True
    for found in _WORD.finditer(clean):
        word = found[0]
        if not _is_mixed(word, is_name):
            continue
        meant = _in_one_script(word)
        odd += [sign for sign, new in zip(word, meant or "", strict=False) if sign != new]
        odd += [sign for sign in word if not meant and sign in _TWINS]
        is_known &= bool(meant)
        clean = clean[: found.start()] + (meant or word) + clean[found.end() :]
    if not odd:
        return text, ""
    named = [
        f"U+{ord(sign):04X} {unicodedata.name(sign, '')}".rstrip() for sign in dict.fromkeys(odd)
    ]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return bare(clean) if is_known else "", f"holds {', '.join(named[:MOST_NAMED])}{more}"


def _seen(sign: str, is_name: bool) -> str:
    """Return the sign that people take it for, nothing where they see none."""
    category = unicodedata.category(sign)
    if category in ("Cf", "Cs") or sign in _BLANK or (category == "Cc" and is_name):
        return ""
    if not is_name or sign.isascii():
        return sign
    if category.startswith("Z"):
        return " "
    if category == "Pd" or sign == "\N{MINUS SIGN}":
        return "-"
    if "VARIATION SELECTOR" in unicodedata.name(sign, ""):
        return ""
    folded = unicodedata.normalize("NFKC", sign)
    has_same_shape = unicodedata.decomposition(sign).startswith(_SAME_SHAPE)
    return folded if has_same_shape and folded.isascii() else sign


def _is_mixed(word: str, is_name: bool) -> bool:
    """Return whether a word holds twins among letters of another script, or is made of twins."""
    twins = [sign for sign in word if sign in _TWINS]
    return bool(twins) and (len(_scripts(word)) > 1 or (is_name and len(twins) == len(word)))


def _in_one_script(word: str) -> str:
    """Return a word with the letters of one script that look as its own do; empty for none."""
    for twins in (_TWINS, _RUSSIAN):
        one = "".join(twins.get(sign, sign) for sign in word)
        if len(_scripts(one)) == 1:
            return one
    return ""


def _scripts(word: str) -> set[str]:
    return {unicodedata.name(sign, "").split(" ")[0] for sign in word} & _SCRIPTS
