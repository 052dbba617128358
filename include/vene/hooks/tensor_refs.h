// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <c10/util/SmallVector.h>
#include <torch/types.h>

#include <optional>
#include <tuple>
#include <utility>
#include <vector>

namespace vene::detail {

/// The tensors found in a module's arguments or result, in order, as places that can be assigned to.
using TensorRefs = c10::SmallVector<torch::Tensor*, 8>;

// Anything that holds no tensor is passed over. A user's own struct joins by a `collect_tensors(TensorRefs&, T&)` found
// through argument-dependent lookup.
template <class T>
void collect_tensors(TensorRefs&, T&) {}
inline void collect_tensors(TensorRefs& refs, torch::Tensor& tensor) {
  refs.push_back(&tensor);
}
template <class T>
void collect_tensors(TensorRefs& refs, std::optional<T>& value);
template <class T>
void collect_tensors(TensorRefs& refs, std::vector<T>& values);
template <class A, class B>
void collect_tensors(TensorRefs& refs, std::pair<A, B>& values);
template <class... T>
void collect_tensors(TensorRefs& refs, std::tuple<T...>& values);

template <class T>
void collect_tensors(TensorRefs& refs, std::optional<T>& value) {
  if (value) collect_tensors(refs, *value);
}
template <class T>
void collect_tensors(TensorRefs& refs, std::vector<T>& values) {
  if constexpr (!std::is_same_v<T, bool>) {
    for (T& value : values) collect_tensors(refs, value);
  }
}
template <class A, class B>
void collect_tensors(TensorRefs& refs, std::pair<A, B>& values) {
  collect_tensors(refs, values.first);
  collect_tensors(refs, values.second);
}
template <class... T>
void collect_tensors(TensorRefs& refs, std::tuple<T...>& values) {
  std::apply([&](auto&... value) { (collect_tensors(refs, value), ...); }, values);
}

}  // namespace vene::detail
