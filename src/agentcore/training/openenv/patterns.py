"""Strings that a regular expression matches, for the expressions that schemas use.

Literals, classes, groups, alternatives, counts and anchors at the ends; no look-around and no
back-references. What comes out is a proposal: whoever asks checks it.
"""

from __future__ import annotations

import string
from random import Random

_DIGITS, _WORDS, _SPACES = string.digits, string.ascii_letters + string.digits + "_", " \t"
_CLASSES = {"d": _DIGITS, "w": _WORDS, "s": _SPACES}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_VISIBLE = "".join(chr(code) for code in range(33, 127))
# What a count without an upper limit adds to its lower one at most.
_MORE = 4
_LONGEST_COUNT = 4096
# Counts of counts multiply.
_MOST_ATOMS = 100_000


class PatternTooHard(Exception):
    """The expression uses what is not written here."""


def matching(pattern: str, random: Random) -> str:
    """A string that ``pattern`` should match.

    Raises:
        PatternTooHard: it has constructs beyond those above, or is none.
    """
    drawing = _Drawing(pattern, random)
    text = drawing.alternatives()
    if not drawing.at_end:
        raise PatternTooHard(pattern)
    return text


class _Drawing:
    """Reads the expression once from the left and draws as it goes."""

    def __init__(self, pattern: str, random: Random) -> None:
        self._pattern = pattern
        self._random = random
        self._at = 0
        self._atoms = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._pattern)

    def alternatives(self) -> str:
        drawn = [self._sequence()]
        while self._next_is("|"):
            self._take()
            drawn.append(self._sequence())
        return self._random.choice(drawn)

    def _sequence(self) -> str:
        parts = []
        while not self.at_end and not self._next_is("|)"):
            start = self._at
            first = self._atom()
            least, most = self._count()
            behind = self._at
            # Each repetition draws anew from the same piece of the expression.
            drawn = [first] if most else []
            for _ in range(self._random.randint(least, most) - len(drawn)):
                self._at = start
                drawn.append(self._atom())
            if least == 0 and self._random.random() < 0.5:
                drawn = []
            parts.extend(drawn)
            self._at = behind
        return "".join(parts)

    def _atom(self) -> str:
        self._atoms += 1
        if self._atoms > _MOST_ATOMS:
            raise PatternTooHard(self._pattern)
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._random.choice(self._class())
        if char == "\\":
            return self._random.choice(self._escaped())
        if char == ".":
            return self._random.choice(_WORDS)
        if char in "^$":
            return ""
        if char in "*+?{":
            raise PatternTooHard(self._pattern)
        return char

    def _group(self) -> str:
        if self._next_is("?"):
            self._take()
            kind = self._take()
            if kind == "P":
                kind = self._take()
            if kind == "<" and not self._next_is("=!"):
                while self._take() != ">":
                    pass
            elif kind != ":":
                raise PatternTooHard(self._pattern)
        text = self.alternatives()
        if self._take() != ")":
            raise PatternTooHard(self._pattern)
        return text

    def _count(self) -> tuple[int, int]:
        least, most = 1, 1
        if self._next_is("*+?"):
            char = self._take()
            least, most = {"*": (0, _MORE), "+": (1, 1 + _MORE), "?": (0, 1)}[char]
        elif self._next_is("{"):
            end = self._pattern.find("}", self._at)
            low, comma, high = self._pattern[self._at + 1 : end].partition(",")
            if end < 0 or not (low + high).isdecimal():
                raise PatternTooHard(self._pattern)
            self._at = end + 1
            least = int(low or 0)
            most = int(high) if high else least + (_MORE if comma else 0)
        else:
            return least, most
        if self._next_is("?+"):
            self._take()
        if least > most or most > _LONGEST_COUNT:
            raise PatternTooHard(self._pattern)
        return least, most

    def _escaped(self) -> str:
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char.lower() in _CLASSES:
            return _without(_CLASSES[char.lower()])
        if char in "xu":
            width = 2 if char == "x" else 4
            code = "".join(self._take() for _ in range(width))
            return chr(int(code, 16)) if _is_hex(code) else self._refuse()
        if char.isalnum() and char not in _CONTROLS:
            return self._refuse()
        return _CONTROLS.get(char, char)

    def _class(self) -> str:
        negated = self._next_is("^")
        if negated:
            self._take()
        chars = ""
        while not self._next_is("]") or not chars:
            char = self._take()
            members = self._escaped() if char == "\\" else char
            if self._next_is("-") and self._pattern[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._take()
                last = self._take()
                end = self._escaped() if last == "\\" else last
                members = "".join(map(chr, range(ord(members[0]), ord(end[0]) + 1)))
            chars += members
        self._take()
        return (_without(chars) if negated else chars) or self._refuse()

    def _next_is(self, chars: str) -> bool:
        return not self.at_end and self._pattern[self._at] in chars

    def _take(self) -> str:
        if self.at_end:
            raise PatternTooHard(self._pattern)
        self._at += 1
        return self._pattern[self._at - 1]

    def _refuse(self) -> str:
        raise PatternTooHard(self._pattern)


def _without(chars: str) -> str:
    return "".join(char for char in _VISIBLE if char not in chars)


def _is_hex(text: str) -> bool:
    return all(char in string.hexdigits for char in text)
