"""Write ``jars.lock``: what each product needs is found out and fetched afresh, and each file is hashed."""

import tempfile
from pathlib import Path

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.ivy import Ivy, trust_flags
from clickstream_assets.local.stack.jars_lock import LOCK, LockedFile
from clickstream_assets.local.stack.products import PRODUCTS, Product


def fetch(product: Product, folder: Path) -> list[LockedFile]:
    """Fetch a product with all that it needs; its files as they came."""
    folder.mkdir()
    ivy = Ivy(folder, product.dependencies, trust_flags(folder), follow=True)
    if ivy.process.wait():
        raise StackError(f"Could not download {product.title}: {ivy.reason()}")
    files = [path for path in sorted(ivy.fetched.rglob("*")) if path.is_file()]
    return [LockedFile.of(product.name, ivy.fetched, path) for path in files]


def main() -> None:
    """Write the lock, once all is there."""
    with tempfile.TemporaryDirectory() as folder:
        files = [file for product in PRODUCTS for file in fetch(product, Path(folder) / product.name)]
    LOCK.write_text("".join(file.line for file in files))
    print(f"{len(files)} files are locked in {LOCK}")


if __name__ == "__main__":
    main()
