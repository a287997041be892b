"""Elasticsearch on lists of documents that looks for what is asked: as much of its searches as the page uses."""

from datetime import timedelta
from functools import cache

from clickstream_assets.page.figures import moment
from clickstream_assets_tests.fakes.elasticsearch import FakeElasticsearch
from clickstream_assets_tests.page import stored_days

_at = cache(moment)  # the same few hours of thousands of documents
_INTERVALS = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}


class SearchedDocuments(FakeElasticsearch):
    """Filters, sums, terms and histograms are those of Elasticsearch; hits are as many as asked for, unsorted."""

    def msearch(self, searches):
        self.searches += (asked := list(zip(searches[::2], searches[1::2], strict=True)))
        return {"responses": [self._found(header["index"], body) for header, body in asked]}

    def _found(self, alias, body):
        if alias not in self.documents:
            return self._answer(alias)
        found = [one for one in self.documents[alias] if _matches(one, body.get("query", {"bool": {}}))]
        hits = [{"_source": document} for document in found[: body["size"]]]
        return {
            "hits": {"total": {"value": len(found)}, "hits": hits},
            "aggregations": _aggregated(found, body.get("aggs", {})),
            "_shards": {"total": 1},
        }


def stored():
    """All of :mod:`.stored_days`."""
    return SearchedDocuments(**{name: list(documents) for name, documents in _lists().items()})


@cache
def _lists():
    made = {
        "metrics": stored_days.metrics(), "daily": stored_days.days(), "hours": stored_days.records(),
        "dimensions": stored_days.dimensions(),
    }  # fmt: skip
    return {name: [source for _, source in documents] for name, documents in made.items()}


def _matches(document, query):
    ((kind, asked),) = query.items()
    if kind == "bool":
        any_of = asked.get("should", [])
        return all(_matches(document, one) for one in asked.get("filter", [])) and (
            not any_of or any(_matches(document, one) for one in any_of)
        )
    ((field, wanted),) = asked.items()
    value = document.get(field)
    if kind == "range":
        return value is not None and _at(wanted["gte"]) <= _at(value) < _at(wanted["lt"])
    if kind == "prefix":
        return value is not None and value.startswith(wanted)
    return any(_same(value, one) for one in (wanted if kind == "terms" else [wanted]))


def _same(value, wanted):
    return value == wanted or (_at(value) is not None and _at(value) == _at(wanted))


def _aggregated(documents, aggs):
    return {name: _one(documents, dict(asked)) for name, asked in aggs.items()}


def _one(documents, asked):
    within = asked.pop("aggs", {})
    ((kind, how),) = asked.items()
    values = [] if kind == "filter" else [one[how["field"]] for one in documents if one.get(how["field"]) is not None]
    if kind == "filter":
        return {"doc_count": sum(_matches(one, how) for one in documents)}
    if kind == "sum":
        return {"value": float(sum(values))}
    if kind == "max":
        numbers = [value if not isinstance(value, str) else _at(value).timestamp() * 1000 for value in values]
        return {"value": max(numbers, default=None)}
    by_key = {}
    for document in documents:
        if (value := document.get(how["field"])) is not None:
            by_key.setdefault(value if kind == "terms" else _begin(value, how), []).append(document)
    buckets = [{"key": key, "doc_count": len(of), **_aggregated(of, within)} for key, of in sorted(by_key.items())]
    for order in reversed(how.get("order", [])):
        ((name, _),) = order.items()
        if name != "_key":
            buckets.sort(key=lambda bucket: -bucket[name]["value"])
    return {"buckets": buckets[: how.get("size")]}


def _begin(value, how):
    at, interval = _at(value), _INTERVALS[how["fixed_interval"]]
    return int(at.timestamp() // interval.total_seconds() * interval.total_seconds() * 1000)
