"""Packaging of mmvis: ``pip install -e .`` (``pip install -e .[full]`` beside a compiled mmcv)."""
import importlib.metadata
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    scope: dict = {}
    exec((ROOT / 'mmvis' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


def has_compiled_mmcv() -> bool:
    """Whether the distribution ``mmcv`` is installed: mmcv-lite would overwrite its files, so it must not be added."""
    try:
        importlib.metadata.version('mmcv')
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def read_requirements() -> list:
    lines = (ROOT / 'requirements.txt').read_text(encoding='utf-8').splitlines()
    wanted = [line.strip() for line in lines if line.strip() and not line.startswith('#')]
    if has_compiled_mmcv():
        wanted = [line for line in wanted if not line.startswith('mmcv-lite')]
    return wanted


setup(
    name='mmvis',
    version=read_version(),
    description='A toolbox for video instance segmentation: detect, segment and track every object of a video.',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmvis', 'mmvis.*']),
    package_data={'mmvis': ['models/*/README.md']},
    python_requires='>=3.10,<3.14',
    install_requires=read_requirements(),
    extras_require={
        'full': ['mmcv>=2.0.0,<2.2.0'],
        'supervision': ['supervision>=0.25', 'pandas>=2'],
        'tests': ['pytest>=7', 'pytest-xdist>=3.5', 'hypothesis>=6', 'timm>=1.0.15', 'supervision>=0.25',
                  'pandas>=2',
                  # the network of VidEoMT there is compared with ours
                  'transformers>=5.24'],
    },
    zip_safe=False,
)
