"""The check of tests/gpu for two GPUs, on two processes of the CPU: every process asks the others equally often."""
from gpu.two_processes import check_two_processes


def test_two_processes_average_their_gradients(tmp_path, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    check_two_processes('ifc', tmp_path, 'tiny')
