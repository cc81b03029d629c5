"""Science catalogues: predictions of fitted probes for any store, streamed to Parquet and FITS."""

from euclidfm.predict.fields import Field
from euclidfm.predict.run import predict

__all__ = ["Field", "predict"]
