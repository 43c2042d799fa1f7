"""The protocol's test vectors, and strategies for messages and damaged frames."""

from __future__ import annotations

from hypothesis import strategies as st

from syncline.engine.errors import InvalidName
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    LIMITS,
    Ack,
    Advance,
    CaughtUp,
    Compare,
    Digests,
    DocumentSummary,
    DocumentUpdate,
    Entry,
    Enumerate,
    Error,
    Expected,
    Fetch,
    Frame,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Push,
    Range,
    Refusal,
    Resume,
    States,
    Updates,
    Welcome,
)

REPLICA = "00112233445566778899aabbccddeeff"
RELAY = "ffeeddccbbaa99887766554433221100"
WELCOME_PAGE = Address("pages", "welcome")
CAFE = Address("pages", "café")

# Client 7 inserts "hi" into the root text "t"; and its state vector.
HI = bytes.fromhex("010107000401017402686900")
HI_STATE = bytes.fromhex("010702")
EMPTY = bytes.fromhex("0000")
DIGEST = bytes(range(32))

# The same pairs stand in docs/protocol.md: binary frames in hex, text frames as they are.
VECTORS: list[tuple[Message, str]] = [
    (
        Hello((1,), "demo", REPLICA, 4294967303, 0, 0, None),
        (
            '{"type":"hello","versions":[1],"workspace":"demo",'
            '"replica":"00112233445566778899aabbccddeeff","client_id":4294967303,"cursor":0,'
            '"acknowledged":0,"relay":null,"token":null}'
        ),
    ),
    (
        Hello((1, 2), "demo", REPLICA, 4294967303, 412, 17, RELAY, "s3cr3t é"),
        (
            '{"type":"hello","versions":[1,2],"workspace":"demo",'
            '"replica":"00112233445566778899aabbccddeeff","client_id":4294967303,"cursor":412,'
            '"acknowledged":17,"relay":"ffeeddccbbaa99887766554433221100","token":"s3cr3t é"}'
        ),
    ),
    (
        Welcome(1, RELAY, 9007199254740991, 18, 1_764_345_600_000, LIMITS),
        (
            '{"type":"welcome","version":1,"relay":"ffeeddccbbaa99887766554433221100",'
            '"head":9007199254740991,"batch":18,"time":1764345600000,'
            '"limits":{"max_frame":16777216,"max_update":8388608,"window":64}}'
        ),
    ),
    (Ack(18, 413), '{"type":"ack","batch":18,"seq":413,"refused":[]}'),
    (
        Ack(
            19,
            413,
            (
                Refusal(
                    CAFE,
                    "missing-dependencies",
                    "The update follows changes that the relay does not have.",
                    "Send the difference.",
                    HI_STATE,
                ),
                Refusal(WELCOME_PAGE, "invalid-update", "It ends early.", "Report this.", None),
            ),
        ),
        (
            '{"type":"ack","batch":19,"seq":413,"refused":[{"address":"pages/café",'
            '"code":"missing-dependencies",'
            '"message":"The update follows changes that the relay does not have.",'
            '"hint":"Send the difference.","state_vector":"AQcC"},{"address":"pages/welcome",'
            '"code":"invalid-update","message":"It ends early.","hint":"Report this.",'
            '"state_vector":null}]}'
        ),
    ),
    (Expected(18), '{"type":"expected","batch":18}'),
    (Ping(3), '{"type":"ping","id":3}'),
    (
        Pong(3, 413, 420, 19, 18),
        '{"type":"pong","id":3,"position":413,"head":420,"received":19,"committed":18}',
    ),
    (Advance(412, 413), '{"type":"advance","since":412,"cursor":413}'),
    (CaughtUp(420), '{"type":"caught-up","cursor":420}'),
    (Resume(412), '{"type":"resume","cursor":412}'),
    (
        Fetch(WELCOME_PAGE, 0, HI_STATE),
        '{"type":"fetch","address":"pages/welcome","epoch":0,"state_vector":"AQcC"}',
    ),
    (
        Fetch(CAFE, 1763856000000, b"\x00"),
        '{"type":"fetch","address":"pages/café","epoch":1763856000000,"state_vector":"AA=="}',
    ),
    (Compare(None), '{"type":"compare","after":null}'),
    (
        Digests(None, (Range(CAFE, DIGEST), Range(None, DIGEST))),
        (
            '{"type":"digests","after":null,"ranges":[{"until":"pages/café",'
            '"digest":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},{"until":null,'
            '"digest":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]}'
        ),
    ),
    (
        Enumerate(CAFE, None),
        '{"type":"enumerate","after":"pages/café","until":null}',
    ),
    (
        Error("store-failed", "The disk is full.", "Free some space.", 1.5),
        (
            '{"type":"error","code":"store-failed","message":"The disk is full.",'
            '"hint":"Free some space.","retry_after":1.5}'
        ),
    ),
    (
        Error("version-mismatch", "No common version.", "Upgrade the relay.", None),
        (
            '{"type":"error","code":"version-mismatch","message":"No common version.",'
            '"hint":"Upgrade the relay.","retry_after":null}'
        ),
    ),
    (
        Push(1, (Entry(WELCOME_PAGE, HI),)),
        "01 01 01 0d70616765732f77656c636f6d65 00 0c010107000401017402686900",
    ),
    (
        Push(300, (Entry(CAFE, HI), Entry(WELCOME_PAGE, EMPTY, 128))),
        (
            "01 ac02 02 0b70616765732f636166c3a9 00 0c010107000401017402686900 "
            "0d70616765732f77656c636f6d65 8001 020000"
        ),
    ),
    (
        Updates(127, 128, (Entry(WELCOME_PAGE, HI),)),
        "02 7f 8001 01 0d70616765732f77656c636f6d65 00 0c010107000401017402686900",
    ),
    (
        DocumentUpdate(CAFE, 1, EMPTY),
        "03 0b70616765732f636166c3a9 01 020000",
    ),
    (
        States(None, CAFE, (DocumentSummary(CAFE, 0, HI_STATE, DIGEST),)),
        (
            "04 00 0b70616765732f636166c3a9 01 0b70616765732f636166c3a9 00 03010702 "
            "20000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        ),
    ),
]


def frame_of(vector: str) -> Frame:
    """A vector as it travels."""
    return vector if vector.startswith("{") else bytes.fromhex(vector)


# Strategies

uints = st.integers(0, 2**53 - 1)
positives = st.integers(1, 2**53 - 1)
ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
codes = st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True)
sentences = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=60)
state_vectors = st.binary(max_size=40)
updates = st.binary(min_size=1, max_size=60)
workspaces = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)


