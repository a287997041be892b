"""What several integration tests look at."""

import pytest

from clickstream_assets_tests.conftest import NOW_MS
from clickstream_assets_tests.hard_cases import hard_cases
from clickstream_assets_tests.integration.pipeline import Pipeline


@pytest.fixture(scope="session")
def hard(servers, tmp_path_factory):
    """A pipeline at rest behind the hard cases, which have something refused for every reason."""
    pipeline = Pipeline(servers, "hard", tmp_path_factory.mktemp("hard") / "sent.jsonl")
    pipeline.produce(hard_cases(NOW_MS))
    pipeline.settle()
    return pipeline
