"""WebDataset: samples as neighbouring files in tar archives (https://github.com/webdataset).

``samples.py`` groups files into samples, ``coding.py`` makes values of files and files of values;
``source.py`` and ``format.py`` put them to use.
"""

from __future__ import annotations
