"""Attacks: the smallest change found that flips the answer. One file each; to add one, a file and its name in ATTACKS.

An attack is no attribution: it has no values that speak for or against, so it lives beside the explainers. Like them it
is array code that asks a Model.
"""

from collections.abc import Mapping
from typing import Any

from server.attacks.deepfool import DeepFool
from server.attacks.fgsm import Fgsm
from server.attacks.pgd import Pgd
from server.attacks.types import Attack
from server.errors import MethodNotPossible
from server.options import describe, parse, unknown_method
from server.types import ModelCard, Verb

ATTACKS: dict[str, Any] = {attack.name: attack for attack in (Pgd, DeepFool, Fgsm)}
COUNTERPARTS = {  # names in other packages and papers, letters only -> the nearest attack here
    **dict.fromkeys(("bim", "ifgsm", "mifgsm", "apgd", "autoattack", "projectedgradientdescent"), "pgd"),
    **dict.fromkeys(("cw", "carlini", "carliniwagner", "ddn", "boundary"), "deepfool"),
    **dict.fromkeys(("fgm", "fastgradient", "fastgradientsignmethod"), "fgsm"),
}
NEEDS: frozenset[Verb] = frozenset({"forward", "gradient"})


def build(name: str, options: Mapping[str, Any], card: ModelCard, verbs: frozenset[Verb]) -> Attack:
    """The attack `name` with `options` checked and put into its fields.

    Raises:
        UnknownMethod: no such attack; the message names the nearest and lists them.
        MethodNotPossible: the model has no gradients.
        UnknownOption, InvalidOption: a name or value that the attack does not take.
    """
    attack = ATTACKS.get(name)
    if attack is None:
        raise unknown_method(name, ATTACKS, COUNTERPARTS, "attack")
    if missing := NEEDS - verbs:
        raise MethodNotPossible(f"{card.name} cannot be attacked with {name}: it has no {', '.join(sorted(missing))}")
    built: Attack = attack(**parse(attack, options))
    return built


def describe_attacks() -> list[dict[str, Any]]:
    """Every attack as data, with its options and their ranges."""
    return [
        {"name": name, "summary": attack.summary, "paper": attack.paper, "options": describe(attack)}
        for name, attack in ATTACKS.items()
    ]
