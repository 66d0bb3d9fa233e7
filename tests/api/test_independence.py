"""The client stands alone: no Django and nothing of ours but the version."""

from __future__ import annotations

import subprocess
import sys


def test_client_imports_neither_django_nor_the_app() -> None:
    program = (
        "import sys; from medblocks_connect.api import MedblocksClient; "
        "ours = {n for n in sys.modules if n.startswith('medblocks_connect')}; "
        "outside = {n for n in ours if not n.startswith('medblocks_connect.api')}; "
        "assert outside == {'medblocks_connect'}, outside; "
        "assert not any(n.split('.')[0] == 'django' for n in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
