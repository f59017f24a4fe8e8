r"""Signs that nobody sees, and signs that look like others: told where a text enters.

Names, headings and keys are compared sign by sign, so that none of them is taken there; values keep
the spaces and hyphens of their language, and its letters in words of one script.

    >>> examined("hc\u2011one", is_name=True)
    ('hc-one', 'holds U+2011 NON-BREAKING HYPHEN')
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from mnslib.errors import cut
from mnslib.packaged import packaged
from mnslib.secrets import parts

_BLANK = "\0\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Zero, and letters and marks without a shape that have not the category of such. Source: Unicode,
Default_Ignorable_Code_Point; the blank pattern of Braille."""

_TWINS = packaged("mnslib.requests", "twins")
_LATIN = str.maketrans({**_TWINS["cyrillic"], **_TWINS["greek"]})
_RUSSIAN = str.maketrans(
    {twin: own for own, twin in _TWINS["cyrillic"].items() if "А" <= own <= "я"}
)
_SCRIPTS = {"LATIN", "CYRILLIC", "GREEK"}
_SAME_SHAPE = ("<noBreak>", "<wide>", "<narrow>", "<font>")
_WORD = re.compile(r"\S+")
_LETTERS = re.compile(r"[^\W\d_]+")
_LONGEST_NAMES = 150
"""Characters of the names of signs in a message, those of three or four; our choice."""


def bare(text: str) -> str:
    """Return text without the blanks around it; no-break ones stay, unless they are all of it."""
    return text.strip(" \t\n\r\f\v") if text.strip() else ""


def texts(value: object) -> Iterator[str]:
    """Return a text, or those in lists and behind the keys of mappings."""
    return (part for part in parts(value) if isinstance(part, str))


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
    as_seen = "".join(seen[sign] for sign in text)
    clean = _WORD.sub(lambda found: _in_one_script(found[0], is_name), as_seen)
    odd = [sign for sign in seen if seen[sign] != sign]
    odd += [sign for sign, meant in zip(as_seen, clean, strict=True) if sign != meant]
    if not odd:
        return text, ""
    named = [f"U+{ord(sign):04X} {unicodedata.name(sign, '')}" for sign in odd]
    told = cut(", ".join(dict.fromkeys(map(str.rstrip, named))), _LONGEST_NAMES)
    is_known = all(len(_scripts(word)) < 2 for word in _LETTERS.findall(clean))
    return bare(clean) if is_known else "", f"holds {told}"


def _seen(sign: str, is_name: bool) -> str:
    """Return the sign that people take it for, nothing where they see none."""
    category = unicodedata.category(sign)
    is_selector = "VARIATION SELECTOR" in unicodedata.name(sign, "")
    if (
        category in ("Cf", "Cs")
        or sign in _BLANK
        or (is_name and (category == "Cc" or is_selector))
    ):
        return ""
    if not is_name or sign.isascii():
        return sign
    if category.startswith("Z"):
        return " "
    if category == "Pd" or sign == "\N{MINUS SIGN}":
        return "-"
    folded = unicodedata.normalize("NFKC", sign)
    has_same_shape = unicodedata.decomposition(sign).startswith(_SAME_SHAPE)
    return folded if has_same_shape and folded.isascii() else sign


def _in_one_script(word: str, is_name: bool) -> str:
    """Return a word without twins among letters of another script, or that is made of twins."""
    latin, russian = word.translate(_LATIN), word.translate(_RUSSIAN)
    is_latin = is_name and latin.isascii()
    if latin == word or not (is_latin or len(_scripts(word)) > 1):
        return word
    meant = min(latin, russian, key=lambda one: len(_scripts(one)))
    if len(_scripts(meant)) > 1 and not _LETTERS.fullmatch(word):  # such as IT-отдел
        return _LETTERS.sub(lambda found: _in_one_script(found[0], is_name), word)
    return meant


def _scripts(word: str) -> set[str]:
    return {unicodedata.name(sign, "").split(" ")[0] for sign in word} & _SCRIPTS
