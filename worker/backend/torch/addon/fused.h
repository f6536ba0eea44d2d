// Operations that libtorch runs in several passes over memory, in one or two, by kernels of our own. For GPUs only.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace cornet {

// Empty, or why there are no fused operations on the device. The first call compiles them, in about a second.
std::string whyNotFused(c10::Device device);

// relu(group norm of x): x [n, c, h, w]; weight and bias [c], float32. Computes in float32; result and gradient of x are
// bfloat16, channels-last. The same bits every time.
at::Tensor groupNormRelu(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                         double epsilon);

}  // namespace cornet
