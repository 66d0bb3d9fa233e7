"""Spellings that are one, and those that are not."""

from __future__ import annotations

import pytest

from medblocks_connect.facilities.matching.normalization import (
    fold,
    fold_fully,
    initials_of,
    sound_of,
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Riverside General", "riverside general"),
        ("  RIVERSIDE--General!! ", "riverside general"),
        ("Hôpital Général", "hopital general"),
        ("Ear, Nose & Throat", "ear nose and throat"),
        ("Women's Health", "womens health"),
        ("Women\u2019s Health", "womens health"),
        ("Women s Health", "womens health"),
        ("O'Brien", "obrien"),
        ("Smith, M.D., P.C.", "smith md pc"),
        ("Smith M D, P C", "smith md pc"),
        ("J. B. Smith", "jb smith"),
        ("J.B. Smith", "jb smith"),
        ("OB/GYN of Dover", "obgyn of dover"),
        ("OB-GYN of Dover", "obgyn of dover"),
        ("Straße", "strasse"),
        ("\uff57\uff49\uff44\uff45", "wide"),
        ("北京协和医院", "北京协和医院"),
        ("%_", ""),
        ("\x00'\"", ""),
        ("", ""),
    ],
)
def test_fold_gives_the_folded_text(text, folded):
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("St. Mary's Hosp.", "Saint Marys Hospital"),
        ("Mt Sinai", "Mount Sinai"),
        ("Riverside Ctr", "Riverside Centre"),
        ("Univ of Dover", "University of Dover"),
        ("Paediatrics", "Pediatrics"),
        ("Dover Assoc", "Dover Associates"),
    ],
)
def test_fold_fully_makes_short_and_long_one(short, long):
    assert fold_fully(short) == fold_fully(long)


def test_fold_fully_leaves_what_has_several_meanings():
    assert fold_fully("Dover Med") == "dover med"


def test_initials_leave_out_little_words():
    assert initials_of("university of california san francisco") == "ucsf"


def test_initials_with_little_words_keep_them():
    name = "childrens hospital of philadelphia"
    assert initials_of(name, with_little_words=True) == "chop"


@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("psychiatry", "sykiatry"),
        ("nephrology", "nefrology"),
        ("philadelphia", "filadelfia"),
        ("physicians", "fizicians"),
        ("knight", "nite"),
    ],
)
def test_words_that_sound_alike_have_one_sound(written, heard):
    assert sound_of(written) == sound_of(heard)


def test_words_that_sound_otherwise_have_two_sounds():
    assert sound_of("cardiology") != sound_of("dermatology")
