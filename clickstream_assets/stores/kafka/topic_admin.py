"""A topic and a consumer group as their owner sees them: settings and members, by an admin client."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from kafka import KafkaAdminClient
from kafka.admin import ConfigFilterType, ConfigResource, ConfigResourceType
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError

from clickstream_assets.stores.kafka.signing_in import client_options, require_sign_in


class TopicAsItIs(NamedTuple):
    """A topic and a consumer group as they are now."""

    partitions: int
    """0 if there is no such topic."""
    settings: Mapping[str, str]
    """The topic's own and those that it has from the broker; empty where the broker does not let us ask."""
    members: Sequence[str]
    """Who has joined the group, as client id and host; empty where the broker does not let us ask."""


def topic_admin(bootstrap_servers: str, **options: Any) -> closing[Any]:
    """An admin client, closed with the block."""
    require_sign_in(bootstrap_servers)
    return closing(
        KafkaAdminClient(bootstrap_servers=bootstrap_servers.split(","), **options, **client_options(bootstrap_servers))
    )


def topic_as_it_is(bootstrap_servers: str, topic: str, group: str, timeout_ms: int = 30_000) -> TopicAsItIs:
    """Ask three questions on one connection; changes nothing. Raises KafkaError if no broker answers."""
    with topic_admin(bootstrap_servers, bootstrap_timeout_ms=timeout_ms, request_timeout_ms=timeout_ms) as admin:
        if topic not in admin.list_topics():
            return TopicAsItIs(0, {}, ())
        (described,) = admin.describe_topics([topic])
        settings, members = topic_settings(admin, topic), _members(admin, group)
    names = sorted(f"{member['client_id']} on {member['client_host'].lstrip('/')}" for member in members)
    return TopicAsItIs(len(described["partitions"]), settings, names)


def topic_settings(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    """A topic's own settings and those that it has from the broker; without a topic, none."""
    of_topic = ConfigResource(ConfigResourceType.TOPIC, topic)
    settings = admin.describe_configs([of_topic], config_filter=ConfigFilterType.ALL).get("topic", {}).get(topic, {})
    return {name: setting["value"] for name, setting in settings.items()}


def _members(admin: KafkaAdminClient, group: str) -> Sequence[Mapping[str, Any]]:
    try:
        members: Sequence[Mapping[str, Any]] = admin.describe_groups([group])[group]["members"]
    except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
        # A broker makes groups' coordinators when it is first asked for one: of a new one nobody is a member yet.
        return ()
    return members
