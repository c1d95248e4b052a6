"""One bundle for the outputs of several engines: when there is one, and what it has once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernelfleet.display.bundle import LARGE_BYTES, MIME_TYPE, of_engines
from kernelfleet.display.layout import Text, arrange

PNG = "iVBORw0KGgo="


def text(words: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": words}


def shown(**data: str) -> dict[str, Any]:
    types = {"png": "image/png", "svg": "image/svg+xml", "html": "text/html", "plain": "text/plain"}
    full = {types.get(name, name): value for name, value in data.items()}
    return {"output_type": "display_data", "data": full, "metadata": {}}


def bundle(*outputs: list[dict[str, Any]]) -> Any:
    made = list(enumerate(outputs))
    return of_engines(made, arrange(made))


def test_texts_that_differ_have_tabs_and_the_collapsed_text_once() -> None:
    made = bundle([text("a\n")], [text("b\rc\n")], [])
    assert set(made) == {MIME_TYPE, "text/plain"}
    assert made["text/plain"] == "[0] a\n[1] c"
    tabs = made[MIME_TYPE]
    assert (tabs["version"], tabs["collapsed"]) == (1, "text/plain")
    assert tabs["engines"][0] == {"engine": 0, "items": [text("a\n")]}
    assert tabs["engines"][2] == {"engine": 2, "items": []}


@pytest.mark.parametrize(
    "outputs",
    [
        [[text("a\n")], [text("a\n")]],
        [[text("a\n")], []],
        [[text("a\n")]],
        [[], []],
        [],
    ],
    ids=["the same", "of one engine", "one engine", "none", "nobody"],
)
def test_where_tabs_would_add_nothing_there_is_no_bundle(outputs: Any) -> None:
    assert bundle(*outputs) is None


def test_pictures_are_stored_once_in_the_html_and_tabs_refer_to_them_there() -> None:
    one, two = shown(png=PNG, plain="<Figure>"), shown(png="QUJD", plain="<Figure>")
    made = bundle([text("a\n"), one], [text("b\n"), two], [text("b\n"), two])
    assert json.dumps(made).count(PNG) == 1
    assert json.dumps(made).count("QUJD") == 1
    engines = made[MIME_TYPE]["engines"]
    assert [each["items"][1]["data"]["image/png"] for each in engines] == [
        {"img": 0}, {"img": 1}, {"img": 1},
    ]  # fmt: skip
    assert made[MIME_TYPE]["collapsed"] == [
        {"lines": ["[0] a", "[1-2] b"]},
        {
            "pictures": [
                {"label": "[0]", "engine": 0, "item": 1}, {"label": "[1-2]", "engine": 1, "item": 1}
            ]
        },
    ]  # fmt: skip
    assert made["text/html"].count("<img ") == 2


def test_the_number_of_a_picture_is_its_place_among_all_of_the_html() -> None:
    same, other = shown(png=PNG), shown(png="QUJD")
    made = bundle([same, text("x\n"), same, text("y\n"), other], [other])
    sources = [part.split("'")[0] for part in made["text/html"].split("src='")[1:]]
    for each in made[MIME_TYPE]["engines"]:
        for item in each["items"]:
            if "data" in item:
                wanted = PNG if item in (each["items"][0],) and each["engine"] == 0 else None
                number = item["data"]["image/png"]["img"]
                assert wanted is None or sources[number].endswith(wanted)


def test_tables_are_shown_as_they_are_in_the_html() -> None:
    table = "<style scoped>td {}</style><table><tr><td>1</td></tr></table>"
    made = bundle([shown(html=table, plain="1")], [shown(html="<b>2</b>", plain="2")])
    assert table in made["text/html"]
    assert made[MIME_TYPE]["collapsed"][1] == {"label": "", "engine": 0, "item": 0}
    assert made[MIME_TYPE]["engines"][0]["items"][0]["data"]["text/html"] == table


@pytest.mark.parametrize(
    "data",
    [
        {"application/vnd.plotly.v1+json": "{}", "html": "<b>x</b>", "plain": "x"},
        {"text/latex": "$x$", "plain": "x"},
        {"html": "<script>f()</script>", "plain": "x"},
        {"html": "<iframe src='x'></iframe>", "plain": "x"},
    ],
)
def test_what_needs_a_display_of_its_own_gets_one(data: dict[str, str]) -> None:
    assert bundle([shown(**data)], [text("b\n")]) is None


def test_errors_are_in_the_tabs_and_not_in_the_collapsed_form() -> None:
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["line"]}
    made = bundle([text("a\n"), error], [text("b\n")])
    assert made[MIME_TYPE]["engines"][0]["items"][1] == error
    assert made["text/plain"] == "[0] a\n[1] b"


def test_large_texts_are_stored_once_without_tabs() -> None:
    assert bundle([text("a" * LARGE_BYTES)], [text("b\n")]) is None
    pictures = [shown(png="A" * 4 * LARGE_BYTES)], [shown(png="B" * 4 * LARGE_BYTES)]
    assert bundle(*pictures) is not None


def test_an_engine_that_is_named_twice_has_no_tab() -> None:
    made = [(0, [text("a\n")]), (0, [text("b\n")])]
    assert of_engines(made, arrange(made)) is None


def test_what_does_not_fit_the_blocks_has_no_tabs() -> None:
    outputs = [(0, [text("a\n")]), (1, [text("b\n")])]
    assert of_engines(outputs, []) is None
    picture = arrange([(0, [shown(png=PNG)])])
    assert of_engines(outputs, picture) is None
    assert of_engines(outputs, [Text(["x"])]) is not None
