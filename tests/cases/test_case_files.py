"""The checker of case files refuses what nobody understands: a word added anywhere, a word twice, a value of another shape."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cases import (
    test_case_cases,
    test_deliver_cases,
    test_ingest_cases,
    test_neighbour_cases,
    test_observe_cases,
    test_propagate_cases,
)
from tests.cases.casefile import ANY, CaseRefused, Either, Named, files, load, refuse_unknown

SHAPES = {
    "ingest": test_ingest_cases.SHAPE,
    "neighbour": test_neighbour_cases.SHAPE,
    "propagate": test_propagate_cases.SHAPE,
    "deliver": test_deliver_cases.SHAPE,
    "case": test_case_cases.SHAPE,
    "observe": test_observe_cases.SHAPE,
}
STAGES = pytest.mark.parametrize("stage", SHAPES)


def with_a_word_more(written: Any, shape: Any) -> Iterator[Any]:
    """The case with an unknown word in one of its mappings, for each mapping whose words are not names of somebody's choice."""
    if isinstance(shape, Either):
        return  # tested by what stands in it: one of several shapes has the word or none has
    if isinstance(written, list):
        for number, one in enumerate(written):
            for inner in with_a_word_more(one, shape[0]):
                yield [*written[:number], inner, *written[number + 1 :]]
    elif isinstance(written, dict):
        if not isinstance(shape, Named):
            yield {**written, "colour": "red"}
        for word, one in written.items():
            for inner in with_a_word_more(one, shape.shape if isinstance(shape, Named) else shape[word]):
                yield {**written, word: inner}


@STAGES
def test_an_unknown_word_is_refused_wherever_it_stands(stage: str) -> None:
    shape = {"title": ANY, "not_yet": ANY, **SHAPES[stage]}
    tried = 0
    for file in files(stage):
        for case in with_a_word_more(yaml.safe_load(file.read_text("utf-8")), shape):
            with pytest.raises(CaseRefused, match="colour"):
                refuse_unknown(copy.deepcopy(case), shape, file.name)
            tried += 1
    assert tried > len(files(stage))


@STAGES
def test_no_two_cases_of_a_stage_say_the_same(stage: str) -> None:
    titles = [load(file, SHAPES[stage])["title"] for file in files(stage)]

    assert len(set(titles)) == len(titles) >= 8


@STAGES
def test_every_word_stands_in_the_readme(stage: str) -> None:
    readme = (files(stage)[0].parent / "README.md").read_text("utf-8")

    assert sorted(word for word in words_of_shape(SHAPES[stage]) if f"`{word}`" not in readme) == []


def words_of_shape(shape: Any) -> set[str]:
    if isinstance(shape, Either):
        return set().union(*map(words_of_shape, shape.shapes))
    if isinstance(shape, Named):
        return words_of_shape(shape.shape)
    if isinstance(shape, dict):
        return set(shape) | set().union(*map(words_of_shape, shape.values()), set())
    return words_of_shape(shape[0]) if isinstance(shape, list) else set()


def test_one_of_several_shapes_is_refused_when_it_is_none_of_them() -> None:
    with pytest.raises(CaseRefused, match="sent"):
        refuse_unknown({"sent": 1}, Either(({"dead": ANY}, {"claim": ANY})), "case")


@pytest.mark.parametrize("text", ["title: a\ntitle: b\n", "title: a\ngiven: {x: 1, x: 2}\n"])
def test_a_word_that_stands_twice_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(text, "utf-8")

    with pytest.raises(CaseRefused, match="twice"):
        load(tmp_path / "case.yaml", {"given": Named(ANY)})


@pytest.mark.parametrize(("written", "shape"), [([1], ANY), ({"a": 1}, ANY), (1, [ANY]), (1, {"a": ANY}), (1, Named(ANY)), (False, True)])
def test_a_value_of_another_shape_is_refused(written: Any, shape: Any) -> None:
    with pytest.raises(CaseRefused):
        refuse_unknown(written, shape, "case")
