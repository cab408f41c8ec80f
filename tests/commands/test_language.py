"""Every text of the commands in the language that is asked for, and only in that one."""

import re
import string
from collections.abc import Iterator, Mapping

import pytest
import yaml
from click.testing import CliRunner

from sync_engine import declared
from sync_engine.cli import chinese, language
from sync_engine.cli.root import cli
from sync_engine.fault import Fault, Message
from sync_engine.model.declaration import Title
from tests.commands import texts
from tests.declarations.test_refused import CASES, HERE, change, network

__all__ = ["network"]  # the fixture
HAN = re.compile(r"[\u3400-\u9fff]")
WORDLESS = {"", "Kafka Connect", "                           {command}", "{why}"}
"""Texts without a word to translate."""


@pytest.fixture(autouse=True)
def _english_afterwards() -> Iterator[None]:
    yield
    language.speak("en")


def run(*line: str, **environ: str) -> tuple[int, str, str]:
    none = dict.fromkeys(("LC_ALL", "LC_MESSAGES", "LANG"))
    result = CliRunner().invoke(cli, line, env={**none, **environ}, prog_name="sync-engine")
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB"}, "en"),
        ({"LANG": "en_GB", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN", "LC_MESSAGES": "zh_CN", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN", "LC_ALL": ""}, "zh"),
    ],
)
def test_the_language_is_that_of_the_environment(environ: Mapping[str, str], expected: str) -> None:
    assert language.of_environment(environ) == expected


def test_lang_goes_before_the_environment() -> None:
    assert "Commands" in run("--lang", "en", "--help", LANG="zh_CN.UTF-8")[1]
    assert "命令" in run("--lang=zh", "--help", LANG="C")[1]
    assert "命令" in run("--help", LANG="zh_CN.UTF-8")[1]


def test_every_text_has_its_chinese_and_no_chinese_is_without_its_text() -> None:
    said = {*texts.of_code(), *texts.of_help(), *texts.words(), *texts.of_click()}

    assert sorted(said - chinese.CHINESE.keys()) == []
    assert sorted(chinese.CHINESE.keys() - said) == []


def test_no_english_stands_twice() -> None:
    assert len(chinese.CHINESE) == sum(len(part) for part in chinese.PARTS)


@pytest.mark.parametrize("text", chinese.CHINESE)
def test_a_translation_has_the_same_places_and_is_chinese(text: str) -> None:
    translation = chinese.CHINESE[text]

    assert places(translation) == places(text)
    assert HAN.search(translation) or text in WORDLESS or re.fullmatch(r"\W*", text)


def test_every_text_is_given_the_arguments_that_it_has_places_for() -> None:
    wrong = [
        (file, text)
        for file, text, arguments in texts.filled()
        if arguments and arguments != {name for _, name, _, _ in string.Formatter().parse(text) if name}
    ]

    assert wrong == []
    assert len(list(texts.filled())) > 150


def test_no_text_with_places_is_said_without_arguments() -> None:
    bare = {text for _, text, arguments in texts.filled() if not arguments and re.search(r"\{[a-z_]+[:}]", text)}

    assert bare == {"{what}\n  why: {why}\n  what to do: {advice}"}, "filled by its caller"


def places(text: str) -> list[tuple[str, str | None, str | None]] | list[str]:
    """Names and formats in braces; a text without arguments may hold braces of its own."""
    try:
        return sorted((name, form, how) for _, name, form, how in string.Formatter().parse(text) if name is not None)
    except ValueError:
        return sorted(re.findall(r"\{.*?\}", text))


@pytest.mark.parametrize("command", list(texts.paths()), ids=" ".join)
def test_help_is_in_one_language(command: tuple[str, ...]) -> None:
    code, english, _ = run("--lang", "en", *command, "--help")
    assert code == 0
    assert not HAN.search(english), english
    code, zh, _ = run("--lang", "zh", *command, "--help")
    assert code == 0
    words = re.sub(r"`[^`]*`|\[default.*?\]|[A-Z_]{2,}|--?[a-z-]+|\S*/\S*|sync-engine \S+", "", zh)
    english_left = [
        line for line in words.splitlines() if line.strip() and not HAN.search(line) and re.search(r"[a-z]{4,} [a-z]{2,}", line)
    ]
    assert english_left == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_refusal_is_said_in_chinese(case: dict[str, object], network: "object") -> None:
    change(network, case)  # type: ignore[arg-type]
    _, faults = declared.inspect(network)  # type: ignore[arg-type]
    assert faults
    language.speak("zh")
    for fault in faults:
        assert HAN.search(language.said(fault.message)), fault
        assert language.said(fault.message) != str(fault.message)


def test_arguments_that_are_names_stay_and_sentences_are_said() -> None:
    language.speak("zh")

    assert language.said(Message('"{value}" is not {means}', value="text", means=Message("a list"))) == "“text”不是列表"
    assert language.said(Title("中", "en")) == "中"
    assert language.said("{count} put back", count=3) == "已放回 3 封"
    assert language.said("no such text") == "no such text"
    assert language.said_fault(Fault("f", "p", Message("unknown field"), ("a",))) == "f: p: 未知的字段；允许：a"


def test_click_speaks_it_too() -> None:
    code, _, zh = run("--lang", "zh", "statu")
    assert (code, zh.splitlines()[0]) == (2, "无法理解该命令行")
    assert "没有命令 'statu'" in zh
    code, _, zh = run("--lang", "zh", "dead", "list")
    assert code == 2
    assert "缺少选项" in zh


def test_the_cases_are_those_of_the_english(network: object) -> None:
    assert len(yaml.safe_load((HERE / "refused.yaml").read_text("utf-8"))) == len(CASES)
