"""Whatever several devices do inside the same shared types, in the end all show the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from syncline.engine.shared import (
    SharedArray,
    SharedMap,
    SharedText,
    XmlElement,
    XmlFragment,
    document_content,
)
from tests.engine.devices import Device, exchange
from tests.engine.text_edits import edit_text
from tests.profiles import scaled

PAGE = "pages/home"


def text_of(device: Device) -> Any:
    return SharedText.of_root(device, PAGE, "body")


def map_of(device: Device) -> Any:
    return SharedMap.of_root(device, PAGE, "shapes")


def array_of(device: Device) -> Any:
    return SharedArray.of_root(device, PAGE, "order")


def xml_of(device: Device) -> Any:
    return XmlFragment.of_root(device, PAGE, "page")


TEXTS: list[Callable[[Device], Any]] = [
    text_of,
    lambda device: map_of(device)["text"],
    lambda device: xml_of(device)[0],
]


def _edit(device: Device, chance: random.Random) -> None:
    what = chance.randint(0, 5)
    if what < 3:
        edit_text(TEXTS[what](device), chance)
        return
    inner, page = array_of(device)[0], xml_of(device)
    place = chance.randint(0, len(inner))
    edits: list[Callable[[], object]] = [
        lambda: inner.append(place),
        lambda: inner.insert(place, SharedMap({"k": place})),
        lambda: inner.extend([1, 2, 3]),
        lambda: inner.__delitem__(slice(place, place + 2)),
        lambda: page.append(XmlElement("p", {"a": place}, ["text"])),
        lambda: page.insert(1, "text"),
        lambda: page.__delitem__(slice(1, 2)),
        lambda: map_of(device).update(
            {chance.choice("abc"): chance.choice([place, SharedMap({"k": 1}), {"k": 2}])}
        ),
    ]
    chance.choice(edits)()


def _shown(device: Device) -> list[Any]:
    return [
        *(find(device).delta() for find in TEXTS),
        array_of(device).to_plain(),
        xml_of(device).to_plain(),
        map_of(device).to_plain(),
        document_content(device.document()),
    ]


@pytest.mark.slow
def test_all_devices_and_a_fresh_one_show_the_same() -> None:
    for seed in range(scaled(30)):
        chance = random.Random(seed)
        devices = [Device(2**40 + number) for number in range(3)]
        map_of(devices[0])["text"] = SharedText()
        xml_of(devices[0]).append("")
        array_of(devices[0]).append(SharedArray())
        exchange(*devices)
        for _ in range(15):
            for device in devices:
                for _ in range(chance.randint(0, 3)):
                    _edit(device, chance)
            if chance.random() < 0.5:
                exchange(*devices)
        exchange(*devices)
        fresh = Device(7)
        fresh.receive([devices[0].document().diff({})])
        for device in (*devices, fresh):
            assert _shown(device) == _shown(devices[0]), f"seed {seed}"
        # The library sees the same: it shows embedded objects as nothing.
        native = fresh.document().to_dict()
        assert native.get("body", "") == text_of(fresh).to_plain().replace("\ufffc", "")
        assert len(native["order"][0]) == len(array_of(fresh)[0])
