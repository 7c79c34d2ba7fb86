"""The category tables of the public sets, and how a file's own table is matched with one."""
from typing import Dict, Mapping, Optional, Sequence, Tuple, Union

from mmvis.errors import InputError, shown

#: YouTube-VIS 2019: category id -> name; the published ids run from 1 in this order.
YTVIS_2019 = dict(enumerate((
    'person', 'giant_panda', 'lizard', 'parrot', 'skateboard', 'sedan', 'ape', 'dog', 'snake', 'monkey', 'hand',
    'rabbit', 'duck', 'cat', 'cow', 'fish', 'train', 'horse', 'turtle', 'bear', 'motorbike', 'giraffe', 'leopard',
    'fox', 'deer', 'owl', 'surfboard', 'airplane', 'truck', 'zebra', 'tiger', 'elephant', 'snowboard', 'boat',
    'shark', 'mouse', 'frog', 'eagle', 'earless_seal', 'tennis_racket'), start=1))

#: YouTube-VIS 2021 and 2022: category id -> name.
YTVIS_2021 = dict(enumerate((
    'airplane', 'bear', 'bird', 'boat', 'car', 'cat', 'cow', 'deer', 'dog', 'duck', 'earless_seal', 'elephant',
    'fish', 'flying_disc', 'fox', 'frog', 'giant_panda', 'giraffe', 'horse', 'leopard', 'lizard', 'monkey',
    'motorbike', 'mouse', 'parrot', 'person', 'rabbit', 'shark', 'skateboard', 'snake', 'snowboard', 'squirrel',
    'surfboard', 'tennis_racket', 'tiger', 'train', 'truck', 'turtle', 'whale', 'zebra'), start=1))

#: OVIS: category id -> name ('Vehical' is the spelling of the annotation files).
OVIS = dict(enumerate((
    'Person', 'Bird', 'Cat', 'Dog', 'Horse', 'Sheep', 'Cow', 'Elephant', 'Bear', 'Zebra', 'Giraffe', 'Poultry',
    'Giant_panda', 'Lizard', 'Parrot', 'Monkey', 'Rabbit', 'Tiger', 'Fish', 'Turtle', 'Bicycle', 'Motorcycle',
    'Airplane', 'Boat', 'Vehical'), start=1))

Table = Sequence[Tuple[int, str]]


def match_published(table: Table, published: Mapping[int, str], set_name: str, ann_file: str) -> None:
    """Check that a file belongs to a named set: every category of its table has the published name under its id.

    Spelling is compared without regard to case, spaces, underscores and hyphens.

    Raises:
        ValueError: the table is that of another set.
    """
    for category_id, name in table:
        expected = published.get(category_id)
        if expected is None:
            raise InputError(f'{ann_file}: categories: id {category_id} ({name!r}) is not one of the {len(published)} '
                             f'categories of {set_name}{_hint(table)}.')
        if _plain(name) != _plain(expected):
            raise InputError(f'{ann_file}: categories: id {category_id} is {name!r}, but {expected!r} in {set_name}'
                             f'{_hint(table)}.')


def choose_classes(table: Table, classes: Optional[Sequence[str]], ann_file: str) -> Table:
    """The (id, name) pairs, in label order, of a file of one's own.

    Without ``classes`` the labels follow the file's table. With ``classes`` they follow that list; categories that it
    leaves out are not read.

    Raises:
        ValueError: a name of ``classes`` is not in the file's table, or two categories have it.
    """
    ids: Dict[str, Union[int, str]] = {}
    for category_id, name in table:
        if name in ids and (classes is None or name in classes):
            raise InputError(f'{ann_file}: categories: ids {ids[name]!r} and {category_id!r} have the same name, '
                             f'{shown(name)}, so it does not say which class is meant.')
        ids[name] = category_id
    if classes is None:
        return list(table)
    for name in classes:
        if name not in ids:
            raise InputError(f'{ann_file}: categories: the class {name!r} of `classes` is not there; '
                             f'the file has {", ".join(sorted(ids))}.')
    return [(ids[name], name) for name in classes]


def _plain(name: str) -> str:
    return name.lower().replace(' ', '').replace('_', '').replace('-', '')


def _hint(table: Table) -> str:
    """Which published table a foreign one is, if it is one."""
    found = {category_id: _plain(name) for category_id, name in table}
    for name, published in (('YouTube-VIS 2019', YTVIS_2019), ('YouTube-VIS 2021 and 2022', YTVIS_2021),
                            ('OVIS', OVIS)):
        if found == {category_id: _plain(other) for category_id, other in published.items()}:
            return f'; the table is that of {name}'
    return ''
