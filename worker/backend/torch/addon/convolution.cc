#include "convolution.h"

#include "border.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <tuple>

namespace cornet {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor inLayout(const at::Tensor& tensor) { return tensor.contiguous(at::MemoryFormat::ChannelsLast); }

// What each pixel of the output sees of x: [n * height * width, k * k * c].
at::Tensor patches(const at::Tensor& x, int64_t k, int64_t stride, int64_t padding, int64_t height, int64_t width) {
  const at::Tensor padded =
      at::constant_pad_nd(x.permute({0, 2, 3, 1}), {0, 0, padding, padding, padding, padding}).contiguous();
  const int64_t n = padded.size(0), c = padded.size(3), row = padded.stride(1);
  return padded
      .as_strided({n, height, width, k, k * c}, {padded.stride(0), stride * row, stride * c, row, 1})
      .reshape({n * height * width, k * k * c});
}

struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                            int64_t padding) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return at::convolution(x, weight, /*bias=*/{}, {stride, stride}, {padding, padding}, /*dilation=*/{1, 1},
                           /*transposed=*/false, /*output_padding=*/{0, 0}, /*groups=*/1);
  }

  static variable_list backward(AutogradContext* context, variable_list above) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const int64_t stride = context->saved_data["stride"].toInt();
    const int64_t padding = context->saved_data["padding"].toInt();
    const at::Tensor dy = inLayout(above[0]);
    const int64_t outputs = weight.size(0), c = weight.size(1), k = weight.size(2);
    at::Tensor dx, dweight;
    if (context->needs_input_grad(0)) {
      dx = std::get<0>(at::convolution_backward(dy, x, weight, /*bias_sizes=*/at::OptionalIntArrayRef(),
                                                {stride, stride}, {padding, padding}, /*dilation=*/{1, 1},
                                                /*transposed=*/false, /*output_padding=*/{0, 0}, /*groups=*/1,
                                                std::array<bool, 3>{true, false, false}));
    }
    if (context->needs_input_grad(1)) {
      const at::Tensor pixels = dy.permute({0, 2, 3, 1}).reshape({-1, outputs});
      const at::Tensor product = at::mm(pixels.t(), patches(x, k, stride, padding, dy.size(2), dy.size(3)));
      dweight = product.view({outputs, k, k, c}).permute({0, 3, 1, 2});
    }
    return {dx, dweight, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding) {
  const bool onCpu = x.device().is_cpu() && weight.device().is_cpu();
  if (!onCpu || x.dim() != 4 || weight.dim() != 4 || weight.size(2) != weight.size(3) || x.size(1) != weight.size(1)) {
    throw BorderError("convolution: x and weight are no images and a square filter of theirs, on the CPU");
  }
  const auto cast = [](const at::Tensor& tensor) {
    return inLayout(at::autocast::cached_cast(at::kBFloat16, tensor, c10::kCPU));
  };
  return Convolution::apply(cast(x), cast(weight), stride, padding);
}

}  // namespace cornet
