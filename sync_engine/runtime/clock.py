"""The only clock. Stages are told the time; they never ask."""

import time


class SystemClock:
    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000
