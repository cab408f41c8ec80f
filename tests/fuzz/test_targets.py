"""Each target over its corpus and over bytes of Hypothesis; `python -m tests.fuzz --runs 2000000` looks longer."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus(target: str) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert files
    for file in files:
        TARGETS[target](file.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_any_bytes(target: str) -> None:
    files = [file.read_bytes() for file in sorted((CORPUS / target).iterdir())]

    @settings(max_examples=60, deadline=1_000)
    @given(st.one_of(st.binary(max_size=300), st.builds(_spliced, st.sampled_from(files), st.integers(0, 1 << 16), st.binary(max_size=4))))
    def any_bytes(data: bytes) -> None:
        TARGETS[target](data)

    any_bytes()


def _spliced(data: bytes, at: int, piece: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + piece + data[at + len(piece) :]
