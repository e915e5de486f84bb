"""Turns a failure that only says "not written yet" into one short line, first task first."""

import pytest

TODO = {}


def pytest_configure(config):
    # Where pytest-timeout is missing, nothing else knows this mark.
    config.addinivalue_line("markers", "timeout(seconds): how long this test may take")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.excinfo is not None and call.excinfo.errisinstance(NotImplementedError):
        message = str(call.excinfo.value)
        report.longrepr = f"not written yet: {message}"
        TODO.setdefault(message, item.name)


def pytest_terminal_summary(terminalreporter):
    if TODO:
        terminalreporter.section("what to write next")
        for message in TODO:
            terminalreporter.write_line(message)
