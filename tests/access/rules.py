"""An authenticator and authorizer as an application would write them."""

from __future__ import annotations

from syncline.access.access import Access, Credentials, Principal
from syncline.engine.errors import NotAuthenticated
from syncline.engine.names import Address


class Rules:
    """The token is the name of who brings it; ``rules`` says what everybody may do, by name and
    collection ("*" for all others)."""

    def __init__(self, rules: dict[str, dict[str, Access]]) -> None:
        self.rules = rules
        self.asked: list[str | None] = []

    async def authenticate(self, credentials: Credentials) -> Principal:
        self.asked.append(credentials.token)
        if credentials.token == "crash":  # noqa: S105
            raise LookupError("the user database is away")
        if credentials.token not in self.rules:
            raise NotAuthenticated("This token is not known.", hint="Sign in again.")
        return Principal(credentials.token)

    def access(self, principal: Principal, workspace: str, address: Address | None) -> Access:
        rules = self.rules.get(principal.name, {})
        if address is None:
            return max(rules.values(), default=Access.NONE)
        return rules.get(address.collection, rules.get("*", Access.NONE))
