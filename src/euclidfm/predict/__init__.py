"""Catalogues for science: what fitted probes say of any store, streamed to Parquet and FITS."""

from euclidfm.predict.fields import Field
from euclidfm.predict.run import predict

__all__ = ["Field", "predict"]
