"""Builds the compiled core (sync_engine/_core.c) where there is a C compiler; where there is none, the pure functions do its work.

A hook of hatchling, for wheels and editable installs; `python hatch_build.py` builds in place. One file, one call of the compiler,
nothing but Python's headers. A build that fails is told, and no reason to fail.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "sync_engine" / "_core.c"


def build() -> Path | None:
    """The file that was built. None, and a line on stderr, if there is no compiler, no header, or SYNC_ENGINE_CORE=pure."""
    if os.environ.get("SYNC_ENGINE_CORE") == "pure":
        return None
    target = SOURCE.with_name(f"_core{sysconfig.get_config_var('EXT_SUFFIX')}")
    made = target.with_suffix(f".{os.getpid()}")
    said = sysconfig.get_config_var
    options = ["-O2", "-fPIC", "-I", sysconfig.get_path("include"), "-I", sysconfig.get_path("platinclude"), str(SOURCE), "-o", str(made)]
    try:
        subprocess.run([*shlex.split(os.environ.get("LDSHARED") or said("LDSHARED") or "cc -shared"), *options], check=True)
    except (OSError, subprocess.CalledProcessError) as failure:
        print(f"core: pure, since the compiled one could not be built: {failure}", file=sys.stderr)
        made.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        return None
    made.replace(target)  # a worker that runs keeps the one that it has
    return target


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand
    pass
else:

    class CoreBuildHook(BuildHookInterface[Any]):
        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            if self.target_name == "wheel" and (built := build()) is not None:
                build_data["pure_python"] = False
                build_data["infer_tag"] = True
                build_data["artifacts"].append(f"/sync_engine/{built.name}")


if __name__ == "__main__":
    print(build())
