"""Block attention in Triton kernels: the way of a GPU, beside the two ways in plain torch.

On NVIDIA's GPUs it is taken where it proves itself at load (`engine/choice.py`), or by name
(`ForwardRunner(way=BY_KERNELS)`).
"""
