"""What the JSON Schema of an event refuses, the decoder refuses."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from clickstream_assets.events.click_event import NO_IDS
from clickstream_assets.events.event_schema import event_schema
from clickstream_assets.events.fields import FIELDS, SEGMENT_SPELLINGS
from clickstream_assets_tests.events.test_click_event import (
    GOOD,
    REFUSED,
    VALUES,
    anything,
    contexts,
    message,
    outcome,
    pages,
    steady,
)

SCHEMA = event_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
SEEN_BY_A_SCHEMA = {"missing_field", "wrong_type", "too_long", "invalid_text", "invalid_timestamp", "invalid_url"}
BEYOND_IT = ("2026-13", "2026-02-29", "T24:", "+24:00", ":99999", "[::1", "https:///", r"\u00e9" * 257)
"""Of the messages refused for one of these, what only a calendar, a url's parser or a count of bytes can tell."""


def accepts(value):
    return VALIDATOR.is_valid(json.loads(value))


def test_it_is_a_schema_and_names_every_field():
    Draft202012Validator.check_schema(SCHEMA)
    assert list(SCHEMA["properties"]) == list(FIELDS)
    assert all(rule["description"] for rule in SCHEMA["properties"].values())


@pytest.mark.slow
@steady
@given(
    st.fixed_dictionaries({}, optional=VALUES | {"context": contexts | anything, "properties": pages | anything}),
    st.sampled_from([GOOD, GOOD, {}]),
)
def test_what_it_refuses_the_decoder_refuses(fields, base):
    value = json.dumps(base | fields).encode()
    assert accepts(value) or isinstance(outcome(value), str)


@pytest.mark.slow
@steady
@given(st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name] | anything)))
def test_of_a_single_fault_too(field):
    value = json.dumps(GOOD | dict([field])).encode()
    assert accepts(value) or isinstance(outcome(value), str)


@pytest.mark.parametrize("spelling", ["{}", " {} ", "\t{}" + " " * 600])
def test_white_space_around_a_word_for_no_id_is_no_length(spelling):
    for word in NO_IDS:
        value = message(user_id=spelling.format(word), anonymous_id="a", event_id=spelling.format(word))
        assert isinstance(outcome(value), dict)
        assert accepts(value)


@pytest.mark.parametrize(
    "value", [case[1] for case in REFUSED if case[0] in SEEN_BY_A_SCHEMA], ids=lambda value: f"{value[:90]!r}"
)
def test_it_refuses_what_a_schema_can_see(value):
    assert accepts(value) == any(sign in value.decode() for sign in BEYOND_IT)


@pytest.mark.parametrize("name", sorted(SEGMENT_SPELLINGS))
def test_another_spelling_is_held_to_the_rules_of_the_plain_one_where_that_is_missing(name):
    for path in SEGMENT_SPELLINGS[name]:
        held = json.loads(message())
        held.pop(name, None)
        inside = held
        for step in path[:-1]:
            inside = inside.setdefault(step, {})
        inside[path[-1]] = [1]
        assert not VALIDATOR.is_valid(held)
        assert VALIDATOR.is_valid(held | {name: json.loads(message(**EXAMPLES))[name]})


EXAMPLES = {
    "event_id": "e",
    "anonymous_id": "a",
    "event_type": "click",
    "sent_at": 1,
    "received_at": 1,
    "ip": "192.0.2.1",
    "user_agent": "curl",
    "referrer": "https://r.example/",
}
