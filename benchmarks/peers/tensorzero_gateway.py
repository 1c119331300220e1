"""TensorZero's gateway as its package holds it: ``python tensorzero_gateway.py CONFIG PORT``.

To be run by the Python of the environment that has ``tensorzero``. It chooses its port itself and
writes it to the file PORT.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

from tensorzero.tensorzero import (  # type: ignore[import-not-found]  # not in our environment
    _start_http_gateway,
)


def main() -> None:
    gateway = _start_http_gateway(
        config_file=sys.argv[1],
        clickhouse_url=None,
        postgres_url=None,
        valkey_url=None,
        async_setup=False,
    )
    Path(sys.argv[2]).write_text(str(urlsplit(gateway.base_url).port))
    threading.Event().wait()


if __name__ == "__main__":
    main()
