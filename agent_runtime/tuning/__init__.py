"""Block tuning: weights that play as well from cached blocks as with full attention.

data          generators of samples
evaluating    what a model answers in which mode, before and after
training      the loop; around it what a run is of (`config`, `preparing`, `launching`), its batches (`samples`,
              `tokens`, `rows`, `packing`, `stream`), its model (`student`, `attention`, `lora`), what it learns
              beside answers (`agreement` over `recordings`, `remembering`), and what it is measured on (`validation`)
shipping      an adapter as the package brings it
"""
