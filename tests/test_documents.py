"""The documents: one index, links that lead somewhere, a workflow that runs what the README says."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / 'README.md', ROOT / 'CHANGELOG.md', *sorted((ROOT / 'docs').rglob('*.md'))]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\((?!https?://|#)([^)#\s]+)', page.read_text(encoding='utf-8')):
        assert (page.parent / target).exists(), f'{page.name} links {target}'


def test_links_into_a_page_lead_to_a_heading():
    for page in PAGES:
        for target, anchor in re.findall(r'\]\((?!https?://)([^)#\s]*)#([^)\s]+)\)', page.read_text(encoding='utf-8')):
            text = (page.parent / target if target else page).read_text(encoding='utf-8')
            headings = [re.sub(r'[^\w\- ]', '', line.lstrip('#').strip().lower()).replace(' ', '-')
                        for line in text.splitlines() if line.startswith('#')]
            assert anchor in headings, f'{page.name} links {target}#{anchor}'


def test_the_index_has_every_page():
    index = (ROOT / 'docs' / 'README.md').read_text(encoding='utf-8')
    missing = [page.name for page in (ROOT / 'docs').glob('*.md') if f']({page.name})' not in index]
    assert missing == ['README.md']


def test_the_workflow_runs_the_commands_of_the_readme():
    workflow = (ROOT / '.github' / 'workflows' / 'tests.yml').read_text(encoding='utf-8')
    commands = re.findall(r'- run: (.+)', workflow)
    block = (ROOT / 'README.md').read_text(encoding='utf-8').split('```\n')[1].splitlines()
    assert commands == [line.split('  ')[0] for line in block[:2]]
    assert "python: ['3.10', '3.13']" in workflow
