"""Block attention in Triton kernels: the way of a GPU, beside the two ways in plain torch.

It is asked for by name (`ForwardRunner(way=BY_KERNELS)`) until it has been measured on a GPU; then it is chosen there.
"""
