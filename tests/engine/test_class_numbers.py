"""Model, data and checkpoint are compared before anything is run."""
import pytest
import torch
from helpers.tiny_vis import make_tiny_dataset
from helpers.toy_tracker import ToyTracker
from mmengine.config import Config

from mmvis.converters import load_checkpoint
from mmvis.datasets import VISDataset
from mmvis.engine import load_config
from mmvis.engine.class_numbers import (
    check_classes,
    check_data,
    check_ground_truth,
    check_start,
    check_trained,
    fill_class_number,
)
from mmvis.errors import InputError
from mmvis.registry import MODELS


@pytest.fixture
def said(monkeypatch):
    """Warnings of a test."""
    lines = []
    monkeypatch.setattr('mmvis.engine.class_numbers.print_log', lambda text, logger, level: lines.append(text))
    return lines


def test_fewer_classes_than_categories_are_refused_and_more_are_one_warning(tmp_path, said):
    file = make_tiny_dataset(tmp_path)  # three categories
    data = VISDataset(data_root=str(tmp_path), ann_file='train.json', test_mode=True)
    check_data(ToyTracker(num_classes=3), [data, data])
    assert said == []
    with pytest.raises(InputError, match=f'{file} has 3 categories, but the model tells only 2 classes apart'):
        check_data(ToyTracker(num_classes=2), [data])
    check_data(ToyTracker(num_classes=5), [data, data])
    assert said == [f'{file} has 3 categories and the model 5 classes: the last 2 have no data.']
    two = VISDataset(data_root=str(tmp_path), ann_file='train.json', classes=['square', 'plate'], test_mode=True)
    check_data(ToyTracker(num_classes=2), [two])


@pytest.mark.parametrize('config, number', [
    ('masktrack_rcnn_r18_fpn_sample', 8), ('sipmask_r18_sample', 8), ('condinst_iai_r18_sample', 8), ('memcnp_r18_sample', 8),
    ('ifc_r18_sample', 8), ('instanceformer_r18_sample', 8), ('instanceformer_r50_ytvis2021', 40)])
def test_every_system_says_how_many_classes_it_tells_apart(config, number):
    with torch.device('meta'):
        model = MODELS.build(load_config(f'{config}.py').model)
    assert check_classes(model, number, 'x')
    with pytest.raises(InputError, match=f'tells only {number} classes apart'):
        check_classes(model, number + 1, 'x')


class Two(torch.nn.Module):

    def __init__(self, rows=3, names=4):
        super().__init__()
        self.layers = torch.nn.ModuleDict({f'l{i}': torch.nn.Linear(2, 2, bias=False) for i in range(names)})
        self.head = torch.nn.Linear(2, rows, bias=False)


def report_of(file, model, tmp_path, classes=None):
    meta = dict(dataset_meta=dict(classes=classes, category_ids=list(range(len(classes or ())))))
    torch.save(dict(state_dict=file, meta=meta), tmp_path / 'x.pth')
    return load_checkpoint(model, tmp_path / 'x.pth', logger='silent')


def test_a_checkpoint_to_be_tested(tmp_path, said):
    whole = Two().state_dict()
    check_trained(report_of(whole, Two(), tmp_path, ['a', 'b', 'c']), 'x.pth', Two(), ('a', 'b', 'c'))
    assert said == []
    few = {key: value for key, value in whole.items() if key != 'layers.l0.weight'}
    check_trained(report_of(few, Two(), tmp_path), 'x.pth', Two())
    assert 'x.pth (layers.l0.weight first). They keep their initial values' in said.pop()
    check_trained(report_of(whole, Two(), tmp_path, ['a', 'c', 'b']), 'x.pth', Two(), ('a', 'b', 'c'))
    assert said.pop() == 'x.pth was trained on the classes a, c, b; the data have a, b, c.'
    for file, sentence in (({'head.weight': whole['head.weight']}, '4 of the 5 tensors of Two are not in x.pth'),
                           (Two(rows=7).state_dict(), r'head.weight has shape \[7, 2\], the model has \[3, 2\]')):
        report = report_of(file, Two(), tmp_path)
        with pytest.raises(InputError, match=f'{sentence}.*--load-anyway'):
            check_trained(report, 'x.pth', Two())
        check_trained(report, 'x.pth', Two(), anyway=True)
        assert 'no results of a trained model' in said.pop()


def test_weights_to_start_from(tmp_path, said):
    check_start(report_of(Two().state_dict(), Two(), tmp_path), 'x.pth', Two())
    check_start(report_of({'layers.l0.weight': torch.ones(2, 2)}, Two(), tmp_path), 'x.pth', Two())  # a backbone alone
    assert said == []
    check_start(report_of(Two(rows=7).state_dict(), Two(), tmp_path), 'x.pth', Two())
    assert said == ['head.weight of x.pth: shape [7, 2], the model has [3, 2]. It starts anew.']
    foreign = {'head.weight': torch.ones(3, 2), **{f'other.{i}': torch.ones(1) for i in range(5)}}
    with pytest.raises(InputError, match=r'Only 1 of the 6 tensors of x.pth have a place in Two \(other.0 has none\)'):
        check_start(report_of(foreign, Two(), tmp_path), 'x.pth', Two())


def test_number_zero_stands_for_those_of_the_annotation_file(tmp_path):
    make_tiny_dataset(tmp_path)
    data = dict(type='VISDataset', data_root=str(tmp_path), ann_file='train.json', classes=['bar', 'square'],
                test_mode=True)
    part = dict(num_classes=0)
    cfg = Config(dict(num_classes=0, model=dict(heads=[part, dict(num_classes=9)], bias=False), default_scope='mmvis',
                      train_dataloader=dict(dataset=data)))
    fill_class_number(cfg)
    assert cfg.model == dict(heads=[dict(num_classes=2), dict(num_classes=9)], bias=False) and cfg.num_classes == 2
    with pytest.raises(InputError, match='num_classes is 0.*no data loader'):
        fill_class_number(Config(dict(model=part)))


def test_a_validation_needs_ground_truth(tmp_path):
    file = make_tiny_dataset(tmp_path, annotated=False)
    with pytest.raises(InputError, match=f'{file} has no annotations, so nothing can be validated on it'):
        check_ground_truth(VISDataset(data_root=str(tmp_path), ann_file='train.json', test_mode=True))
