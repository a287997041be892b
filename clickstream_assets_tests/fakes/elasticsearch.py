"""Elasticsearch that answers each search with all documents of its alias.

Not faked: queries, sorting, aggregations; ``page/test_queries.py`` asks a real one for these.
"""


class FakeElasticsearch:
    """Elasticsearch's client on lists of documents by alias; of other aliases there is no index."""

    def __init__(self, **documents):
        self.documents = {f"clickstream-{name}": found for name, found in documents.items()}
        self.searches = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def msearch(self, searches):
        self.searches += zip(searches[::2], searches[1::2], strict=True)
        return {"responses": [self._answer(header["index"]) for header in searches[::2]]}

    def search(self, **_):
        return self._answer("")

    def _answer(self, alias):
        found = self.documents.get(alias, [])
        hits = {"total": {"value": len(found)}, "hits": [{"_source": document} for document in found]}
        return {"hits": hits, "_shards": {"total": int(alias in self.documents)}}
