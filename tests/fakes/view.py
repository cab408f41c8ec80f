"""The view of a stage that keeps no state: any use of it is a mistake."""

from typing import Any


class NoView:
    def get(self, key: bytes) -> Any:
        raise AssertionError("the stage declared no state")

    def put(self, key: bytes, state: Any) -> None:
        raise AssertionError("the stage declared no state")

    def scan(self, after: bytes, limit: int) -> list[tuple[bytes, Any]]:
        raise AssertionError("the stage declared no state")
