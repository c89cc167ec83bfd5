"""The verdict in words: each outcome has a sentence of its own, in every language."""

import pytest

from server.render import LANGUAGES, Language
from server.types import Measure, Quality


def measure(name: str, beaten: float | None, value: float = 1.0, can_tell: bool = True) -> Measure:
    return Measure(name, value, 2.0, 1.5, "lower", beaten, can_tell)


NAMES = ("deletion_auc", "insertion_auc", "mu_fidelity")
STEADY = Measure("max_sensitivity", 0.1, 1.0, 0.1, "lower", None)
BETTER = Quality((*(measure(name, 1.0) for name in NAMES), STEADY))
UNCLEAR = Quality((measure("deletion_auc", 0.94), *BETTER.measures[1:]))
AS_INK = Quality((*BETTER.measures[:2], measure("mu_fidelity", 1.0, value=1.5), STEADY))
TOO_FEW = Quality((*(measure(name, 0.9, can_tell=False) for name in NAMES), STEADY))
PARTLY = Quality((*BETTER.measures[:2], measure("mu_fidelity", 0.9, can_tell=False), STEADY))
NO_INK = Quality((*(Measure(name, None, None, None, "lower", None) for name in NAMES), STEADY))
NO_TIME = Quality((), finished=False)
HALF = Quality(BETTER.measures[:2], finished=False)
ALMOST = Quality(BETTER.measures[:3], finished=False)
FAILED_EARLY = Quality(UNCLEAR.measures[:2], finished=False)


@pytest.mark.parametrize(
    ("quality", "passed", "words"),
    [
        (BETTER, True, {"en": "is better than a random order and than the ink", "zh": "比随机次序和墨迹本身都好"}),
        (UNCLEAR, False, {"en": "is not clearly better than a random order by deletion.", "zh": "按删除，它不明显"}),
        (AS_INK, False, {"en": "is no better than the ink alone by mu-fidelity.", "zh": "不比墨迹本身好"}),
        (TOO_FEW, None, {"en": "too few different cells to tell whether", "zh": "不同的格子太少"}),
        (PARTLY, True, {"en": "insertion. There are too few different cells", "zh": "都好。按mu-fidelity，不同"}),
        (NO_INK, None, {"en": "cannot be measured", "zh": "墨迹太少"}),
        (NO_TIME, None, {"en": "no time to measure", "zh": "没有时间衡量"}),
        (HALF, None, {"en": "no time for the other measures", "zh": "没有时间做其余的衡量"}),
        (ALMOST, True, {"en": "no time for the other measures", "zh": "没有时间做其余的衡量"}),
        (FAILED_EARLY, False, {"en": "not clearly better", "zh": "不明显好于"}),
    ],
)  # fmt: skip
def test_each_outcome_is_told(quality: Quality, passed: bool | None, words: dict[Language, str]) -> None:
    assert quality.passed is passed
    for language, told in words.items():
        assert told in LANGUAGES[language].verdict(quality)
