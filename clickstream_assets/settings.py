"""Every ``CLICKSTREAM_*`` variable, once: its type, its default, what it means. Those of connections are in
``connection_settings.py``.

Read with :func:`settings`; nothing else reads them. ``CLICKSTREAM_STACK_ID`` alone is no setting: the embedded servers'
processes are known by it (``stores/process.py``).
"""

from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import click
from platformdirs import user_cache_path
from pydantic import Field, SecretStr, ValidationError, field_validator

from clickstream_assets.connection_settings import NO_SECRET, PREFIX, ConnectionSettings
from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.events.url_limits import UrlLimits
from clickstream_assets.events.urls import DROPPED_PARAMETERS, UrlRules

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""This machine's names for itself."""


class Settings(ConnectionSettings):
    """The connections' settings, what the names are, and the limits the platform keeps to."""

    geoip_database: Path = Field(
        user_cache_path("clickstream") / "geoip" / "GeoLite2-City.mmdb",
        description="a GeoIP2 or GeoLite2 city database, at this path on every Spark worker",
    )

    # Names
    name_prefix: str = Field(
        "",
        pattern=r"^[a-z0-9_-]{0,40}$",
        description="put before the names of the topic, the consumer group, the tables and the aliases, "
        "so that several pipelines share servers",
    )

    # Rules
    first_hour: str = Field(
        "2026-01-01-00:00",
        description="the first partition, spelled like its key; if it is not set, `clickstream run` with demo traffic "
        "sets it to 24 hours before its first start",
    )
    trusted_proxies: str = Field(
        "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,127.0.0.0/8,169.254.0.0/16,100.64.0.0/10,::1/128,fc00::/7,fe80::/10",
        description="networks whose addresses are skipped when the client's is looked for, comma-separated",
    )
    dropped_parameters: str = Field(
        ",".join(DROPPED_PARAMETERS.split()),
        description="query parameters left out of the urls that metrics count by, comma-separated, in any case; with * "
        "at the end, all that begin so",
    )
    hash_routes: bool = Field(False, description="whether a url's fragment that begins with #/ or #! names a page")
    request_data_ttl_days: int = Field(
        30,
        ge=1,
        description="days that IP address, user agent, referrer and url as sent are kept in rows, not in dead letters "
        "(set when the table is made)",
    )

    # Limits on a hostile producer
    counted_hosts: str = Field(
        "",
        description="hosts whose urls metrics count by name, comma-separated; with *. before one, all below it. "
        "Events of others are stored, and count under the url `(other)`: for topics that take what any web page sends. "
        "Empty: all",
    )
    max_urls_per_hour: int = Field(
        0,
        ge=0,
        description="urls that an hour's metrics count by name, those with most clicks; the others count as `(other)`: "
        "for producers that make up urls. 0: any number",
    )
    max_event_age_days: int = Field(
        0,
        ge=0,
        description="days that an event may be older than its Kafka record; older ones are refused as `too_old`: for "
        "producers that open every past hour again. 0: any age",
    )

    # How ingestion goes
    max_events_per_run: int = Field(1_000_000, ge=1, description="Kafka messages that one run takes at most")
    spark_ingest_events: int = Field(
        500_000, ge=0, description="a run that has more Kafka messages to read than that reads them on Spark"
    )
    max_hours_per_run: int = Field(200, ge=1, description="hours that one run covers at most")
    # Below the daemon's own pace of five seconds: at five, a look that is due by a hair later waits for the next round.
    sensor_interval_seconds: int = Field(4, ge=1, description="time between two looks at Kafka's offsets")
    small_run_events: int = Field(500, ge=1, description="new events that are worth a run at once")
    small_run_seconds: int = Field(30, ge=0, description="time between two runs for fewer new events than that")
    stale_turn_seconds: int = Field(
        300, ge=0, description="under constant lag, stale hours get a run of their own this often"
    )
    day_turn_seconds: int = Field(
        120, ge=0, description="time between two roll-ups of a day whose hours are still being written to"
    )

    audit_days: int = Field(2, ge=0, description="days that the nightly audit compares record by record; 0: none")

    # When checks warn
    warn_dead_letter_share: float = Field(0.05, ge=0, le=1, description="share of an hour's messages that was refused")
    warn_late_share: float = Field(0.2, ge=0, le=1, description="share of an hour's events that came late")
    warn_unknown_country_share: float = Field(0.3, ge=0, le=1, description="share of events without a country")
    warn_other_browser_share: float = Field(0.3, ge=0, le=1, description="share of events of an unknown browser")
    warn_events_without_clicks: int = Field(
        1_000, ge=0, description="events of an hour of which none is of a click type"
    )
    warn_duplicate_share: float = Field(0.2, ge=0, le=1, description="share of an hour's messages that are duplicates")
    warn_corrected_clock_share: float = Field(
        0.2, ge=0, le=1, description="share of an hour's events whose clock was off by over an hour"
    )
    warn_urls: int = Field(50_000, ge=1, description="distinct urls in the metrics of an hour")
    warn_other_url_share: float = Field(
        0.1, ge=0, le=1, description="share of an hour's clicks on urls that do not count by name"
    )
    warn_volume_factor: float = Field(4, gt=1, description="times more, or less, clicks than in comparable hours")

    # Alerts
    alert_webhook: SecretStr = Field(
        NO_SECRET,
        description="where failed runs and checks are posted to as JSON; empty: to the log alone. A secret, for many "
        "such addresses let whoever knows them post",
    )
    alert_webhook_file: Path | None = Field(None, description="file that holds it, read at each message")
    dagster_url: str = Field(
        "", description="address of Dagster's webserver as people reach it, for links; empty: localhost and its port"
    )
    dagster_hosts: str = Field(
        "",
        pattern=r"^([A-Za-z0-9.-]+(,[A-Za-z0-9.-]+)*)?$",
        description="names by which Dagster's webserver is asked beside localhost and that of its address; no ports, "
        "comma-separated",
    )

    # The analysts' page
    page_port: int = Field(3001, ge=0, le=65535, description="port of the analysts' page; 0: any free one")
    page_hosts: str = Field(
        "",
        pattern=r"^([A-Za-z0-9.-]+(,[A-Za-z0-9.-]+)*)?$",
        description="names by which the analysts' page is asked beside localhost; no ports, comma-separated",
    )
    page_dagster_url: str = Field(
        "",
        description="address of the Dagster webserver that the analysts' page links to: the read-only one, where there "
        "is one; empty: CLICKSTREAM_DAGSTER_URL",
    )

    repository_url: str = Field(
        "", description="GitHub or GitLab repository that assets' code references lead to; empty: to files here"
    )
    repository_branch: str = Field("main", description="branch of it that runs")

    # The embedded stack
    home: Path = Field(Path(".clickstream"), description="folder of all that the embedded servers and Dagster write")
    cache: Path = Field(
        user_cache_path("clickstream"), description="folder of downloads, shared by all clones of a user"
    )
    stack_kafka_port: int = Field(9092, ge=0, le=65535, description="port of Kafka; 0: any free one")
    stack_elasticsearch_port: int = Field(9200, ge=0, le=65535, description="port of Elasticsearch; 0: any free one")
    stack_hbase_port: int = Field(9090, ge=0, le=65535, description="port of HBase Thrift; 0: any free one")
    stack_spark_port: int = Field(15002, ge=0, le=65535, description="port of Spark Connect; 0: any free one")
    dagster_port: int = Field(3000, ge=0, le=65535, description="port of Dagster's webserver; 0: any free one")
    stack_host: str = Field(
        "",
        pattern=r"^[A-Za-z0-9.-]*$",
        description="name by which other machines reach the embedded servers, which then listen on every address; "
        "empty: on the loopback address only",
    )
    stack_spark_master: str = Field("local[*]", description="Spark master of the embedded Spark Connect server")

    @field_validator("first_hour")
    @classmethod
    def _hour_key(cls, value: str) -> str:
        if key_of_hour(hour_of_key(value)) != value:
            raise ValueError(f"{value!r} is not a whole hour")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for text in filter(None, value.split(",")):
            ip_network(text.strip())
        return value

    @field_validator("counted_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        UrlLimits.of(value.split(","))
        return value

    @property
    def url_limits(self) -> UrlLimits:
        return UrlLimits.of(self.counted_hosts.split(","), self.max_urls_per_hour)

    @property
    def max_age_ms(self) -> int:
        """By how much an event may be before its Kafka record; 0: by any time."""
        return self.max_event_age_days * 24 * HOUR_MS

    @property
    def url_rules(self) -> UrlRules:
        return UrlRules.of(self.dropped_parameters.split(","), hash_routes=self.hash_routes)

    @property
    def first_hour_ms(self) -> int:
        """Start of the first partition, epoch milliseconds."""
        return hour_of_key(self.first_hour) * HOUR_MS

    @property
    def links_to(self) -> str:
        """Address of Dagster's webserver, without a slash at the end."""
        return (self.dagster_url or f"http://localhost:{self.dagster_port}").rstrip("/")

    @property
    def page_links_to(self) -> str:
        """Address of the Dagster that the analysts' page links to, without a slash at the end; empty: there is none."""
        return (self.page_dagster_url or self.dagster_url).rstrip("/")

    @property
    def dagster_host_names(self) -> frozenset[str]:
        """The names by which Dagster's webserver may be asked, without ports."""
        addresses = {urlsplit(url).hostname or "localhost" for url in (self.dagster_url, self.page_dagster_url)}
        return LOOPBACK | ((addresses | set(filter(None, self.dagster_hosts.split(",")))) - {"*"})

    @property
    def page_host_names(self) -> frozenset[str]:
        """The names by which the analysts' page may be asked, without ports."""
        return LOOPBACK | set(filter(None, self.page_hosts.split(",")))

    @property
    def topic(self) -> str:
        return f"{self.name_prefix}clickstream_topic"

    @property
    def consumer_group(self) -> str:
        """The consumer group whose committed offsets say how far ingestion is."""
        return f"{self.name_prefix}clickstream-raw-clicks"

    @property
    def alias(self) -> str:
        """The Elasticsearch alias; monthly indices behind it add ``-YYYY-MM``."""
        return f"{self.name_prefix}clickstream-metrics"

    @property
    def daily_alias(self) -> str:
        """The alias of days' totals; yearly indices behind it add ``-YYYY``."""
        return f"{self.name_prefix}clickstream-daily"

    @property
    def dimensions_alias(self) -> str:
        """The alias of the totals of dimensions; yearly indices behind it add ``-YYYY``."""
        return f"{self.name_prefix}clickstream-dimensions"

    @property
    def hours_alias(self) -> str:
        """The alias of what is said of each hour; yearly indices behind it add ``-YYYY``."""
        return f"{self.name_prefix}clickstream-hours"

    def table(self, name: str) -> str:
        return self.name_prefix + name


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read from the environment once. Raises ClickException naming the wrong variables."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = (_in_words(e["loc"], e.get("input"), e["msg"]) for e in error.errors())
        raise click.ClickException("; ".join(wrong)) from None


def _in_words(location: tuple[int | str, ...], value: object, message: str) -> str:
    """What is wrong with a variable, with its value unless that may be a secret."""
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    name = str(location[0])
    shown = f"={value}" if Settings.shows_value(name) else ""
    return f"{PREFIX}{name.upper()}{shown}: {message}"
