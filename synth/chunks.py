"""Splitting a long text into pieces that an engine speaks well, with the pause that follows each. Pure.

A piece ends at a paragraph, else a sentence, else a clause, else between words; a word is never broken. Scripts
written without spaces are cut between characters as the last resort. No character that is not a space is lost.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PARAGRAPH_PAUSE_SECONDS = 0.6
SENTENCE_PAUSE_SECONDS = 0.35
CLAUSE_PAUSE_SECONDS = 0.15
WORD_PAUSE_SECONDS = 0.05

MAX_CHARS = 250
MAX_CHARS_CJK = 80

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE_END = re.compile(r"""[.!?…]+["”’'»)\]]*(?=\s)|[。！？｡]+["”’」』）)]*\s*""")
_CLAUSE_END = re.compile(r"""[,;:—–]["”’'»)\]]*\s+|[，、；：]["”’」』）]*\s*""")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]")

# Never the end of a sentence: a name or an example follows.
_TITLES = frozenset(
    re.findall(
        r"\S+",
        "dr mr mrs ms mme mlle prof rev gen col capt lt sgt sen rep gov hon st ste mt vs cf e.g i.e viz approx ca "
        "sr sra srta dra hr fr z.b d.h u.a bzw sig dott",
    )
)
# Not the end of a sentence when a number follows ("No. 5", "S. 12").
_BEFORE_NUMBERS = frozenset(
    re.findall(r"\S+", "no nos nr núm n vol fig p pp ch art s sec jan feb mar apr aug sept oct nov dec")
)


class Chunk(NamedTuple):
    """A piece of text and the silence after it."""

    text: str
    pause_seconds: float


def chunk_text(text: str) -> list[Chunk]:
    """Return the pieces of a text, in order; the last one has no pause."""
    chunks: list[Chunk] = []
    for paragraph in _PARAGRAPH.split(text.strip()):
        flat = " ".join(paragraph.split())
        if not flat:
            continue
        chunks.extend(_pack(flat, char_limit(flat)))
        chunks[-1] = Chunk(chunks[-1].text, PARAGRAPH_PAUSE_SECONDS)
    if chunks:
        chunks[-1] = Chunk(chunks[-1].text, 0.0)
    return [chunk for chunk in chunks if chunk.text]


def char_limit(text: str) -> int:
    """Return the longest piece for a text: a CJK character takes as long as a short word."""
    dense = len(_UNSPACED.findall(text))
    return MAX_CHARS_CJK if dense * 2 > len(text.replace(" ", "")) else MAX_CHARS


def _pack(paragraph: str, limit: int) -> list[Chunk]:
    """Join neighbouring sentences while they fit; split those that do not fit alone."""
    chunks: list[Chunk] = []
    held = ""
    for sentence in split_sentences(paragraph):
        joined = f"{held}{_glue(held, sentence)}{sentence}" if held else sentence
        if len(joined) <= limit:
            held = joined
            continue
        if held:
            chunks.append(Chunk(held, SENTENCE_PAUSE_SECONDS))
        *whole, last = _split_sentence(sentence, limit)
        chunks.extend(whole)
        held = last.text
    if held:
        chunks.append(Chunk(held, SENTENCE_PAUSE_SECONDS))
    return chunks


def _glue(left: str, right: str) -> str:
    return "" if _UNSPACED.match(right) and left[-1:] in "。！？｡」』”）" else " "


def split_sentences(paragraph: str) -> list[str]:
    """Return the sentences of one paragraph; abbreviations, initials and decimals do not end one."""
    sentences: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(paragraph):
        rest = paragraph[match.end() :].lstrip()
        if rest and _ends_sentence(paragraph[start : match.start()], match.group(), rest):
            sentences.append(paragraph[start : match.end()].strip())
            start = match.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _ends_sentence(before: str, mark: str, rest: str) -> bool:
    if mark[0] in "。！？｡":
        return True
    following = rest.lstrip("\"'“‘«([")[:1]
    if following.islower():
        return False
    if not mark.startswith(".") or mark.startswith(".."):
        return True
    word = before.rpartition(" ")[2].lstrip("\"'“‘«([")
    if len(word) == 1 and word.isupper():
        return False
    if word.lower() in _TITLES:
        return False
    return not (following.isdigit() and word.lower() in _BEFORE_NUMBERS)


def _split_sentence(sentence: str, limit: int) -> list[Chunk]:
    """Return the clauses of a sentence, joined while they fit and split between words where they do not."""
    chunks: list[Chunk] = []
    held = ""
    for clause in _clauses(sentence):
        if len((held + clause).strip()) <= limit:
            held += clause
            continue
        if held.strip():
            chunks.append(Chunk(held.strip(), CLAUSE_PAUSE_SECONDS))
        *whole, last = _split_words(clause, limit)
        chunks.extend(Chunk(piece, WORD_PAUSE_SECONDS) for piece in whole)
        held = last + (" " if clause[-1:].isspace() else "")
    chunks.append(Chunk(held.strip(), CLAUSE_PAUSE_SECONDS))
    return chunks


def _clauses(sentence: str) -> list[str]:
    ends = [match.end() for match in _CLAUSE_END.finditer(sentence)]
    starts = [0, *ends]
    return [sentence[a:b] for a, b in zip(starts, [*ends, len(sentence)], strict=True) if sentence[a:b].strip()]


def _split_words(clause: str, limit: int) -> list[str]:
    pieces: list[str] = []
    held = ""
    for word in clause.split():
        for part in _cut_unspaced(word, limit):
            joined = f"{held} {part}" if held else part
            if len(joined) <= limit:
                held = joined
                continue
            if held:
                pieces.append(held)
            held = part
    return [*pieces, held]


def _cut_unspaced(word: str, limit: int) -> list[str]:
    """Cut a run of characters of a script without spaces; any other word stays whole, however long."""
    if len(word) <= limit or not _UNSPACED.search(word):
        return [word]
    return [word[start : start + limit] for start in range(0, len(word), limit)]
