"""What the sides need that are not of this project's environment: the Java program, built by Maven, and an environment for Quix Streams.

Both are made by the first run and lie in the checkout; later runs need no network.
"""

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
JAVA_PROJECT = Path(__file__).parent / "kafka_streams"
QUIX_PINS = Path(__file__).parent / "quix-requirements.txt"
QUIX_HOME = ROOT / ".bench" / "quix"


def classpath() -> str:
    """Of the Kafka Streams side, after it is built."""
    maven = shutil.which("mvn")
    if maven is None or shutil.which("java") is None:
        sys.exit("Kafka Streams needs a JDK (17 or newer) and Maven: mvn and java are not on the path. --sides runs the others.")
    command = [maven, "--quiet", "--batch-mode", "--file", str(JAVA_PROJECT / "pom.xml"), "process-classes"]
    offline = subprocess.run([*command, "--offline"], capture_output=True, check=False)
    if offline.returncode:
        subprocess.run(command, check=True)
    target = JAVA_PROJECT / "target"
    return f"{target / 'classes'}:{target / 'lib'}/*"


def quix_python() -> str:
    """The interpreter of the environment with Quix Streams: it asks for a Kafka client below 2.13, the engine for 2.16."""
    made = QUIX_HOME / QUIX_PINS.name
    python = QUIX_HOME / "bin" / "python"
    if not made.exists() or made.read_text() != QUIX_PINS.read_text():
        venv.create(QUIX_HOME, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", QUIX_PINS], check=True)
        shutil.copy(QUIX_PINS, made)
    return str(python)


def versions() -> dict[str, str]:
    """Of what is built here."""
    streams = re.search(r">kafka-streams</artifactId>\s*<version>(.*?)<", (JAVA_PROJECT / "pom.xml").read_text())
    quix = re.search(r"quixstreams==(.*)", QUIX_PINS.read_text())
    assert streams and quix
    found = {"kafka-streams": streams[1], "quixstreams": quix[1]}
    if shutil.which("java"):
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
        found["java"] = said.split('"')[1]
    return found
