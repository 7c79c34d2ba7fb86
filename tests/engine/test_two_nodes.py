"""A job over two machines, played by two addresses of the loopback range: two processes each, Gloo."""
import os
import subprocess
from pathlib import Path

import pytest
import torch
from helpers.tiny_vis import make_tiny_dataset
from helpers.toy_training import toy_config

ROOT = Path(__file__).resolve().parents[2]
TEST_CONFIG = """
custom_imports = dict(imports=['helpers.toy_tracker'])
default_scope = 'mmvis'
model = dict(type='ToyTracker', num_classes=3)
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='VideoSampler'), collate_fn=dict(type='clip_collate'),
    dataset=dict(type='VISDataset', split='valid', data_root={root!r}, ann_file='valid.json', test_mode=True))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Data, configs and a checkpoint."""
    root = tmp_path_factory.mktemp('two nodes')
    make_tiny_dataset(root / 'data', num_videos=2, num_frames=4)
    make_tiny_dataset(root / 'data', num_videos=5, num_frames=4, split='valid')
    for name, hooks in dict(whole={}, parts={}, killed=dict(kill=dict(type='KillHook', after=4, rank=3))).items():
        cfg = toy_config(root / 'data', root / ('parts' if name == 'killed' else name))
        cfg.train_dataloader.batch_size = 1
        cfg.default_hooks.update(hooks)
        for key in ('work_dir', 'launcher'):
            cfg.pop(key)
        cfg.dump(root / f'{name}.py')
    for name in ('whole', 'parts'):
        (root / name).mkdir()
    (root / 'test.py').write_text(TEST_CONFIG.format(root=str(root / 'data')))
    torch.save({'state_dict': {'gain': torch.ones(1)}}, root / 'toy.pth')
    return root


@pytest.fixture(scope='module')
def two_nodes(python, folder):
    """Run a script on both machines: (exit code, what was printed) of each."""
    def run(script, *args):
        env = {key: value for key, value in os.environ.items() if key not in ('PORT', 'MASTER_PORT')}
        env.update(PYTHON=python, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / 'tests')]), OMP_NUM_THREADS='1',
                   CUDA_VISIBLE_DEVICES='', GLOO_SOCKET_IFNAME='lo', NNODES='2', MASTER_ADDR='127.0.0.2')
        nodes = [subprocess.Popen(['sh', str(ROOT / 'tools' / script), *map(str, args)], cwd=folder, text=True,
                                  env=dict(env, NODE_RANK=str(rank)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                 for rank in (0, 1)]
        said = [node.communicate(timeout=600)[0] for node in nodes]
        return [(node.returncode, text) for node, text in zip(nodes, said)]
    return run


def losses(folder, name):
    """Rank -> the lines of its iterations."""
    return [(folder / name / f'losses.txt.{rank}').read_text().splitlines() for rank in range(4)]


def test_a_killed_node_ends_the_training_which_goes_on_bit_by_bit(two_nodes, folder):
    for code, said in two_nodes('dist_train.sh', 'whole.py', 2, '--work-dir', 'whole'):
        assert code == 0 and ' of 2, 2 processes: meeting at 127.0.0.2, port ' in said, said
    assert [len(lines) for lines in losses(folder, 'whole')] == [6] * 4  # 8 clips, 2 x 2 a step, 3 epochs

    (first, said), (second, why) = two_nodes('dist_train.sh', 'killed.py', 2, '--work-dir', 'parts')
    assert second == 1 and 'error: Process 3 of the 2 on this machine was ended by SIGKILL' in why, why
    assert first == 1 and 'lost another one: what that, or the launcher on its machine, has said tells why.' in said, said
    assert 'Traceback' not in said + why
    for code, said in two_nodes('dist_train.sh', 'parts.py', 2, '--work-dir', 'parts', '--resume'):
        assert code == 0, said
    for whole, parts in zip(losses(folder, 'whole'), losses(folder, 'parts')):
        assert parts[-4:] == whole[2:]
    weights = [torch.load(folder / name / 'epoch_3.pth')['state_dict'] for name in ('whole', 'parts')]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_four_processes_on_two_nodes_give_the_bytes_of_one(two_nodes, python, folder):
    for code, said in two_nodes('dist_test.sh', 'test.py', 'toy.pth', 2, '--out', 'four.json'):
        assert code == 0, said
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / 'tests')]), CUDA_VISIBLE_DEVICES='')
    one = subprocess.run([python, ROOT / 'tools/test_video.py', 'test.py', 'toy.pth', '--out', 'one.json'], cwd=folder, env=env,
                         capture_output=True, text=True)
    assert one.returncode == 0, one.stderr
    assert (folder / 'four.json').read_bytes() == (folder / 'one.json').read_bytes() and not list(folder.glob('*.part*'))
