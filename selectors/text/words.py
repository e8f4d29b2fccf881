"""Splits texts in any script into words, and lists the stop words.

The tokeniser of concepts and cluster terms. Every string is valid input, NUL bytes and lone surrogates included.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHARACTERS = 20_000
"""Characters read of one text, so that a row of a megabyte costs no more than a long page."""

_ENGLISH = """
a about above across after again against all almost along already also although always am among an and another any
anyone anything are aren't around as at away back be became because become been before behind being below between both
but by came can can't cannot could couldn't did didn't do does doesn't doing don't done down during each either else
enough even ever every everyone everything few first for from further get gets getting give given gives go goes going
got had hadn't has hasn't have haven't having he he's her here here's hers herself him himself his how however i i'd
i'll i'm i've if in instead into is isn't it it's its itself just keep kept know known last least less let let's like
made make makes many may maybe me might mine more most much must my myself near need needs neither never next no nobody
none nor not nothing now of off often on once one only onto or other others otherwise our ours ourselves out over own
per perhaps please put quite rather really same see seem seems several shall she should shouldn't since so some someone
something still such take than that that's the their theirs them themselves then there there's these they they're thing
things this those though through thus to together too toward towards under until up upon us use used uses using very via
want was wasn't way we we're well went were weren't what what's whatever when where whether which while who whole whom
whose why will with within without won't would wouldn't yes yet you you'd you'll you're you've your yours yourself
"""

# Function words of other languages, except those that have a meaning in English text ("war", "die", "sin").
_OTHERS = """
aber als auch auf aus bei bis das dass dem der des dich dir doch du durch ein eine einem einen einer eines er es für
haben hatte ich ihr im ist ja kann kein keine mein mich mir mit nach nicht noch nur ob oder ohne sehr sein seine sich
sie sind über um und uns unter vom von vor wenn wer werden wie wir wird wo zu zum zur zwischen afin ainsi au aux avec
avoir c'est ce cela ces cette chez comme dans de depuis des donc du d'un d'une elle elles en est et être eux il ils
j'ai je la le les leur leurs lui l'on mais même mes moi mon ne nos notre nous où par pas peu peut plus quand que quel
quelle qui sa sans se ses si sont sous sur ta te tes toi tous très un une vos votre vous al algo como con cual cuando
cómo del desde donde dónde el ella ellas ellos entre eres ese esa eso esta está están este esto estos fue ha han hasta
la las lo los mas más mi mis muy nada ni nos o para pero por porque qué que quien se ser sí sobre su sus también te
tiene todo todos tu tus una uno unos y ya yo alla anche che chi ci cosa dai dal dalla degli dei del della delle di
dove e è gli ha hanno ho il io lei loro lui ma nel nella nelle non perché più può quale quando quello questa questo se
si sono sua sul sulla suo tra tutti un uno à às ao aos até da das dela dele depois do ela elas ele eles entre essa
esse está foi isso isto já mais mas me mesmo meu minha muito na não nas nem no nos numa ou pela pelo pode por qual
quando são sem seu seus sua também tem um uma você aan bij dan dat de deze dit een en ge heb heeft het hij ik je kan
maar met mijn naar niet nog nu om ook op te uit veel voor waar wat wel we wij ze zijn zo zou а бы был была были было в
вам вас во вот все всё вы где да для до его ее её если есть еще ещё же за и из или им их к как ко когда кто ли мне мы
на не него нет ни но о об он она они от по под при с со так также там то того тоже только у уже что чтобы эта эти это
этот я और का की के को है हैं में से पर यह वह एक नहीं भी तो कर ने था थे थी हो या कि जो इस उस लिए साथ في من على إلى عن
أن إن هو هي هذا هذه ذلك التي الذي ما لا لم لن كان كانت قد أو و ثم مع بين كل را در از به که این آن است با برای یا تا
بود شد های
"""

STOP_WORDS = frozenset(unicodedata.normalize("NFKC", _ENGLISH + _OTHERS).casefold().split())
"""Function words of English and, in shorter lists, of ten other languages, normalised like the text."""

_FUNCTION_CHARACTERS = (
    "的了是在和与與及或不"
    "我你您他她它们們这這那之其也都就而但被把将將从從对對为為以于於上中下请請吗嗎呢吧啊很个個些么麼什怎"
)
"""Chinese characters with mostly grammatical function; they break a run of characters as stop words break a phrase."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer and Han: written without spaces between words."""

