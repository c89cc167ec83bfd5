"""Chooses whom a canary answers: always the same callers, a share of all."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from server.rollout.shares import Share

ALL = 1 << 64


@dataclass(frozen=True)
class Canary:
    """The share of each model's callers that its canary answers."""

    shares: Mapping[str, Share] = field(default_factory=dict)

    def label_for(self, model: str, caller: str, labels: Collection[str]) -> str | None:
        """The label whose version answers this caller instead of the default one; None for most. Where the model has no
        such label, nobody is answered by it. A caller who is answered so stays so when the share grows."""
        share = self.shares.get(model)
        if share is None or share.label not in labels:
            return None
        digest = hashlib.sha256(f"{model}@{share.label} {caller}".encode(errors="surrogatepass")).digest()
        return share.label if int.from_bytes(digest[:8]) < share.share * ALL else None
