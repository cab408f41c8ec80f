"""Chinese or English: which of them is spoken, and a text in it.

English stands where it is used and is the text's name; its Chinese stands in the catalogue `chinese`. What the catalogue does not have is
said as it is: names, values, a server's own words. tests/commands collects every text of the commands and fails on one without Chinese.
"""

from collections.abc import Mapping
from contextvars import ContextVar

from sync_engine.cli.chinese import CHINESE
from sync_engine.fault import Fault, Message
from sync_engine.model.declaration import Title

LANGUAGES = ("zh", "en")
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_spoken: ContextVar[str] = ContextVar("language", default="en")


def of_environment(environ: Mapping[str, str]) -> str:
    """The first of the locale's variables that is not empty decides: zh… is Chinese, anything else (C, POSIX, none) English."""
    locale = next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def speak(language: str) -> None:
    _spoken.set(language)


def said(text: str | Title, /, **arguments: object) -> str:
    """The text in the language that is spoken; `arguments` fill its places."""
    if isinstance(text, Title):
        return text.zh if _spoken.get() == "zh" else text.en
    message = text if isinstance(text, Message) else Message(text, **arguments)
    chinese = CHINESE.get(message.template) if _spoken.get() == "zh" else None
    if chinese is None:
        return str(message)
    # What is an argument and no sentence is a name or a value: it stays, though the catalogue may have a word like it.
    spoken = {name: said(value) if isinstance(value, Message | Title) else value for name, value in message.arguments.items()}
    return chinese.format(**spoken) if spoken else chinese


def said_fault(fault: Fault) -> str:
    """A fault as one line."""
    return fault.line(said)
