"""Elasticsearch's indices in memory, behind its real client: templates, aliases, bulk writes, scrolls and sums.

Not faked: queries but for terms, all or none of which hold, types but for the length of a keyword, shards, when a
refresh comes by itself.
"""

import json
from collections import defaultdict
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from elastic_transport import ApiResponseMeta, BaseNode, HttpHeaders
from elastic_transport._node import NodeApiResponse
from elasticsearch import Elasticsearch

from clickstream_assets_tests.fakes.servers import Killed

_LONGEST_KEYWORD = 32_766
_PAGE = 700
"""Hits that a scroll gives at most, whatever it is asked for."""


class Indices:
    """What an Elasticsearch holds. Writes are seen by searches once they are refreshed."""

    def __init__(self):
        self.templates, self.mappings = {}, {}
        self.documents = defaultdict(dict)
        """By index and id: version and document."""
        self.shown = {}
        self.scrolls = []
        self.writes = []
        """Of each document that was written or deleted: what was done, and its id."""
        self.lives = None
        """Before so many more writes it is killed who asks for them; None: never."""

    @contextmanager
    def client(self, *_, **__):
        node = type("Node", (_Node,), {"indices": self})
        with Elasticsearch("http://memory:9200", node_class=node) as es:
            yield es

    def found(self, index):
        """Documents by id, as they are stored."""
        return {key: document for key, (_, document) in self.documents[index].items()}

    def names(self, alias):
        return [name for name in self.mappings if name == alias or name.startswith(f"{alias}-")]

    def write(self, action, place, document):
        if self.lives is not None:
            if not self.lives:
                raise Killed
            self.lives -= 1
        name, key = place["_index"], place["_id"]
        stored = self.documents[name]
        before, after = stored.get(key, (0, None))[0], place.get("version")
        if after is not None and after < before:
            return 409, {"type": "version_conflict_engine_exception"}
        if action == "delete":
            if key not in stored:
                return 404, None
            del stored[key]
        else:
            if name not in self.mappings:
                (of,) = (of for alias, of in self.templates.items() if name.startswith(f"{alias}-"))
                self.mappings[name] = of["template"]["mappings"]["properties"]
            fields = self.mappings[name]
            if wrong := [of for of, value in document.items() if of not in fields or not _fits(fields[of], value)]:
                return 400, {"type": "strict_dynamic_mapping_exception", "reason": ", ".join(wrong)}
            stored[key] = before + 1 if after is None else after, document
        self.writes.append((action, key))
        return 200, None

    def hits(self, alias, body):
        return [
            {"_index": name, "_id": key, "_source": document}
            for name in self.names(alias)
            for key, document in sorted(self.shown.get(name, {}).items())
            if _holds(body["query"], document)
        ]


def _holds(query, document):
    ((kind, of),) = query.items()
    if kind == "bool":
        assert of.keys() <= {"filter", "must_not"}
        has_none = not any(_holds(one, document) for one in of.get("must_not", ()))
        return has_none and all(_holds(one, document) for one in of["filter"])
    ((field, wanted),) = of.items()
    return document.get(field) in (wanted if kind == "terms" else [wanted])


def _fits(field, value):
    if field["type"] == "keyword":
        return isinstance(value, str) and len(value.encode()) <= _LONGEST_KEYWORD
    return isinstance(value, int if field["type"] == "long" else int | str)


def _aggregated(hits, aggregations):
    result = {}
    for name, of in aggregations.items():
        if "sum" in of:
            result[name] = {"value": float(sum(hit["_source"].get(of["sum"]["field"], 0) for hit in hits))}
            continue
        groups = defaultdict(list)
        for hit in hits:
            groups[hit["_source"][of["terms"]["field"]]].append(hit)
        result[name] = {
            "buckets": [{"key": key, **_aggregated(group, of.get("aggs", {}))} for key, group in groups.items()]
        }
    return result


class _Node(BaseNode):
    indices: Indices

    def perform_request(self, method, target, body=None, headers=None, request_timeout=None):
        url = urlsplit(target)
        path, asked = url.path.strip("/").split("/"), parse_qs(url.query)
        status, answer = self._answer(method, path, asked, body)
        more = {"x-elastic-product": "Elasticsearch", "content-type": "application/json"}
        meta = ApiResponseMeta(status, "1.1", HttpHeaders(more), 0.0, self.config)
        return NodeApiResponse(meta, json.dumps(answer).encode())

    def close(self):
        pass

    def _answer(self, method, path, asked, body):
        of, lines = self.indices, [json.loads(line) for line in (body or b"").splitlines()]
        match method, path:
            case "HEAD", ["_alias", alias]:
                return (200 if of.names(alias) else 404), None
            case "POST", [alias, "_refresh"]:
                of.shown |= {name: of.found(name) for name in of.names(alias)}
                return 200, {}
            case "GET", ["_index_template", name]:
                there = [{"name": name, "index_template": of.templates[name]}] if name in of.templates else []
                return (200 if there else 404), {"index_templates": there}
            case "PUT", ["_index_template", name]:
                of.templates[name] = lines[0]
                return 200, {}
            case "PUT", [alias, "_mapping"]:
                for name in of.names(alias):
                    of.mappings[name] = of.mappings[name] | lines[0]["properties"]
                return 200, {}
        return self._found(method, path, asked, lines)

    def _found(self, method, path, asked, lines):
        match method, path:
            case "PUT" | "POST", ["_bulk"]:
                return 200, self._bulk(lines)
            case "POST", [alias, "_search"]:
                hits = self.indices.hits(alias, lines[0])
                if "scroll" in asked:
                    self.indices.scrolls = hits
                    return 200, self._page()
                return 200, {"aggregations": _aggregated(hits, lines[0]["aggs"])}
            case "POST", ["_search", "scroll"]:
                return 200, self._page()
            case "DELETE", ["_search", "scroll"]:
                return 200, {}
        raise AssertionError((method, path))

    def _page(self):
        page, self.indices.scrolls = self.indices.scrolls[:_PAGE], self.indices.scrolls[_PAGE:]
        return {"_scroll_id": "1", "_shards": {"total": 1, "successful": 1, "skipped": 0}, "hits": {"hits": page}}

    def _bulk(self, lines):
        items, rest = [], iter(lines)
        for line in rest:
            ((action, place),) = line.items()
            status, error = self.indices.write(action, place, None if action == "delete" else next(rest))
            items.append({action: {"status": status} | ({"error": error} if error else {})})
        return {"errors": any("error" in next(iter(item.values())) for item in items), "items": items}
