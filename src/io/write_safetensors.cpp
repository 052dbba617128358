// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "src/io/atomic_file.h"
#include "src/io/failure.h"
#include "src/io/safetensors_header.h"
#include "vene/base/names.h"
#include "vene/io/safetensors.h"

namespace vene::io {
namespace {

void check_writable(const std::string& path, const NamedTensors& tensors) {
  std::unordered_set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    const std::string where = "cannot take tensor " + in_quotes(name) + ": ";
    if (name == "__metadata__") fail(path, where + "the format keeps that name for its metadata");
    if (!names.insert(name).second) fail(path, where + "the name is given twice");
    if (!tensor.defined()) fail(path, where + "it is undefined");
    if (tensor.layout() != torch::kStrided || tensor.is_quantized())
      fail(path, where + "only dense tensors can be written");
    if (tensor.is_meta()) fail(path, where + "it is on the meta device and has no data");
    if (!dtype_name(tensor.scalar_type())) {
      fail(path, where + "the format has no dtype for " + std::string(c10::toString(tensor.scalar_type())));
    }
  }
}

// The reference writer's order: wider dtypes first, so that every tensor lies at a multiple of its element's size; then
// by name.
std::vector<std::size_t> order_in_file(const NamedTensors& tensors) {
  std::vector<std::size_t> order(tensors.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const int rank_a = dtype_rank(tensors[a].second.scalar_type()),
              rank_b = dtype_rank(tensors[b].second.scalar_type());
    return rank_a != rank_b ? rank_a > rank_b : tensors[a].first < tensors[b].first;
  });
  return order;
}

std::string header_text(const std::string& path, const NamedTensors& tensors, const std::vector<std::size_t>& order,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  // push_back into the underlying list: ordered_json's operator[] looks through all earlier names.
  auto& entries = header.get_ref<nlohmann::ordered_json::object_t&>();
  std::uint64_t offset = 0;
  for (const std::size_t i : order) {
    const auto& [name, tensor] = tensors[i];
    const std::uint64_t end = offset + static_cast<std::uint64_t>(tensor.numel()) * tensor.element_size();
    nlohmann::ordered_json entry;
    entry["dtype"] = *dtype_name(tensor.scalar_type());
    entry["shape"] = tensor.sizes().vec();
    entry["data_offsets"] = {offset, end};
    entries.emplace_back(name, std::move(entry));
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail(path, "cannot be written: a tensor's name or the metadata is not valid UTF-8");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::string& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata) {
  check_writable(path, tensors);
  const std::vector<std::size_t> order = order_in_file(tensors);
  const std::string header = header_text(path, tensors, order, metadata);
  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header);
  for (const std::size_t i : order) {
    // One tensor at a time is brought to the CPU and made dense; one that already is goes out from where it lies.
    const torch::Tensor plain = tensors[i].second.detach().cpu().resolve_conj().resolve_neg().contiguous();
    file.write(plain.const_data_ptr(), plain.nbytes());
  }
  file.finish();
}

}  // namespace vene::io
