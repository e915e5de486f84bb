"""Fetches the Python that runs in a browser: Pyodide's files and wheels, each with a pinned hash.

python fetch_python.py FOLDER

What cannot be had is said, and FOLDER is left out: the site is then built without it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "requirements" / "browser.txt"
PYODIDE = ROOT / "site" / "node_modules" / "pyodide"
LIST = "pyodide-lock.json"
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", LIST)
# The package that carries NumPy's wheel.
CARRIER = "open_webui-*.whl"


class NotToBeHadError(Exception):
    """Something is missing, or is not what was pinned."""


def main(folder: Path) -> None:
    """Fill a folder, unless it was filled from the same pins."""
    pins = PINS.read_text(encoding="utf-8") + (PYODIDE / LIST).read_text(encoding="utf-8")
    stamp = folder / "pins"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == pins:
        return
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as there:
        wheels = _fetched(Path(there))
        folder.mkdir(parents=True)
        for path in (*(PYODIDE / name for name in CORE), *wheels):
            shutil.copy2(path, folder)
    stamp.write_text(pins, encoding="utf-8")


def _fetched(folder: Path) -> list[Path]:
    """The wheels. pip compares their hashes with the pins."""
    told = "--no-deps --require-hashes --only-binary :all: --python-version 3.11 --retries 1"
    command = [sys.executable, "-m", "pip", "download", "--quiet", *told.split()]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(PINS)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NotToBeHadError(lines[-1] if lines else "pip download has failed")
    (carrier,) = folder.glob(CARRIER)
    numpy = numpy_wheel(carrier, folder)
    carrier.unlink()
    return [numpy, *sorted(path for path in folder.glob("*.whl") if path != numpy)]


def numpy_wheel(carrier: Path, folder: Path) -> Path:
    """NumPy's wheel, if it is the one that Pyodide's list names. npm has checked the list."""
    entry = json.loads((PYODIDE / LIST).read_text(encoding="utf-8"))["packages"]["numpy"]
    name = entry["file_name"]
    with ZipFile(carrier) as packed:
        found = [path for path in packed.namelist() if path.endswith(f"/{name}")]
        wheel = packed.read(found[0]) if found else b""
    if hashlib.sha256(wheel).hexdigest() != entry["sha256"]:
        raise NotToBeHadError(f"{carrier.name} holds no {name} with the hash of Pyodide's list")
    (folder / name).write_bytes(wheel)
    return folder / name


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (NotToBeHadError, OSError) as error:
        print(f"site: built without Python in the browser: {error}")
