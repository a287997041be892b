"""All aliases at once: their templates."""

from clickstream_assets.index.aliases import all_indices, ensure_templates
from clickstream_assets.settings import Settings
from clickstream_assets_tests.fakes.indices_in_memory import Indices

SETTINGS = Settings(first_hour="2026-01-01-00:00", name_prefix="x-")


def test_each_alias_has_its_template_with_the_mapping_that_is_looked_for():
    indices = Indices()
    with indices.client() as es:
        ensure_templates(es, SETTINGS)
    aliases = {f"x-clickstream-{name}" for name in ("metrics", "daily", "hours", "dimensions")}
    assert set(indices.templates) == aliases
    for wanted in all_indices(SETTINGS):
        template = indices.templates[wanted.alias]
        assert template["index_patterns"] == [f"{wanted.alias}-*"]
        assert template["template"]["aliases"] == {wanted.alias: {}}
        assert template["template"]["mappings"] == wanted.mapping
