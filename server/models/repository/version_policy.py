"""Which of a model's usable versions are served (INKLING_VERSIONS)? Parses rules and applies them; knows no folders."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

EXPECTED = "all, latest:N, specific:N,N or, for single models, NAME=RULE;NAME=RULE"


@dataclass(frozen=True)
class Rule:
    """All versions, the latest few, or specific numbers."""

    latest: int | None = None
    specific: frozenset[str] | None = None

    @staticmethod
    def parse(text: str) -> "Rule":
        """all, latest:2 or specific:1,3. Raises ValueError."""
        kind, _, rest = text.partition(":")
        if text == "all":
            return Rule()
        if kind == "latest" and rest.isdecimal() and int(rest) > 0:
            return Rule(latest=int(rest))
        numbers = rest.split(",")
        if kind == "specific" and all(number.isdecimal() for number in numbers):
            return Rule(specific=frozenset(numbers))
        raise ValueError(f"{text!r} says no versions; expected {EXPECTED}")

    def of(self, numbers: Sequence[str]) -> set[str]:
        """Those of the ascending `numbers` that the rule selects."""
        if self.specific is not None:
            return set(self.specific) & set(numbers)
        return set(numbers if self.latest is None else numbers[-self.latest :])


@dataclass(frozen=True)
class VersionPolicy:
    """A rule for each named model, and one for all others."""

    others: Rule = Rule()
    named: Mapping[str, Rule] = field(default_factory=dict)

    @staticmethod
    def parse(text: str) -> "VersionPolicy":
        """all, latest:2, cnn=latest:2;mlp=specific:1, or a rule for all others beside those.

        Raises:
            ValueError: anything else, or two rules for the same.
        """
        others: list[Rule] = []
        named: dict[str, Rule] = {}
        for part in text.split(";"):
            name, found, rule = part.rpartition("=")
            if name in named or (not found and others):
                raise ValueError(f"{text!r} has two rules for {name or 'all models'}; expected {EXPECTED}")
            if not found:
                others.append(Rule.parse(rule))
            elif name:
                named[name] = Rule.parse(rule)
            else:
                raise ValueError(f"{part!r} names no model; expected {EXPECTED}")
        return VersionPolicy(others[0] if others else Rule(), named)

    def wanted(self, name: str, usable: Sequence[str], labelled: Collection[str]) -> set[str]:
        """The versions of a model to serve, of the ascending `usable` ones. Labelled versions are always wanted."""
        return self.named.get(name, self.others).of(usable) | (set(labelled) & set(usable))
