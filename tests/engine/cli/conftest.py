"""matplotlib's parsers call names that newer pyparsing releases deprecate; that warning alone is let pass here."""

import warnings

import pytest

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*deprecated", category=DeprecationWarning)
    import matplotlib.figure  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "engine/cli" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning:(matplotlib|pyparsing)"))
