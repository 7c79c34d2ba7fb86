"""Packaging of mmvis: ``pip install -e .``, or ``pip install .`` for a copy that needs no checkout.

The rule for mmcv. mmcv-lite and a compiled mmcv share their files, so only one of them may be asked for. What is built in
isolation, which is pip's way unless it is told otherwise, asks for mmcv-lite. With ``--no-build-isolation`` it is made for
the environment that builds it, and asks for neither where a compiled mmcv is installed. A wheel that is at hand is
installed beside a compiled mmcv with ``pip install --no-deps``.
"""
import importlib.metadata
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: What the server of ``mmvis view`` runs on.
VIEW = ['starlette>=0.40', 'uvicorn>=0.30']


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


def shipped_files() -> list:
    """What lies beside the package in a checkout and inside it in a wheel (see mmvis/shipped.py)."""
    models = ROOT / 'models'
    files = [*(ROOT / 'configs').rglob('*.py'), *(ROOT / 'configs').rglob('*.md'), *(ROOT / 'tools').rglob('*.py'),
             *models.glob('*_sample.pth'), models / 'checkpoints.json', models / 'README.md']
    return sorted(file.relative_to(ROOT) for file in files)


class BuildWithShipped(build_py):
    """Puts the shipped files into a wheel; an editable installation finds them in the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / 'mmvis' / '_shipped'
            shutil.rmtree(target, ignore_errors=True)  # what an earlier build has left in build/
            for file in shipped_files():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / file, target / file)

    def get_source_files(self) -> list:
        """For a source archive."""
        return super().get_source_files() + ['requirements.txt', *map(str, shipped_files())]


setup(
    name='mmvis',
    version=read_version(),
    description='A toolbox for video instance segmentation: detect, segment and track every object of a video.',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmvis', 'mmvis.*']),
    package_data={'mmvis': ['py.typed', 'models/*/README.md', 'view/static/*']},
    cmdclass={'build_py': BuildWithShipped},
    entry_points={'console_scripts': ['mmvis = mmvis.__main__:main']},
    python_requires='>=3.10,<3.14',
    install_requires=read_requirements(),
    extras_require={
        'full': ['mmcv>=2.0.0,<2.2.0'],
        'hub': ['huggingface_hub>=0.24'],
        'supervision': ['supervision>=0.25', 'pandas>=2'],
        'video': ['av>=16'],
        'view': VIEW,
        'tests': [*VIEW, 'playwright>=1.40', 'av>=16', 'pytest>=7', 'pytest-xdist>=3.5', 'hypothesis>=6', 'timm>=1.0.15',
                  'supervision>=0.25', 'pandas>=2', 'ruff>=0.8', 'mypy>=1.13',
                  # the network of VidEoMT there is compared with ours
                  'transformers>=5.24'],
    },
    zip_safe=False,
)
