"""Files of TFRecords with ``Example`` messages, read and written without TensorFlow.

``framing.py`` cuts files into records, ``decoding.py`` makes columns of messages and
``encoding.py`` messages of columns; ``source.py`` and ``format.py`` put them to use.
"""

from __future__ import annotations
