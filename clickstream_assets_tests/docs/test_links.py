"""What documents and docstrings point at is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NAMED_FILE = re.compile(r"\bdocs/[\w./-]*\w")
_NAMED_DECISION = re.compile(r"\b[Dd]ecision (\d+)\b")


def tracked(*patterns):
    """The repository's files, those that are about to be added included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [ROOT / name for name in found if name and (ROOT / name).exists()]


def anchors(path):
    """The anchors that GitHub gives the headings of a document."""
    if path.suffix != ".md":
        return set()
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


def broken_links(path):
    """The links of a document that lead nowhere in the repository."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in _LINK.findall(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("path", tracked("*.md"), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(path):
    assert list(broken_links(path)) == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("# A b, `c`\n[1](page.md) [2](#a-b-c) [3](other.md) [4](page.md#d) [5](https://x.example)\n")
    assert list(broken_links(path)) == ["other.md", "page.md#d"]


def named_in(path):
    """What a file of code says of documents: their paths, and the numbers of decisions."""
    text = path.read_text(encoding="utf-8")
    return set(_NAMED_FILE.findall(text)), {int(number) for number in _NAMED_DECISION.findall(text)}


def is_there(name):
    """Whether a document is there by its path, or a decision by its number alone."""
    return (ROOT / name).exists() or any(ROOT.glob(f"{name}-*.md"))


def test_code_names_documents_that_are_there():
    decisions = {int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}
    missing = []
    for path in tracked("clickstream_assets/*.py", "benchmarks/*.py", "k8s/*", "Makefile", "*.toml", "*.yaml"):
        files, numbers = named_in(path)
        missing += [f"{path.relative_to(ROOT)}: {name}" for name in files if not is_there(name)]
        missing += [f"{path.relative_to(ROOT)}: decision {number}" for number in numbers - decisions]
    assert missing == []


@pytest.mark.parametrize("unclear", [r"\bdesign \d", r"\(contract\b", r"\bcontract: "])
def test_code_names_no_document_that_the_repository_lacks(unclear):
    files = tracked("clickstream_assets/*.py", "benchmarks/*.py")
    assert len(files) > 100
    assert [str(p.relative_to(ROOT)) for p in files if re.search(unclear, p.read_text(encoding="utf-8"))] == []
