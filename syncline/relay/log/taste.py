"""What is known of a submission that was tasted: the ledger takes nothing that was not.

The tasting cannot know all that the ledger refuses, such as a writer too many. What was tasted
after such an update was tasted in another document than the stored one, and is tasted again.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncline.engine.errors import PeerError

from .place import Place

TASTE_AGAIN = PeerError(
    "taste-again",
    "The document has changed while this change to it was looked at.",
    hint="It is kept and offered again.",
    retry_after=1.0,
)
"""The outcome of a submission that has to be tasted again. Nothing of it is committed."""


@dataclass(frozen=True, slots=True)
class Taste:
    """Which entries of a submission were integrated when it was tasted, in their order.

    ``spoilt`` is shared by all that were tasted together: the documents of which the ledger has
    refused something that the tasting had integrated.
    """

    integrated: tuple[bool, ...]
    spoilt: set[Place]

    def part(self, start: int, end: int) -> Taste:
        """That of some of the entries."""
        return Taste(self.integrated[start:end], self.spoilt)

    def agrees(self, number: int, place: Place, *, accepted: bool) -> bool:
        """Whether the ledger may go on after it has accepted or refused an entry."""
        if not accepted:
            if self.integrated[number]:
                self.spoilt.add(place)
            return True
        return self.integrated[number] and place not in self.spoilt
