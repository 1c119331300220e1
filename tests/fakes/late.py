"""Libraries that are loaded where a test uses them: each test worker collects every test."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class Late(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            # Collecting asks each name of a test's module whether it wraps a fixture.
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)
