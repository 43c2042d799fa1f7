"""The page of examples/web in a real browser, on a real relay, beside Python."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from syncline import Counter, Record, Relay, Replica, SetOf, Text
from syncline.access.access import Access, Credentials, Principal
from syncline.engine.errors import NotAuthenticated
from syncline.engine.names import Address
from tests.browser.chromium import Chromium, Page, chromium
from tests.cli.processes import PATIENCE
from tests.npm import EXAMPLE, build

pytestmark = [pytest.mark.npm, pytest.mark.browser]

PAGE = "#page"
SCRIPT = "#script"


class Contact(Record, collection="contacts"):
    """As in examples/web/records.py."""

    name: str = ""
    phone: str | None = None
    notes: Text
    visits: Counter
    tags: SetOf[str]


@pytest.fixture
async def browser() -> AsyncGenerator[Chromium]:
    async with chromium() as started:
        yield started


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncGenerator[Relay]:
    async with Relay(tmp_path / "relay.db", port=0, static=build()) as started:
        yield started


@pytest.fixture
async def replica(relay: Relay, tmp_path: Path) -> AsyncGenerator[Replica]:
    opened = Replica.open(tmp_path / "replica.db", models=[Contact], relay=f"{relay.url}/demo")
    async with opened as replica:
        yield replica


def at(relay: Relay, query: str = "") -> str:
    """The address of the page, which the relay serves as ``syncline serve --static`` does."""
    return f"http://127.0.0.1:{relay.port}/{query}"


async def until(replica: Replica, condition: Callable[[], bool]) -> None:
    """Return when the replica has received what makes ``condition`` true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await replica.synced()


def card(key: str, part: str = "") -> str:
    return f'[data-address="contacts/{key}"] {part}'


def listed(replica: Replica, key: str) -> None:
    replica.document("pages/contacts").map("contacts")[key] = True


async def complaints(*pages: Page) -> list[str]:
    return [complaint for page in pages for complaint in await page.complaints()]


def script(replica: Replica) -> str:
    return str(replica.document("pages/script").text("body"))


def page_text(replica: Replica) -> str:
    return str(replica.document("pages/welcome").to_dict().get("default"))


async def test_two_pages_and_python_agree_after_one_was_offline(
    browser: Chromium, relay: Relay, replica: Replica
) -> None:
    ada = await browser.open("Ada Lovelace", at(relay))
    bob = await browser.open("Bob", at(relay))
    for page in (ada, bob):
        await page.is_saved()
    await ada.write(f"{PAGE} .ProseMirror", "Together.")
    await bob.says(PAGE, "Together.")
    await bob.write(f"{SCRIPT} .cm-content", "x = 1\n")
    await ada.says(SCRIPT, "x = 1\n")
    # Each sees the other's name at the caret, and among those who are here.
    await bob.write(f"{PAGE} .ProseMirror", "")
    await ada.appears('.collaboration-carets__label:text-is("Bob")')
    await ada.write(f"{SCRIPT} .cm-content", "")
    await bob.appears('.cm-ySelectionInfo:text-is("Ada Lovelace")')
    await ada.appears('#people li[title="Bob"]')
    await bob.appears('#people li[title="Ada Lovelace"]')

    await ada.goes_offline()
    await bob.appears("#people:not(:has(li:nth-child(2)))")  # the relay saw the socket close
    await ada.write(f"{PAGE} .ProseMirror", " Ada, offline.")
    await ada.write(f"{SCRIPT} .cm-content", "ada = 2\n")
    await ada.appears('#state-text:text-matches("^Offline, [0-9]+ changes kept$")')
    await bob.write(f"{PAGE} .ProseMirror", " Bob, online.")
    await bob.write(f"{SCRIPT} .cm-content", "bob = 3\n")
    await bob.is_saved()
    assert "offline" not in await bob.written(PAGE)
    await ada.comes_back()

    body = await ada.written(PAGE)
    assert body in (
        "Together. Ada, offline. Bob, online.",
        "Together. Bob, online. Ada, offline.",
    )
    code = await ada.written(SCRIPT)
    assert sorted(code.splitlines()) == ["ada = 2", "bob = 3", "x = 1"]
    await bob.says(PAGE, body)
    await bob.says(SCRIPT, code)
    await until(replica, lambda: script(replica) == code and body in page_text(replica))
    # What Python writes into the script is there for all.
    replica.document("pages/script").text("body").append("python = 4")
    for page in (ada, bob):
        await page.says(SCRIPT, f"{code}python = 4")
    assert await complaints(ada, bob) == []


