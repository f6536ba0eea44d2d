// A convolution with another way to its weight's gradient, for CPUs.
#pragma once

#include <ATen/core/Tensor.h>

namespace cornet {

// conv2d in bfloat16 whose weight's gradient is one product of matrices, over all pixels of the output: quicker than
// oneDNN's kernel where the filter outnumbers those pixels (docs/bench.md). x [n, c, h, w]; weight [o, c, k, k]; same
// stride and padding both ways. Result and gradients are bfloat16, channels-last.
at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding);

}  // namespace cornet
