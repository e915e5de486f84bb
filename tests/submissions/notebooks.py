"""Notebooks, as they are after an evening's work."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .common import MAIN, ZERO, Case, cells_of, notebook, right, stub_notebook, with_cells

DEVICE = "if 1 > 2:\n    device = 'cuda'\nelse:\n    device = 'cpu'"
FIRST = {
    "Colab's drive": "from google.colab import drive\ndrive.mount('/content/drive')",
    "IPython's display": "from IPython.display import clear_output, display\nclear_output()",
    "Kaggle's first cell": "import numpy as np\nimport pandas as pd\nimport os\n"
    "for d, _, names in os.walk('/kaggle/input'):\n    for n in names:\n        print(n)",
    "seaborn": "import seaborn as sns\nsns.set_theme()",
    "an installation": "!pip install -q gymnasium torch",
    "an installation in two lines": "!pip install gymnasium \\\n    torch",
    "an installation by %pip": "%pip install gymnasium",
    "an installation under an if": "IN_COLAB = False\nif IN_COLAB:\n    !pip install gymnasium",
    "an installation in an except": "try:\n    import wandb\nexcept ImportError:\n    !pip i x",
    "inline plots": "%matplotlib inline\nimport matplotlib.pyplot as plt",
    "autoreload": "%load_ext autoreload\n%autoreload 2",
    "a question to the shell": "get_ipython().run_line_magic('matplotlib', 'inline')",
    "a search for Colab": "IN_COLAB = 'google.colab' in str(get_ipython())",
    "files of the shell": "files = !ls\nprint(files)",
    "a timed cell": "%%time\nLIMIT = 3",
    "a captured cell": "%%capture\nimport math",
    "a shell cell": "%%bash\nls -la",
    "a cell of HTML": "%%html\n<b>hello</b>",
    "help": "print?",
    "the device idiom": DEVICE,
    "a future import": "from __future__ import annotations",
    "a change of folder": "%cd /content",
    "a download": "!wget https://example.org/data.csv\nimport numpy as np\n"
    "data = np.loadtxt('data.csv')",
    "prose": "In this notebook I solve the assignment.",
    "a loop without a colon": "for i in range(3)\n    print(i)",
    "a return": "return 3",
    "an await": "await something()",
    "an empty cell": "",
    "a comment": "# nothing yet",
    "a number from the keyboard": "n = int(input('episodes: '))",
    "a seed block": "import random, torch\nrandom.seed(0)\ntorch.manual_seed(0)",
    "an exit": "import sys\nsys.exit()",
    "Windows' line ends": "x = 1\r\nif x:\r\n    x = 2\r\n",
    "two on a line": "a = 1; b = a + 1; print(b)",
    "a %time line": "%time z = sum(range(10))",
    "a widget": "import ipywidgets as widgets\nwidgets.IntSlider()",
    "a plot": "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
}
LAST = {
    "training": "history = train(agent, 500)",
    "an endless loop": "while True:\n    pass",
    "a long wait": "import time\ntime.sleep(3600)",
    "an environment to watch": "import gymnasium as gym\n"
    "env = gym.make('CartPole-v1', render_mode='human')\nobs, _ = env.reset()",
    "a failing assertion": "assert 1 == 2, 'not yet'",
    "a table on show": "display([1, 2, 3])",
    "a million prints": "for i in range(10**6):\n    print(i)",
    "an unfinished cell": "def more(x",
    "its own tests": "import pytest\npytest.main(['-q', 'test_local.py'])",
    "a file to load": "with open('weights.pt', 'rb') as f:\n    w = f.read()",
}


def cases() -> Iterator[Case]:
    """All of them."""
    yield Case("notebook", "as it should be", {"ada.ipynb": with_cells()})
    for name, cell in FIRST.items():
        yield Case("notebook", f"begins with {name}", {"ada.ipynb": with_cells(cell)})
    for name, cell in LAST.items():
        yield Case("notebook", f"ends with {name}", {"ada.ipynb": with_cells(after=(cell,))})
    yield from _uses()
    yield from _forms()
    yield from _hopeless()


def _uses() -> Iterator[Case]:
    """What a notebook makes at top level is there when its functions ask for it."""
    cells = cells_of(right())
    for name, made in {
        "an if": DEVICE,
        "a try": "try:\n    device = missing()\nexcept NameError:\n    device = 'cpu'",
        "a loop": "for device in ('gpu', 'cpu'):\n    pass",
        "an update": "CONFIG = {}\nCONFIG.update(device='cpu')\ndevice = CONFIG['device']",
        "an augmented assignment": "device = 'c'\ndevice += 'pu'",
    }.items():
        last = "_old = residuals\ndef residuals(*args, **kw):\n"
        last += "    assert device == 'cpu'\n    return _old(*args, **kw)"
        yield Case(
            "notebook",
            f"its functions need what {name} made",
            {"ada.ipynb": notebook(made, *cells, last)},
        )


def _forms() -> Iterator[Case]:
    plain = with_cells()
    yield Case("notebook", "has a byte order mark", {"ada.ipynb": b"\xef\xbb\xbf" + plain})
    yield Case("notebook", "has 20 MB of outputs", {"ada.ipynb": _with_outputs(20)})
    yield Case("notebook", "has a capital ending", {"ada.IPYNB": plain})
    yield Case("notebook", "is called .ipynb.json", {"ada.ipynb.json": plain})
    yield Case(
        "notebook", "is of version 4.4", {"ada.ipynb": notebook(*cells_of(right()), minor=4)}
    )
    written = notebook("x = 1", f"%%writefile {MAIN}\n{right().decode()}", "from gae import *")
    yield Case("notebook", "writes gae.py", {"ada.ipynb": written}, notes=("cell 2 writes gae.py",))
    tools = ("%%writefile tools.py\nONE = 1", "from tools import ONE\nassert ONE == 1")
    yield Case("notebook", "writes a neighbour", {"ada.ipynb": with_cells(*tools)})
    listed = json.loads(plain)
    for cell in listed["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    yield Case("notebook", "has lists of lines", {"ada.ipynb": json.dumps(listed).encode()})
    whole = notebook(right().decode())
    yield Case("notebook", "is all in one cell", {"ada.ipynb": whole})
    future = "from __future__ import annotations"
    yield Case("notebook", "turns to the future late", {"ada.ipynb": with_cells(after=(future,))})


def _with_outputs(megabytes: int) -> bytes:
    return notebook(*cells_of(right()), "x = 1", outputs="#" * (megabytes * 30_000))


def _hopeless() -> Iterator[Case]:
    large = notebook(*cells_of(right()), outputs="#" * (6 << 20))
    yield Case("notebook", "is the starter", {"ada.ipynb": stub_notebook()}, {"ada": ZERO})
    yield Case(
        "notebook", "has far too much output", {"ada.ipynb": large}, {"ada": "clear the out"}
    )
    for name, data in {"empty": b"", "not JSON": b"hello", "cut off": with_cells()[:500]}.items():
        wrong = {"ada": "cannot be read as a notebook"}
        yield Case("notebook", f"is {name}", {"ada.ipynb": data}, wrong)