async def test_what_was_written_offline_outlives_a_reload_without_a_network(
    browser: Chromium, relay: Relay, replica: Replica
) -> None:
    ada = await browser.open("Ada Lovelace", at(relay))
    await ada.is_saved()
    await ada.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await ada.goes_offline()
    await ada.write(f"{PAGE} .ProseMirror", "Written on a train.")
    await ada.write(f"{SCRIPT} .cm-content", "tunnel = True")
    await ada.appears("#state[data-state=offline]")  # no longer "keeping changes"
    kept = await ada.text("#state")
    await ada.reload()
    await ada.says(PAGE, "Written on a train.")
    await ada.says(SCRIPT, "tunnel = True")
    await ada.says("#state-text", kept)
    await ada.says("#your-name", "Ada Lovelace")
    assert replica.document("pages/script").text("body") == ""
    await ada.comes_back()
    await until(replica, lambda: script(replica) == "tunnel = True")
    await until(replica, lambda: "Written on a train." in page_text(replica))
    assert await complaints(ada) == []


async def test_a_relay_that_stops_and_starts_again(browser: Chromium, tmp_path: Path) -> None:
    store = tmp_path / "relay.db"
    async with Relay(store, port=0, static=build()) as relay:
        ada = await browser.open("Ada Lovelace", at(relay))
        await ada.is_saved()
        await ada.write(f"{PAGE} .ProseMirror", "Before.")
        await ada.is_saved()
        port = relay.port
    await ada.appears("#state[data-state=offline]")
    await ada.write(f"{PAGE} .ProseMirror", " Meanwhile.")
    await ada.write(f"{SCRIPT} .cm-content", "meanwhile = 1")
    async with Relay(store, port=port, static=build()) as relay:
        await ada.is_saved()
        bob = await browser.open("Bob", at(relay))
        await bob.says(PAGE, "Before. Meanwhile.")
        await bob.says(SCRIPT, "meanwhile = 1")
        assert await complaints(ada, bob) == []


class Gate:
    """Knows two tokens: with ``ours`` one may write, with ``guest`` only read."""

    async def authenticate(self, credentials: Credentials) -> Principal:
        if credentials.token in ("ours", "guest"):
            return Principal(credentials.token)
        raise NotAuthenticated("Nobody has this token.", hint="Ask for another.")

    def access(self, principal: Principal, workspace: str, address: Address | None) -> Access:
        return Access.WRITE if principal.name == "ours" else Access.READ


async def test_a_guest_only_reads_and_a_stranger_is_told_why_not(
    browser: Chromium, tmp_path: Path
) -> None:
    gate = Gate()
    async with Relay(
        tmp_path / "relay.db", port=0, authenticator=gate, authorizer=gate, static=build()
    ) as relay:
        ada = await browser.open("Ada Lovelace", at(relay, "?token=ours"))
        await ada.is_saved()
        await ada.write(f"{PAGE} .ProseMirror", "Look here.")
        await ada.click("#add-contact")
        await ada.type("Grace Hopper")
        guest = await browser.open("Guest", at(relay, "?token=guest"))
        await guest.says(PAGE, "Look here.")
        await guest.says("#contacts .name", "Grace Hopper")
        await guest.says("#state-text", "Read only")
        await guest.appears("#contacts .name:disabled")
        editable = "document.querySelectorAll('[contenteditable=true]').length"
        assert await guest.evaluate(editable) == 0
        assert await guest.complaints() == []
        stranger = await browser.open("Stranger", at(relay, "?token=lost"))
        await stranger.says("#state-text", "Refused: Nobody has this token. Ask for another.")
        # y-websocket itself warns.
        assert [
            text for text in await stranger.complaints() if "Permission denied" not in text
        ] == []


