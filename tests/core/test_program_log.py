"""What is logged to ``air`` in a program, and where it is shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

import air
from air.core import program_log
from air.errors import InvalidOption


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The logger ``air``, as it was afterwards."""
    logger = logging.getLogger("air")
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Takes away the handlers that pytest gives the root logger for the time of a test."""
    return lambda: monkeypatch.setattr(logging.getLogger(), "handlers", [])


def configure(level: object = "info", text: str | None = None) -> None:
    program_log.configure(program_log.check_level(level), program_log.check_format(text))


def test_lines_have_time_level_and_message(
    logger: logging.Logger, alone: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    alone()
    configure()
    logging.getLogger("air.part").info("told %d", 1)
    logger.debug("not told")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(" INFO told 1")
    assert line[:2] == "20"


def test_level_and_format_are_the_programs_choice_and_the_last_one_counts(
    logger: logging.Logger, alone: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    alone()
    configure(logging.DEBUG)
    configure("Error", "<%(message)s>")
    logger.warning("no")
    logger.error("yes")
    assert capsys.readouterr().err == "<yes>\n"


def test_a_program_with_handlers_of_its_own_shows_it_once(
    logger: logging.Logger, alone: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    alone()
    configure()
    handler = logging.StreamHandler()
    logging.getLogger().handlers.append(handler)
    logger.warning("once")
    assert capsys.readouterr().err == "once\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"logging_level": "warn ing"}, r"logging_level .* got 'warn ing' Did you mean 'WARNING'"),
        ({"logging_level": True}, "logging_level .* got True"),
        ({"logging_level": -1}, "logging_level"),
        ({"logging_format": "%(nope"}, r"logging_format .* got '%\(nope'"),
        ({"logging_format": 5}, "logging_format"),
        ({"configure_logging": "yes"}, "configure_logging"),
    ],
)
def test_what_is_none(options: dict[str, object], expected: str) -> None:
    with pytest.raises(InvalidOption, match=expected):
        air.init(backend="local", **options)  # type: ignore[arg-type]
    assert not air.is_initialized()


def test_init_sets_it_up_unless_told_not_to(
    logger: logging.Logger, alone: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    alone()
    air.init(backend="local", logging_format="%(message)s!")
    air.shutdown()
    logger.info("shown")
    assert capsys.readouterr().err == "shown!\n"
    logger.handlers.clear()
    air.init(backend="local", configure_logging=False)
    air.shutdown()
    assert not logger.handlers
