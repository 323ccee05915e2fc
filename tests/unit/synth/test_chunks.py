from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.chunks import (
    CLAUSE_PAUSE_SECONDS,
    MAX_CHARS,
    MAX_CHARS_CJK,
    PARAGRAPH_PAUSE_SECONDS,
    SENTENCE_PAUSE_SECONDS,
    char_limit,
    chunk_text,
    split_sentences,
)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met Mrs. Jones. They talked.", ["Dr. Smith met Mrs. Jones.", "They talked."]),
        ("It costs $3.50 now. Pay.", ["It costs $3.50 now.", "Pay."]),
        ("J. K. Rowling wrote it. Yes.", ["J. K. Rowling wrote it.", "Yes."]),
        ("At 7:45 a.m. the train left. At 8 p.m. We ate.", ["At 7:45 a.m. the train left.", "At 8 p.m.", "We ate."]),
        ("See No. 5 and Fig. 2. He said no. Then he left.", ["See No. 5 and Fig. 2.", "He said no.", "Then he left."]),
        ("Fruit, e.g. Apples, rot. Right.", ["Fruit, e.g. Apples, rot.", "Right."]),
        ("Wait... what? Nothing… Really.", ["Wait... what?", "Nothing…", "Really."]),
        ('"Stop!" he cried. "Why?" "Because."', ['"Stop!" he cried.', '"Why?"', '"Because."']),
        ("今晚有雨。明天晴。真的吗？真的！", ["今晚有雨。", "明天晴。", "真的吗？", "真的！"]),
        ("彼は「行く。」と言った。帰った。", ["彼は「行く。」", "と言った。", "帰った。"]),
        ("Am 12.05.2024 z.B. Montag. Ja.", ["Am 12.05.2024 z.B. Montag.", "Ja."]),
        ("M. Dupont est là. Bonsoir.", ["M. Dupont est là.", "Bonsoir."]),
        ("No end", ["No end"]),
    ],
)
def test_sentences_end_where_a_reader_would_stop(text, sentences):
    assert split_sentences(text) == sentences


def test_a_short_text_is_one_piece_without_a_pause():
    assert [tuple(one) for one in chunk_text(" Good evening. Here is the news. ")] == [
        ("Good evening. Here is the news.", 0.0)
    ]


def test_paragraphs_part_pieces_with_a_long_pause_and_single_line_breaks_do_not():
    assert [tuple(one) for one in chunk_text("One\ntwo.\n\n \nThree.")] == [
        ("One two.", PARAGRAPH_PAUSE_SECONDS),
        ("Three.", 0.0),
    ]


def test_a_long_paragraph_is_parted_at_sentences_and_short_ones_share_a_piece():
    text = " ".join(f"This is the sentence with the number {number} in it." for number in range(12))
    pieces = chunk_text(text)
    assert len(pieces) == 3
    assert all(piece.text.endswith(".") and len(piece.text) <= MAX_CHARS for piece in pieces)
    assert [piece.pause_seconds for piece in pieces] == [SENTENCE_PAUSE_SECONDS, SENTENCE_PAUSE_SECONDS, 0.0]


def test_a_long_sentence_is_parted_at_its_clauses():
    text = ", ".join(["the river rose above its banks and took the old road with it"] * 9) + "."
    pieces = chunk_text(text)
    assert [piece.text[-1] for piece in pieces] == [",", ",", "."]
    assert pieces[0].pause_seconds == CLAUSE_PAUSE_SECONDS


def test_words_are_never_broken_even_when_one_is_longer_than_a_piece():
    monster = "x" * (MAX_CHARS * 2)
    words = ["word"] * 100 + [monster] + ["word"] * 10
    pieces = chunk_text(" ".join(words))
    assert monster in [piece.text for piece in pieces]
    assert " ".join(piece.text for piece in pieces).split() == words


def test_chinese_is_parted_in_shorter_pieces_and_without_spaces_added():
    text = "今晚的新闻有三条，第一条是关于老桥的。" * 20
    pieces = chunk_text(text)
    assert all(len(piece.text) <= MAX_CHARS_CJK for piece in pieces)
    assert "".join(piece.text for piece in pieces) == text
    assert char_limit("字" * 500) == MAX_CHARS_CJK
    endless = chunk_text("字" * 500)
    assert "".join(piece.text for piece in endless) == "字" * 500
    assert all(len(piece.text) <= MAX_CHARS_CJK for piece in endless)


@given(st.text(st.sampled_from('ab,;:.!?…。！？、「」 \n"”)-1é字かド'), max_size=900))
def test_no_character_but_spaces_is_ever_lost_added_or_moved(text):
    pieces = chunk_text(text)
    assert "".join("".join(piece.text.split()) for piece in pieces) == "".join(text.split())
    assert all(piece.text.strip() == piece.text != "" for piece in pieces)
    assert all(piece.pause_seconds == 0.0 for piece in pieces[-1:])


@given(st.lists(st.from_regex(r"[a-z]{1,12}[,.;!]?", fullmatch=True), min_size=1, max_size=300))
def test_spaced_words_come_back_whole_in_pieces_that_fit(words):
    pieces = chunk_text(" ".join(words))
    assert " ".join(piece.text for piece in pieces).split() == words
    assert all(len(piece.text) <= MAX_CHARS for piece in pieces)
