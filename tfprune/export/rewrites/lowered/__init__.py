"""Networks in the vocabulary of XNNPACK's sparse mode: one way in, few operators, one way out.

The mode takes 1x1 convolutions, depthwise convolutions, sums and products between a first
convolution of stride 2 over three channels and a MEAN or DEPTH_TO_SPACE. What else a network has
is written in these terms, operator by operator (`walk`), or stays outside, and with it all that
comes after. Between them lie images (`image`): tensors of the mode, in blocks of 1, 2x2 or 4x4
places whose values are channels of one place.
"""
