"""What a command ends with: scripts go by it. docs/commands.md has the same table; a test compares the two."""

from collections.abc import Mapping

from sync_engine.model.declaration import Title

OK, FAILED, USAGE, NOT_FOUND, UNHEALTHY, TIMEOUT, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 10, 11, 75, 130

EXIT_CODES: Mapping[int, Title] = {
    OK: Title("成功", "ok"),
    FAILED: Title("失败，或被拒绝", "failed, or refused"),
    USAGE: Title("用法有误，或声明、设置、部门数据库有错误", "usage, or faults of declarations, settings or a department's database"),
    NOT_FOUND: Title("没有找到", "not found"),
    UNHEALTHY: Title("有异常", "unhealthy"),
    TIMEOUT: Title("未在时限内达到所要的状态", "the wanted state was not reached in time"),
    UNREACHABLE: Title("服务器没有应答：稍后重试", "a server does not answer: the same again later (of `run`: start it again)"),
    INTERRUPTED: Title("被中断", "interrupted"),
}
