"""Sets for the evaluator, made once a session, and its two implementations of the inner loops."""
import hashlib
import json
from pathlib import Path

import pytest
from helpers.eval_sets import write_set

GOLDEN = Path(__file__).parents[1] / 'golden' / 'eval'


@pytest.fixture(scope='session')
def expected_numbers():
    """What the official codes give on the sets, by name."""
    return json.loads((GOLDEN / 'expected.json').read_text())


@pytest.fixture(scope='session')
def eval_set(tmp_path_factory, expected_numbers):
    """name -> files of annotations and results, which must have the bytes that the official codes were run on."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = write_set(name, tmp_path_factory.mktemp(name))
            for file, kind in zip(made[name], ('gt', 'results')):
                assert hashlib.sha256(file.read_bytes()).hexdigest() == expected_numbers[name]['files'][kind]
        return made[name]

    return make


@pytest.fixture(scope='session', autouse=True)
def own_cache_folder(tmp_path_factory):
    """Tests neither use nor leave anything in the cache folder of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield
