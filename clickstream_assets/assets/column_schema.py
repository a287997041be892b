"""Columns and lineage of each asset as Dagster's metadata, from ``evidence/lineage.py``.

They are metadata of the definition: shown before anything is materialized, and stored with no materialization.
The open-source UI draws no column lineage (GraphQL has it), so each description says in words where its column
comes from.
"""

from typing import Any

import dagster as dg

from clickstream_assets.books.column_types import Column
from clickstream_assets.events.fields import Field
from clickstream_assets.evidence.lineage import ASSETS, topic_fields
from clickstream_assets.settings import Settings


def described(asset: str, settings: Settings) -> dict[str, Any]:
    """Metadata of an asset's definition: columns, column lineage, where it is stored."""
    of_asset = ASSETS[asset]
    columns = [_table_column(asset, field) for field in of_asset.columns.values()]
    lineage = {
        name: [dg.TableColumnDep(of_asset.upstream, above) for above in field.upstream] if of_asset.upstream else []
        for name, field in of_asset.columns.items()
    }
    return {
        "dagster/column_schema": dg.TableSchema(columns, dg.TableConstraints(list(of_asset.rules))),
        "dagster/column_lineage": dg.TableColumnLineage(lineage),
        "dagster/table_name": settings.table(of_asset.name),
        "dagster/storage_kind": of_asset.store,
    }


def _table_column(asset: str, field: Field) -> dg.TableColumn:
    return dg.TableColumn(
        name=field.name,
        type=field.type,
        description=_in_words(asset, field),
        constraints=dg.TableColumnConstraints(nullable=field.nullable, unique=field.unique),
        tags=({"unit": field.unit} if field.unit else {}) | ({"personal data": ""} if field.personal else {}),
    )


def _in_words(asset: str, field: Field) -> str:
    """Markdown: the meaning, the cell, and where it comes from, the asset before as a link."""
    words = f"{field.description[0].upper()}{field.description[1:]}."
    if isinstance(field, Column):
        words += f" Cell `{field.cell}`."
    above = ASSETS[asset].upstream
    if above is not None:
        words += f"\n\n← [{above}](/assets/{above}): {_code(field.upstream)}"
        sent = topic_fields(asset, field.name)
        if above != "clickstream_topic":
            words += f"  \n← message: {_code(sent)}"
    return words


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
