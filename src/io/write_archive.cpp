// SPDX-License-Identifier: Apache-2.0
// Writes state dicts as torch.save does: a zip of a protocol 2 pickle and the storages it refers to. LibTorch's own
// pickler tags containers with a global that Python's weights_only loading refuses.
#include <caffe2/serialize/inline_container.h>

#include <unordered_set>

#include "src/io/atomic_file.h"
#include "src/io/failure.h"
#include "vene/io/torch_archive.h"

namespace vene::io {
namespace {

const char* storage_of(torch::ScalarType dtype) {
  switch (dtype) {
    case torch::kFloat64:
      return "DoubleStorage";
    case torch::kFloat32:
      return "FloatStorage";
    case torch::kFloat16:
      return "HalfStorage";
    case torch::kBFloat16:
      return "BFloat16Storage";
    case torch::kInt64:
      return "LongStorage";
    case torch::kInt32:
      return "IntStorage";
    case torch::kInt16:
      return "ShortStorage";
    case torch::kInt8:
      return "CharStorage";
    case torch::kUInt8:
      return "ByteStorage";
    case torch::kBool:
      return "BoolStorage";
    default:
      return nullptr;
  }
}

class Pickle {
 public:
  Pickle() { text_ = "\x80\x02"; }
  Pickle& op(std::string_view code) {
    text_ += code;
    return *this;
  }
  Pickle& global(std::string_view module, std::string_view name) {
    return op("c").op(module).op("\n").op(name).op("\n");
  }
  Pickle& ordered_dict() { return global("collections", "OrderedDict").op(")R"); }
  Pickle& text(std::string_view value) {
    op("X").little(static_cast<std::uint32_t>(value.size()), 4);
    return op(value);
  }
  Pickle& integer(std::int64_t value) {
    if (value >= 0 && value <= INT32_MAX) return op("J").little(static_cast<std::uint64_t>(value), 4);
    return op(std::string_view("\x8a\x08", 2)).little(static_cast<std::uint64_t>(value), 8);
  }
  Pickle& integers(c10::IntArrayRef values) {
    op("(");
    for (const std::int64_t value : values) integer(value);
    return op("t");
  }
  const std::string& bytes() const { return text_; }

 private:
  Pickle& little(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) text_ += static_cast<char>(value >> (8 * i) & 255);
    return *this;
  }
  std::string text_;
};

}  // namespace

void write_state_dict(const std::string& path, const std::vector<std::pair<std::string, torch::Tensor>>& tensors) {
  std::unordered_set<std::string_view> names;
  Pickle pickle;
  pickle.ordered_dict().op("(");
  std::vector<torch::Tensor> storages;
  for (const auto& [name, tensor] : tensors) {
    const std::string where = "cannot take tensor " + in_quotes(name) + ": ";
    if (!names.insert(name).second) fail(path, where + "the name is given twice");
    if (!tensor.defined() || tensor.layout() != torch::kStrided)
      fail(path, where + "only dense tensors can be written");
    const char* storage = storage_of(tensor.scalar_type());
    if (storage == nullptr)
      fail(path, where + "its dtype " + std::string(c10::toString(tensor.scalar_type())) + " has no storage class");
    const torch::Tensor plain = tensor.detach().cpu().contiguous();
    pickle.text(name).global("torch._utils", "_rebuild_tensor_v2").op("((").text("storage").global("torch", storage);
    pickle.text(std::to_string(storages.size())).text("cpu").integer(plain.numel()).op("tQ").integer(0);
    pickle.integers(plain.sizes()).integers(plain.strides()).op("\x89").ordered_dict().op("tR");
    storages.push_back(plain);
  }
  pickle.op("u.");
  std::string bytes;
  try {
    caffe2::serialize::PyTorchStreamWriter zip([&](const void* data, std::size_t size) {
      bytes.append(static_cast<const char*>(data), size);
      return size;
    });
    zip.writeRecord("data.pkl", pickle.bytes().data(), pickle.bytes().size());
    zip.writeRecord("byteorder", "little", 6);
    for (std::size_t i = 0; i < storages.size(); ++i)
      zip.writeRecord("data/" + std::to_string(i), storages[i].const_data_ptr(), storages[i].nbytes());
    zip.writeEndOfFile();
  } catch (const c10::Error& error) {
    fail(path, "could not be written: " + std::string(error.what_without_backtrace()));
  }
  AtomicFile file(path);
  file.write(bytes);
  file.finish();
}

}  // namespace vene::io
