"""Python files, alone and with neighbours."""

from __future__ import annotations

from collections.abc import Iterator

from .common import FULL, MAIN, ZERO, Case, right, stub

BEFORE = {
    "a seed block": "import random\nimport numpy as np\nrandom.seed(0)\nnp.random.seed(0)\n",
    "a search path": "import sys\nsys.path.insert(0, '.')\nsys.path.append('..')\n",
    "warnings off": "import warnings\nwarnings.filterwarnings('ignore')\n",
    "warnings as errors": "import warnings\nwarnings.simplefilter('error')\n",
    "a logger": "import logging\nlogging.basicConfig(level=logging.INFO)\nlogging.info('hi')\n",
    "progress bars": "from tqdm import tqdm\nfor _ in tqdm(range(3)):\n    pass\n",
    "scipy": "import scipy.stats\n",
    "typing": "from typing import Any, Optional\n",
    "a dataclass": "from dataclasses import dataclass\n@dataclass\nclass C:\n    lr: float = 0.1\n",
    "a thousand prints": "for i in range(1000):\n    print('epoch', i)\n",
    "print options": "import numpy as np\nnp.set_printoptions(precision=3)\n",
    "floating point errors": "import numpy as np\nnp.seterr(all='warn')\n",
    "one thread": "import torch\ntorch.set_num_threads(1)\n",
    "no gradients": "import torch\ntorch.manual_seed(0)\n",
    "the device idiom": "import torch\ndevice = 'cuda' if torch.cuda.is_available() else 'cpu'\n",
    "a guarded import": "try:\n    import wandb\nexcept ImportError:\n    wandb = None\n",
    "an alarm": "import signal\nsignal.alarm(0)\n",
    "a docstring in German": "'''Übung 3: größer als zuvor, naïve'''\n",
    "emoji": "# 🎉 done 🎉\nPARTY = '🎉'\n",
    "a shebang": "#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n",
    "arguments": "import argparse\nP = argparse.ArgumentParser()\n",
    "an environment variable": "import os\nos.environ['OMP_NUM_THREADS'] = '1'\n",
    "a timer": "import time\nSTART = time.time()\n",
    "a recursion limit": "import sys\nsys.setrecursionlimit(10000)\n",
}
AFTER = {
    "a main guard": "\nif __name__ == '__main__':\n    raise SystemExit('training')\n",
    "its own tests": "\ndef test_mine():\n    assert True\n",
    "form feeds": "\n\f\ndef more():\n    return 1\n",
    "a long comment": "\n# " + "x" * 5000 + "\n",
    "no end of line": "\nEND = 1",
}
WORLD = {
    "matplotlib": "import matplotlib.pyplot as plt\n",
    "its own folder": "from pathlib import Path\nHERE = Path(__file__).parent\n",
    "its own folder in the path": "import os, sys\n"
    "sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\n",
    "a temporary folder": "import tempfile\nTMP = tempfile.gettempdir()\n",
    "a folder for checkpoints": "import os\nos.makedirs('checkpoints', exist_ok=True)\n",
    "a log file": "import logging\nlogging.basicConfig(filename='train.log')\n",
    "the null device": "import os\nNULL = open(os.devnull, 'w')\n",
    "its own files": "import os\nassert 'gae.py' in os.listdir('.')\n",
    "the user's name": "import getpass\nUSER = getpass.getuser()\n",
    "deterministic torch": "import torch\ntorch.use_deterministic_algorithms(True)\n",
}


def cases() -> Iterator[Case]:
    """All of them."""
    text = right()
    yield Case("file", "as it should be", {"ada.py": text})
    for name, before in BEFORE.items():
        yield Case("file", f"begins with {name}", {"ada.py": _after_the_future(before, text)})
    for name, after in AFTER.items():
        yield Case("file", f"ends with {name}", {"ada.py": text + after.encode()})
    yield from _encodings(text)
    yield from _hopeless(text)
    yield from _neighbours(text)
    for name, before in WORLD.items():
        files = {f"ada/{MAIN}": _after_the_future(before, text)}
        yield Case("file", f"begins with {name}", files)


def _after_the_future(before: str, text: bytes) -> bytes:
    """Imports from __future__ must come first."""
    first, future, rest = text.partition(b"from __future__ import annotations\n")
    return (first + future if future else b"") + before.encode() + (rest if future else text)


def _encodings(text: bytes) -> Iterator[Case]:
    plain = text.decode()
    forms = {
        "a byte order mark": b"\xef\xbb\xbf" + text,
        "Windows' line ends": text.replace(b"\n", b"\r\n"),
        "an old Mac's line ends": text.replace(b"\n", b"\r"),
        "Latin-1 and says so": "# coding: latin-1\n# café\n".encode("latin-1")
        + plain.encode("ascii", "replace"),
    }
    for name, data in forms.items():
        yield Case("file", f"has {name}", {"ada.py": data})
    for name, data in {
        "little": b"\xff\xfe" + plain.encode("utf-16-le"),
        "big": b"\xfe\xff" + plain.encode("utf-16-be"),
    }.items():
        yield Case(
            "file", f"is UTF-16, {name}-endian", {"ada.py": data}, notes=("save it as UTF-8",)
        )
    yield Case(
        "file",
        "is Latin-1 and does not say so",
        {"ada.py": "# café\n".encode("latin-1") + text},
        {"ada": ZERO},
        notes=("line 1 of ada.py is not UTF-8",),
    )


def _hopeless(text: bytes) -> Iterator[Case]:
    zero = {"ada": ZERO}
    yield Case("file", "is the starter", {"ada.py": stub()}, zero)
    yield Case("file", "is empty", {"ada.py": b""}, zero)
    yield Case("file", "is prose", {"ada.py": b"I could not finish, sorry.\n"}, zero)
    yield Case("file", "has null bytes", {"ada.py": text + b"\0\0"}, zero)
    yield Case("file", "ends in a syntax error", {"ada.py": text + b"\ndef f(:\n"}, zero)
    yield Case("file", "needs what is not there", {"ada.py": b"import pandas\n" + text}, zero)
    yield Case(
        "file",
        "has a notebook's line",
        {"ada.py": b"!pip install torch\n" + text},
        zero,
        notes=("line 1 of ada.py is a notebook's (`!pip install torch`): delete it",),
    )


def _neighbours(text: bytes) -> Iterator[Case]:
    imports = "import tools\nimport bag.inner\nassert tools.ONE + bag.inner.TWO == 3\n"
    used = _after_the_future(imports, text)
    more = {"tools.py": b"ONE = 1\n", "bag/__init__.py": b"", "bag/inner.py": b"TWO = 2\n"}
    files = {f"ada/{name}": data for name, data in ({MAIN: used} | more).items()}
    yield Case("file", "imports its neighbours", files, {"ada": FULL})
