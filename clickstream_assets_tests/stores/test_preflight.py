"""How often stores are asked what they are like, and what becomes of the answer."""

import logging

import pytest

from clickstream_assets.books.misfits import Misfit
from clickstream_assets.stores import preflight
from clickstream_assets.stores.preflight import StoresUnfit, require_fit


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The time, in seconds; nothing is remembered."""
    now = [1000.0]
    monkeypatch.setattr(preflight, "monotonic", lambda: now[0])
    monkeypatch.setattr(preflight, "_fit_until", {})
    monkeypatch.setattr(preflight, "_told", set())
    return now


class Store:
    """Answers from a list, in turn; the last one again and again."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def misfits(self):
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


ODD, WRONG = Misfit("It is odd.", False), Misfit("It is wrong.", True)


def test_a_fit_store_is_asked_once_a_minute(clock):
    store = Store([])
    for _ in range(3):
        require_fit(store)
    assert store.asked == 1
    clock[0] += 61
    require_fit(store)
    assert store.asked == 2


def test_one_that_is_unfit_or_does_not_answer_is_asked_every_time():
    store = Store(None, [WRONG], [WRONG], [])
    require_fit(store)
    for _ in range(2):
        with pytest.raises(StoresUnfit, match=r"^It is wrong\.$"):
            require_fit(store)
    for _ in range(2):
        require_fit(store)
    assert store.asked == 4


def test_all_that_is_wrong_is_said_at_once_and_no_retry_is_worth_it():
    other = Misfit("So is that.", True)
    with pytest.raises(StoresUnfit, match=r"^It is wrong\. So is that\.$") as unfit:
        require_fit(Store([WRONG, ODD]), Store([]), Store([other]))
    assert not unfit.value.allow_retries


def test_what_is_odd_is_logged_once(clock, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            require_fit(Store([ODD]))
            clock[0] += 61
    assert [record.getMessage() for record in caplog.records if "odd" in record.getMessage()] == ["It is odd."]
