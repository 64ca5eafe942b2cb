"""Programs of other toolkits move over: the same names, arguments, kinds and defaults.

What is not offered is refused by name, with what to do instead.
"""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from air import data
from air.data import preprocessors
from air.errors import InvalidOption

KEYWORDS = {"compute": None}
RESOURCES = {"num_cpus": None, "num_gpus": None}
BATCHES = {
    "prefetch_batches": 1,
    "batch_size": 256,
    "batch_format": "default",
    "drop_last": False,
    "local_shuffle_buffer_size": None,
    "local_shuffle_seed": None,
}
TENSORS = {name: default for name, default in BATCHES.items() if name != "batch_format"}
FILES = {"filesystem": None, "parallelism": -1}
FUNCTION = {"fn_args": None, "fn_kwargs": None}
CLASS = {"fn_constructor_args": None, "fn_constructor_kwargs": None}
NEEDED = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("function", "positional", "by_name"),
    [
        (data.range, {"n": NEEDED}, {"parallelism": -1}),
        (data.range_table, {"n": NEEDED}, {"parallelism": -1}),
        (data.range_tensor, {"n": NEEDED}, {"shape": (1,), "parallelism": -1}),
        (data.from_items, {"items": NEEDED}, {"parallelism": -1}),
        (data.from_pandas, {"dfs": NEEDED}, {}),
        (data.from_arrow, {"tables": NEEDED}, {}),
        (data.from_numpy, {"ndarrays": NEEDED}, {}),
        (data.from_dask, {"df": NEEDED}, {}),
        (data.from_huggingface, {"dataset": NEEDED}, {}),
        (data.from_tf, {"dataset": NEEDED}, {}),
        (data.read_datasource, {"datasource": NEEDED}, {"parallelism": -1}),
        (
            data.read_csv,
            {"paths": NEEDED},
            {
                **FILES,
                "arrow_open_stream_args": None,
                "partitioning": data.Partitioning("hive", base_dir=""),
                "ignore_missing_paths": False,
            },
        ),
        (
            data.read_json,
            {"paths": NEEDED},
            {
                **FILES,
                "arrow_open_stream_args": None,
                "partitioning": data.Partitioning("hive", base_dir=""),
                "ignore_missing_paths": False,
            },
        ),
        (
            data.read_delta,
            {"path": NEEDED},
            {"version": None, "columns": None, "storage_options": None, "parallelism": -1},
        ),
        (
            data.read_iceberg,
            {"table_identifier": NEEDED},
            {
                "row_filter": None,
                "parallelism": -1,
                "selected_fields": ("*",),
                "snapshot_id": None,
                "catalog_kwargs": None,
            },
        ),
        (
            data.read_text,
            {"paths": NEEDED},
            {
                **FILES,
                "encoding": "utf-8",
                "errors": "ignore",
                "drop_empty_lines": True,
                "partitioning": None,
            },
        ),
        (
            data.read_tfrecords,
            {"paths": NEEDED},
            {**FILES, "arrow_open_stream_args": None, "ignore_missing_paths": False},
        ),
        (
            data.read_webdataset,
            {"paths": NEEDED},
            {
                **FILES,
                **dict.fromkeys(("arrow_open_stream_args", "fileselect", "filerename", "suffixes")),
                "decoder": True,
            },
        ),
        (
            data.read_binary_files,
            {"paths": NEEDED},
            {**FILES, "include_paths": False, "partitioning": None},
        ),
        (
            data.read_numpy,
            {"paths": NEEDED},
            {**FILES, "arrow_open_stream_args": None, "partitioning": None},
        ),
        (
            data.read_images,
            {"paths": NEEDED},
            {
                **FILES,
                "partitioning": None,
                "size": None,
                "mode": None,
                "include_paths": False,
                "ignore_missing_paths": False,
            },
        ),
        (data.Dataset.copy, {}, {}),
        (data.Dataset.default_batch_format, {}, {}),
        (data.Dataset.to_random_access_dataset, {"key": NEEDED, "num_workers": None}, {}),
        (data.RandomAccessDataset.get_async, {"key": NEEDED}, {}),
        (data.RandomAccessDataset.multiget, {"keys": NEEDED}, {}),
        (data.Dataset.write_numpy, {"path": NEEDED}, {"column": None, "try_create_dir": True}),
        (data.read_sql, {"sql": NEEDED, "connection_factory": NEEDED}, {"parallelism": -1}),
        (data.Dataset.write_sql, {"sql": NEEDED, "connection_factory": NEEDED}, {}),
        (data.read_parquet, {"paths": NEEDED}, {**FILES, "columns": None}),
        (data.Dataset.map, {"fn": NEEDED}, {**KEYWORDS, **RESOURCES}),
        (data.Dataset.flat_map, {"fn": NEEDED}, {**KEYWORDS, **RESOURCES}),
        (data.Dataset.filter, {"fn": NEEDED}, KEYWORDS),
        (data.Dataset.add_column, {"col": NEEDED, "fn": NEEDED}, KEYWORDS),
        (
            data.Dataset.map_batches,
            {"fn": NEEDED},
            {
                "batch_size": "default",
                "batch_format": "default",
                "zero_copy_batch": False,
                **KEYWORDS,
                **RESOURCES,
                **FUNCTION,
                **CLASS,
            },
        ),
        (data.Dataset.select_columns, {"cols": NEEDED}, {}),
        (data.Dataset.drop_columns, {"cols": NEEDED}, {}),
        (data.Dataset.limit, {"limit": NEEDED}, {}),
        (data.Dataset.repartition, {"num_blocks": NEEDED}, {"shuffle": False}),
        (data.Dataset.random_shuffle, {}, {"seed": None, "num_blocks": None}),
        (data.Dataset.sort, {"key": None, "descending": False}, {}),
        (data.Dataset.groupby, {"key": NEEDED}, {}),
        (
            data.GroupedData.map_groups,
            {"fn": NEEDED},
            {**KEYWORDS, **RESOURCES, **FUNCTION, **CLASS, "batch_format": "default"},
        ),
        *(
            (method, {"on": None, "ignore_nulls": True}, {})
            for method in (
                data.GroupedData.sum,
                data.GroupedData.min,
                data.GroupedData.max,
                data.GroupedData.mean,
            )
        ),
        (data.GroupedData.std, {"on": None, "ddof": 1, "ignore_nulls": True}, {}),
        *(
            (kind.__init__, {"on": None, "ignore_nulls": True, "alias_name": None}, {})
            for kind in (
                data.aggregate.AbsMax,
                data.aggregate.Max,
                data.aggregate.Mean,
                data.aggregate.Min,
                data.aggregate.Sum,
            )
        ),
        (
            data.aggregate.Quantile.__init__,
            {"on": None, "q": 0.5, "ignore_nulls": True, "alias_name": None},
            {},
        ),
        (
            data.aggregate.AggregateFn.__init__,
            {
                "init": NEEDED,
                "merge": NEEDED,
                "accumulate_row": None,
                "accumulate_block": None,
                "finalize": None,
                "name": None,
            },
            {},
        ),
        (
            data.aggregate.Std.__init__,
            {"on": None, "ddof": 1, "ignore_nulls": True, "alias_name": None},
            {},
        ),
        (data.Dataset.split, {"n": NEEDED}, {"equal": False}),
        (data.Dataset.streaming_split, {"n": NEEDED}, {"equal": False}),
        (data.Dataset.split_at_indices, {"indices": NEEDED}, {}),
        (data.Dataset.split_proportionately, {"proportions": NEEDED}, {}),
        (data.Dataset.train_test_split, {"test_size": NEEDED}, {"shuffle": False, "seed": None}),
        (data.Dataset.window, {}, {"blocks_per_window": None, "bytes_per_window": None}),
        (data.Dataset.repeat, {"times": None}, {}),
        (data.Dataset.input_files, {}, {}),
        (data.DataIterator.iter_epochs, {"max_epoch": -1}, {}),
        (data.set_progress_bars, {"enabled": NEEDED}, {}),
        (data.Dataset.take, {"limit": 20}, {}),
        (data.Dataset.take_all, {"limit": None}, {}),
        (data.Dataset.take_batch, {"batch_size": 20}, {"batch_format": "default"}),
        (data.Dataset.show, {"limit": 20}, {}),
        (data.Dataset.schema, {"fetch_if_missing": True}, {}),
        (data.Dataset.columns, {"fetch_if_missing": True}, {}),
        (data.Dataset.to_dask, {"meta": None}, {}),
        (data.Dataset.to_pandas, {"limit": 100_000}, {}),
        (data.Dataset.iter_batches, {}, BATCHES),
        (data.DataIterator.iter_batches, {}, BATCHES),
        *(
            (kind.iter_tf_batches, {}, {**TENSORS, "dtypes": None})
            for kind in (data.Dataset, data.DataIterator)
        ),
        *(
            (
                kind.to_tf,
                {"feature_columns": NEEDED, "label_columns": NEEDED},
                {**TENSORS, "batch_size": 1},
            )
            for kind in (data.Dataset, data.DataIterator)
        ),
        (data.Dataset.sum, {"on": None, "ignore_nulls": True}, {}),
        (data.Dataset.std, {"on": None, "ddof": 1, "ignore_nulls": True}, {}),
        (
            data.Dataset.write_csv,
            {"path": NEEDED},
            {"filesystem": None, "try_create_dir": True, "arrow_open_stream_args": None},
        ),
        (
            data.Dataset.write_parquet,
            {"path": NEEDED},
            {"filesystem": None, "try_create_dir": True},
        ),
        (
            data.Dataset.write_delta,
            {"path": NEEDED},
            {"mode": "append", "partition_cols": None, "storage_options": None},
        ),
        (
            data.Dataset.write_iceberg,
            {"table_identifier": NEEDED},
            {"catalog_kwargs": None, "snapshot_properties": None},
        ),
        (
            data.ActorPoolStrategy,
            {},
            {
                "size": None,
                "min_size": None,
                "max_size": None,
                "max_tasks_in_flight_per_actor": None,
            },
        ),
        (
            preprocessors.BatchMapper,
            {"fn": NEEDED, "batch_format": NEEDED, "batch_size": "default"},
            {},
        ),
        (
            preprocessors.Concatenator,
            {
                "output_column_name": "concat_out",
                "include": None,
                "exclude": None,
                "dtype": None,
                "raise_if_missing": False,
            },
            {},
        ),
        (
            preprocessors.CustomKBinsDiscretizer,
            {"columns": NEEDED, "bins": NEEDED},
            {"right": True, "include_lowest": False, "duplicates": "raise", "dtypes": None},
        ),
        (preprocessors.LabelEncoder, {"label_column": NEEDED}, {}),
        (preprocessors.MaxAbsScaler, {"columns": NEEDED}, {}),
        (
            preprocessors.RobustScaler,
            {"columns": NEEDED, "quantile_range": (0.25, 0.75)},
            {},
        ),
        (preprocessors.MinMaxScaler, {"columns": NEEDED}, {}),
        (preprocessors.StandardScaler, {"columns": NEEDED}, {}),
        (preprocessors.Normalizer, {"columns": NEEDED, "norm": "l2"}, {}),
        (preprocessors.OneHotEncoder, {"columns": NEEDED}, {"max_categories": None}),
        (preprocessors.OrdinalEncoder, {"columns": NEEDED}, {"encode_lists": True}),
        (
            preprocessors.CountVectorizer,
            {"columns": NEEDED, "tokenization_fn": None, "max_features": None},
            {},
        ),
        (preprocessors.FeatureHasher, {"columns": NEEDED, "num_features": NEEDED}, {}),
        (
            preprocessors.HashingVectorizer,
            {"columns": NEEDED, "num_features": NEEDED, "tokenization_fn": None},
            {},
        ),
        (preprocessors.Categorizer, {"columns": NEEDED, "dtypes": None}, {}),
        (preprocessors.MultiHotEncoder, {"columns": NEEDED}, {"max_categories": None}),
        (preprocessors.Tokenizer, {"columns": NEEDED, "tokenization_fn": None}, {}),
        (
            preprocessors.PowerTransformer,
            {"columns": NEEDED, "power": NEEDED, "method": "yeo-johnson"},
            {},
        ),
        (
            preprocessors.TorchVisionPreprocessor,
            {"columns": NEEDED, "transform": NEEDED, "output_columns": None, "batched": False},
            {},
        ),
        (
            preprocessors.UniformKBinsDiscretizer,
            {"columns": NEEDED, "bins": NEEDED},
            {"right": True, "include_lowest": False, "duplicates": "raise", "dtypes": None},
        ),
        (
            preprocessors.SimpleImputer,
            {"columns": NEEDED, "strategy": "mean", "fill_value": None},
            {},
        ),
    ],
)
def test_arguments_have_their_usual_names_kinds_and_defaults(function, positional, by_name):
    parameters = [
        each for name, each in inspect.signature(function).parameters.items() if name != "self"
    ]
    by_position = {
        each.name: each.default
        for each in parameters
        if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    keywords = {
        each.name: each.default
        for each in parameters
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert list(by_position.items()) == list(positional.items())
    assert {name: keywords.get(name, "not there") for name in by_name} == by_name


records = data.from_items([{"a": 1}, {"a": 2}])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: data.read_csv("x", sep=";"), "'sep': use parse_options=pyarrow.csv.ParseOptions"),
        (lambda: data.read_csv("x", header=None), "'header': use read_options=pyarrow.csv.Read"),
        (lambda: data.read_csv("x", dtype={}), "'dtype': use convert_options=pyarrow.csv.Conv"),
        (lambda: data.read_csv("x", usecols=["a"]), "'usecols': use .select_columns([...])"),
        (lambda: data.read_csv("x", nrows=3), "'nrows': use .limit(n)"),
        (lambda: data.read_csv("x", partition_filter=len), "'partition_filter': give the files"),
        (lambda: data.read_csv("x", ray_remote_args={}), "'ray_remote_args': reading takes a CPU"),
        (lambda: data.read_parquet("x", filters=[]), "'filters': use .filter(...)"),
        (lambda: data.read_parquet("x", meta_provider=1), "'meta_provider': sizes and columns"),
        (lambda: data.from_items([], output_arrow_format=False), "dictionaries become columns"),
        (lambda: records.split(2, locality_hints=[]), "'locality_hints': parts are the same rows"),
        (lambda: records.select_columns("a", compute=None), "'compute': picking columns is done"),
        (lambda: records.random_shuffle(ray_remote_args={}), "'ray_remote_args': shuffling takes"),
        (lambda: records.write_csv("x", index=False), "'index': rows have no index"),
        (lambda: records.write_csv("x", sep=";"), "'sep': use write_options=pyarrow.csv.Write"),
        (lambda: records.write_parquet("x", index=False), "'index': rows have no index"),
        (
            lambda: records.write_parquet("x", arrow_open_stream_args={}),
            "'arrow_open_stream_args': Parquet files are compressed inside",
        ),
        (lambda: records.iter_batches(prefetch_blocks=1), "Did you mean 'prefetch_batches'?"),
        (lambda: data.read_csv("x", partitioning="hive"), "partitioning must be an air.data.Par"),
        (lambda: data.read_csv("x", include_paths="yes"), "include_paths must be True or False"),
        (lambda: data.read_csv("x", ignore_missing_paths=1), "ignore_missing_paths must be True"),
        (lambda: data.Partitioning("hiv"), "unknown style 'hiv'. Did you mean 'hive'?"),
        (lambda: data.Partitioning("dir"), "style='dir' needs field_names"),
        (lambda: data.Partitioning("dir", field_names=["a", "a"]), "a list of different names"),
        (lambda: data.Partitioning("hive", field_names="year"), "a list of different names"),
        (lambda: data.Partitioning("hive", base_dir=3), "base_dir must be text or None, got 3"),
        (
            lambda: records.to_pandas(1),
            "more than limit=1 rows; give a higher limit, or limit=None",
        ),
        (lambda: records.schema(fetch_if_missing=0), "fetch_if_missing must be True or False"),
        (lambda: records.repartition(2, shuffle=1), "repartition: shuffle must be True or False"),
        (lambda: records.random_shuffle(num_blocks=0), "num_blocks must be a whole number >= 1"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_to_do(tmp_path, monkeypatch, call, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("a\n1\n")
    with pytest.raises(InvalidOption, match=re.escape(message)):
        call()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gzip", "arrow_open_stream_args must be a dict such as"),
        ({"compresion": "gzip"}, "has no option 'compresion'. Did you mean 'compression'?"),
        ({"compression": "gzp"}, "unknown compression 'gzp'. Did you mean 'gzip'?"),
        ({"buffer_size": 0}, "buffer_size must be a whole number >= 1, got 0"),
    ],
)
def test_how_files_are_opened_is_checked(tmp_path, given, message):
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(InvalidOption, match=re.escape(message)):
        data.read_csv(tmp_path, arrow_open_stream_args=given)
    with pytest.raises(InvalidOption, match=re.escape(message)):
        records.write_csv(tmp_path / "out", arrow_open_stream_args=given)


def test_what_is_not_known_need_not_be_found_out():
    ran = []
    ds = records.map(lambda row: ran.append(row) or row)
    assert ds.schema(fetch_if_missing=False) is None
    assert ds.columns(fetch_if_missing=False) is None
    assert ran == []
    assert ds.columns() == ["a"]
    assert records.columns(fetch_if_missing=False) == ["a"]


def test_only_so_many_rows_become_a_frame_by_mistake():
    ds = data.range_table(100_001)
    with pytest.raises(InvalidOption, match="more than limit=100000 rows"):
        ds.to_pandas()
    assert len(ds.to_pandas(limit=None)) == 100_001
    assert len(ds.limit(100_000).to_pandas()) == 100_000


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("aggregate", "AggregateFn"),
        ("datasource", "Datasource"),
        ("grouped_data", "GroupedData"),
        ("preprocessor", "Preprocessor"),
        ("preprocessors", "StandardScaler"),
    ],
)
def test_names_are_in_their_usual_modules(module, name):
    assert hasattr(importlib.import_module(f"air.data.{module}"), name)
