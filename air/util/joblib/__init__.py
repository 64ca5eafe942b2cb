"""joblib's calls as tasks: ``pip install "airloom[sklearn]"``.

What uses joblib, as scikit-learn does for cross-validation, searches and forests, then runs on the
whole cluster::

    from air.util.joblib import register_air

    register_air()
    with joblib.parallel_config(backend="air"):
        scores = cross_val_score(estimator, x, y, n_jobs=-1)
"""

from __future__ import annotations

from air.executor.extras import check_extra

__all__ = ["register_air"]


def register_air() -> None:
    """Give joblib a backend called ``"air"``; doing so again changes nothing.

    Its options, given to ``joblib.parallel_config(backend="air", ...)``, are those of a task:
    ``num_cpus`` (1), ``num_gpus``, ``memory`` and ``resources`` that each call holds. ``n_jobs=-1``
    stands for as many calls as the cluster has CPUs for, beside those that the caller holds; where
    that is none, and on backends that run everything in one thread, calls are made one after the
    other in this process. Arguments of a mebibyte and more are stored once for all calls, and are
    read-only in them. What parallel calls themselves call in parallel runs in order.

    Raises:
        ImportError: joblib is not installed; says how to install it.
    """
    check_extra("joblib", "register_air", "airloom[sklearn]")
    import joblib

    from air.util.joblib.backend import AirBackend

    joblib.register_parallel_backend("air", AirBackend)
