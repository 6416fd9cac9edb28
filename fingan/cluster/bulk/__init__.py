"""Any number of rows as a folder of Parquet parts, made by Ray tasks.

The parts in the order of their names hold the rows of `Generator.iter_batches` in their order. A
call that was stopped or failed is continued by the same call: whole parts are kept.

Parts are cut just where `partition_rows` says. The generator makes whole blocks of 1,024 rows, so a
part makes fewer than two blocks in vain, .2 % of a part of a million rows: too little to give the
user other parts than those asked for.
"""

from fingan.cluster.bulk.driver import PartProgress, Sampled, sample_partitions
from fingan.cluster.bulk.jobs import JobWriter

__all__ = ["JobWriter", "PartProgress", "Sampled", "sample_partitions"]