def _is_address(text: str) -> bool:
    try:
        Address.parse(text)
    except InvalidName:
        return False
    return True


addresses = (
    st.builds("{}/{}".format, workspaces, st.text(min_size=1, max_size=8) | ids)
    .filter(_is_address)
    .map(Address.parse)
)
entries = st.lists(st.builds(Entry, addresses, updates, uints), min_size=1, max_size=4).map(tuple)
intervals = st.tuples(uints, uints).filter(lambda pair: pair[0] < pair[1])
refusals = st.builds(Refusal, addresses, codes, sentences, sentences, st.none() | state_vectors)
digests = st.binary(min_size=32, max_size=32)
ranges = st.builds(Range, st.none() | addresses, digests)
summaries = st.builds(DocumentSummary, addresses, uints, state_vectors, digests)
versions = st.lists(st.integers(1, 9), max_size=5).map(lambda more: (1, *more))

text_messages = st.one_of(
    st.builds(
        Hello, versions, workspaces, ids, uints, uints, uints, st.none() | ids, st.none() | ids
    ),
    st.builds(
        Welcome,
        positives,
        ids,
        uints,
        uints,
        uints,
        st.builds(Limits, positives, positives, positives),
    ),
    st.builds(Ack, positives, uints, st.lists(refusals, max_size=3).map(tuple)),
    st.builds(Expected, positives),
    st.builds(Ping, uints),
    st.builds(Pong, uints, uints, uints, uints, uints),
    intervals.map(lambda pair: Advance(*pair)),
    st.builds(CaughtUp, uints),
    st.builds(Resume, uints),
    st.builds(Fetch, addresses, uints, state_vectors),
    st.builds(Compare, st.none() | addresses),
    st.builds(Digests, st.none() | addresses, st.lists(ranges, min_size=1, max_size=3).map(tuple)),
    st.builds(Enumerate, st.none() | addresses, st.none() | addresses),
    st.builds(Error, codes, sentences, sentences, st.none() | st.floats(0, 86_400)),
)
binary_messages = st.one_of(
    st.builds(Push, positives, entries),
    st.tuples(intervals, entries).map(lambda parts: Updates(*parts[0], parts[1])),
    st.builds(DocumentUpdate, addresses, uints, updates),
    st.builds(
        States,
        st.none() | addresses,
        st.none() | addresses,
        st.lists(summaries, max_size=3).map(tuple),
    ),
)
messages = st.one_of(text_messages, binary_messages)


@st.composite
def damaged(draw: st.DrawFn, frames: st.SearchStrategy[Frame]) -> Frame:
    """A good frame with a few bytes or characters changed, lost, added or repeated."""
    frame = draw(frames)
    text = isinstance(frame, str)
    parts: list[int] = [ord(c) for c in frame] if isinstance(frame, str) else list(frame)
    # The characters that JSON is made of, and any at all.
    characters = st.sampled_from([ord(c) for c in '{}[]",:0123456789-eE.\\utfn'])
    piece = characters | st.integers(0, 0x10FFFF) if text else st.integers(0, 255)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(parts)))
        how = draw(st.sampled_from(["change", "remove", "insert", "repeat", "cut"]))
        if how == "change":
            parts[at : at + 1] = [draw(piece)]
        elif how == "remove":
            del parts[at : at + draw(st.integers(1, 5))]
        elif how == "insert":
            parts[at:at] = draw(st.lists(piece, max_size=5))
        elif how == "repeat":
            parts[at:at] = parts[at : at + draw(st.integers(1, 20))]
        else:
            del parts[at:]
    return "".join(map(chr, parts)) if text else bytes(parts)
