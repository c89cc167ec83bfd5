"""The sentences of answers, in English and Chinese. Read english.py first; chinese.py has the same methods.

Must not know attributions or formats: it is told places, shares and names.
"""

from typing import Literal

from server.render.language.chinese import Chinese
from server.render.language.english import English

Language = Literal["en", "zh"]
Words = English | Chinese
ENGLISH = English()
LANGUAGES: dict[Language, Words] = {"en": ENGLISH, "zh": Chinese()}

__all__ = ["ENGLISH", "LANGUAGES", "Language", "Words"]