_KATAKANA = "\u30a1-\u30fa\u30fc"
_HIRAGANA = "\u3041-\u3096"
UNSPACED_SCRIPTS = _UNSPACED + _KATAKANA + _HIRAGANA
"""All scripts without spaces, as the inside of a character class."""
_JOINERS = "\u200c\u200d"

_ASCII_TOKEN = re.compile(r"\w+(?:['\-]\w+)*|[^ \t]")
"""The pattern of `_token` restricted to ASCII text."""


def normalised(text: str) -> str:
    """Return the first `MAX_CHARACTERS` of a text, NFKC-normalised and casefolded."""
    return unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()


def runs(text: str) -> Iterator[list[str]]:
    """Yield the runs of content words of a text: maximal sequences without stop words or punctuation.

    A word is letters, digits, marks and underscores with single hyphens or apostrophes inside, so that identifiers of
    code stay whole; numbers, single letters and stop words break a run, and so do line ends. Katakana counts as words;
    hiragana, which is mostly grammatical, breaks a run. A run of an unspaced script is cut into overlapping pairs of
    characters (with their marks), each a run of its own, as search engines do without a dictionary.

    Parameters
    ----------
    text : str
        As `normalised` returns it.
    """
    if text.isascii():
        # Four times as fast, and most text is ASCII.
        tokens: Iterator[tuple[str, str | None]] = ((token, "word") for token in _ASCII_TOKEN.findall(text))
    else:
        tokens = ((match[0], match.lastgroup) for match in _token().finditer(text))
    run: list[str] = []
    for token, kind in tokens:
        if kind == "word" and carries_meaning(token):
            run.append(token)
            continue
        if run:
            yield run
            run = []
        if kind == "unspaced":
            yield from ([pair] for pair in _pairs(token))
    if run:
        yield run


@lru_cache(maxsize=1 << 16)
def carries_meaning(word: str) -> bool:
    """Return whether a word has letters and is neither a stop word nor a single letter."""
    return len(word) > 1 and word.replace("’", "'") not in STOP_WORDS and any(c.isalpha() for c in word)


def _pairs(characters: str) -> list[str]:
    """Return the overlapping pairs of base characters with their marks; a single character is a word by itself."""
    bases = _base().findall(characters)
    return ["".join(pair) for pair in zip(bases, bases[1:], strict=False)] or bases


@cache
def _marks() -> str:
    """Return all combining marks, which Python's word class leaves out: without them Hindi words are split."""
    return "".join(c for c in map(chr, range(0x300, sys.maxunicode + 1)) if unicodedata.category(c) in ("Mn", "Mc"))


@cache
def _token() -> re.Pattern[str]:
    unspaced = f"[{_UNSPACED}]"
    skipped = f"[{_FUNCTION_CHARACTERS}{_HIRAGANA}]"
    letter = rf"[^\W{_UNSPACED}{_HIRAGANA}{_KATAKANA}]"
    part = rf"{letter}(?:{letter}|[{_marks()}{_JOINERS}])*"
    word = rf"(?P<word>{part}(?:['’\-]{part})*|[{_KATAKANA}]+)"
    cut = rf"(?P<unspaced>(?:(?!{skipped}){unspaced}|(?<={unspaced})[{_marks()}])+)"
    # Blanks between two words do not break a run; everything else does, including line ends.
    return re.compile(rf"{word}|{cut}|(?P<break>[^ \t\u00a0\u3000])")


@cache
def _base() -> re.Pattern[str]:
    return re.compile(rf"[^{_marks()}][{_marks()}]*")
