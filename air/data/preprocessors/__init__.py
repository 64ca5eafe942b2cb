"""Preprocessors: fit them on a dataset, then transform datasets and batches with them."""

from __future__ import annotations

from air.data.preprocessor import Preprocessor, PreprocessorNotFittedException
from air.data.preprocessors.batch_mapper import BatchMapper
from air.data.preprocessors.categories import Categorizer, MultiHotEncoder
from air.data.preprocessors.chain import Chain
from air.data.preprocessors.concatenator import Concatenator
from air.data.preprocessors.discretizers import CustomKBinsDiscretizer, UniformKBinsDiscretizer
from air.data.preprocessors.encoders import LabelEncoder, OneHotEncoder, OrdinalEncoder
from air.data.preprocessors.imputer import SimpleImputer
from air.data.preprocessors.rows import Normalizer, PowerTransformer
from air.data.preprocessors.scalers import (
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from air.data.preprocessors.text import (
    CountVectorizer,
    FeatureHasher,
    HashingVectorizer,
    Tokenizer,
)
from air.data.torch.preprocessor import TorchVisionPreprocessor

__all__ = [
    "BatchMapper",
    "Categorizer",
    "Chain",
    "Concatenator",
    "CountVectorizer",
    "CustomKBinsDiscretizer",
    "FeatureHasher",
    "HashingVectorizer",
    "LabelEncoder",
    "MaxAbsScaler",
    "MinMaxScaler",
    "MultiHotEncoder",
    "Normalizer",
    "OneHotEncoder",
    "OrdinalEncoder",
    "PowerTransformer",
    "Preprocessor",
    "PreprocessorNotFittedException",
    "RobustScaler",
    "SimpleImputer",
    "StandardScaler",
    "Tokenizer",
    "TorchVisionPreprocessor",
    "UniformKBinsDiscretizer",
]
