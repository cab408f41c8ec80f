"""What keeps the local stack from running, for a person: what happened, and where it is known why and what to do."""

from sync_engine.fault import Message


class StackFailed(Exception):
    """Its text has the parts a line each; each part can be said in another language."""

    def __init__(self, what: Message, why: Message | None = None, advice: Message | None = None) -> None:
        parts = [str(what), *([f"  why: {why}"] if why else []), *([f"  what to do: {advice}"] if advice else [])]
        super().__init__("\n".join(parts))
        self.what, self.why, self.advice = what, why, advice
