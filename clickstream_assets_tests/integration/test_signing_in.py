"""What keeps us out of a server is told at once, in one sentence without a secret: servers behind TLS terminators."""

import pytest

from clickstream_assets.connection_settings import PREFIX, ConnectionSettings
from clickstream_assets_tests.fakes.certificates import Certificates
from clickstream_assets_tests.security.mechanisms import REFUSED_IN_SECONDS, outcome, terminated_cases


def environment_of(configured) -> dict[str, str]:
    """The variables of a pipeline's connections."""
    names = [name for name in ConnectionSettings.model_fields if name not in ConnectionSettings.secret_names()]
    values = {name: getattr(configured, name) for name in names}
    return {PREFIX + name.upper(): str(value) for name, value in values.items() if value}


def as_expected(cases) -> list[str]:
    """What came out otherwise, or late."""
    wrong = []
    for case in cases:
        told, seconds = outcome(case)
        if case.expected not in told or seconds > REFUSED_IN_SECONDS:
            wrong.append(f"{case.server}, {case.mechanism}, {case.name}: {told} ({seconds:.1f} s, not {case.expected})")
    return wrong


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


def test_behind_terminators_and_with_sparks_token(servers, certificates, tmp_path):
    with terminated_cases(environment_of(servers), certificates, tmp_path) as cases:
        assert len(cases) >= 18
        assert as_expected(cases) == []