async def test_contacts_are_edited_on_the_page_and_in_python(
    browser: Chromium, relay: Relay, replica: Replica
) -> None:
    contacts = replica.collection(Contact)
    ada = contacts.create(key="ada", name="Ada", phone="1")
    ada.tags.add("math")
    listed(replica, "ada")
    page = await browser.open("Bob", at(relay))

    await page.says(card("ada", ".name"), "Ada")
    await page.says(card("ada", ".tags"), "math")
    ada.name = "Ada Lovelace"
    ada.visits += 2
    ada.notes.append("From Python.")
    await page.says(card("ada", ".name"), "Ada Lovelace")
    await page.says(card("ada", "output"), "2 visits")
    await page.says(card("ada", ".notes"), "From Python.")

    await page.fill(card("ada", ".phone"), "+44 20 7946 0958")
    await page.click(card("ada", ".more"))
    await page.write(card("ada", ".cm-content"), " From the page.")
    await page.is_saved()
    await until(replica, lambda: ada.notes == "From Python. From the page.")
    await until(replica, lambda: ada.phone == "+44 20 7946 0958")
    assert ada.visits == 3
    await page.fill(card("ada", ".phone"), "")
    await until(replica, lambda: ada.phone is None)

    await page.click("#add-contact")
    await page.type("Grace Hopper")
    await until(replica, lambda: "Grace Hopper" in {each.name for each in contacts})
    (grace,) = (each for each in contacts if each.name == "Grace Hopper")
    assert grace.phone is None
    contacts.delete("ada")
    await page.appears("#contacts li:only-child")
    await page.says(f"{card(grace.key)} .name", "Grace Hopper")
    assert await complaints(page) == []


async def test_records_py_beside_the_page(browser: Chromium, relay: Relay, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-W", "error", str(EXAMPLE / "records.py")),
        *("--relay", f"{relay.url}/demo", "--every", "0.2"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        page = await browser.open("Bob", at(relay))
        await page.says(card("grace", ".name"), "Grace Hopper")
        await page.appears(f'{card("ada", "output")}:text-matches("[2-9] visits")')
        await page.fill(card("grace", ".name"), "Admiral Hopper")
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while b"Admiral Hopper updated elsewhere: name" not in await process.stdout.readline():
                pass
        await page.click("#add-contact")
        await page.type("Katherine")
        await page.is_saved()
        assert await complaints(page) == []
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("look", "options"),
    [
        ("light", {"colorScheme": "light"}),
        ("dark", {"colorScheme": "dark"}),
        ("narrow", {"width": 390, "height": 844}),
    ],
)
async def test_the_page_fits_and_is_labelled(
    browser: Chromium,
    relay: Relay,
    replica: Replica,
    tmp_path: Path,
    look: str,
    options: dict[str, object],
) -> None:
    replica.collection(Contact).create(key="ada", name="Ada Lovelace, Countess", phone="1")
    listed(replica, "ada")
    replica.document("pages/script").text("body").append("print('a long line')  # " + "x" * 200)
    page = await browser.open("Ada Lovelace", at(relay), **options)
    await page.appears(card("ada"))
    await page.write(f"{PAGE} .ProseMirror", "Welcome, everyone. " + "w" * 60)
    await page.is_saved()
    await page.screenshot(tmp_path / f"{look}.png")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.evaluate(UNNAMED) == []
    assert await complaints(page) == []


UNNAMED = """[...document.querySelectorAll('button, input, [contenteditable=true]')]
    .filter(each => !(each.ariaLabel || each.labels?.length || each.textContent.trim()))
    .map(each => each.outerHTML)"""
