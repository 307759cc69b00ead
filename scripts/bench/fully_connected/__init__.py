"""What fully connected kernels cost, dense and sparse, by shape of the weight and rows."""
