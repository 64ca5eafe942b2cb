"""Steps for which every block may need rows of every other.

Each is done by ordinary stages. The last transform of one *scatters*: it puts the rows of a block
in an order, and says where in it what begins, or which rows to go by. When all blocks are there,
the units of another stage are slices of them, which it *gathers*. In between rows stay where they
are, or wait in files where memory is short (:mod:`air.data.execution.exchange.sections`).
"""
